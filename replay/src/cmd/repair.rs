//! `repair`: what can be read of a damaged tape, as a whole one.

use redtape_core::Count;
use redtape_core::tape::{RepairError, Repaired, repair};

use crate::cli::Repair;
use crate::destination::Destination;
use crate::failure::Result;
use crate::input::{Tape, read_failure};

pub(super) fn run(args: &Repair) -> Result {
    // Not `.part`: a recording that was cut short is called so, and is repaired into the name without.
    let to = Destination::create_as(&args.output, "repairing", args.force, std::slice::from_ref(&args.tape))?;
    let tape = Tape::open(&args.tape)?;
    let (options, failed) = (to.tape_options(), to.failed());
    let (repaired, to) = repair(tape.reader, to, options).map_err(|error| match error {
        RepairError::Read(error) => read_failure(&tape.name, &error),
        RepairError::Write(error) => failed(error),
    })?;
    to.finish()?;
    report(&repaired, args);
    Ok(())
}

fn report(repaired: &Repaired, args: &Repair) {
    let Repaired { found, totals, malformed } = repaired;
    let (events, blocks) = (Count(found.events, "event"), Count(found.blocks, "block"));
    eprintln!("{}: readable: {events} in {blocks}", args.tape.display());
    if found.is_whole() && *malformed == 0 {
        eprintln!("nothing was wrong with it");
    } else {
        eprintln!(
            "damaged: {}, {}; missing: {}; malformed: {}{}",
            Count(found.corrupt_blocks, "block"),
            Count(found.skipped_bytes, "byte"),
            Count(found.missing_blocks, "block"),
            Count(*malformed, "record"),
            if found.truncated { "; the end was missing" } else { "" }
        );
    }
    if found.unknown_blocks + found.unknown_records > 0 {
        let (blocks, events) = (Count(found.unknown_blocks, "block"), Count(found.unknown_records, "event"));
        eprintln!("left out, as they are of a newer version: {blocks}, {events}");
    }
    eprintln!("{}: written, {}", args.output.display(), Count(totals.events, "event"));
}
