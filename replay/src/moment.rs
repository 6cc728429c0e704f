//! Moments of a tape, as given on the command line.

use std::str::FromStr;

use redtape_core::{ClockAnchor, MonoNanos};

/// A moment of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So many nanoseconds after the first event.
    After(u64),
    /// In nanoseconds since the Unix epoch.
    Wall(i128),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a moment such as 2026-05-04T12:00:00Z nor an offset such as +1.5s");
        if let Some(offset) = text.strip_prefix('+') {
            let offset: jiff::SignedDuration = offset.parse().map_err(|_| wrong())?;
            return u64::try_from(offset.as_nanos()).map(Self::After).map_err(|_| wrong());
        }
        text.parse::<jiff::Timestamp>().map(|moment| Self::Wall(moment.as_nanosecond())).map_err(|_| wrong())
    }
}

impl Moment {
    /// The moment on the clock of a tape whose first event is of `start`, and whose clocks were first read as `anchor` says.
    /// `None` if the tape does not tell the time of day.
    pub(crate) fn on(self, start: MonoNanos, anchor: Option<ClockAnchor>) -> Option<MonoNanos> {
        let Self::Wall(wall) = self else {
            let Self::After(nanos) = self else { return None };
            return Some(start.plus(nanos));
        };
        let anchor = anchor?;
        let mono = i128::from(anchor.mono.nanos()) + wall - i128::from(anchor.wall.unix_nanos());
        Some(MonoNanos::new(u64::try_from(mono.max(0)).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn moments_have_two_forms() {
        for (text, expected) in [
            ("+1.5s", Some(Moment::After(1_500_000_000))),
            ("+2ms", Some(Moment::After(2_000_000))),
            ("1970-01-01T00:00:01Z", Some(Moment::Wall(1_000_000_000))),
            ("1970-01-01T01:00:01.5+01:00", Some(Moment::Wall(1_500_000_000))),
            ("+-1s", None),
            ("1.5s", None),
            ("noon", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
