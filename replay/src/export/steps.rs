//! Which of the engine's snapshots an exporter with a longer interval takes.

use std::time::Duration;

use redtape_core::WallNanos;

/// Takes the first, and then the first after each interval.
#[derive(Debug)]
pub(crate) struct Steps {
    interval: u64,
    next: Option<u64>,
}

impl Steps {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX), next: None }
    }

    /// The interval.
    pub(crate) const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// Whether the snapshot of `at` is one to take.
    pub(crate) fn is_due(&mut self, at: WallNanos) -> bool {
        let at = at.unix_nanos();
        // Where the clock was put back, what is next would be long in coming.
        let due = self.next.is_none_or(|next| at >= next || next - at > self.interval);
        if due {
            self.next = Some(at.saturating_add(self.interval));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_taken_an_interval() {
        let mut steps = Steps::new(Duration::from_nanos(10));
        let taken: Vec<_> = (0..50).step_by(4).filter(|&at| steps.is_due(WallNanos::new(at))).collect();
        assert_eq!(taken, [0, 12, 24, 36, 48]);
        assert!(
            [10, 14, 20].map(|at| steps.is_due(WallNanos::new(at))) == [true, false, true],
            "the clock was put back"
        );
        assert!(Steps::new(Duration::MAX).is_due(WallNanos::new(u64::MAX)));
    }
}
