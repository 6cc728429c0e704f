//! The clock by which a capture's segments wait for others.

use crate::import::limits::STEP_NANOS;

/// Goes on with the packets' times and never back, whatever these do: neither packets in disorder nor one with a wrong time
/// make what waits wait for too short or too long.
#[derive(Debug, Default)]
pub(super) struct Clock {
    now: u64,
    latest: u64,
}

impl Clock {
    /// The time on this clock, in nanoseconds since some moment.
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// The latest time of a packet, since these were last set back.
    pub(super) const fn latest(&self) -> u64 {
        self.latest
    }

    /// A packet has this time. Returns the time on this clock.
    pub(super) fn at(&mut self, time: u64) -> u64 {
        if time > self.latest {
            self.now = self.now.saturating_add(time - self.latest);
            self.latest = time;
        } else if self.latest - time > STEP_NANOS {
            self.latest = time;
        }
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_after_a_wrong_time() {
        const SECOND: u64 = 1_000_000_000;
        let mut clock = Clock::default();
        let start = clock.at(1_700_000_000 * SECOND);
        let times = [1, 3, 2, 1, 4].map(|second| clock.at((1_700_000_000 + second) * SECOND) - start);
        assert_eq!(times, [1, 3, 3, 3, 4].map(|second| second * SECOND), "disorder does not count twice");
        let wrong = clock.at(9_000_000_000 * SECOND);
        let times = [5, 6, 7].map(|second| clock.at((1_700_000_000 + second) * SECOND) - wrong);
        assert_eq!(times, [0, SECOND, 2 * SECOND]);
    }
}
