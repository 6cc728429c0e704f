//! Signals: the first ends a recording cleanly, the second aborts it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::ExitStatus;

/// Whether the user wants the recording to end.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Watches for SIGINT, SIGTERM and SIGHUP from now on.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the handler that aborts sees whether an earlier signal has set the flag.
            flag::register_conditional_shutdown(signal, ExitStatus::Interrupted.code().into(), Arc::clone(&stop.0))?;
            flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Whether a signal has come.
    pub fn wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
