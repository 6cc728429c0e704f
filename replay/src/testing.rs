//! Specs of telemetry as tests of a Rust program: what `redtape test` does, from `#[test]`.
//!
//! ```
//! use redtape_replay::testing::Specs;
//!
//! // A `#[test]` in a file of `tests/`.
//! fn telemetry() {
//!     Specs::at(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/routes")).check();
//! }
//! # telemetry();
//! ```
//!
//! A failure prints what `redtape test` prints. `REDTAPE_BLESS=1 cargo test` accepts what was found, as `redtape test --bless`
//! does. The format of specs is described in `docs/testing.md`.

use std::env;
use std::fmt;
use std::path::PathBuf;

use regex::Regex;

use crate::failure::{Failure, Kind, Result};
use crate::harness::{Ran, Suite, Tally, accept, is_ci, run_all, write_ran};

/// Specs to be run.
#[derive(Clone, Debug)]
pub struct Specs {
    paths: Vec<PathBuf>,
    filter: Option<String>,
    jobs: Option<u16>,
    bless: bool,
}

/// What came of specs.
#[derive(Clone, Debug)]
pub struct Report {
    tally: Tally,
    text: String,
}

impl Specs {
    /// The specs at a path: one file, or all files below a folder whose names end in `.test.yaml`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { paths: vec![path.into()], filter: None, jobs: None, bless: false }
    }

    /// Those at another path as well.
    #[must_use]
    pub fn and(mut self, path: impl Into<PathBuf>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Only those whose path or name a regular expression fits.
    #[must_use]
    pub fn matching(self, regex: impl Into<String>) -> Self {
        Self { filter: Some(regex.into()), ..self }
    }

    /// So many at once, from 1 on; as many as there are CPUs, if it is not said.
    #[must_use]
    pub fn jobs(self, jobs: u16) -> Self {
        Self { jobs: Some(jobs.max(1)), ..self }
    }

    /// Accepts what is found before it is checked.
    #[must_use]
    pub fn bless(self) -> Self {
        Self { bless: true, ..self }
    }

    /// Runs them.
    ///
    /// # Errors
    ///
    /// If a spec is wrong or something that it names is not there. What is not as expected is no error but in the report.
    pub fn run(&self) -> Result<Report> {
        let filter = self.filter.as_deref().map(Regex::new).transpose();
        let filter = filter.map_err(|error| Failure::message(Kind::Usage, error))?;
        let mut suite = Suite::read(&self.paths, filter.as_ref())?;
        if self.bless {
            accept(suite, self.jobs)?;
            suite = Suite::read(&self.paths, filter.as_ref())?;
        }
        let (mut all, mut text): (Vec<Ran>, _) = (Vec::new(), Vec::new());
        run_all(suite.specs, self.jobs, |ran| {
            write_ran(&mut text, &ran, false).expect("invariant: writing to memory does not fail");
            all.push(ran);
            Ok(())
        })?;
        let tally = Tally::of(&all);
        Ok(Report { tally, text: format!("{}{tally}\n", String::from_utf8_lossy(&text)) })
    }

    /// Runs them, and accepts what is found first if the variable `REDTAPE_BLESS` is set and `CI` is not.
    ///
    /// # Panics
    ///
    /// With the whole report, unless all is as expected.
    #[track_caller]
    pub fn check(self) {
        let set = |name: &str| env::var(name).ok();
        let bless = is_ci(set("REDTAPE_BLESS").as_deref()) && !is_ci(set("CI").as_deref());
        let specs = Self { bless: self.bless || bless, ..self };
        match specs.run() {
            Ok(report) if report.is_ok() => {}
            Ok(report) => panic!("{report}"),
            Err(failure) => panic!("{failure}"),
        }
    }
}

impl Report {
    /// Whether all is as expected.
    pub const fn is_ok(&self) -> bool {
        self.tally.failed + self.tally.errors == 0
    }

    /// How many specs passed.
    pub const fn passed(&self) -> usize {
        self.tally.passed
    }

    /// How many specs failed, or could not be run.
    pub const fn failed(&self) -> usize {
        self.tally.failed + self.tally.errors
    }

    /// How many specs were skipped, since they require what this program cannot do.
    pub const fn skipped(&self) -> usize {
        self.tally.skipped
    }

    /// How many checks there were.
    pub const fn checks(&self) -> usize {
        self.tally.checks
    }
}

impl fmt::Display for Report {
    /// A line on each spec, below it what failed, and the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
