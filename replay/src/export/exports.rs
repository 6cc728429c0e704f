//! All exporters of a run, as one sink.

use std::sync::Arc;
use std::time::Duration;

use redtape_core::metric::Snapshot;
use redtape_core::{Span, WallNanos};

use crate::failure::{Failure, Kind, Result};
use crate::interrupt::Interrupt;
use crate::sink::{Now, OutputSink};

/// Takes spans and metrics to one place.
///
/// An error ends the run: only what makes going on useless is one, as a file that cannot be written. What a back end does not
/// take is counted, and told at the end.
pub(crate) trait Exporter {
    /// A tape begins, the first one of a live run: everything counts since `started`.
    fn begin(&mut self, _started: WallNanos) {}

    /// Takes a span.
    fn span(&mut self, _span: &Span) -> Result {
        Ok(())
    }

    /// Takes all metrics, as they were at a step of tape time.
    fn metrics(&mut self, _at: WallNanos, _snapshot: &Arc<Snapshot>) -> Result {
        Ok(())
    }

    /// A block was taken in: a moment to look at where the engine is. It comes often, so it has to be quick.
    fn attend(&mut self, _now: Now<'_>) -> Result {
        Ok(())
    }

    /// Sends what waits, with the metrics as they are at the end, and tells what became of it all.
    fn finish(self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent>;

    /// Whether it wants spans at all.
    fn wants_spans(&self) -> bool {
        true
    }

    /// How often it wants metrics in between, in tape time; `None` for never.
    fn metrics_step(&self) -> Option<Duration> {
        None
    }
}

/// What became of what was to be exported to one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// What, and where to, as in `spans to http://tempo:4317`.
    pub(crate) what: String,
    /// How many of them arrived.
    pub(crate) arrived: u64,
    /// How many did not.
    pub(crate) failed: u64,
    /// Why the last one did not.
    pub(crate) error: String,
}

/// All exporters.
#[derive(Default)]
pub(crate) struct Exports {
    all: Vec<Box<dyn Exporter>>,
    interrupt: Interrupt,
}

impl Exports {
    /// None yet, of a run that ends when `interrupt` asks for it.
    pub(crate) fn new(interrupt: Interrupt) -> Self {
        Self { all: Vec::new(), interrupt }
    }

    /// One more exporter.
    pub(crate) fn add(&mut self, exporter: impl Exporter + 'static) {
        self.all.push(Box::new(exporter));
    }

    /// More exporters.
    pub(crate) fn extend(&mut self, exporters: impl IntoIterator<Item = impl Exporter + 'static>) {
        exporters.into_iter().for_each(|exporter| self.add(exporter));
    }

    /// Ends all of them.
    ///
    /// # Errors
    ///
    /// Everything that did not arrive, with its number and reason; or that the run was interrupted.
    pub(crate) fn finish(self, now: Now<'_>, last: &Arc<Snapshot>) -> Result {
        let ended = self.all.into_iter().map(|exporter| exporter.finish(now, last)).collect::<Vec<_>>();
        let sent = ended.into_iter().collect::<Result<Vec<_>>>()?;
        let failed = sent.iter().filter(|sent| sent.failed > 0).map(|sent| {
            let Sent { what, arrived, failed, error } = sent;
            format!("{failed} of {} {what} did not arrive: {error}", arrived + failed)
        });
        let mut failed: Vec<_> = failed.collect();
        if self.interrupt.asked() {
            failed.insert(0, "interrupted".into());
            return Err(Failure::message(Kind::Interrupted, failed.join("; ")));
        }
        if failed.is_empty() { Ok(()) } else { Err(Failure::message(Kind::Environment, failed.join("; "))) }
    }
}

/// A sink for standard output, and the exporters behind it.
pub(crate) struct Tee<'a, S> {
    /// Standard output.
    pub(crate) out: &'a mut S,
    /// All others.
    pub(crate) exports: &'a mut Exports,
}

impl<S: OutputSink> OutputSink for Tee<'_, S> {
    fn begin(&mut self, started: WallNanos) {
        self.exports.all.iter_mut().for_each(|exporter| exporter.begin(started));
    }

    fn span(&mut self, span: &Span) -> Result {
        if self.out.wants_spans() {
            self.out.span(span)?;
        }
        self.exports.all.iter_mut().try_for_each(|exporter| exporter.span(span))
    }

    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        self.out.metrics(at, snapshot)?;
        self.exports.all.iter_mut().try_for_each(|exporter| exporter.metrics(at, snapshot))
    }

    fn attend(&mut self, now: Now<'_>) -> Result {
        self.out.attend(now)?;
        self.exports.all.iter_mut().try_for_each(|exporter| exporter.attend(now))
    }

    fn wants_spans(&self) -> bool {
        self.out.wants_spans() || self.exports.all.iter().any(|exporter| exporter.wants_spans())
    }

    fn metrics_step(&self) -> Option<Duration> {
        self.exports.all.iter().filter_map(|exporter| exporter.metrics_step()).min()
    }

    /// A closed pipe ends what is printed, not what is exported.
    fn is_closed(&self) -> bool {
        self.exports.interrupt.asked() || self.exports.all.is_empty() && self.out.is_closed()
    }
}
