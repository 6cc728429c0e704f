//! Runs a spec: its input, and each change of it, is replayed and checked.

use redtape_core::synth::Scenario;

use super::behind::events_behind;
use super::check::{
    Check, Checks, Fault, check_cardinality, check_metrics, check_redaction, check_routes, check_spans, check_summary,
    check_truth,
};
use super::input::Input;
use super::observe::{Observed, Replayer};
use super::scenario::scenario;
use super::spec::{Expect, Loaded, MutationKind, Spec};
use crate::export::MetricForm;
use crate::failure::{Failure, Kind, Result};

/// What a spec came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Why it was not run, if it was not.
    pub(crate) skipped: Option<String>,
    /// The run of the input as it is, and those of changed ones.
    pub(crate) runs: Vec<Run>,
    /// How long it took.
    pub(crate) took: std::time::Duration,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    /// How the input was changed, empty if it was not.
    pub(crate) label: String,
    /// The checks.
    pub(crate) checks: Vec<Check>,
    /// The events behind the span of the check with this number.
    pub(crate) events: Vec<(usize, Vec<String>)>,
}

/// How many checks of a run have the events behind their span told.
const EXPLAINED: usize = 2;

impl Outcome {
    /// How many checks there were, and how many failed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let checks = || self.runs.iter().flat_map(|run| &run.checks);
        (checks().count(), checks().filter(|check| check.fault.is_some()).count())
    }
}

/// Runs a spec.
///
/// # Errors
///
/// If the spec names something that cannot be used. What only is not as expected is told by the outcome.
pub(crate) fn run(spec: &Loaded) -> Result<Outcome> {
    let started = std::time::Instant::now();
    let outcome = |skipped, runs| Outcome { skipped, runs, took: started.elapsed() };
    if let Some(reason) = super::requires::unmet(&spec.spec.requires) {
        return Ok(outcome(Some(reason), Vec::new()));
    }
    let scenario = spec.spec.synth.as_ref().map(|source| scenario(spec, source)).transpose()?;
    let input = match &scenario {
        Some(scenario) => Some(Input::synthetic(scenario)?),
        None if spec.tapes.is_empty() => None,
        None => Some(Input::Files(spec.tapes.clone())),
    };
    let runner = Runner { spec, replayer: Replayer::new(spec)?, scenario };
    let mut runs = vec![runner.plain(input.as_ref())?];
    if let Some(input) = &input {
        for (at, (kind, label, expect)) in spec.mutations.iter().enumerate() {
            runs.push(runner.mutated(input, at, (*kind, label, expect.as_ref()))?);
        }
    }
    Ok(outcome(None, runs))
}

struct Runner<'a> {
    spec: &'a Loaded,
    replayer: Replayer<'a>,
    scenario: Option<Scenario>,
}

/// A run in the making.
struct Making<'a> {
    /// The path of the expectations.
    key: String,
    expect: &'a Expect,
    /// The spec's expectations hold for a changed input, too, but those that speak of the input itself.
    borrowed: bool,
    /// Whether the truth is known.
    truth: bool,
}

