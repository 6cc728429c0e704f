//! sysdig's captures: redtape and sysdig see the same calls in them.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Process, Requirement, Result, spans, trial};
use tempfile::TempDir;

use crate::counts::{LIMIT, Totals, ours};

const SYSDIG: &[Requirement] = &[Requirement::Program("sysdig")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("scap::counts", &[], counts),
        trial("scap::sysdig_counts_the_same", SYSDIG, sysdigs_counts),
        trial("scap::as_sysdig_writes_it", SYSDIG, rewritten),
        trial("scap::is_what_the_script_makes", &[Requirement::Program("python3")], made),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures"))
}

fn calls() -> PathBuf {
    folder().join("calls.scap")
}

fn counts() -> Result<()> {
    assert_eq!(ours(&calls())?, Totals { requests: 41, responses: 41, errors: 4 });
    let spans = spans(&calls(), &["--quiet"])?;
    let of = |service: &str| spans.iter().filter(|span| span.service == service).count();
    assert_eq!((of("shop"), of("curl")), (40, 1), "services are called like their programs");
    assert!(spans.iter().all(|span| !span.incomplete));
    Ok(())
}

fn sysdig(arguments: &[&str], file: &Path) -> Result<String> {
    let mut command = Command::new("sysdig");
    Ok(Process::run(command.arg("-r").arg(file).args(arguments), LIMIT)?.expect_code(0)?.stdout)
}

fn sysdigs_counts() -> Result<()> {
    let lines = sysdig(&["evt.dir=< and evt.buffer contains \"GET /items/\""], &calls())?;
    assert_eq!(lines.lines().count(), 40);
    let failed = sysdig(&["evt.dir=< and evt.buffer contains \"HTTP/1.1 503\""], &calls())?;
    assert_eq!(failed.lines().count(), 4);
    Ok(())
}

/// sysdig reads older forms of blocks and writes newer ones.
fn rewritten() -> Result<()> {
    let folder = TempDir::new()?;
    // Ids differ, as they are made of the file.
    let told = |file: &Path| -> Result<Vec<String>> {
        let spans = spans(file, &["--quiet"])?;
        Ok(spans
            .iter()
            .map(|span| format!("{} {} {} {}", span.service, span.path(), span.start_time_unix_nano, span.duration_ns))
            .collect())
    };
    for (name, options) in [("plain.scap", &["-w"][..]), ("packed.scap", &["-z", "-w"])] {
        let file = folder.path().join(name);
        let path = file.display().to_string();
        sysdig(&[options, &[&path]].concat(), &calls())?;
        assert_eq!(told(&file)?, told(&calls())?, "{name}");
    }
    Ok(())
}

fn made() -> Result<()> {
    let file = TempDir::new()?;
    let again = file.path().join("calls.scap");
    Process::run(Command::new("python3").arg(folder().join("make")).arg(&again), LIMIT)?.expect_code(0)?;
    assert!(std::fs::read(again)? == std::fs::read(calls())?, "fixtures/captures/make writes something else");
    Ok(())
}
