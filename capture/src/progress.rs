//! One line about a running recording, rewritten in place, on a terminal only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use redtape_core::Count;

use crate::units::show_size;

/// How often the line is written.
const PERIOD: Duration = Duration::from_millis(500);

/// What the line tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events on the tape, without the recorder's own: clocks and ticks.
    pub events: u64,
    /// Bytes of the tape.
    pub bytes: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Processes that are recorded.
    pub processes: usize,
    /// Connections seen.
    pub connections: u64,
}

/// Writes the line to standard error.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    last: Instant,
    last_events: u64,
}

impl Progress {
    /// Nothing is shown if `quiet`, or if standard error is not a terminal.
    pub fn new(quiet: bool) -> Self {
        Self { shown: !quiet && io::stderr().is_terminal(), last: Instant::now(), last_events: 0 }
    }

    /// Shows `totals`, unless the line is too young.
    pub fn show(&mut self, totals: &Totals) {
        let elapsed = self.last.elapsed();
        if !self.shown || elapsed < PERIOD {
            return;
        }
        let rate = totals.events.saturating_sub(self.last_events) as f64 / elapsed.as_secs_f64();
        // A terminal that is gone is no reason to end a recording.
        let _ = write!(io::stderr(), "\r\x1b[K{}", line(rate, totals));
        self.last = Instant::now();
        self.last_events = totals.events;
    }

    /// Removes the line, so that what follows begins on a clean one.
    pub fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(events_per_second: f64, totals: &Totals) -> String {
    let Totals { events, bytes, lost, processes, connections } = totals;
    let bytes = show_size(*bytes);
    let (events, connections) = (Count(*events, "event"), Count(*connections, "connection"));
    let processes = Count(*processes as u64, "process");
    format!("recording: {events_per_second:.0} events/s, {events}, {bytes}, {lost} lost, {processes}, {connections}")
}

#[cfg(test)]
mod tests {
    use super::{Totals, line};

    #[test]
    fn one_line() {
        let totals = Totals { events: 1200, bytes: 3 << 20, lost: 0, processes: 4, connections: 32 };
        assert_eq!(
            line(600.4, &totals),
            "recording: 600 events/s, 1200 events, 3.0 MiB, 0 lost, 4 processes, 32 connections"
        );
    }
}
