//! A replay's time: how far what is exported is moved from when it was recorded.

use redtape_core::WallNanos;

/// One constant for all times of a replay, so that no interval changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    nanos: i64,
}

impl Shift {
    /// The shift that moves `from` to `to`.
    pub(crate) fn between(from: WallNanos, to: WallNanos) -> Self {
        let nanos = i128::from(to.unix_nanos()) - i128::from(from.unix_nanos());
        Self { nanos: i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }) }
    }

    /// Nanoseconds, negative into the past.
    pub(crate) const fn nanos(self) -> i64 {
        self.nanos
    }

    /// `time`, moved.
    pub(crate) const fn apply(self, time: WallNanos) -> WallNanos {
        WallNanos::new(time.unix_nanos().saturating_add_signed(self.nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_back_and_forth() {
        let (early, late) = (WallNanos::new(1_000), WallNanos::new(5_000));
        for (from, to, nanos) in [(early, late, 4_000), (late, early, -4_000), (early, early, 0)] {
            let shift = Shift::between(from, to);
            assert_eq!((shift.nanos(), shift.apply(from)), (nanos, to));
        }
        let ages = Shift::between(WallNanos::new(0), WallNanos::new(u64::MAX));
        assert_eq!(ages.nanos(), i64::MAX);
    }
}
