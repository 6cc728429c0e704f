//! Exemplars: which span was the latest in a bucket.

use crate::ids::{SpanId, TraceId};
use crate::span::Span;
use crate::time::WallNanos;

/// Which spans become exemplars (OpenTelemetry's `OTEL_METRICS_EXEMPLAR_FILTER`). None does that is not exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExemplarFilter {
    /// None, at no cost.
    #[default]
    AlwaysOff,
    /// All.
    AlwaysOn,
    /// Those of sampled traces.
    TraceBased,
}

/// A span that stands for others in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// What was measured, in the unit of the metric's integers.
    pub value: u64,
    /// When it ended.
    pub at: WallNanos,
}

impl ExemplarFilter {
    /// The exemplar that `span` makes, its value left open.
    pub(super) fn exemplar(self, span: &Span) -> Option<Exemplar> {
        let takes = match self {
            Self::AlwaysOff => false,
            Self::AlwaysOn => !span.ignored.traces,
            Self::TraceBased => !span.ignored.traces && span.sampled,
        };
        let at = WallNanos::new(span.start_wall.unix_nanos().saturating_add(span.duration_nanos()));
        takes.then_some(Exemplar { trace_id: span.trace_id, span_id: span.span_id, value: 0, at })
    }
}
