//! `repair`: what can be read of a damaged tape, as a whole one.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use redtape_core::Count;
use redtape_core::tape::{RepairError, Repaired, WriterOptions, repair};

use crate::cli::Repair;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, read_failure};

pub(super) fn run(args: &Repair) -> Result {
    let output = args.output.display();
    if is_same(&args.output, &args.tape) {
        return Err(Failure::message(Kind::Usage, format!("{output}: is the damaged tape itself; name another file")));
    }
    if !args.force && args.output.exists() {
        return Err(Failure::message(Kind::Usage, format!("{output}: exists already; --force overwrites it")));
    }
    let tape = Tape::open(&args.tape)?;
    // Not `.part`: a recording that was cut short is called so, and is repaired into the name without.
    let unfinished = args.output.with_added_extension("repairing");
    let file = File::create_new(&unfinished).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            let name = unfinished.display();
            Failure::message(Kind::Usage, format!("{name}: exists already, left by another repair; remove it first"))
        }
        _ => unwritable(&unfinished, &error),
    })?;
    let repaired = write(tape, file, &unfinished).and_then(|repaired| {
        fs::rename(&unfinished, &args.output).map_err(|error| unwritable(&args.output, &error))?;
        Ok(repaired)
    });
    if repaired.is_err() {
        // What is left of it is of no use; that it cannot be removed is not what failed.
        let _ = fs::remove_file(&unfinished);
    }
    report(&repaired?, args);
    Ok(())
}

fn write(tape: Tape, file: File, path: &Path) -> Result<Repaired> {
    let (repaired, file) = repair(tape.reader, file, WriterOptions::default()).map_err(|error| match error {
        RepairError::Read(error) => read_failure(&tape.name, &error),
        RepairError::Write(error) => unwritable(path, &error),
    })?;
    file.sync_all().map_err(|error| unwritable(path, &error))?;
    Ok(repaired)
}

fn is_same(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).ok().zip(fs::canonicalize(b).ok()).is_some_and(|(a, b)| a == b)
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

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::message(Kind::Environment, format!("{}: cannot be written: {error}", path.display()))
}
