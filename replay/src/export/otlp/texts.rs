//! The texts in what a receiver gets, for whoever has to know that something is not among them.

use std::sync::Arc;

use prost::Message as _;
use redtape_core::metric::Snapshot;
use redtape_core::{Span, WallNanos};
use serde_json::Value;

use super::message::request_json;
use super::metrics::MetricMaker;
use super::owners::Owners;
use super::points::MetricForm;
use super::settings::Signal;
use super::spans::SpanMaker;
use crate::export::Replayed;

/// Keys of OTLP's JSON whose texts are ids, or numbers of 64 bits that say when or how often.
const NO_TEXTS: [&str; 9] = [
    "traceId",
    "spanId",
    "parentSpanId",
    "timeUnixNano",
    "startTimeUnixNano",
    "endTimeUnixNano",
    "asInt",
    "count",
    "bucketCounts",
];

/// Makes requests as they are sent when nothing is moved, and reads what is in them.
pub(crate) struct OtlpTexts {
    spans: SpanMaker,
    metrics: MetricMaker,
    owners: Owners,
}

impl OtlpTexts {
    /// Of metrics in this form.
    pub(crate) fn new(form: MetricForm) -> Self {
        let replayed = Replayed::default();
        Self {
            spans: SpanMaker::new(replayed.clone()),
            metrics: MetricMaker::new(replayed, form, ""),
            owners: Owners::default(),
        }
    }

    /// The texts of a span, its phases and its resource, a line each; none of one that is not sampled.
    pub(crate) fn span(&mut self, span: &Span) -> String {
        self.owners.see(&span.service);
        let mut lines = String::new();
        if span.sampled {
            let request = self.spans.request([(Arc::clone(&span.service), self.spans.make(span).collect())]);
            read(Signal::Traces, &request.encode_to_vec(), &mut lines);
        }
        lines
    }

    /// The texts of metrics, of services whose spans were seen before.
    pub(crate) fn metrics(&self, snapshot: &Snapshot) -> String {
        let (mut lines, now) = (String::new(), WallNanos::new(0));
        for (request, _) in self.metrics.make((now, now), snapshot, &self.owners.services()) {
            read(Signal::Metrics, &request.encode_to_vec(), &mut lines);
        }
        lines
    }
}

/// Reads a request as its receiver does.
fn read(signal: Signal, request: &[u8], lines: &mut String) {
    let json = request_json(signal, request).expect("invariant: what was encoded can be decoded");
    texts(&serde_json::from_slice(&json).unwrap_or_default(), lines);
}

fn texts(value: &Value, lines: &mut String) {
    match value {
        Value::String(text) => {
            lines.push_str(text);
            lines.push('\n');
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, lines)),
        Value::Object(fields) => {
            let told = fields.iter().filter(|(key, _)| !NO_TEXTS.contains(&key.as_str()));
            told.for_each(|(_, value)| texts(value, lines));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
