//! What came of specs, for people and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write};

use redtape_core::Count;
use redtape_core::config::Place;
use serde::Serialize;

use super::check::{Check, Fault};
use super::run::{Outcome, Run};
use super::spec::Loaded;
use crate::failure::{Failure, Result};
use crate::write::printable;

/// A spec and what came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) spec: Loaded,
    pub(crate) outcome: Result<Outcome>,
}

/// How a spec ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
    /// It could not be run.
    Error,
}

impl Ran {
    pub(crate) fn verdict(&self) -> Verdict {
        match &self.outcome {
            Err(_) => Verdict::Error,
            Ok(outcome) if outcome.skipped.is_some() => Verdict::Skipped,
            Ok(outcome) if outcome.counts().1 > 0 => Verdict::Failed,
            Ok(_) => Verdict::Passed,
        }
    }

    /// All checks that failed, each with its run and its number there.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (&Run, usize, &Check, &Fault)> {
        let runs = self.outcome.iter().flat_map(|outcome| &outcome.runs);
        runs.flat_map(|run| {
            let checks = run.checks.iter().enumerate();
            checks.filter_map(move |(at, check)| Some((run, at, check, check.fault.as_ref()?)))
        })
    }

    /// Where the key of a check stands: the key itself, or the nearest around it.
    pub(crate) fn place(&self, check: &Check) -> Place {
        let mut key = check.key.as_str();
        loop {
            let place = self.spec.place(key);
            if place.position.is_some() || key.is_empty() {
                return place;
            }
            let end = key.rfind(['.', '[', ':']).unwrap_or(0);
            key = key.get(..end).unwrap_or_default();
        }
    }
}

/// Writes a line on a spec, and below it what failed.
pub(crate) fn write_ran(out: &mut impl Write, ran: &Ran, quiet: bool) -> io::Result<()> {
    let path = ran.spec.path.display();
    let title = match ran.spec.title() {
        "" => String::new(),
        title => format!(": {}", printable(title)),
    };
    match &ran.outcome {
        Err(failure) => writeln!(out, "ERROR {path}{title}\n  {failure}"),
        Ok(outcome) => {
            let (checks, failed) = outcome.counts();
            let runs = match outcome.runs.len() {
                0 | 1 => String::new(),
                runs => format!(" in {runs} runs"),
            };
            let checks = Count(checks as u64, "check");
            match (ran.verdict(), &outcome.skipped) {
                (_, Some(_)) if quiet => {}
                (_, Some(reason)) => writeln!(out, "skip  {path}{title} ({reason})")?,
                (Verdict::Passed, _) if quiet => {}
                (Verdict::Passed, _) => writeln!(out, "ok    {path}{title} ({checks}{runs})")?,
                _ => {
                    writeln!(out, "FAIL  {path}{title} ({failed} of {checks}{runs})")?;
                    write_faults(out, ran)?;
                }
            }
            Ok(())
        }
    }
}

fn write_faults(out: &mut impl Write, ran: &Ran) -> io::Result<()> {
    let mut can_be_blessed = false;
    // What failed in the same way before is said once.
    let (mut said, mut again) = (BTreeSet::new(), 0_u64);
    for (run, at, check, fault) in ran.faults() {
        can_be_blessed |= fault.accept.is_some();
        if !said.insert((&check.key, &fault.message)) {
            again += 1;
            continue;
        }
        write!(out, "  {}", place(ran, check))?;
        if !run.label.is_empty() {
            write!(out, " [{}]", run.label)?;
        }
        writeln!(out, ": {}", printable(&fault.message))?;
        for detail in &fault.details {
            writeln!(out, "      {}", printable(detail))?;
        }
        if let Some((_, events)) = run.events.iter().find(|(of, _)| *of == at) {
            writeln!(out, "      events behind it:")?;
            for event in events {
                writeln!(out, "      {}", printable(event))?;
            }
        }
    }
    if again > 0 {
        writeln!(out, "  the same in other runs: {}", Count(again, "check"))?;
    }
    if can_be_blessed {
        writeln!(out, "  if what was found is right: redtape test --bless {}", ran.spec.path.display())?;
    }
    Ok(())
}

/// Where a check stands, with its whole key.
fn place(ran: &Ran, check: &Check) -> String {
    let place = ran.place(check);
    let mut text = place.source;
    if let Some((line, column)) = place.position {
        // Writing to a string cannot fail.
        let _ = write!(text, ":{line}:{column}");
    }
    format!("{text}: {}", check.key)
}

/// What came of all specs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) specs: usize,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
    pub(crate) errors: usize,
    pub(crate) checks: usize,
}

impl Tally {
    pub(crate) fn of(all: &[Ran]) -> Self {
        let mut tally = Self { specs: all.len(), ..Self::default() };
        for ran in all {
            *match ran.verdict() {
                Verdict::Passed => &mut tally.passed,
                Verdict::Failed => &mut tally.failed,
                Verdict::Skipped => &mut tally.skipped,
                Verdict::Error => &mut tally.errors,
            } += 1;
            tally.checks += ran.outcome.as_ref().map_or(0, |outcome| outcome.counts().0);
        }
        tally
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { specs, passed, failed, skipped, errors, checks } = *self;
        write!(f, "{}: {passed} passed", Count(specs as u64, "spec"))?;
        for (count, what) in [(failed, "failed"), (errors, "could not be run"), (skipped, "skipped")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(f, "; {}", Count(checks as u64, "check"))
    }
}

/// The keys of `test --json`. They are part of the contract with scripts.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    tally: Tally,
    results: Vec<JsonSpec<'a>>,
    unused: &'a [String],
}

#[derive(Serialize)]
struct JsonSpec<'a> {
    path: String,
    name: &'a str,
    status: Verdict,
    /// Why it was skipped or could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    duration_ns: u64,
    checks: Vec<JsonCheck<'a>>,
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    key: &'a str,
    /// How the input was changed, empty if it was not.
    run: &'a str,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    events: &'a [String],
}

/// Writes all results as one JSON object.
pub(crate) fn write_json(out: &mut impl Write, all: &[Ran], unused: &[String]) -> io::Result<()> {
    let results = all.iter().map(json_spec).collect();
    serde_json::to_writer(&mut *out, &Json { tally: Tally::of(all), results, unused })?;
    writeln!(out)
}

fn json_spec(ran: &Ran) -> JsonSpec<'_> {
    let (reason, took) = match &ran.outcome {
        Err(failure) => (Some(Failure::to_string(failure)), 0),
        Ok(outcome) => (outcome.skipped.clone(), u64::try_from(outcome.took.as_nanos()).unwrap_or(u64::MAX)),
    };
    let runs = ran.outcome.iter().flat_map(|outcome| &outcome.runs);
    let checks = runs.flat_map(|run| {
        run.checks.iter().enumerate().map(move |(at, check)| {
            let fault = check.fault.as_ref();
            let position = fault.and_then(|_| ran.place(check).position);
            let events = run.events.iter().find(|(of, _)| *of == at);
            JsonCheck {
                key: &check.key,
                run: &run.label,
                passed: fault.is_none(),
                line: position.map(|(line, _)| line),
                column: position.map(|(_, column)| column),
                message: fault.map(|fault| fault.message.as_str()),
                details: fault.map_or(&[], |fault| &fault.details),
                events: events.map_or(&[], |(_, events)| events),
            }
        })
    });
    JsonSpec {
        path: ran.spec.path.display().to_string(),
        name: ran.spec.title(),
        status: ran.verdict(),
        reason,
        duration_ns: took,
        checks: checks.collect(),
    }
}
