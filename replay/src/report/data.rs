//! All that is on the page, in the form in which its script reads it.

use redtape_core::metric::{Cardinality, RedRow};
use redtape_core::tape::{Meta, ReadReport};
use redtape_core::{AttributeValue, Count, MonoNanos, Span};
use serde::Serialize;

use super::graph::ServiceGraph;
use super::label_costs::WouldBe;
use super::sink::Collect;
use super::status::StatusMix;
use super::timeline::Steps;
use super::traces::{ChosenTraces, ERRORS, SAMPLE, SLOWEST, Trace};
use super::trouble::Trouble;
use crate::diff::Changes;
use crate::input::complaints;
use crate::run::Ran;
use crate::write::{answer, utc};

/// In how many steps growth is shown.
const GROWTH: usize = 20;
/// Values that are shown of a label.
const WORST: usize = 10;

/// The page's data.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    tool: &'static str,
    tapes: Vec<TapeFacts>,
    totals: TotalsFacts,
    red: Vec<Red>,
    timeline: Steps,
    statuses: StatusMix,
    traces: TracesFacts,
    graph: ServiceGraph,
    cardinality: Cardinality,
    would_be: WouldBe,
    trouble: Trouble,
    compare: Option<Changes>,
}

/// What is said of a tape.
#[derive(Debug, Serialize)]
pub(super) struct TapeFacts {
    name: String,
    host: String,
    kernel: String,
    arch: String,
    tool: String,
    recorded: String,
    redaction: String,
    events: u64,
    complaints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct TotalsFacts {
    events: u64,
    spans: u64,
    errors: u64,
    incomplete: u64,
    duration_ns: u64,
    start: String,
    start_us: u64,
    end: String,
    /// Spans that count in metrics.
    observed: u64,
}

/// A row of the RED table, as `replay` has it.
#[derive(Debug, Serialize)]
struct Red {
    namespace: String,
    service: String,
    kind: &'static str,
    method: String,
    route: String,
    count: u64,
    /// In a thousand seconds.
    rate_milli: u64,
    errors: u64,
    incomplete: u64,
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
    queue_p95: Option<u64>,
}

#[derive(Debug, Serialize)]
struct TracesFacts {
    traces: u64,
    spans: u64,
    /// What is chosen: the slowest; with errors, of a kind and in all; others, of a kind and kinds.
    rules: [usize; 5],
    shown: Vec<TraceFacts>,
}

#[derive(Debug, Serialize)]
struct TraceFacts {
    id: String,
    why: Vec<&'static str>,
    /// In microseconds since 1970.
    start_us: u64,
    duration: u64,
    errors: usize,
    left_out: usize,
    spans: Vec<SpanFacts>,
}

#[derive(Debug, Serialize)]
struct SpanFacts {
    id: String,
    parent: Option<String>,
    depth: usize,
    name: String,
    service: String,
    kind: &'static str,
    /// In nanoseconds from the start of the trace.
    start: u64,
    duration: u64,
    queue: Option<u64>,
    answer: String,
    error: bool,
    attributes: Vec<(&'static str, String)>,
}

impl TapeFacts {
    /// What a tape says of itself, and how it was found to be.
    pub(super) fn new(name: &str, meta: &Meta) -> Self {
        Self {
            name: name.to_owned(),
            host: meta.host.clone(),
            kernel: meta.kernel.clone(),
            arch: meta.arch.clone(),
            tool: meta.tool.clone(),
            recorded: Some(meta.started.unix_nanos()).filter(|&nanos| nanos > 0).map(utc).unwrap_or_default(),
            redaction: meta.redaction.clone(),
            events: 0,
            complaints: Vec::new(),
        }
    }

    fn read(&mut self, report: &ReadReport) {
        self.events = report.events;
        self.complaints = complaints(report);
    }
}

impl Data {
    /// What there is on the page, in a line.
    pub(super) fn said(&self) -> String {
        let compared = self.compare.as_ref().map(|changes| Count(changes.differences as u64, "difference"));
        let compared = compared.map_or_else(String::new, |count| format!(", {count}"));
        format!("{} in {}{compared}", Count(self.traces.spans, "span"), Count(self.traces.traces, "trace"))
    }

