//! The truth by route: rate, errors and durations.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use redtape_core::synth::Truth;
use redtape_core::{Outcome, SpanKind, Status};
use serde::Serialize;

/// What has happened, by service, kind, method and route.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<(Arc<str>, SpanKind, String, Arc<str>), Row>);

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Row {
    requests: u64,
    /// Those whose span has the status `error`; without those of streams that were reset.
    errors: u64,
    /// Those with a whole response: the sum of their durations, and the longest.
    complete: u64,
    duration_ns: u64,
    duration_max_ns: u64,
    /// The sum of the times that requests waited to be read.
    queue_ns: u64,
}

/// The keys of a line, in their order. They are part of the contract with scripts.
#[derive(Serialize)]
struct Line<'a> {
    service: &'a str,
    kind: &'static str,
    method: &'a str,
    route: &'a str,
    #[serde(flatten)]
    row: Row,
}

impl Totals {
    pub(super) fn add(&mut self, truth: &Truth) {
        let key = (Arc::clone(&truth.service), truth.kind, truth.method.clone(), Arc::clone(&truth.route));
        let row = self.0.entry(key).or_default();
        row.requests += 1;
        row.errors += u64::from(truth.span_status() == Some(Status::Error));
        row.queue_ns = row.queue_ns.saturating_add(truth.queue_nanos.unwrap_or(0));
        if let Some(end) = truth.end.filter(|_| truth.outcome == Outcome::Complete) {
            let duration = end.since(truth.start);
            row.complete += 1;
            row.duration_ns = row.duration_ns.saturating_add(duration);
            row.duration_max_ns = row.duration_max_ns.max(duration);
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for ((service, kind, method, route), row) in &self.0 {
            let line = Line { service, kind: kind.as_str(), method, route, row: *row };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
