//! Brings requests to a receiver: tries again what may pass, gives up in time, and counts what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::way::Way;
use crate::export::{ExportCounters, SignalCounters};
use crate::interrupt::{Ending, Interrupt};

/// How long what waits may take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);
/// The longest rest that is granted: no clock ends before it is over.
const LONGEST_REST: Duration = Duration::from_secs(24 * 60 * 60);
/// How soon Ctrl-C is noticed.
const NOTICE: Duration = Duration::from_millis(50);

/// What a run gives to all that it sends with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duty {
    /// Where it is counted what became of what was sent.
    pub(crate) counters: Arc<ExportCounters>,
    /// Ends what has no hope.
    pub(crate) interrupt: Interrupt,
    /// The time that is left to a live run that is to end.
    pub(crate) ending: Ending,
    /// A live run: what finds the queue full is dropped and counted. Else it waits, and the tape with it.
    pub(crate) live: bool,
    /// Says nothing on stderr while it runs.
    pub(crate) quiet: bool,
}

/// How long to try, and when again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) struct Backoff {
    /// Before the second try. It doubles with each.
    pub(in crate::export) initial: Duration,
    /// Between two tries at most.
    pub(in crate::export) longest: Duration,
    /// Since the first try; then it is given up.
    pub(in crate::export) elapsed: Duration,
}

/// A receiver, as far as it does not matter how it is spoken to.
#[derive(Clone, Debug)]
pub(in crate::export) struct Destination {
    /// What is brought where, as in `spans to http://tempo:4317`.
    pub(in crate::export) name: String,
    /// Where that is counted.
    pub(in crate::export) counters: fn(&ExportCounters) -> &SignalCounters,
    /// Of one request.
    pub(in crate::export) timeout: Duration,
    pub(in crate::export) backoff: Backoff,
}

/// Brings requests to one receiver, one after the other.
#[derive(Debug)]
pub(in crate::export) struct Courier {
    way: Box<dyn Way>,
    destination: Destination,
    duty: Duty,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The receiver could not be reached for as long as was tried: the next request has one try.
    down: bool,
    /// It was said that there are more tries.
    said: bool,
    /// When everything has to be over: after Ctrl-C, and where nothing more comes.
    interrupted: Option<Instant>,
    hurry: Option<Instant>,
    /// Until when the receiver asked for rest, and in which words.
    rest: Option<(Instant, String)>,
    /// Why the latest that did not arrive did not.
    error: String,
    /// Why the latest try had no answer; empty if it had one.
    refused: String,
}

impl Courier {
    /// A courier on this way.
    pub(super) fn new(way: Box<dyn Way>, destination: Destination, duty: Duty) -> Self {
        Self { way, destination, duty, state: Mutex::default() }
    }

    /// What is brought where.
    pub(super) fn name(&self) -> &str {
        &self.destination.name
    }

    /// Where it is counted.
    pub(super) fn counters(&self) -> &SignalCounters {
        (self.destination.counters)(&self.duty.counters)
    }

    /// Nothing more comes. From now on, each request has to arrive within as long as one may take after the one before, with all
    /// tries; of a live run that is to end, all in the time that this may take.
    pub(super) fn hurry(&self) {
        self.state().hurry = self.patience();
    }

    /// When a request that is begun now has to be over; `None` for never.
    fn patience(&self) -> Option<Instant> {
        let Destination { timeout, backoff, .. } = &self.destination;
        Instant::now().checked_add(backoff.elapsed.saturating_add(*timeout))
    }

    /// Why the latest that did not arrive did not.
    pub(super) fn error(&self) -> String {
        self.state().error.clone()
    }

    /// Brings a request with `count` units, and counts what became of them.
    pub(in crate::export) async fn bring(&self, request: Bytes, count: u64) {
        let answer = self.deliver(request).await;
        self.count(answer, count);
    }

    /// Counts `count` units, of which a request consisted, by its answer.
    pub(in crate::export) fn count(&self, answer: Result<Bytes, String>, count: u64) {
        let (failed, reason) = match answer {
            Ok(answer) => {
                let (rejected, reason) = self.way.rejected(&answer);
                (rejected.min(count), if reason.is_empty() { "rejected".into() } else { reason })
            }
            Err(reason) => (count, reason),
        };
        self.counters().exported(count - failed);
        if failed > 0 {
            self.counters().failed(failed);
            self.state().error = reason;
        }
    }