    pub(super) fn new(mut tapes: Vec<TapeFacts>, ran: &Ran, collected: Collect, compare: Option<Changes>) -> Self {
        for (name, report) in &ran.reports {
            tapes.iter_mut().filter(|tape| tape.name == *name).for_each(|tape| tape.read(report));
        }
        let totals = &ran.totals;
        let nanos = ran.duration_nanos();
        let start = ran.end.unix_nanos().saturating_sub(nanos);
        let chosen = collected.traces.finish();
        Self {
            tool: concat!("redtape ", env!("CARGO_PKG_VERSION")),
            tapes,
            totals: TotalsFacts {
                events: totals.events,
                spans: totals.spans,
                errors: totals.errors,
                incomplete: totals.incomplete,
                duration_ns: nanos,
                start: utc(start),
                start_us: start / 1_000,
                end: utc(ran.end.unix_nanos()),
                observed: ran.metrics.observed(),
            },
            red: ran.metrics.red().rows.iter().map(|row| Red::new(row, nanos)).collect(),
            timeline: collected.timeline.steps(),
            statuses: collected.statuses.mix(),
            graph: chosen.edges.graph(),
            traces: TracesFacts::new(&chosen),
            cardinality: Cardinality::new(&ran.metrics.snapshot(), GROWTH, WORST),
            would_be: collected.label_costs.would_be(),
            trouble: Trouble::of(totals),
            compare,
        }
    }
}

impl Red {
    fn new(row: &RedRow, tape_nanos: u64) -> Self {
        let key = row.key.as_ref();
        let text = |of: fn(&redtape_core::metric::RedKey) -> &String| key.map(of).cloned().unwrap_or_default();
        let (duration, queue) = (&row.duration, &row.queue);
        Self {
            namespace: text(|key| &key.namespace),
            service: key.map_or_else(|| "(others)".into(), |key| key.service.clone()),
            kind: key.map_or("", |key| key.kind.as_str()),
            method: text(|key| &key.method),
            route: text(|key| &key.route),
            count: row.count,
            rate_milli: row.per_kilosecond(tape_nanos),
            errors: row.errors,
            incomplete: row.incomplete,
            p50: duration.quantile(500),
            p95: duration.quantile(950),
            p99: duration.quantile(990),
            max: duration.max(),
            queue_p95: (queue.count() > 0).then(|| queue.quantile(950)),
        }
    }
}

impl TracesFacts {
    fn new(chosen: &ChosenTraces) -> Self {
        let shown = chosen
            .shown
            .iter()
            .map(|(trace, why)| TraceFacts::new(trace, why.iter().map(|why| why.as_str()).collect()));
        let rules = [SLOWEST, ERRORS.0, ERRORS.1, SAMPLE.0, SAMPLE.1];
        Self { traces: chosen.traces, spans: chosen.spans, rules, shown: shown.collect() }
    }
}

impl TraceFacts {
    fn new(trace: &Trace, why: Vec<&'static str>) -> Self {
        let root = trace.root();
        let start = root.map(|root| root.start).unwrap_or_default();
        Self {
            id: trace.id.to_string(),
            why,
            start_us: root.map_or(0, |root| root.start_wall.unix_nanos() / 1_000),
            duration: trace.duration,
            errors: trace.errors,
            left_out: trace.left_out,
            spans: trace.tree().into_iter().map(|(span, depth)| SpanFacts::new(span, depth, start)).collect(),
        }
    }
}

impl SpanFacts {
    fn new(span: &Span, depth: usize, start: MonoNanos) -> Self {
        let attributes = span.attributes().into_iter().map(|(key, value)| match value {
            AttributeValue::Int(number) => (key, number.to_string()),
            AttributeValue::Text(text) => (key, text.into_owned()),
        });
        let process = &span.service.process;
        let executable = process.executable();
        let about = [
            (!executable.is_empty()).then(|| ("process.executable.name", executable.to_owned())),
            (process.tgid.0 != 0).then(|| ("process.pid", process.tgid.0.to_string())),
        ];
        Self {
            id: span.span_id.to_string(),
            parent: span.parent_span_id.map(|id| id.to_string()),
            depth,
            name: span.name().into_owned(),
            service: span.service.name.to_string(),
            kind: span.kind.as_str(),
            start: span.start.since(start),
            duration: span.duration_nanos(),
            queue: span.queue_nanos,
            answer: answer(span),
            error: span.status == redtape_core::Status::Error,
            attributes: attributes.chain(about.into_iter().flatten()).collect(),
        }
    }
}
