//! `import`: captures of other tools, written down as tapes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use redtape_core::Count;
use redtape_core::tape::WriterOptions;
use serde::Serialize;

use super::args::ImportArgs;
use super::found::Found;
use super::imported::{Bytes, Form, Imported, Opened, open};
use super::options::ImportOptions;
use crate::destination::{Destination, is_stdout};
use crate::failure::{Failure, Kind, Result};
use crate::stdout::Output;

pub(crate) fn run(args: &ImportArgs, out: &mut Output) -> Result {
    let to_stdout = is_stdout(&args.output);
    if to_stdout && (args.json || args.files.len() > 1) {
        let message = "`--output -` takes the tape of one file, and leaves no place for `--json`";
        return Err(Failure::message(Kind::Usage, message));
    }
    let made = make_folder(&args.output)?;
    if args.files.len() > 1 && !args.output.is_dir() {
        let output = args.output.display();
        let message =
            format!("{output}: is no folder; several files become a tape each, in a folder: {output}/ is made");
        return Err(Failure::message(Kind::Usage, message));
    }
    let done = import_all(args, out);
    if made && done.is_err() {
        // It stays if there are tapes in it.
        drop(fs::remove_dir(&args.output));
    }
    done
}

/// Makes the folder that a name means by a `/` at its end, if it is not there. Returns whether it was made.
fn make_folder(output: &Path) -> Result<bool> {
    if !output.as_os_str().as_encoded_bytes().ends_with(b"/") || output.exists() {
        return Ok(false);
    }
    let failed = |error| Failure::message(Kind::Environment, format!("{}: cannot be made: {error}", output.display()));
    fs::create_dir(output).map(|()| true).map_err(failed)
}

fn import_all(args: &ImportArgs, out: &mut Output) -> Result {
    for path in &args.files {
        let mut tape = Destination::create(&tape_of(path, &args.output), args.force, &args.files)?;
        let capture = open_capture(path, args, tape.tape_options())?;
        let (name, form, found) = (display(path), capture.form(), capture.found());
        copy(capture, &mut tape, &name)?;
        report(&name, form, &found.get(), args, out)?;
        tape.finish()?;
    }
    Ok(())
}

/// The tape that a file becomes: `output` itself or, if that is a folder, one in it.
fn tape_of(path: &Path, output: &Path) -> PathBuf {
    if !output.is_dir() {
        return output.to_owned();
    }
    let name = path.file_name().unwrap_or("capture".as_ref());
    let mut name = PathBuf::from(name);
    while name
        .extension()
        .is_some_and(|extension| ["gz", "zst", "pcap", "pcapng", "cap", "scap"].iter().any(|known| extension == *known))
    {
        name.set_extension("");
    }
    output.join(name.with_added_extension("tape"))
}

fn display(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

fn open_capture(path: &Path, args: &ImportArgs, tape: WriterOptions) -> Result<Box<Imported>> {
    let name = display(path);
    let unreadable = |error: io::Error| Failure::message(Kind::Input, format!("{name}: cannot be read: {error}"));
    let bytes: Bytes = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().is_ok_and(|data| data.is_dir()) {
            return Err(Failure::message(Kind::Input, format!("{name}: is a folder, not a capture")));
        }
        Box::new(file)
    };
    let options = ImportOptions { payload: args.payload, server_ports: args.server_port.clone() };
    match open(bytes, options, tape).map_err(unreadable)? {
        Opened::Capture(capture) => Ok(capture),
        Opened::Other(mut bytes) => {
            let mut start = [0; 8];
            let read = bytes.read(&mut start).map_err(unreadable)?;
            let what = match start.get(..read).unwrap_or_default() {
                [] => "the file is empty",
                [0x89, b'T', b'A', b'P', ..] => "is a tape already",
                _ => {
                    "is no capture that can be imported: it begins neither like pcap or pcapng nor like a scap file of sysdig"
                }
            };
            Err(Failure::message(Kind::Input, format!("{name}: {what}")))
        }
    }
}

/// Writes down the tape.
fn copy(mut capture: Box<Imported>, tape: &mut Destination, name: &str) -> Result {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = capture
            .read(&mut buffer)
            .map_err(|error| Failure::message(Kind::Input, format!("{name}: cannot be read on: {error}")))?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        tape.write_all(bytes).map_err(tape.failed())?;
    }
}

/// The keys of `import --json`. They are part of the contract with scripts.
#[derive(Serialize)]
struct Imports<'a> {
    file: &'a str,
    format: &'static str,
    records: u64,
    used: u64,
    connections: u64,
    tls_connections: u64,
    truncated: bool,
    snapped: u64,
    retransmitted: u64,
    holes: u64,
    missing_bytes: u64,
    warnings: Vec<String>,
}

/// Says what was imported.
fn report(name: &str, form: Form, found: &Found, args: &ImportArgs, out: &mut Output) -> Result {
    let warnings = found.warnings(form.records());
    if !args.quiet {
        for warning in &warnings {
            eprintln!("redtape: warning: {name}: {warning}");
        }
        let (records, connections) = (Count(found.records, form.records()), Count(found.connections, "connection"));
        eprintln!("{name}: {} ({records}, {} used): {connections}", form.name(), found.used);
    }
    if args.json {
        let imports = Imports {
            file: name,
            format: form.name(),
            records: found.records,
            used: found.used,
            connections: found.connections,
            tls_connections: found.tls,
            truncated: found.cut.is_some(),
            snapped: found.snapped,
            retransmitted: found.retransmitted,
            holes: found.holes,
            missing_bytes: found.missing_bytes,
            warnings,
        };
        let written = serde_json::to_writer(&mut *out, &imports).map_err(io::Error::from).and_then(|()| writeln!(out));
        written.map_err(crate::cmd::unwritable)?;
    }
    let wrong = found.cut.as_ref().map(ToString::to_string).or_else(|| found.unused(form.records()));
    match wrong {
        Some(why) if args.strict => Err(Failure::message(Kind::Input, format!("{name}: {why}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_in_a_folder_has_its_captures_name() {
        let folder = tempfile::tempdir().unwrap();
        for (file, tape) in
            [("/a/b.pcap.gz", "b.tape"), ("c.scap", "c.tape"), ("d.e.pcapng", "d.e.tape"), ("f", "f.tape")]
        {
            assert_eq!(tape_of(file.as_ref(), folder.path()), folder.path().join(tape));
        }
        assert_eq!(tape_of("x.pcap".as_ref(), "y.tape".as_ref()), Path::new("y.tape"));
    }
}
