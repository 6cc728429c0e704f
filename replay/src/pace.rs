//! How fast a tape is replayed: as fast as possible, or as it was recorded, times a factor.

use std::str::FromStr;
use std::time::{Duration, Instant};

use redtape_core::MonoNanos;

/// A factor of speed, in millionths: 1x is 1,000,000. `None` is as fast as possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(Option<u64>);

const ONE: u64 = 1_000_000;

impl Speed {
    /// As fast as possible.
    pub const MAX: Self = Self(None);

    /// Whether tape time goes faster than the clock, so that exported times run ahead of it.
    pub(crate) fn is_ahead(self) -> bool {
        self.0.is_none_or(|speed| speed > ONE)
    }

    /// How long so many nanoseconds of tape time take.
    pub(crate) fn takes(self, nanos: u64) -> u64 {
        let takes = |speed: u64| u128::from(nanos) * u128::from(ONE) / u128::from(speed.max(1));
        self.0.map_or(0, |speed| u64::try_from(takes(speed)).unwrap_or(u64::MAX))
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const POSSIBLE: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;
        if text == "max" {
            return Ok(Self::MAX);
        }
        let factor = text.strip_suffix('x').unwrap_or(text).parse().ok().filter(|factor| POSSIBLE.contains(factor));
        let factor =
            factor.ok_or_else(|| format!("`{text}` is no speed: write `max`, or a factor such as `1x` or `0.5x`"))?;
        Ok(Self(Some((factor * ONE as f64).round() as u64)))
    }
}

/// When each moment of a tape is due, counted from the first one: a function of the tape's times alone. Nothing is summed
/// but whole nanoseconds, so nothing drifts.
#[derive(Clone, Debug)]
struct Schedule {
    /// Millionths of 1x.
    speed: u64,
    /// Tape time in which nothing happens counts as at most so much, in nanoseconds.
    max_idle: u64,
    /// The first moment, and the latest.
    seen: Option<(MonoNanos, MonoNanos)>,
    /// Nanoseconds of tape time that were left out because nothing happened in them.
    idle: u64,
}

impl Schedule {
    /// When `time` is due after the first moment. Moments come in order; an earlier one is due at once.
    fn due(&mut self, time: MonoNanos) -> Duration {
        let (first, latest) = *self.seen.get_or_insert((time, time));
        self.idle += time.since(latest).saturating_sub(self.max_idle);
        self.seen = Some((first, latest.max(time)));
        let elapsed = latest.max(time).since(first).saturating_sub(self.idle);
        Duration::from_nanos(Speed(Some(self.speed)).takes(elapsed))
    }
}

/// Holds a replay to its speed. At [`Speed::MAX`] it never looks at a clock.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    schedule: Option<Schedule>,
    /// When the first moment was replayed.
    started: Option<Instant>,
}

impl Pace {
    /// Less than this it never waits: a sleep of the system is hardly more exact.
    const RESOLUTION: Duration = Duration::from_millis(1);

    /// A pace of this speed, at which nothing longer than `max_idle` of tape time is waited for. With `max_idle` and no
    /// limit to the speed there is nothing to wait for, either.
    pub(crate) fn new(speed: Speed, max_idle: Option<Duration>) -> Self {
        let max_idle = max_idle.map_or(u64::MAX, |idle| u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX));
        let schedule = speed.0.map(|speed| Schedule { speed, max_idle, seen: None, idle: 0 });
        Self { schedule, started: None }
    }

    /// Whether it ever waits.
    pub(crate) const fn is_max(&self) -> bool {
        self.schedule.is_none()
    }

    /// When `time` is due; `None` if that is now.
    pub(crate) fn due(&mut self, time: MonoNanos) -> Option<Instant> {
        let due = self.schedule.as_mut()?.due(time);
        let now = Instant::now();
        let due = self.started.get_or_insert(now).checked_add(due)?;
        (due > now + Self::RESOLUTION).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(speed: &str, max_idle: u64) -> Schedule {
        let Speed(Some(speed)) = speed.parse().unwrap() else { panic!("a factor") };
        Schedule { speed, max_idle, seen: None, idle: 0 }
    }

    #[test]
    fn speeds_are_factors() {
        for (text, expected) in [
            ("max", Some(Speed::MAX)),
            ("1x", Some(Speed(Some(1_000_000)))),
            ("10", Some(Speed(Some(10_000_000)))),
            ("0.5x", Some(Speed(Some(500_000)))),
            ("0x", None),
            ("-1x", None),
            ("NaNx", None),
            ("fast", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        assert!(Speed::MAX.is_ahead() && "2x".parse::<Speed>().unwrap().is_ahead());
        assert!(!"1x".parse::<Speed>().unwrap().is_ahead());
    }

    #[test]
    fn moments_are_due_by_their_distance_from_the_first() {
        const SECOND: u64 = 1_000_000_000;
        let at = |seconds: u64| MonoNanos::new(1_000 * SECOND + seconds * SECOND);
        let due = |mut schedule: Schedule, times: &[u64]| {
            times.iter().map(|&seconds| schedule.due(at(seconds)).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(due(schedule("1x", u64::MAX), &[0, 1, 3, 10]), [0, 1_000, 3_000, 10_000]);
        assert_eq!(due(schedule("10x", u64::MAX), &[0, 1, 3, 10]), [0, 100, 300, 1_000]);
        assert_eq!(due(schedule("0.5x", u64::MAX), &[0, 1]), [0, 2_000]);
        // Gaps of more than 2 s of tape time count as 2 s.
        assert_eq!(due(schedule("1x", 2 * SECOND), &[0, 1, 9, 10, 100]), [0, 1_000, 3_000, 4_000, 6_000]);
        assert_eq!(due(schedule("2x", 2 * SECOND), &[0, 1, 9]), [0, 500, 1_500]);
        // What comes late is due with what came before it.
        assert_eq!(due(schedule("1x", u64::MAX), &[0, 5, 4, 6]), [0, 5_000, 5_000, 6_000]);
    }

    #[test]
    fn at_full_speed_nothing_is_waited_for() {
        let mut pace = Pace::new(Speed::MAX, Some(Duration::from_secs(1)));
        assert!(pace.is_max());
        assert_eq!(pace.due(MonoNanos::MAX), None);
        assert_eq!(pace.started, None);
    }

    proptest! {
        #[test]
        fn nothing_drifts(gaps in proptest::collection::vec(0_u64..5_000_000_000, 1..200), speed in 1_u32..40) {
            let mut schedule = schedule(&format!("{speed}x"), u64::MAX);
            let mut now = 7;
            schedule.due(MonoNanos::new(now));
            for gap in gaps {
                now += gap;
                let due = schedule.due(MonoNanos::new(now));
                prop_assert_eq!(due.as_nanos(), u128::from(now - 7) / u128::from(speed));
            }
        }
    }
}