impl Runner<'_> {
    fn plain(&self, input: Option<&Input>) -> Result<Run> {
        let Spec { expect, sha, .. } = &self.spec.spec;
        let mut checks = Checks::default();
        let making = Making { key: "expect".into(), expect, borrowed: false, truth: self.scenario.is_some() };
        for (at, routes) in expect.routes.iter().flat_map(|routes| routes.iter()) {
            let config = self.replayer.config(input)?;
            let by = (self.replayer.evidence(), self.spec);
            check_routes(&mut checks, &format!("expect.routes{at}"), routes, &config, by)?;
        }
        let Some(input) = input else {
            return Ok(Run { label: String::new(), checks: checks.list, events: Vec::new() });
        };
        if let Some(sha) = sha {
            let found = input.hash()?;
            let fault = (*sha != found).then(|| Fault {
                accept: Some(super::check::Accept::Value(format!("\"{found}\""))),
                ..Fault::new(if sha.is_empty() {
                    format!("is not filled in; the content hash of the input is {found}")
                } else {
                    format!("the input is another one: expected the content hash {sha}, found {found}")
                })
            });
            checks.push("sha", fault);
        }
        self.finish(String::new(), checks, input, &making)
    }

    fn mutated(
        &self,
        input: &Input,
        at: usize,
        (kind, label, own): (MutationKind, &str, Option<&Expect>),
    ) -> Result<Run> {
        let changed = input.changed(kind).map_err(|failure| match failure.kind() {
            Kind::Usage => self.spec.fault(&format!("mutate[{at}]"), failure.to_string()),
            _ => failure,
        })?;
        let making = Making {
            key: if own.is_some() { format!("mutate[{at}].expect") } else { "expect".into() },
            expect: own.unwrap_or(&self.spec.spec.expect),
            borrowed: own.is_none(),
            truth: self.scenario.is_some() && !matches!(kind, MutationKind::OverTls),
        };
        let mut checks = Checks::default();
        if let Some(routes) = own.and_then(|own| own.routes.as_ref()) {
            let config = self.replayer.config(Some(&changed))?;
            for (part, routes) in routes.iter() {
                let by = (self.replayer.evidence(), self.spec);
                check_routes(&mut checks, &format!("{}.routes{part}", making.key), routes, &config, by)?;
            }
        }
        let mut run = self.finish(label.to_owned(), checks, &changed, &making)?;
        if making.borrowed {
            // What the input as it is gives is what is accepted.
            run.checks.iter_mut().filter_map(|check| check.fault.as_mut()).for_each(|fault| fault.accept = None);
        }
        Ok(run)
    }

    /// Replays and checks.
    fn finish(&self, label: String, mut checks: Checks, input: &Input, making: &Making<'_>) -> Result<Run> {
        let (jobs, other) = self.replayer.jobs();
        let seen = match self.replayer.replay(input, jobs) {
            Ok(seen) => seen,
            Err(failure) => {
                checks.list.extend(failed(making, &failure));
                return Ok(Run { label, checks: checks.list, events: Vec::new() });
            }
        };
        if let Some(exit @ 1..) = making.expect.exit {
            let message = format!("expected a failure with exit code {exit}, but the replay succeeded");
            checks.push(format!("{}.exit", making.key), Some(Fault::new(message)));
            return Ok(Run { label, checks: checks.list, events: Vec::new() });
        }
        if making.expect.exit.is_some() {
            checks.push(format!("{}.exit", making.key), None);
        }
        if input.is_replayed_twice() {
            checks.push("deterministic", self.indeterminism(input, &seen, other)?);
        }
        self.check(&mut checks, input, &seen, making)?;
        let mut events = Vec::new();
        let with_span =
            checks.list.iter().enumerate().filter_map(|(at, check)| Some((at, check.fault.as_ref()?.span?)));
        for (at, span) in with_span.take(EXPLAINED) {
            if let Some(span) = seen.spans.get(span) {
                events.push((at, events_behind(input, span)?));
            }
        }
        Ok(Run { label, checks: checks.list, events })
    }

    fn check(&self, checks: &mut Checks, input: &Input, seen: &Observed, making: &Making<'_>) -> Result {
        let Making { key, expect, borrowed, truth } = making;
        // Who expects something of the input as it is, and nothing comes of it, has left out what.
        let told = |checks: &mut Checks, before: usize, key: String| {
            if checks.list.len() == before && !borrowed {
                checks.push(key, Some(Fault::new("nothing is expected, so nothing could fail")));
            }
        };
        if let Some(summary) = &expect.summary {
            let before = checks.list.len();
            let itself = (!borrowed).then_some(input);
            check_summary(checks, &format!("{key}.summary"), summary, seen, itself)?;
            told(checks, before, format!("{key}.summary"));
        }
        if let Some(spans) = &expect.spans {
            let (key, before) = (format!("{key}.spans"), checks.list.len());
            check_spans(checks, &key, spans, seen, self.spec);
            if let Some(scenario) = self.scenario.as_ref().filter(|_| *truth) {
                check_truth(checks, &key, spans, seen, scenario);
            }
            told(checks, before, key);
        }
        for (at, metrics) in expect.metrics.iter().flat_map(|metrics| metrics.iter()) {
            let of = (&self.replayer, input, self.spec);
            check_metrics(checks, &format!("{key}.metrics{at}"), metrics, seen, of)?;
        }
        if let Some(cardinality) = &expect.cardinality {
            let before = checks.list.len();
            check_cardinality(checks, &format!("{key}.cardinality"), cardinality, seen);
            told(checks, before, format!("{key}.cardinality"));
        }
        if let Some(redaction) = &expect.redaction {
            let form = MetricForm::of(&self.replayer.config(Some(input))?)?;
            check_redaction(checks, &format!("{key}.redaction"), redaction, seen, form);
        }
        Ok(())
    }

    /// What another number of threads changes, which must be nothing.
    fn indeterminism(&self, input: &Input, seen: &Observed, jobs: u16) -> Result<Option<Fault>> {
        let again = self.replayer.replay(input, jobs)?;
        let mut lines = seen.lines.iter().zip(&again.lines);
        let differ = lines.find(|(line, other)| line.text != other.text);
        let what = if differ.is_some() || seen.lines.len() != again.lines.len() {
            "spans"
        } else if seen.openmetrics != again.openmetrics {
            "metrics"
        } else if seen.ran.totals != again.ran.totals {
            "counts"
        } else {
            return Ok(None);
        };
        let details = differ.map(|(line, other)| vec![line.text.clone(), other.text.clone()]).unwrap_or_default();
        let message = format!("with {jobs} jobs the {what} are others: this is a bug of redtape, please report it");
        Ok(Some(Fault { details, ..Fault::new(message) }))
    }
}

/// The checks of a replay that failed.
fn failed(making: &Making<'_>, failure: &Failure) -> Vec<Check> {
    let key = &making.key;
    let code = failure.code();
    let mut checks = Vec::new();
    match making.expect.exit {
        Some(exit) if exit != 0 => {
            let fault = (exit != code).then(|| Fault {
                accept: Some(super::check::Accept::Value(code.to_string())),
                details: vec![failure.to_string()],
                ..Fault::differs(format!("exit code {exit}"), code)
            });
            checks.push(Check { key: format!("{key}.exit"), fault });
        }
        _ => {
            let message = format!("the replay fails with exit code {code}: {failure}");
            checks.push(Check { key: format!("{key}.exit"), fault: Some(Fault::new(message)) });
        }
    }
    if let Some(pattern) = &making.expect.message {
        let text = failure.to_string();
        let fault =
            (!pattern.0.is_match(&text)).then(|| Fault::differs(format!("a message like `{}`", pattern.0), &text));
        checks.push(Check { key: format!("{key}.message"), fault });
    }
    checks
}
