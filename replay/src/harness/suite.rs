//! Several specs: found, read and run side by side.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

use regex::Regex;

use super::bless::{Blessed, bless};
use super::files;
use super::observe::Replayer;
use super::report::Ran;
use super::requires::unmet;
use super::run;
use super::scenario::scenario;
use super::spec::{Loaded, load};
use crate::failure::{Failure, Kind, Result};

/// Specs that were read.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) specs: Vec<Loaded>,
}

impl Suite {
    /// Reads all specs at `paths` whose path or name `filter` fits.
    ///
    /// # Errors
    ///
    /// Tells all specs that cannot be read, a line each: of kind [`Kind::Usage`] if any is wrong, else [`Kind::Input`].
    pub(crate) fn read(paths: &[PathBuf], filter: Option<&Regex>) -> Result<Self> {
        let (mut specs, mut failures) = (Vec::new(), Vec::new());
        for path in files::specs(paths)? {
            match load(&path).and_then(usable) {
                Ok(spec) => specs.push(spec),
                // What the filter leaves out need not be right.
                Err(_) if filter.is_some_and(|filter| !filter.is_match(&path.display().to_string())) => {}
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            let wrong = failures.iter().any(|failure| failure.code() == Kind::Usage as u8);
            let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
            return Err(Failure::message(if wrong { Kind::Usage } else { Kind::Input }, lines.join("\nredtape: ")));
        }
        if let Some(filter) = filter {
            specs.retain(|spec| filter.is_match(&spec.path.display().to_string()) || filter.is_match(spec.title()));
            if specs.is_empty() {
                return Err(Failure::message(Kind::Usage, format!("no spec's path or name matches `{filter}`")));
            }
        }
        Ok(Self { specs })
    }
}

/// A spec whose configuration and scenario can be used, too, unless it is not to be run here.
fn usable(spec: Loaded) -> Result<Loaded> {
    if unmet(&spec.spec.requires).is_none() {
        Replayer::new(&spec)?;
        spec.spec.synth.as_ref().map(|source| scenario(&spec, source)).transpose()?;
    }
    Ok(spec)
}

/// Runs specs, `jobs` at once, and hands on what came of each: in their order, and as soon as all before it are done.
pub(crate) fn run_all(specs: Vec<Loaded>, jobs: Option<u16>, mut done: impl FnMut(Ran) -> Result) -> Result {
    let jobs = jobs.map_or_else(|| thread::available_parallelism().map_or(1, NonZero::get), usize::from);
    let jobs = jobs.min(specs.len());
    let next = Mutex::new(specs.into_iter().enumerate());
    let (to_main, results) = channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (to_main, next) = (to_main.clone(), &next);
            let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
            scope.spawn(move || {
                while let Some((at, spec)) = take() {
                    let outcome = run::run(&spec);
                    // Whoever no longer listens needs no more results.
                    if to_main.send((at, Ran { spec, outcome })).is_err() {
                        return;
                    }
                }
            });
        }
        drop(to_main);
        let (mut turn, mut early) = (0, BTreeMap::new());
        for (at, ran) in results {
            early.insert(at, ran);
            while let Some(ran) = early.remove(&turn) {
                done(ran)?;
                turn += 1;
            }
        }
        Ok(())
    })
}

/// Runs specs once, and accepts what was found.
pub(crate) fn accept(suite: Suite, jobs: Option<u16>) -> Result<Blessed> {
    let mut all = Vec::new();
    run_all(suite.specs, jobs, |ran| {
        all.push(ran);
        Ok(())
    })?;
    bless(&all)
}
