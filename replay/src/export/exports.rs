//! All exporters of a run, as one sink.

use std::sync::Arc;
use std::time::Duration;

use redtape_core::metric::Snapshot;
use redtape_core::{Span, WallNanos};

use crate::failure::{Failure, Kind, Result, all};
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
        let ended: Vec<_> = self.all.into_iter().map(|exporter| exporter.finish(now, last)).collect();
        let told = ended.into_iter().map(|sent| {
            let sent = sent?;
            match sent.told() {
                (told, false) => return Err(Failure::message(Kind::Environment, told)),
                (told, true) if !sent.what.is_empty() && !quiet => eprintln!("redtape: {told}"),
                _ => {}
            }
            Ok(())
        });
        let interrupted = match self.interrupt.asked() {
            true => Err(Failure::message(Kind::Interrupted, "interrupted")),
            false => Ok(()),
        };
        all(std::iter::once(interrupted).chain(told))
    }
}

/// A sink for standard output, and the exporters behind it.
///
/// It takes all it gets: the first failure closes it, so that a run ends as it always does, and what waits for back ends is
/// sent or counted.
pub(crate) struct Tee<'a, S> {
    /// Standard output.
    out: &'a mut S,
    /// All others.
    exports: &'a mut Exports,
    failure: Option<Failure>,
}

impl<'a, S: OutputSink> Tee<'a, S> {
    /// All of it goes to both.
    pub(crate) fn new(out: &'a mut S, exports: &'a mut Exports) -> Self {
        Self { out, exports, failure: None }
    }

    /// What closed it, if anything has failed.
    pub(crate) fn finish(self) -> Result {
        self.failure.map_or(Ok(()), Err)
    }

    /// Hands something on to standard output, unless that was closed by a failure, and to all exporters.
    fn each(
        &mut self,
        out: impl FnOnce(&mut S) -> Result,
        exporter: impl FnMut(&mut Box<dyn Exporter>) -> Result,
    ) -> Result {
        let printed = if self.failure.is_none() { out(self.out) } else { Ok(()) };
        let exported = self.exports.all.iter_mut().map(exporter);
        for failure in std::iter::once(printed).chain(exported).filter_map(Result::err) {
            self.failure.get_or_insert(failure);
        }
        Ok(())
    }
}

impl<S: OutputSink> OutputSink for Tee<'_, S> {
    fn begin(&mut self, started: WallNanos) {
        self.exports.all.iter_mut().for_each(|exporter| exporter.begin(started));
    }

    fn span(&mut self, span: &Span) -> Result {
        let print = |out: &mut S| if out.wants_spans() { out.span(span) } else { Ok(()) };
        self.each(print, |exporter| exporter.span(span))
    }

    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        self.each(|out| out.metrics(at, snapshot), |exporter| exporter.metrics(at, snapshot))
    }

    fn attend(&mut self, now: Now<'_>) -> Result {
        self.each(|out| out.attend(now), |exporter| exporter.attend(now))
    }

    fn wants_spans(&self) -> bool {
        self.out.wants_spans() || self.exports.all.iter().any(|exporter| exporter.wants_spans())
    }

    fn metrics_step(&self) -> Option<Duration> {
        self.exports.all.iter().filter_map(|exporter| exporter.metrics_step()).min()
    }

    /// A closed pipe ends what is printed, not what is exported.
    fn is_closed(&self) -> bool {
        let asked = self.failure.is_some() || self.exports.interrupt.asked();
        asked || self.exports.all.is_empty() && self.out.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use redtape_core::{Engine, EngineOptions};

    use super::*;

    /// Nothing can be written to it.
    struct Full;

    impl OutputSink for Full {
        fn span(&mut self, _: &Span) -> Result {
            panic!("no span comes")
        }

        fn attend(&mut self, _: Now<'_>) -> Result {
            Err(Failure::message(Kind::Environment, "standard output is full"))
        }
    }

    /// Counts how often it was called, and ends in a way.
    struct Ends(Rc<Cell<u32>>, fn() -> Result<Sent>);

    impl Exporter for Ends {
        fn attend(&mut self, _: Now<'_>) -> Result {
            self.0.set(self.0.get() + 1);
            Ok(())
        }

        fn finish(self: Box<Self>, _: Now<'_>, _: &Arc<Snapshot>) -> Result<Sent> {
            self.0.set(self.0.get() + 100);
            (self.1)()
        }
    }

    #[test]
    fn what_fails_hides_no_other_failure() {
        let engine = Engine::new(EngineOptions::default());
        let now = Now { wall: WallNanos::new(0), metrics: engine.metrics(), totals: engine.totals() };
        let (calls, mut exports) = (Rc::default(), Exports::default());
        exports.add(Ends(Rc::clone(&calls), || Err(Failure::message(Kind::Check, "a file is full"))));
        exports.add(Ends(Rc::clone(&calls), || {
            Ok(Sent { what: "spans".into(), arrived: 1, failed: 2, error: "nobody is there".into(), ..Sent::default() })
        }));
        exports.add(Ends(Rc::clone(&calls), || Ok(Sent::default())));
        let mut full = Full;
        let mut tee = Tee::new(&mut full, &mut exports);
        assert!(!tee.is_closed());
        (0..2).for_each(|_| tee.attend(now).unwrap());
        assert!(tee.is_closed());
        let printed = tee.finish();
        assert_eq!(calls.get(), 6, "exporters get what there is");
        let failure = all([printed, exports.finish(now, &Arc::default(), true)]).unwrap_err();
        let expected = "standard output is full; a file is full; 2 of 3 spans did not arrive: nobody is there";
        assert_eq!((failure.to_string().as_str(), calls.get()), (expected, 306));
        assert_eq!(failure.exit_code(), std::process::ExitCode::from(5));
    }

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
