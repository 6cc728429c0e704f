//! `--otlp-file`: OTLP as JSON, a request a line, as the collector's file exporter writes it and its receiver reads it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use redtape_core::metric::Snapshot;
use redtape_core::{Service, Span, WallNanos};
use serde::Serialize;

use super::deltas::Deltas;
use super::metrics::MetricMaker;
use super::owners::Owners;
use super::points::MetricForm;
use super::settings::Signal;
use super::spans::{SpanMaker, by_service, parts};
use crate::destination::Destination;
use crate::export::Replayed;
use crate::export::exports::{Exporter, Sent};
use crate::export::steps::Steps;
use crate::failure::Result;
use crate::sink::Now;

/// Spans of one line at most.
const LINE_SPANS: usize = 512;

/// Writes requests to a file. The same tape gives the same bytes.
pub(crate) struct OtlpFile {
    out: Destination,
    spans: SpanMaker,
    metrics: MetricMaker,
    /// Since when everything counts.
    start: WallNanos,
    /// What was written last, where only what is new is written.
    deltas: Option<Deltas>,
    owners: Owners,
    steps: Steps,
    waiting: Vec<(Arc<Service>, SpanData)>,
    /// Spans of requests, and what was written.
    requests: u64,
    spans_written: u64,
    points_written: u64,
}

impl OtlpFile {
    /// Writes to `out` what counts since `start`, recorded on `host`; metrics as `form` says.
    pub(crate) fn new(
        out: Destination,
        (start, host): (WallNanos, &str),
        form: MetricForm,
        replayed: Replayed,
    ) -> Self {
        Self {
            out,
            spans: SpanMaker::new(replayed.clone()),
            metrics: MetricMaker::new(replayed, form, host),
            start,
            deltas: form.delta.then(Deltas::default),
            owners: Owners::default(),
            steps: Steps::new(form.interval),
            waiting: Vec::new(),
            requests: 0,
            spans_written: 0,
            points_written: 0,
        }
    }

    fn write_spans(&mut self) -> Result {
        let spans = std::mem::take(&mut self.waiting);
        if spans.is_empty() {
            return Ok(());
        }
        self.spans_written += spans.len() as u64;
        let request = self.spans.request(by_service(spans));
        self.write_line(&request)
    }

    fn write_metrics(&mut self, at: WallNanos, snapshot: &Snapshot) -> Result {
        let new = self.deltas.as_mut().map(|deltas| {
            let new = deltas.since(self.start, snapshot);
            deltas.exported(at, snapshot);
            new
        });
        let (start, snapshot) = new.as_ref().map_or((self.start, snapshot), |(start, new)| (*start, new));
        for (request, points) in self.metrics.make((start, at), snapshot, &self.owners.services()) {
            self.points_written += points;
            self.write_line(&request)?;
        }
        Ok(())
    }

    fn write_line(&mut self, request: &impl Serialize) -> Result {
        serde_json::to_writer(&mut self.out, request)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(self.out.failed())
    }
}

impl Exporter for OtlpFile {
    fn span(&mut self, span: &Span) -> Result {
        self.owners.see(&span.service);
        if !span.sampled {
            return Ok(());
        }
        self.requests += 1;
        for data in self.spans.make(span) {
            self.waiting.push((Arc::clone(&span.service), data));
        }
        if self.waiting.len() >= LINE_SPANS { self.write_spans() } else { Ok(()) }
    }

    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        if self.steps.is_due(at) { self.write_metrics(at, snapshot) } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.write_spans()?;
        self.write_metrics(now.wall, last)?;
        let (spans, points) = (self.spans_written, self.points_written);
        let what = format!("spans and {points} {} to {}", Signal::Metrics.units(), self.out.name());
        self.out.finish()?;
        Ok(Sent { parts: parts(self.requests, spans, now.totals.spans), ..Sent::written(spans, what) })
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(self.steps.interval())
    }
}
