//! Both stages in one thread.

use std::sync::Arc;

use super::order::{Merge, Watermark};
use super::stage1::{Part, Stage1};
use super::stage2::{EngineOptions, Stage2, Totals};
use crate::diagnostic::DiagnosticKind;
use crate::event::Event;
use crate::ids::ConnKey;
use crate::metric::{Registry, Snapshot};
use crate::span::Span;
use crate::tape::Meta;
use crate::time::{MonoNanos, WallNanos};

/// What comes out of the engine, in one order for the same tape and configuration.
#[derive(Debug)]
pub enum Output {
    /// A finished span.
    Span(Box<Span>),
    /// Something in the input made no sense, or a bound was reached.
    Diagnostic {
        /// What.
        kind: DiagnosticKind,
        /// The connection it was on, if it was one.
        conn: Option<ConnKey>,
        /// The tape time at which it was seen.
        at: MonoNanos,
    },
    /// Tape time has passed a multiple of the metrics step: all metrics as they were then.
    Metrics {
        /// The moment.
        at: WallNanos,
        /// The metrics.
        snapshot: Arc<Snapshot>,
    },
}

/// Turns events into spans and metrics: a function of the events and the options alone.
///
/// ```
/// # use redtape_core::{Engine, EngineOptions, Event, Output};
/// # fn events() -> Vec<Event<'static>> { Vec::new() }
/// let mut engine = Engine::new(EngineOptions::default());
/// for event in events() {
///     engine.push(&event);
///     while let Some(output) = engine.poll_output() {
///         if let Output::Span(span) = output {
///             println!("{} {}", span.http.method(), span.route);
///         }
///     }
/// }
/// engine.finish();
/// ```
#[derive(Debug)]
pub struct Engine {
    watermark: Watermark,
    stage1: Stage1,
    merge: Merge,
    stage2: Stage2,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(options: EngineOptions) -> Self {
        let stage1 = Stage1::new(Part::WHOLE, &options.limits);
        let (watermark, merge) = (Watermark::default(), Merge::default());
        Self { watermark, stage1, merge, stage2: Stage2::new(options) }
    }

    /// Takes what META of a tape says of hosts, before the tape's events.
    pub fn meta(&mut self, meta: &Meta) {
        self.stage2.meta(meta);
    }

    /// Takes an event in. Never fails: what makes no sense becomes a diagnostic.
    pub fn push(&mut self, event: &Event<'_>) {
        let now = self.reach(event.time);
        if !event.body.is_entry() {
            self.stage2.count(1, event.late.into(), now);
        }
        if event.body.conn().is_none() {
            self.stage2.fact(event, now);
        }
        self.stage1.push(event, now, self.merge.pending());
    }

    /// The tape has come to `time`, be it by a record that could not be read. Returns where it is then.
    pub fn reach(&mut self, time: MonoNanos) -> MonoNanos {
        let before = self.watermark.now();
        let now = self.watermark.admit(time);
        if now > before {
            self.merge.before(now).for_each(|finding| self.stage2.take(finding));
        }
        now
    }

    /// Where the tape is: the latest time so far.
    pub const fn now(&self) -> MonoNanos {
        self.watermark.now()
    }

    /// The next output. Call until `None` after each push, or after some: outputs wait in a queue.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.stage2.poll_output()
    }

    /// The tape is over. What is open becomes incomplete, what is held is let go; outputs follow.
    pub fn finish(&mut self) {
        let now = self.watermark.now();
        self.stage1.finish(now, self.merge.pending());
        self.merge.all().for_each(|finding| self.stage2.take(finding));
        self.stage2.finish(now);
    }

    /// The metrics so far.
    pub fn metrics(&self) -> &Registry {
        self.stage2.metrics()
    }

    /// The wall time of `moment` by the clock of the first recording that has one.
    pub fn wall(&self, moment: MonoNanos) -> WallNanos {
        self.stage2.wall(moment)
    }

    /// Counts of what went in and out.
    pub fn totals(&self) -> &Totals {
        self.stage2.totals()
    }
}
