//! Brings requests to a receiver: tries again what may pass, gives up in time, and counts what became of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};

use super::message;
use super::settings::{Backoff, Receiver, Signal};
use super::transport::Transport;
use crate::export::{ExportCounters, SignalCounters};
use crate::failure::Result;
use crate::interrupt::{Ending, Interrupt};
use crate::url::without_credentials;

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

/// Brings requests to one receiver, one after the other.
#[derive(Debug)]
pub(super) struct Courier {
    transport: Transport,
    signal: Signal,
    backoff: Backoff,
    /// How messages name the receiver.
    name: String,
    duty: Duty,
    /// The receiver could not be reached for as long as was tried: the next request has one try.
    down: AtomicBool,
    /// It was said that there are more tries.
    said: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When everything has to be over.
    deadline: Option<Instant>,
    /// Until when the receiver asked for rest, and in which words.
    rest: Option<(Instant, String)>,
    /// What became of the latest request.
    answer: Option<std::result::Result<Bytes, String>>,
    /// Why the latest that did not arrive did not.
    error: String,
    /// Why the latest try had no answer; empty if it had one.
    refused: String,
}

impl Courier {
    /// A courier to `receiver`.
    ///
    /// # Errors
    ///
    /// Those of [`Transport::new`].
    pub(super) fn new(receiver: &Receiver, duty: Duty) -> Result<Self> {
        let signal = receiver.signal;
        let name = format!("{} to {}", signal.units(), without_credentials(&receiver.url));
        let (down, said) = (AtomicBool::new(false), AtomicBool::new(false));
        let transport = Transport::new(receiver)?;
        Ok(Self { transport, signal, backoff: receiver.backoff, name, duty, down, said, state: Mutex::default() })
    }

    /// What is brought where, as in `spans to http://tempo:4317`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where this signal is counted.
    pub(super) fn counters(&self) -> &SignalCounters {
        match self.signal {
            Signal::Traces => &self.duty.counters.traces,
            Signal::Metrics => &self.duty.counters.metrics,
        }
    }

    /// Everything has to be over in as long as one more request may take, with all its tries; of a live run that is to end, in
    /// the time that this may take.
    pub(super) fn hurry(&self, timeout: Duration) {
        self.state().deadline = Instant::now().checked_add(self.backoff.elapsed.saturating_add(timeout));
    }

    /// Why the latest that did not arrive did not.
    pub(super) fn error(&self) -> String {
        self.state().error.clone()
    }

    /// Brings a request with `count` units, and counts what became of them.
    pub(super) async fn bring(&self, request: Bytes, count: u64) {
        let answer = self.deliver(request).await;
        self.count(answer, count);
    }

    /// Counts `count` units, of which a request consisted, by its answer.
    pub(super) fn count(&self, answer: std::result::Result<Bytes, String>, count: u64) {
        let (failed, reason) = match answer {
            Ok(answer) => {
                let (rejected, reason) = message::rejected(self.signal, &answer);
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

    async fn deliver(&self, request: Bytes) -> std::result::Result<Bytes, String> {
        let first = Instant::now();
        let mut pause = self.backoff.initial;
        let mut again = false;
        loop {
            self.rest().await?;
            let last = self.duty.ending.deadline().is_some();
            let sent = tokio::select! {
                sent = self.transport.send(request.clone()) => sent,
                () = self.cut_off() => return Err(self.unanswered()),
            };
            self.counters().request(again);
            let refusal = match sent {
                Ok(answer) => {
                    self.down.store(false, Ordering::Relaxed);
                    self.state().refused.clear();
                    return Ok(answer);
                }
                Err(refusal) => refusal,
            };
            let Some(wait) = refusal.again else { return Err(refusal.reason) };
            self.state().refused.clone_from(&refusal.reason);
            if let Some(wait) = wait {
                self.state().rest = Some((Instant::now() + wait.min(LONGEST_REST), refusal.reason.clone()));
            }
            let over = last || first.elapsed().saturating_add(wait.unwrap_or(pause)) > self.backoff.elapsed;
            if over || self.down.load(Ordering::Relaxed) || self.duty.interrupt.asked() {
                self.down.store(true, Ordering::Relaxed);
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
            pause = pause.saturating_mul(2).min(self.backoff.longest);
            again = true;
        }
    }

    /// Waits for the end of the rest that an earlier answer asked for, where that is no longer than tries take, and no longer
    /// than a run that is to end may take.
    async fn rest(&self) -> std::result::Result<(), String> {
        loop {
            let Some((end, reason)) = self.state().rest.clone() else { return Ok(()) };
            let (left, ending) = (end.saturating_duration_since(Instant::now()), self.duty.ending.left());
            if left > ending.unwrap_or(self.backoff.elapsed) {
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
        if refused.is_empty() { "no answer came before the end".into() } else { refused }
    }

    /// Says once that the receiver makes trouble, so that nobody wonders why nothing goes on.
    fn say(&self, reason: &str) {
        if !self.duty.quiet && !self.said.swap(true, Ordering::Relaxed) {
            let (name, elapsed) = (&self.name, self.backoff.elapsed);
            eprintln!("redtape: warning: {name}: {reason}; trying again for {elapsed:?}");
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
                    let grace = now + GRACE;
                    state.deadline = Some(state.deadline.map_or(grace, |deadline| deadline.min(grace)));
                }
                [state.deadline, self.duty.ending.deadline()].into_iter().flatten().min()
            };
            if deadline.is_some_and(|deadline| now >= deadline) {
                return;
            }
            tokio::time::sleep(NOTICE).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way of the spans' requests: OpenTelemetry's exporter makes them, and takes this for its HTTP client. Where they go, with
/// which headers and how often is decided here; so is what the answer means, which the exporter keeps to itself.
#[derive(Clone, Debug)]
pub(super) struct Counter(pub(super) Arc<Courier>);

impl Counter {
    /// What became of the latest request; `None` if there was none.
    pub(super) fn take_answer(&self) -> Option<std::result::Result<Bytes, String>> {
        self.0.state().answer.take()
    }
}

#[async_trait]
impl HttpClient for Counter {
    async fn send_bytes(&self, request: Request<Bytes>) -> std::result::Result<Response<Bytes>, HttpError> {
        let answer = self.0.deliver(request.into_body()).await;
        self.0.state().answer = Some(answer.clone());
        Ok(Response::new(answer?))
    }
}
