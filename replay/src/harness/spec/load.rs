//! Reads a spec and finds what it names. What is wrong with it is said with its place.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redtape_core::config::{ConfigError, Place, read};
use redtape_core::{DiagnosticKind, SPAN_ATTRIBUTES};

use super::expect::{At, Expect, Identity, MetricsExpect, SpansExpect, SummaryExpect, Where};
use super::mutate::MutationKind;
use super::source::{ScenarioSource, Spec};
use crate::failure::{Failure, Kind, Result};
use crate::harness::scenario::included;
use crate::harness::{advice, files};

/// A spec that was read and can be run.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The file, as it was given.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) spec: Spec,
    /// The tapes that it names; empty for synthetic traffic, and for a spec of routes alone.
    pub(crate) tapes: Vec<PathBuf>,
    /// Its further runs: how the input is changed, what messages call that, and what is expected if that is something else.
    pub(crate) mutations: Vec<(MutationKind, String, Option<Expect>)>,
}

impl Loaded {
    /// What messages call it.
    pub(crate) fn title(&self) -> &str {
        self.spec.name.as_deref().unwrap_or_default()
    }

    /// A file that the spec names.
    pub(crate) fn beside(&self, name: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// Line and column of a key.
    pub(crate) fn place(&self, key: &str) -> Place {
        Place::of_key(&self.text, &self.path.display().to_string(), key)
    }

    /// A failure of usage at a key.
    pub(crate) fn fault(&self, key: &str, message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, ConfigError { place: self.place(key), message: message.into() })
    }

    /// All expectations, each with the path of its key.
    pub(crate) fn expectations(&self) -> impl Iterator<Item = (String, &Expect)> {
        let own = self.mutations.iter().enumerate();
        let own = own.filter_map(|(at, (_, _, expect))| Some((format!("mutate[{at}].expect"), expect.as_ref()?)));
        std::iter::once(("expect".to_owned(), &self.spec.expect)).chain(own)
    }
}

/// Reads a spec.
///
/// # Errors
///
/// Of kind [`Kind::Usage`] if it is wrong, of kind [`Kind::Input`] if it, or a tape that it names, is not there.
pub(crate) fn load(path: &Path) -> Result<Loaded> {
    let source = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Failure::message(Kind::Usage, format!("{source}: is no spec, which is text in YAML")),
        _ => Failure::message(Kind::Input, format!("{source}: cannot be read: {error}")),
    })?;
    let spec: Option<Spec> = read(&text, &source).map_err(|error| Failure::new(Kind::Usage, error))?;
    let Some(mut spec) = spec else {
        return Err(Failure::message(Kind::Usage, format!("{source}: is empty; a spec has `version: 1` and `expect`")));
    };
    let mut mutations = Vec::new();
    let mut faults = Vec::new();
    for (at, mutation) in std::mem::take(&mut spec.mutate).into_iter().enumerate() {
        match mutation.kind() {
            Ok((kind, name)) => mutations.push((kind, name, mutation.expect.map(|expect| *expect))),
            Err(message) => faults.push((format!("mutate[{at}]"), message)),
        }
    }
    let mut loaded = Loaded { path: path.into(), text, spec, tapes: Vec::new(), mutations };
    faults.extend(loaded.faults());
    if let Some((key, message)) = faults.into_iter().next() {
        return Err(loaded.fault(&key, message));
    }
    loaded.tapes = loaded.find_tapes()?;
    Ok(loaded)
}

/// A key, and what is wrong with it.
type Fault = (String, String);

impl Loaded {
    fn faults(&self) -> Vec<Fault> {
        let Spec { version, tape, pcap, synth, expect, sha, .. } = &self.spec;
        let mut faults = Vec::new();
        if *version != 1 {
            let message = format!("is {version}, but this redtape reads version 1; a newer one reads more");
            faults.push(("version".to_owned(), message));
        }
        let inputs = [("tape", tape.is_some()), ("pcap", pcap.is_some()), ("synth", synth.is_some())];
        let given: Vec<_> = inputs.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if let [first, second, ..] = given.as_slice() {
            faults.push(((*second).into(), format!("a spec has one input, and this one has `{first}` already")));
        }
        if given.is_empty() && (expect.needs_input() || !self.mutations.is_empty() || sha.is_some()) {
            let message = "has no input: give `tape`, `pcap` or `synth`; only `routes` need none";
            faults.push((String::new(), message.into()));
        }
        for (key, expect) in self.expectations() {
            expect_faults(&key, expect, synth.is_some(), &mut faults);
        }
        faults
    }

