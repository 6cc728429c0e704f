//! The guide: each command in docs/guide is run as a reader would run it, page by page, and what the page says that it
//! prints is compared with what it prints.

mod page;

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Arguments;
use page::Page;
use redtape_tests::{Requirement, Result, trial};

fn main() {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => panic!("the guide cannot be read: {error}"),
    };
    let trials = pages.into_iter().map(|(path, page)| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Only what records needs more than any machine has.
        let live = [Requirement::Bpf, Requirement::Program("python3"), Requirement::Program("curl")];
        let requirements = if page.records() { &live[..] } else { &[] };
        trial(name, requirements, move || page.run(&path))
    });
    // Pages use the same ports.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// The pages that have commands.
fn pages() -> Result<Vec<(PathBuf, Page)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let mut paths = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let pages = paths.into_iter().map(|path| Ok((path.clone(), Page::parse(&fs::read_to_string(&path)?)?)));
    pages.filter(|page| page.as_ref().map_or(true, |(_, page)| page.has_commands())).collect()
}
