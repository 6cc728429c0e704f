//! Between the engine's thread, which has the metrics, and those who want to see them.
//!
//! The engine never waits for a scrape. A scrape says that it wants to look; the engine's thread shows the metrics at the
//! next moment that is convenient, and at most a tenth of its time goes into that. A scrape that waited for
//! [`PATIENCE`] takes what was shown last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redtape_core::metric::Snapshot;
use redtape_core::{MonoNanos, Totals, WallNanos};
use tokio::sync::watch;

use crate::export::{Exporter, Sent};
use crate::failure::Result;
use crate::sink::Now;

/// How long a scrape waits for fresh metrics.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the engine's thread may not be heard of, or a live tape stand still, before that is unhealthy.
const STALL: Duration = Duration::from_secs(10);

/// Everything as it was at one moment.
#[derive(Debug)]
pub(super) struct Shown {
    /// Where the tape was.
    pub(super) at: MonoNanos,
    /// The tape's time of day.
    pub(super) wall: WallNanos,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) totals: Totals,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    shown: watch::Sender<Option<Arc<Shown>>>,
    wanted: AtomicBool,
    started: Instant,
    /// When the engine's thread was last heard of, in milliseconds since the start.
    attended: AtomicU64,
    /// When the tape last moved, in the same way.
    moved: AtomicU64,
    /// Whether the tape moves on by itself.
    live: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Running,
    /// A live run has no tape.
    Waiting(Waiting),
    /// The tape is over, and nothing will change any more.
    Over,
    Failed(String),
}

/// A live run without a tape.
#[derive(Debug)]
struct Waiting {
    /// What has not come, or has gone.
    reason: String,
    since: Instant,
    /// Whether it has to come soon.
    due: bool,
}

impl Window {
    pub(super) fn new(live: bool) -> Self {
        Self {
            shown: watch::Sender::new(None),
            wanted: AtomicBool::new(false),
            started: Instant::now(),
            attended: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            live,
            state: Mutex::new(State::Running),
        }
    }

    /// Everything as it is now, or as it was when it was last shown; `None` before anything was.
    pub(super) async fn look(&self) -> Option<Arc<Shown>> {
        let mut changes = self.shown.subscribe();
        if matches!(*self.state(), State::Running) {
            self.wanted.store(true, Ordering::Release);
            // Too late is as good as never: then the last one is taken.
            let _ = tokio::time::timeout(PATIENCE, changes.changed()).await;
        }
        changes.borrow().clone()
    }

    /// Whether all is well, else what is not. Where there is something to say, it is said also if all is well.
    pub(super) fn check(&self) -> std::result::Result<String, String> {
        if let State::Failed(reason) = &*self.state() {
            return Err(reason.clone());
        }
        self.check_engine()?;
        if let State::Waiting(Waiting { reason, since, due }) = &*self.state() {
            let waited = since.elapsed();
            let said = format!("{reason}; waiting for {} s", waited.as_secs());
            return if *due && waited > STALL { Err(said) } else { Ok(said) };
        }
        let tape = self.since(&self.moved);
        if self.live && matches!(*self.state(), State::Running) && tape > STALL {
            return Err(format!("the tape has stood still for {} s", tape.as_secs()));
        }
        Ok(String::new())
    }

    /// Whether the engine's thread goes on, whatever those do that it depends on.
    pub(super) fn check_engine(&self) -> std::result::Result<String, String> {
        let engine = self.since(&self.attended);
        if matches!(*self.state(), State::Running | State::Waiting(_)) && engine > STALL {
            return Err(format!("the engine has not been heard of for {} s", engine.as_secs()));
        }
        Ok(String::new())
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(moment.load(Ordering::Relaxed)))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says how the run is, to whoever asks for `/healthz` or `/livez`.
#[derive(Clone, Debug)]
pub(crate) struct Health(pub(super) Arc<Window>);

impl Health {
    /// Something is wrong for good: the recorder has gone, and none comes again.
    pub(crate) fn fail(&self, reason: &str) {
        *self.0.state() = State::Failed(reason.into());
    }

    /// There is no tape, for this reason. If `due`, one has to come soon for all to be well.
    pub(crate) fn wait(&self, reason: String, due: bool) {
        *self.0.state() = State::Waiting(Waiting { reason, since: Instant::now(), due });
    }

    /// There is a tape.
    pub(crate) fn go_on(&self) {
        self.0.moved.store(self.0.millis(), Ordering::Relaxed);
        *self.0.state() = State::Running;
    }

