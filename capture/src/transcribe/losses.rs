//! Losses: holes in the numbers of the records, and what the programs counted.
//!
//! A program on a function can be preempted by another one between taking its number and taking its place in the ring, so numbers
//! of that lane may come in another order, and a hole there means nothing: its losses are what the programs counted.

use redtape_abi::{Header, lane};
use redtape_core::{Loss, LossCause, MonoNanos};
use rustc_hash::FxHashMap;

use crate::bpf::{Counters, LanePosition};

/// How far the records of each lane of each CPU have come.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    lanes: FxHashMap<(u16, u8), Lane>,
    /// Numbers of a CPU's events: those of its records of all lanes, and of the lost ones.
    numbers: FxHashMap<u16, u64>,
    /// What [`Losses::settle`] was told last.
    positions: Vec<LanePosition>,
    map_full: u64,
    tls_ring_full: u64,
    settled: MonoNanos,
    skipped: u64,
    skipped_told: MonoNanos,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    next: u64,
    /// When the last record was made.
    last: MonoNanos,
}

/// A loss on a CPU: its first missing event has the number `seq`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) cpu: u16,
    pub(crate) seq: u64,
    pub(crate) loss: Loss,
}

impl Losses {
    /// Nothing that happened before `start` can be missing.
    pub(crate) fn new(start: MonoNanos) -> Self {
        Self { settled: start, skipped_told: start, ..Self::default() }
    }

    /// Numbers a record, and tells what is missing before it.
    pub(crate) fn number(&mut self, header: &Header) -> (u64, Option<Hole>) {
        let time = MonoNanos::new(header.time);
        let in_order = header.lane != lane::TLS;
        let hole = in_order.then(|| self.advance(header.cpu, header.lane, header.seq, time)).flatten();
        let lane = self.lane(header.cpu, header.lane);
        lane.next = lane.next.max(header.seq.saturating_add(1));
        lane.last = time;
        (self.take_numbers(header.cpu, 1), hole)
    }

    /// Accounts for what was lost behind the last record of each lane.
    ///
    /// `positions` are read before the ring is drained. What they say is used at the next call: by then, a record that
    /// had its number but not yet its place in the ring has come.
    pub(crate) fn settle(&mut self, positions: &[LanePosition], counters: &Counters, now: MonoNanos) -> Vec<Hole> {
        let mut holes = Vec::new();
        for LanePosition { cpu, lane, next } in std::mem::take(&mut self.positions) {
            if lane == lane::TLS {
                continue;
            }
            holes.extend(self.advance(cpu, lane, next, now));
            let state = self.lane(cpu, lane);
            state.next = state.next.max(next);
        }
        self.positions.extend_from_slice(positions);
        for (cause, before, counted) in [
            (LossCause::MapFull, self.map_full, counters.map_full),
            (LossCause::RingFull, self.tls_ring_full, counters.tls_ring_full),
        ] {
            let count = counted.saturating_sub(before);
            if count > 0 {
                let loss = Loss { cause, count, from: self.settled, to: now, origin: None };
                holes.push(Hole { cpu: u16::MAX, seq: self.take_numbers(u16::MAX, 1), loss });
            }
        }
        (self.map_full, self.tls_ring_full) = (counters.map_full, counters.tls_ring_full);
        self.settled = now;
        holes
    }

    /// Accounts for runs of programs that were skipped: `total` since loading, as the kernel says at `now`.
    pub(crate) fn skip(&mut self, total: u64, now: MonoNanos) -> Option<Hole> {
        let count = total.saturating_sub(self.skipped);
        let loss = Loss { cause: LossCause::ProgramSkipped, count, from: self.skipped_told, to: now, origin: None };
        (self.skipped, self.skipped_told) = (total, now);
        (count > 0).then(|| Hole { cpu: u16::MAX, seq: self.take_numbers(u16::MAX, 1), loss })
    }

    /// The number of an event that the recorder itself makes.
    pub(crate) fn own_number(&mut self) -> (u16, u64) {
        (u16::MAX, self.take_numbers(u16::MAX, 1))
    }

    fn advance(&mut self, cpu: u16, lane: u8, next: u64, to: MonoNanos) -> Option<Hole> {
        let Lane { next: expected, last } = *self.lane(cpu, lane);
        let count = next.checked_sub(expected).filter(|&count| count > 0)?;
        let seq = self.take_numbers(cpu, count);
        Some(Hole { cpu, seq, loss: Loss { cause: LossCause::RingFull, count, from: last.min(to), to, origin: None } })
    }

    fn lane(&mut self, cpu: u16, lane: u8) -> &mut Lane {
        let start = self.settled;
        self.lanes.entry((cpu, lane)).or_insert(Lane { next: 0, last: start })
    }

    fn take_numbers(&mut self, cpu: u16, count: u64) -> u64 {
        let next = self.numbers.entry(cpu).or_default();
        let first = *next;
        *next = first.saturating_add(count);
        first
    }
}
