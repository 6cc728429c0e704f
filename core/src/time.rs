//! The two clocks of a tape: monotonic time, in which everything is computed, and wall time, derived from anchors.

use std::fmt;

/// A moment on the recording host's `CLOCK_MONOTONIC`, in nanoseconds. The only clock that core computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoNanos(u64);

impl MonoNanos {
    /// The earliest moment.
    pub const ZERO: Self = Self(0);
    /// The latest moment.
    pub const MAX: Self = Self(u64::MAX);

    /// A moment from nanoseconds of `CLOCK_MONOTONIC`.
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The nanoseconds of `CLOCK_MONOTONIC`.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`, 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `nanos` later, at most [`MonoNanos::MAX`].
    pub const fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// The moment `nanos` earlier, at least [`MonoNanos::ZERO`].
    pub const fn minus(self, nanos: u64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Display for MonoNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A moment in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallNanos(u64);

impl WallNanos {
    /// A moment from nanoseconds since the Unix epoch.
    pub const fn new(unix_nanos: u64) -> Self {
        Self(unix_nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn unix_nanos(self) -> u64 {
        self.0
    }
}

/// One reading of the recording host's clocks, taken together (a CLOCK block).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockAnchor {
    /// `CLOCK_MONOTONIC`.
    pub mono: MonoNanos,
    /// `CLOCK_BOOTTIME`, in nanoseconds: unlike monotonic time it runs on while the host is suspended.
    pub boot_nanos: u64,
    /// `CLOCK_REALTIME`.
    pub wall: WallNanos,
    /// How far apart the readings may be: the nanoseconds between the monotonic reading before and after.
    pub uncertainty_nanos: u32,
}

/// Maps monotonic to wall time by the first anchor of an origin.
///
/// One anchor serves for the whole tape: it keeps every interval of wall time equal to the monotonic one, and a span's
/// times do not depend on which later anchors (a stepped wall clock, a cut tape) a reader has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockMap {
    anchor: Option<(MonoNanos, WallNanos)>,
}

impl ClockMap {
    /// Takes an anchor in; all but the first are ignored.
    pub fn add(&mut self, anchor: &ClockAnchor) {
        self.anchor.get_or_insert((anchor.mono, anchor.wall));
    }

    /// The wall time of `mono`; without an anchor, monotonic time counted from the epoch.
    pub fn wall(&self, mono: MonoNanos) -> WallNanos {
        match self.anchor {
            None => WallNanos(mono.nanos()),
            Some((at, wall)) if mono >= at => WallNanos(wall.0.saturating_add(mono.since(at))),
            Some((at, wall)) => WallNanos(wall.0.saturating_sub(at.since(mono))),
        }
    }
}