    /// The engine's thread goes on, also while there is no tape.
    pub(crate) fn attend(&self) {
        self.0.attended.store(self.0.millis(), Ordering::Relaxed);
    }
}

/// The engine's side: shows the metrics when they are wanted.
#[derive(Debug)]
pub(super) struct Showing {
    window: Arc<Window>,
    last: MonoNanos,
    /// Until then, showing them again would take too much of the engine's time.
    rest: Option<Instant>,
}

impl Showing {
    pub(super) fn new(window: Arc<Window>) -> Self {
        Self { window, last: MonoNanos::ZERO, rest: None }
    }

    fn show(&self, now: Now<'_>, snapshot: Arc<Snapshot>) {
        let (at, totals) = (now.totals.last, now.totals.clone());
        self.window.shown.send_replace(Some(Arc::new(Shown { at, wall: now.wall, snapshot, totals })));
    }
}

impl Exporter for Showing {
    fn attend(&mut self, now: Now<'_>) -> Result {
        let millis = self.window.millis();
        self.window.attended.store(millis, Ordering::Relaxed);
        if now.totals.last > self.last {
            self.last = now.totals.last;
            self.window.moved.store(millis, Ordering::Relaxed);
        }
        if !self.window.wanted.load(Ordering::Acquire) || self.rest.is_some_and(|rest| Instant::now() < rest) {
            return Ok(());
        }
        self.window.wanted.store(false, Ordering::Release);
        let before = Instant::now();
        self.show(now, Arc::new(now.metrics.snapshot()));
        self.rest = Some(Instant::now() + before.elapsed() * 9);
        Ok(())
    }

    fn finish(self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.show(now, Arc::clone(last));
        let mut state = self.window.state();
        if matches!(*state, State::Running | State::Waiting(_)) {
            *state = State::Over;
        }
        Ok(Sent::default())
    }

    fn wants_spans(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use redtape_core::{Engine, EngineOptions};

    use super::*;

    fn now(engine: &Engine) -> Now<'_> {
        Now { wall: WallNanos::new(5), metrics: engine.metrics(), totals: engine.totals() }
    }

    #[test]
    fn the_engine_shows_what_is_wanted_and_no_more() {
        let engine = Engine::new(EngineOptions::default());
        let window = Arc::new(Window::new(false));
        let mut showing = Box::new(Showing::new(Arc::clone(&window)));
        showing.attend(now(&engine)).unwrap();
        assert!(window.shown.borrow().is_none(), "nobody wanted it");
        window.wanted.store(true, Ordering::Relaxed);
        showing.attend(now(&engine)).unwrap();
        let first = window.shown.borrow().clone().unwrap();
        showing.attend(now(&engine)).unwrap();
        assert!(Arc::ptr_eq(&first, window.shown.borrow().as_ref().unwrap()), "it was wanted once");
        showing.finish(now(&engine), &Arc::default()).unwrap();
        assert!(!Arc::ptr_eq(&first, window.shown.borrow().as_ref().unwrap()), "the end is always shown");
        assert_eq!(window.check(), Ok(String::new()));
    }

    #[test]
    fn a_failure_stays() {
        let engine = Engine::new(EngineOptions::default());
        let window = Arc::new(Window::new(true));
        Health(Arc::clone(&window)).fail("the recorder has died");
        Box::new(Showing::new(Arc::clone(&window))).finish(now(&engine), &Arc::default()).unwrap();
        assert_eq!(window.check(), Err("the recorder has died".into()));
    }

    #[test]
    fn who_waits_for_its_first_recorder_is_ready() {
        let window = Arc::new(Window::new(true));
        let health = Health(Arc::clone(&window));
        let wait = |due| {
            health.wait("no recorder has connected".into(), due);
            if let State::Waiting(waiting) = &mut *window.state() {
                waiting.since = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
            }
            window.check()
        };
        assert_eq!(wait(false), Ok("no recorder has connected; waiting for 60 s".into()));
        assert_eq!(wait(true), Err("no recorder has connected; waiting for 60 s".into()));
        health.go_on();
        assert_eq!(window.check(), Ok(String::new()));
    }

    #[test]
    fn what_stands_still_is_unhealthy() {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let window = |live| Window { started: long_ago, ..Window::new(live) };
        let said = |window: &Window| window.check().unwrap_err();
        assert!(said(&window(false)).starts_with("the engine has not been heard of for 6"));
        let still = window(true);
        still.attended.store(still.millis(), Ordering::Relaxed);
        assert!(said(&still).starts_with("the tape has stood still for 6"));
        assert_eq!(still.check_engine(), Ok(String::new()), "it would not help to start the engine anew");
        assert!(window(true).check_engine().is_err());
        let replayed = window(false);
        replayed.attended.store(replayed.millis(), Ordering::Relaxed);
        assert_eq!(replayed.check(), Ok(String::new()));
    }
}
