//! Ctrl-C and SIGTERM, where a command has something to finish first.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether the command is to end. All clones tell the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on, the first SIGINT or SIGTERM asks the command to end, and a second one ends it at once, with code 130.
    pub(crate) fn on_signals() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds nothing asked for yet.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// Whether the command is to end.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// When a live run that is to end has to be over. All clones tell the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Arc<OnceLock<Instant>>);

impl Ending {
    /// The run is to end within this time. What was said first counts.
    pub(crate) fn within(&self, time: Duration) {
        let now = Instant::now();
        self.0.get_or_init(|| now.checked_add(time).unwrap_or(now));
    }

    /// When it has to be over; `None` while it is not to end.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.get().copied()
    }

    /// How much of the time is left; `None` while it is not to end.
    pub(crate) fn left(&self) -> Option<Duration> {
        Some(self.deadline()?.saturating_duration_since(Instant::now()))
    }
}
