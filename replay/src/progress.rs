//! Progress on long tapes: a line on stderr, if that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How long nothing is shown, and how often it is then.
const STEP: Duration = Duration::from_millis(500);

/// Shows how far the tapes have been read. Its clock is for people; nothing that is computed depends on it.
pub(crate) struct Progress {
    shown: bool,
    next: Option<Instant>,
    size: Option<u64>,
}

impl Progress {
    /// Progress through `size` bytes, if that is known. Silent unless stderr is a terminal and `quiet` is not set.
    pub(crate) fn new(size: Option<u64>, quiet: bool) -> Self {
        let next = (!quiet && io::stderr().is_terminal()).then(|| Instant::now() + STEP);
        Self { shown: false, next, size }
    }

    /// So many bytes have been read, and so many events were in them.
    pub(crate) fn at(&mut self, bytes: u64, events: u64) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now < next {
            return;
        }
        self.next = Some(now + STEP);
        self.shown = true;
        let percent = self.size.map_or(String::new(), |size| format!("{:3}% ", bytes * 100 / size.max(1)));
        eprint!("\r{percent}{:.1} MB, {events} events ", bytes as f64 / 1e6);
        let _ = io::stderr().flush();
    }
}

impl Drop for Progress {
    /// Clears the line.
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
