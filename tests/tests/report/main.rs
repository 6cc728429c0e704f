//! Pages of `redtape report` in a real browser: they ask the network for nothing, show the numbers of `redtape replay`, work by
//! keyboard, in both themes and on a phone, and are not taken in by what a tape says.
//!
//! Screenshots are kept in `target/report-screenshots`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod numbers;
mod tapes;
mod walk;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Arguments;
use redtape_tests::{Process, Requirement, Result, binary};

/// What every test here needs.
const BROWSER: [Requirement; 3] = [
    Requirement::Program("chromium"),
    Requirement::Program("node"),
    Requirement::Tool("npm/node_modules/playwright-core"),
];

fn main() {
    let mut arguments = Arguments::from_args();
    // A browser is several processes.
    arguments.test_threads.get_or_insert(1);
    let trials = [walk::trials(), numbers::trials(), hostile::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// A tape of `fixtures`.
fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures")).join(name)
}

/// Makes the page of a tape in `folder`.
fn report(folder: &Path, tape: &Path, arguments: &[&str]) -> Result<PathBuf> {
    let page = folder.join("report.html");
    let mut command = Command::new(binary("redtape")?);
    command.arg("report").arg(tape).arg("-o").arg(&page).arg("--force").args(arguments);
    Process::run(&mut command, Duration::from_secs(60))?.expect_code(0)?;
    Ok(page)
}
