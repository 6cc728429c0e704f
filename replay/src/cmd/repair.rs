//! `repair`: what can be read of a damaged tape, as a whole one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use redtape_core::tape::{RepairError, Repaired, WriterOptions, repair};

use crate::cli::Repair;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, read_failure};

pub(super) fn run(args: &Repair) -> Result {
    let output = args.output.display();
    let same = fs::canonicalize(&args.output).ok().zip(fs::canonicalize(&args.tape).ok()).is_some_and(|(a, b)| a == b);
    if same {
        return Err(Failure::message(Kind::Usage, format!("{output}: is the damaged tape itself; name another file")));
    }
    if !args.force && args.output.exists() {
        return Err(Failure::message(Kind::Usage, format!("{output}: exists already; --force overwrites it")));
    }
    let tape = Tape::open(&args.tape)?;
    let part = args.output.with_added_extension("part");
    let file = File::create(&part).map_err(|error| unwritable(&part, &error))?;
    let (repaired, file) = repair(tape.reader, file, WriterOptions::default()).map_err(|error| match error {
        RepairError::Read(error) => read_failure(&tape.name, &error),
        RepairError::Write(error) => unwritable(&part, &error),
    })?;
    file.sync_all().and_then(|()| fs::rename(&part, &args.output)).map_err(|error| unwritable(&args.output, &error))?;
    report(&repaired, args);
    Ok(())
}

fn report(repaired: &Repaired, args: &Repair) {
    let Repaired { found, totals, malformed } = repaired;
    eprintln!("{}: {} events in {} blocks were readable", args.tape.display(), found.events, found.blocks);
    if found.is_whole() && *malformed == 0 {
        eprintln!("nothing was wrong with it");
    } else {
        eprintln!(
            "damaged: {} blocks, {} bytes; missing: {} blocks; malformed: {malformed} records{}",
            found.corrupt_blocks,
            found.skipped_bytes,
            found.missing_blocks,
            if found.truncated { "; the end was missing" } else { "" }
        );
    }
    eprintln!("{}: written, {} events", args.output.display(), totals.events);
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::message(Kind::Environment, format!("{}: cannot be written: {error}", path.display()))
}