    fn find_tapes(&self) -> Result<Vec<PathBuf>> {
        let (key, files) = match (&self.spec.tape, &self.spec.pcap) {
            (Some(files), _) => ("tape", files),
            (None, Some(files)) => ("pcap", files),
            (None, None) => {
                if let Some(ScenarioSource::File(file)) = &self.spec.synth
                    && !self.beside(file).exists()
                    && included(&self.beside(file), file).is_none()
                {
                    return Err(self.missing("synth", file));
                }
                return Ok(Vec::new());
            }
        };
        let mut tapes = Vec::new();
        for (at, name) in files.iter() {
            let found = files::expand(&self.beside(Path::new(name)))
                .map_err(|error| Failure::message(Kind::Input, format!("{}: {error}", self.place(key))))?;
            if found.is_empty() {
                return Err(self.missing(&format!("{key}{at}"), Path::new(name)));
            }
            tapes.extend(found);
        }
        if tapes.is_empty() {
            return Err(self.fault(key, "names no file"));
        }
        Ok(tapes)
    }

    /// The failure of a file that is named under `key`, and is not there.
    pub(crate) fn missing(&self, key: &str, name: &Path) -> Failure {
        let path = self.beside(name);
        let advice = advice::told(files::similar(&path).as_deref());
        Failure::message(Kind::Input, format!("{}: {} is not there{advice}", self.place(key), path.display()))
    }
}

impl Expect {
    fn needs_input(&self) -> bool {
        let Self { exit, message, summary, spans, metrics, cardinality, routes: _, redaction } = self;
        exit.is_some()
            || message.is_some()
            || summary.is_some()
            || spans.is_some()
            || metrics.is_some()
            || cardinality.is_some()
            || redaction.is_some()
    }

    /// Whether nothing at all is expected.
    fn is_empty(&self) -> bool {
        !self.needs_input() && self.routes.is_none()
    }
}

fn expect_faults(key: &str, expect: &Expect, synthetic: bool, faults: &mut Vec<Fault>) {
    if expect.is_empty() {
        faults.push((key.into(), "nothing is expected, so nothing could fail".into()));
    }
    match expect.exit {
        Some(exit @ (1 | 5..)) => faults.push((format!("{key}.exit"), format!("a replay never ends with {exit}"))),
        Some(1..) if expect.summary.is_some() || expect.spans.is_some() || expect.metrics.is_some() => {
            faults.push((format!("{key}.exit"), "a replay that fails gives nothing else to expect".into()));
        }
        None | Some(0) if expect.message.is_some() => {
            faults.push((format!("{key}.message"), "goes with `exit`: only a replay that fails says something".into()));
        }
        _ => {}
    }
    if let Some(summary) = &expect.summary {
        summary_faults(&format!("{key}.summary"), summary, faults);
    }
    if let Some(spans) = &expect.spans {
        spans_faults(&format!("{key}.spans"), spans, synthetic, faults);
    }
    for (at, metrics) in expect.metrics.iter().flat_map(|metrics| metrics.iter()) {
        if metrics.samples.is_empty() && metrics.identity.is_empty() && metrics.openmetrics.is_none() {
            faults.push((format!("{key}.metrics{at}"), "nothing is expected, so nothing could fail".into()));
        }
        metrics_faults(&format!("{key}.metrics{at}"), metrics, faults);
    }
    if expect.redaction.as_ref().is_some_and(|redaction| redaction.never.is_empty()) {
        faults.push((format!("{key}.redaction.never"), "nothing is forbidden, so nothing could fail".into()));
    }
    if let Some(0) = expect.cardinality.as_ref().and_then(|budgets| Some(budgets.growth.as_ref()?.per_requests)) {
        faults.push((format!("{key}.cardinality.growth.per_requests"), "takes one span at least".into()));
    }
    for (at, routes) in expect.routes.iter().flat_map(|routes| routes.iter()) {
        if routes.paths.is_empty() && routes.cases.is_empty() && routes.table.is_none() {
            faults.push((format!("{key}.routes{at}"), "has no paths: write `paths`, `cases` or `table`".into()));
        }
    }
}

