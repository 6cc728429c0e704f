//! Indices into the per-CPU array `COUNTERS`: what was produced, and what was lost for which reason.

use crate::lane;

/// Records numbered so far in lane `n`, at `PRODUCED + n`: delivered and lost ones.
pub const PRODUCED: usize = 0;
/// Records of lane `n` that found the ring buffer full, at `RING_FULL + n`.
pub const RING_FULL: usize = PRODUCED + lane::COUNT;
/// Sockets, threads, processes or listeners that found their table full, and so were not followed.
pub const MAP_FULL: usize = RING_FULL + lane::COUNT;
/// Calls whose payload could not be copied from user memory.
pub const FAULT: usize = MAP_FULL + 1;
/// Calls that could not be taken apart: an iovec or a message header was not readable.
pub const BAD_ARGUMENT: usize = FAULT + 1;
/// Arrivals of out-of-order segments, which are not yet readable (only with `tcp_probe`).
pub const OUT_OF_ORDER: usize = BAD_ARGUMENT + 1;
/// How many counters there are.
pub const COUNT: usize = OUT_OF_ORDER + 1;
