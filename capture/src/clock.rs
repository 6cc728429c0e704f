//! The host's clocks. Only the recorder reads them; what they say goes on the tape.

use redtape_core::{ClockAnchor, MonoNanos, WallNanos};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// `CLOCK_MONOTONIC`, which the BPF programs stamp their records with, too.
pub fn mono_now() -> MonoNanos {
    MonoNanos::new(nanos(clock_gettime(ClockId::Monotonic)))
}

/// All three clocks, read together.
pub fn read_clocks() -> ClockAnchor {
    let before = mono_now();
    let boot_nanos = nanos(clock_gettime(ClockId::Boottime));
    let wall = WallNanos::new(nanos(clock_gettime(ClockId::Realtime)));
    let after = mono_now();
    let apart = after.since(before);
    ClockAnchor {
        mono: before.plus(apart / 2),
        boot_nanos,
        wall,
        uncertainty_nanos: u32::try_from(apart).unwrap_or(u32::MAX),
    }
}

/// Nanoseconds since the clock's zero; 0 for times before it.
fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}
