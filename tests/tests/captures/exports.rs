//! Exports: tshark counts in them what is on the tape, and importing them gives the same spans.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Process, Requirement, Result, binary, replay, trial};
use tempfile::TempDir;

use crate::capture::edited;
use crate::counts::{LIMIT, ours, tsharks};

/// The tapes of all protocols.
const TAPES: [&str; 6] = [
    "greetings-demo/greetings.tape",
    "protocols/grpc-streams.tape",
    "protocols/grpc-unary.tape",
    "protocols/h2.tape",
    "protocols/h2c.tape",
    "protocols/websocket.tape",
];

const TSHARK: &[Requirement] = &[Requirement::Program("tshark"), Requirement::Program("editcap")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("exports::tshark_counts_the_same", TSHARK, counts),
        trial("exports::comments", TSHARK, comments),
        trial("exports::and_back", &[], and_back),
        trial("exports::foreign", TSHARK, foreign),
    ]
}

fn tape(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures")).join(name)
}

/// Exports a tape; the options with which tshark dissects all of it.
fn export(tape: &Path, folder: &Path) -> Result<(PathBuf, Vec<String>)> {
    let (file, script) = (folder.join("export.pcapng"), folder.join("read"));
    let mut command = Command::new(binary("redtape")?);
    command.args(["export", "--force", "--pcapng"]).arg(&file).arg("--decode-as-script").arg(&script).arg(tape);
    let said = Process::run(&mut command, LIMIT)?.expect_code(0)?.stderr;
    let line = said.lines().find_map(|line| line.strip_prefix("to dissect all of it: tshark "));
    let options = line.and_then(|line| line.split_once(" -r ")).map_or("", |(options, _)| options);
    assert!(std::fs::read_to_string(&script)?.contains(options), "the script says the same");
    Ok((file, options.split_whitespace().map(str::to_owned).collect()))
}

fn counts() -> Result<()> {
    let folder = TempDir::new()?;
    for name in TAPES {
        let (file, options) = export(&tape(name), folder.path())?;
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        assert_eq!(tsharks(&file, &options)?, ours(&tape(name))?, "{name} with {options:?}");
    }
    Ok(())
}

fn comments() -> Result<()> {
    let folder = TempDir::new()?;
    let (file, _) = export(&tape(TAPES[0]), folder.path())?;
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file).args([
        "-Y",
        "frame.comment contains \"comm=\"",
        "-T",
        "fields",
        "-e",
        "frame.comment",
    ]);
    let comments = Process::run(&mut command, LIMIT)?.expect_code(0)?.stdout;
    assert!(comments.lines().count() > 1000);
    assert!(
        comments.contains("synthetic; accept pid=") && comments.contains("comm=greetings exe="),
        "{comments:.1000}"
    );
    Ok(())
}

fn and_back() -> Result<()> {
    let folder = TempDir::new()?;
    for name in TAPES {
        let (file, _) = export(&tape(name), folder.path())?;
        for form in ["--spans=json", "--metrics=openmetrics"] {
            let [before, after] = [&tape(name), &file].map(|file| replay(file, &["--quiet", form]));
            assert!(before? == after?, "{name}: {form} differs");
        }
    }
    Ok(())
}

/// Without what only redtape understands, an export is a capture like any other.
fn foreign() -> Result<()> {
    let folder = TempDir::new()?;
    for name in TAPES {
        let (file, options) = export(&tape(name), folder.path())?;
        let plain = edited(&file, &folder.path().join("plain.pcap"), &["-F", "nsecpcap"])?;
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let (ours, tsharks) = (ours(&plain)?, tsharks(&plain, &options)?);
        assert_eq!((ours.requests, ours.errors), (tsharks.requests, tsharks.errors), "{name}");
    }
    Ok(())
}
