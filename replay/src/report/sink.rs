//! What a report collects of spans as they come: everything that neither the metrics nor the totals of a run have.

use redtape_core::Span;

use super::label_costs::LabelCosts;
use super::status::Statuses;
use super::timeline::Timeline;
use super::traces::Traces;
use crate::diff::Gather;
use crate::failure::Result;
use crate::sink::OutputSink;

/// Collects in bounded memory, however many spans there are.
#[derive(Default)]
pub(super) struct Collect {
    pub(super) timeline: Timeline,
    pub(super) statuses: Statuses,
    pub(super) label_costs: LabelCosts,
    pub(super) traces: Traces,
    /// For a comparison, if there is to be one.
    pub(super) gather: Option<Gather>,
}

impl OutputSink for Collect {
    fn span(&mut self, span: &Span) -> Result {
        if !span.ignored.metrics {
            self.timeline.observe(span);
            self.statuses.observe(span);
            self.label_costs.observe(span);
        }
        self.traces.observe(span);
        if let Some(gather) = &mut self.gather {
            gather.span(span)?;
        }
        Ok(())
    }
}
