//! `--rebase`: to when the times of a tape are moved, and what has to be known of the tape for that.

use std::str::FromStr;

use redtape_core::tape::Block;
use redtape_core::{Body, ClockMap, WallNanos};

use crate::export::Shift;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, read_failure};

/// To when a tape's times are moved, all by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebase {
    /// Not at all.
    None,
    /// So that the tape starts then.
    Start(When),
    /// So that the tape ends then.
    End(When),
}

/// A moment outside of the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many nanoseconds after the replay began, before it if negative.
    Now(i64),
    /// A time of day.
    At(WallNanos),
}

impl Rebase {
    /// What a replay at full speed does by default: what it sends is a little older than what is recorded now, since back
    /// ends search in what is recent and refuse what is in the future.
    pub(crate) const JUST_NOW: Self = Self::End(When::Now(-5_000_000_000));
    /// What a replay with a speed does by default.
    pub(crate) const FROM_NOW: Self = Self::Start(When::Now(0));

    /// How far the tape's times are moved where the replay began at `now`.
    ///
    /// # Errors
    ///
    /// The tape's end is needed, and comes through a pipe.
    pub(crate) fn shift(self, extent: Extent, now: WallNanos) -> Result<Shift> {
        let at = |when| match when {
            When::Now(offset) => WallNanos::new(now.unix_nanos().saturating_add_signed(offset)),
            When::At(at) => at,
        };
        Ok(match self {
            Self::None => Shift::default(),
            Self::Start(when) => Shift::between(extent.start, at(when)),
            Self::End(when) => {
                let end = extent.end.ok_or_else(|| {
                    Failure::message(
                        Kind::Usage,
                        "--rebase end=… (the default of a replay at full speed to a back end) needs to know when the tape \
                         ends, and a pipe does not tell that beforehand: give a file, or --rebase start=now, --rebase none \
                         or --speed 1x",
                    )
                })?;
                Shift::between(end, at(when))
            }
        })
    }
}

impl FromStr for Rebase {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not possible: write `none`, or `start=` or `end=` and a moment, such as `end=now-5s`, `start=now` \
                 or `start=2026-05-04T12:00:00Z`"
            )
        };
        match text.split_once('=') {
            None if text == "none" => Ok(Self::None),
            Some(("start", moment)) => moment.parse().map(Self::Start).map_err(|()| wrong()),
            Some(("end", moment)) => moment.parse().map(Self::End).map_err(|()| wrong()),
            _ => Err(wrong()),
        }
    }
}

impl FromStr for When {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let Some(offset) = text.strip_prefix("now") else {
            let moment: jiff::Timestamp = text.parse().map_err(|_| ())?;
            return u64::try_from(moment.as_nanosecond()).map(|nanos| Self::At(WallNanos::new(nanos))).map_err(|_| ());
        };
        if offset.is_empty() {
            return Ok(Self::Now(0));
        }
        let (sign, length) = match offset.split_at_checked(1).ok_or(())? {
            ("+", length) => (1, length),
            ("-", length) => (-1, length),
            _ => return Err(()),
        };
        // A second sign is none of ours.
        let length = Some(length).filter(|length| length.starts_with(|first: char| first.is_ascii_digit())).ok_or(())?;
        let length: jiff::SignedDuration = length.parse().map_err(|_| ())?;
        i64::try_from(length.as_nanos()).map(|nanos| Self::Now(sign * nanos)).map_err(|_| ())
    }
}

/// When tapes start and end, by their own clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: WallNanos,
    /// `None` where a tape comes through a pipe.
    pub(crate) end: Option<WallNanos>,
}

impl Extent {
    /// From the earliest start to the latest end of `tapes`.
    ///
    /// Files are read once for this, without anything being made of their events. Of a pipe, META has to tell the start.
    pub(crate) fn of(tapes: &[Tape]) -> Result<Self> {
        let mut all: Option<Self> = None;
        for tape in tapes {
            let Self { start, end } = Self::of_one(tape)?;
            let all = all.get_or_insert(Self { start, end });
            all.start = all.start.min(start);
            all.end = all.end.zip(end).map(|(a, b)| a.max(b));
        }
        Ok(all.unwrap_or(Self { start: WallNanos::new(0), end: None }))
    }

    fn of_one(tape: &Tape) -> Result<Self> {
        if tape.size.is_none() {
            return Ok(Self { start: tape.reader.meta().started, end: None });
        }
        let mut tape = Tape::open(tape.name.as_ref())?;
        tape.hush();
        let (mut block, mut clock, mut anchored, mut seen) = (Block::default(), ClockMap::default(), false, None);
        while tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
            if block.records() == 0 {
                continue;
            }
            if !anchored {
                let anchor = block.events().find_map(|event| match event.body {
                    Body::Clock { anchor, .. } => Some(anchor),
                    _ => None,
                });
                anchored = anchor.inspect(|anchor| clock.add(anchor)).is_some();
            }
            let (first, last) = seen.unwrap_or((block.first_time(), block.last_time()));
            seen = Some((first.min(block.first_time()), last.max(block.last_time())));
        }
        let (first, last) = seen.unwrap_or_default();
        Ok(Self { start: clock.wall(first), end: Some(clock.wall(last)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn moments_are_relative_to_now_or_times_of_day() {
        for (text, expected) in [
            ("none", Some(Rebase::None)),
            ("start=now", Some(Rebase::FROM_NOW)),
            ("end=now-5s", Some(Rebase::JUST_NOW)),
            ("end=now+1m30s", Some(Rebase::End(When::Now(90_000_000_000)))),
            ("start=1970-01-01T00:00:01Z", Some(Rebase::Start(When::At(WallNanos::new(SECOND))))),
            ("start=1969-12-31T00:00:00Z", None),
            ("end=now--5s", None),
            ("end=now5s", None),
            ("end=nowish", None),
            ("end=now-", None),
            ("end", None),
            ("middle=now", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn the_shift_puts_the_start_or_the_end_where_it_shall_be() {
        let at = |seconds: u64| WallNanos::new(seconds * SECOND);
        let extent = Extent { start: at(100), end: Some(at(160)) };
        let shift = |text: &str, extent| text.parse::<Rebase>().unwrap().shift(extent, at(1_000));
        assert_eq!(shift("end=now-5s", extent).unwrap().apply(at(160)), at(995));
        assert_eq!(shift("start=now", extent).unwrap().apply(at(100)), at(1_000));
        assert_eq!(shift("none", extent).unwrap(), Shift::default());
        let pipe = Extent { end: None, ..extent };
        assert_eq!(shift("start=now-1s", pipe).unwrap().apply(at(100)), at(999));
        let error = shift("end=now", pipe).unwrap_err().to_string();
        assert!(error.contains("pipe") && error.contains("--rebase start=now"), "{error}");
    }
}