    /// Tries for as long as it makes sense.
    pub(in crate::export) async fn deliver(&self, request: Bytes) -> Result<Bytes, String> {
        let backoff = self.destination.backoff;
        let first = Instant::now();
        let mut pause = backoff.initial;
        let mut again = false;
        loop {
            self.rest().await?;
            let last = self.duty.ending.deadline().is_some();
            let sent = tokio::select! {
                sent = self.way.send(request.clone()) => sent,
                () = self.cut_off() => return Err(self.unanswered()),
            };
            self.counters().request(again);
            let refusal = match sent {
                Ok(answer) => {
                    let mut state = self.state();
                    state.down = false;
                    state.refused.clear();
                    state.hurry = state.hurry.and_then(|_| self.patience());
                    return Ok(answer);
                }
                Err(refusal) => refusal,
            };
            let Some(wait) = refusal.again else { return Err(refusal.reason) };
            self.state().refused.clone_from(&refusal.reason);
            if let Some(wait) = wait {
                self.state().rest = Some((Instant::now() + wait.min(LONGEST_REST), refusal.reason.clone()));
            }
            let over = last || first.elapsed().saturating_add(wait.unwrap_or(pause)) > backoff.elapsed;
            if over || self.state().down || self.duty.interrupt.asked() {
                self.state().down = true;
                return Err(refusal.reason);
            }
            self.say(&refusal.reason);
            if wait.is_none() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    // What is left then is one more try.
                    () = self.ending() => {}
                    () = self.interrupted() => return Err(refusal.reason),
                    () = self.cut_off() => return Err(refusal.reason),
                }
            }
            pause = pause.saturating_mul(2).min(backoff.longest);
            again = true;
        }
    }

    /// Waits for the end of the rest that an earlier answer asked for, where that is no longer than tries take, and no longer
    /// than a run that is to end may take.
    async fn rest(&self) -> Result<(), String> {
        loop {
            let Some((end, reason)) = self.state().rest.clone() else { return Ok(()) };
            let (left, ending) = (end.saturating_duration_since(Instant::now()), self.duty.ending.left());
            if left > ending.unwrap_or(self.destination.backoff.elapsed) {
                return Err(reason);
            }
            if left.is_zero() {
                self.state().rest = None;
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.ending(), if ending.is_none() => {}
                () = self.interrupted() => return Err(reason),
                () = self.cut_off() => return Err(reason),
            }
        }
    }

    /// Why a request that was cut off did not arrive: most likely for the reason of the try before.
    fn unanswered(&self) -> String {
        let refused = self.state().refused.clone();
        if refused.is_empty() { "given up before it was answered".into() } else { refused }
    }

    /// Says once that the receiver makes trouble, so that nobody wonders why nothing goes on.
    fn say(&self, reason: &str) {
        if !std::mem::replace(&mut self.state().said, true) && !self.duty.quiet {
            let Destination { name, backoff, .. } = &self.destination;
            eprintln!("redtape: warning: {name}: {reason}; trying again for {:?}", backoff.elapsed);
        }
    }

    /// Comes back when a live run is to end.
    async fn ending(&self) {
        while self.duty.ending.deadline().is_none() {
            tokio::time::sleep(NOTICE).await;
        }
    }

    async fn interrupted(&self) {
        while !self.duty.interrupt.asked() {
            tokio::time::sleep(NOTICE).await;
        }
    }

    /// Comes back when nothing may take any longer.
    async fn cut_off(&self) {
        loop {
            let now = Instant::now();
            let deadline = {
                let mut state = self.state();
                if self.duty.interrupt.asked() {
                    state.interrupted.get_or_insert(now + GRACE);
                }
                [state.interrupted, state.hurry, self.duty.ending.deadline()].into_iter().flatten().min()
            };
            if deadline.is_some_and(|deadline| now >= deadline) {
                return;
            }
            tokio::time::sleep(NOTICE).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
