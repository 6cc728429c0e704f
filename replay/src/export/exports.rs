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
    /// What, and where to, as in `spans to http://tempo:4317`; empty where nothing was to go anywhere.
    pub(crate) what: String,
    /// What all of them are, if that is worth telling, as in `7 of requests and 2 phases of them`.
    pub(crate) parts: String,
    /// They are in a file.
    pub(crate) written: bool,
    /// How many of them arrived.
    pub(crate) arrived: u64,
    /// How many did not.
    pub(crate) failed: u64,
    /// Why the last one did not.
    pub(crate) error: String,
}

impl Sent {
    /// So many were written to a file.
    pub(crate) fn written(count: u64, what: String) -> Self {
        Self { what, written: true, arrived: count, ..Self::default() }
    }

    /// In words. Says, too, whether all arrived.
    fn told(&self) -> (String, bool) {
        let Self { what, parts, written, arrived, failed, error } = self;
        if *failed > 0 {
            return (format!("{failed} of {} {what} did not arrive: {error}", arrived + failed), false);
        }
        let (verb, colon) = (if *written { "written" } else { "arrived" }, if parts.is_empty() { "" } else { ": " });
        (format!("{arrived} {what} {verb}{colon}{parts}"), true)
    }
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

    /// Ends all of them. Unless `quiet`, stderr has what arrived.
    ///
    /// # Errors
    ///
    /// Everything that did not arrive, with its number and reason; or that the run was interrupted.
    pub(crate) fn finish(self, now: Now<'_>, last: &Arc<Snapshot>, quiet: bool) -> Result {
        let ended = self.all.into_iter().map(|exporter| exporter.finish(now, last)).collect::<Vec<_>>();
        let sent = ended.into_iter().collect::<Result<Vec<_>>>()?;
        let mut failed = Vec::new();
        for sent in sent.iter().filter(|sent| !sent.what.is_empty()) {
            match sent.told() {
                (told, true) if !quiet => eprintln!("redtape: {told}"),
                (_, true) => {}
                (told, false) => failed.push(told),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::Sent;

    #[test]
    fn what_became_of_it_is_a_line() {
        let spans = Sent { what: "spans to http://tempo:4317".into(), arrived: 9, ..Sent::default() };
        let parts = Sent { parts: "7 of requests and 2 phases of them".into(), ..spans.clone() };
        let failed = Sent { failed: 3, error: "too old".into(), ..parts.clone() };
        for (sent, told, all) in [
            (spans, "9 spans to http://tempo:4317 arrived", true),
            (parts, "9 spans to http://tempo:4317 arrived: 7 of requests and 2 phases of them", true),
            (failed, "3 of 12 spans to http://tempo:4317 did not arrive: too old", false),
            (Sent::written(4, "samples to a.om".into()), "4 samples to a.om written", true),
        ] {
            assert_eq!(sent.told(), (told.into(), all));
        }
    }
}
