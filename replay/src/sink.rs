//! Where the engine's outputs go.

use std::sync::Arc;
use std::time::Duration;

use redtape_core::metric::{Registry, Snapshot};
use redtape_core::{Output, Span, Totals, WallNanos};

use crate::failure::Result;

/// Where the engine is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    /// The tape's time of day.
    pub(crate) wall: WallNanos,
    /// The metrics so far.
    pub(crate) metrics: &'a Registry,
    /// Counts of what went in and out so far.
    pub(crate) totals: &'a Totals,
}

/// Takes outputs, in their order.
pub(crate) trait OutputSink {
    /// A tape begins, the first one of a live run: everything counts since `started`.
    fn begin(&mut self, _started: WallNanos) {}

    /// Takes a span.
    fn span(&mut self, span: &Span) -> Result;

    /// Takes all metrics, as they were at a step of tape time.
    fn metrics(&mut self, _at: WallNanos, _snapshot: &Arc<Snapshot>) -> Result {
        Ok(())
    }

    /// A block was taken in, and all outputs were delivered: a moment to look at where the engine is.
    fn attend(&mut self, _now: Now<'_>) -> Result {
        Ok(())
    }

    /// Whether it wants spans at all.
    fn wants_spans(&self) -> bool {
        true
    }

    /// How often it wants metrics in between, in tape time; `None` for never.
    fn metrics_step(&self) -> Option<Duration> {
        None
    }

    /// Whether nothing more is wanted: the reader of a pipe has gone, or the run was interrupted.
    fn is_closed(&self) -> bool {
        false
    }
}

/// Hands an output on to where it belongs. Diagnostics are counted by the engine itself.
pub(crate) fn deliver(output: Output, sink: &mut impl OutputSink) -> Result {
    match output {
        Output::Span(span) => sink.span(&span),
        Output::Metrics { at, snapshot } => sink.metrics(at, &snapshot),
        Output::Diagnostic { .. } => Ok(()),
    }
}

/// Wants no spans: for those who look at metrics alone.
pub(crate) struct NoSpans;

impl OutputSink for NoSpans {
    fn wants_spans(&self) -> bool {
        false
    }

    fn span(&mut self, _: &Span) -> Result {
        Ok(())
    }
}

/// Keeps all spans, in the order in which they became final.
#[derive(Debug, Default)]
pub(crate) struct AllSpans(pub(crate) Vec<Span>);

impl OutputSink for AllSpans {
    fn span(&mut self, span: &Span) -> Result {
        self.0.push(span.clone());
        Ok(())
    }
}