/// The shortest step of `every`: metrics are written down and read at each.
const STEP_MIN_NANOS: u64 = 1_000_000;

fn metrics_faults(key: &str, metrics: &MetricsExpect, faults: &mut Vec<Fault>) {
    let spans = metrics.identity.iter().position(|identity| *identity == Identity::SpansAndMetrics);
    if let Some(number) = spans.filter(|_| metrics.at != At::End) {
        let message = "spans are counted at the end alone: leave `at` out";
        faults.push((format!("{key}.identity[{number}]"), message.into()));
    }
    if let At::Every(step) = metrics.at {
        if step.as_nanos() < STEP_MIN_NANOS {
            faults.push((format!("{key}.at.every"), "takes steps of 1ms at least".into()));
        }
        if metrics.openmetrics.is_some() {
            let message = "a golden file has the metrics of one moment, and `every` is many";
            faults.push((format!("{key}.openmetrics"), message.into()));
        }
    }
}

fn summary_faults(key: &str, summary: &SummaryExpect, faults: &mut Vec<Fault>) {
    let known: Vec<_> = DiagnosticKind::ALL.iter().map(|kind| kind.name()).collect();
    for name in summary.diagnostics.iter().flat_map(BTreeMap::keys) {
        if !known.contains(&name.as_str()) {
            let advice = advice::instead_of(name, &known);
            faults.push((format!("{key}.diagnostics.{name}"), format!("there is no such diagnostic{advice}")));
        }
    }
}

fn spans_faults(key: &str, spans: &SpansExpect, synthetic: bool, faults: &mut Vec<Fault>) {
    for (name, given) in [("wrong", spans.wrong.is_some()), ("missing", spans.missing.is_some())] {
        if given && !synthetic {
            faults
                .push((format!("{key}.{name}"), "needs `synth`: only of synthetic traffic the truth is known".into()));
        }
    }
    if spans.exhaustive && spans.matches.is_empty() {
        faults.push((format!("{key}.exhaustive"), "needs `match`: every span would be one too many".into()));
    }
    for (at, wanted) in spans.matches.iter().enumerate() {
        where_faults(&format!("{key}.match[{at}].where"), &wanted.wanted, faults);
        where_faults(&format!("{key}.match[{at}].attrs"), &wanted.attrs, faults);
    }
    for (at, unwanted) in spans.none.iter().enumerate() {
        where_faults(&format!("{key}.none[{at}].where"), &unwanted.wanted, faults);
    }
    for (at, parent) in spans.parent_of.iter().enumerate() {
        where_faults(&format!("{key}.parent_of[{at}].child"), &parent.child, faults);
        where_faults(&format!("{key}.parent_of[{at}].parent"), &parent.parent, faults);
    }
}

/// The keys of a span that are no attributes, as `--spans json` has them.
const SPAN_KEYS: [&str; 12] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "service",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "duration_ns",
    "queue_ns",
    "status",
    "incomplete",
];

fn where_faults(key: &str, wanted: &Where, faults: &mut Vec<Fault>) {
    for (name, condition) in wanted {
        let known = SPAN_KEYS.iter().chain(&SPAN_ATTRIBUTES).any(|known| known == name);
        if known || name.starts_with("resource.") || name.starts_with("attributes.") {
            continue;
        }
        let names: Vec<_> = SPAN_KEYS.into_iter().chain(SPAN_ATTRIBUTES).collect();
        let advice = advice::instead_of(name, &names);
        let unless = if condition.wants_absence() {
            format!(" (for any attribute write `attributes.{name}`)")
        } else {
            String::new()
        };
        faults.push((format!("{key}.{name}"), format!("spans have no such key{advice}{unless}")));
    }
}
