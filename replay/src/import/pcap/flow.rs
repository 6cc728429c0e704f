//! One TCP connection: puts the segments of both directions in order, each byte once.
//!
//! A segment counts when every byte before it is there, and when what it acknowledges has been counted. So requests come
//! before their responses, also where a capture has them out of order. Until then it is held:
//!
//! - for 50 ms, if its receiver has acknowledged what is missing, so that only the capture lacks it;
//! - otherwise until the sender has sent it again, or for 60 s;
//! - in either case while the bounds on what is held allow it.
//!
//! After that the missing bytes are a hole. Of bytes that came twice the first copy counts.

use std::collections::VecDeque;

use super::stream::Stream;
use crate::import::limits::{HELD_BYTES, HELD_SEGMENTS, REORDER_NANOS, RETRANSMIT_NANOS, STEP_NANOS};

/// Bytes of one direction, as they were captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) time: u64,
    /// When it was taken, on the capture's clock.
    pub(super) taken: u64,
    /// The direction: 0 or 1.
    pub(super) from: usize,
    pub(super) pos: u64,
    /// The beginning of the payload, as far as it was captured.
    pub(super) payload: &'a [u8],
    /// The true length of the payload.
    pub(super) len: u64,
    /// The direction ends behind it.
    pub(super) fin: bool,
    /// The sender has received so much of the other direction.
    pub(super) ack: Option<u64>,
}

/// A piece that waits.
#[derive(Debug)]
struct Held {
    time: u64,
    taken: u64,
    from: usize,
    pos: u64,
    payload: Vec<u8>,
    len: u64,
    fin: bool,
    ack: Option<u64>,
}

/// What comes out, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ordered<'a> {
    /// The next bytes of a direction.
    Bytes { time: u64, from: usize, pos: u64, payload: &'a [u8], len: u64 },
    /// So many bytes of a direction are missing here.
    Hole { time: u64, from: usize, missing: u64 },
    /// A direction ends at this position.
    End { time: u64, from: usize, pos: u64 },
    /// Bytes came once more.
    Again,
}

/// The two directions of a connection, and what waits.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) streams: [Stream; 2],
    held: VecDeque<Held>,
    held_bytes: usize,
    /// The time of what came out last.
    time: u64,
}

impl Flow {
    /// Takes a piece. What can be counted by now is told to `out`.
    pub(super) fn take(&mut self, piece: Piece<'_>, out: &mut impl FnMut(Ordered<'_>)) {
        if self.held.is_empty() && self.is_ready(piece.from, piece.pos, piece.ack) {
            return self.count(piece, out);
        }
        self.hold(piece, out);
        self.count_ready(out);
        while self.held.len() > HELD_SEGMENTS || self.held_bytes > HELD_BYTES {
            self.give_up_first(out);
        }
    }

    /// Until when the first of what is held waits, at most, on the capture's clock; `None` if nothing is held.
    pub(super) fn deadline(&self) -> Option<u64> {
        let first = self.held.front()?;
        let lacks = |stream: &Stream| stream.acked > stream.next;
        let patience = if self.streams.iter().any(lacks) { REORDER_NANOS } else { RETRANSMIT_NANOS };
        Some(first.taken.saturating_add(patience))
    }

    /// Bytes of payload that are held.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Gives up what was waited for until `now`.
    pub(super) fn expire(&mut self, now: u64, out: &mut impl FnMut(Ordered<'_>)) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up_first(out);
        }
    }

    /// Gives up all that was waited for.
    pub(super) fn give_up(&mut self, out: &mut impl FnMut(Ordered<'_>)) {
        while !self.held.is_empty() {
            self.give_up_first(out);
        }
    }

    /// Whether all is there that stands before a piece.
    fn is_ready(&self, from: usize, pos: u64, ack: Option<u64>) -> bool {
        let [own, other] = self.both(from);
        pos <= own.next && ack.is_none_or(|ack| ack <= other.next || !other.seen || other.ended)
    }

    /// The time of what comes out next: not before that of what came last, unless the clock was set back in between.
    fn behind_last(&self, time: u64) -> u64 {
        if self.time.saturating_sub(time) > STEP_NANOS { time } else { time.max(self.time) }
    }

    /// The stream of a direction, and the other one.
    fn both(&self, from: usize) -> [&Stream; 2] {
        let [a, b] = &self.streams;
        if from == 0 { [a, b] } else { [b, a] }
    }

    fn stream(&mut self, from: usize) -> &mut Stream {
        let [a, b] = &mut self.streams;
        if from == 0 { a } else { b }
    }

    /// Counts a piece of which all before is there.
    fn count(&mut self, piece: Piece<'_>, out: &mut impl FnMut(Ordered<'_>)) {
        let Piece { from, pos, payload, len, fin, .. } = piece;
        let time = self.behind_last(piece.time);
        let stream = self.stream(from);
        let (next, ended) = (stream.next, stream.ended);
        let again = next.saturating_sub(pos);
        if ended || len > 0 && again >= len {
            out(Ordered::Again);
        } else if len > 0 {
            if again > 0 {
                out(Ordered::Again);
            }
            let skipped = usize::try_from(again).unwrap_or(usize::MAX);
            let payload = payload.get(skipped..).unwrap_or_default();
            stream.next = pos.saturating_add(len);
            self.time = time;
            out(Ordered::Bytes { time, from, pos: next, payload, len: len - again });
        }
        let stream = self.stream(from);
        if fin && !stream.ended && pos.saturating_add(len) >= stream.next {
            stream.ended = true;
            let pos = stream.next;
            self.time = time;
            out(Ordered::End { time, from, pos });
        }
    }

    /// Keeps what of a piece is not there yet, neither counted nor held.
    fn hold(&mut self, piece: Piece<'_>, out: &mut impl FnMut(Ordered<'_>)) {
        let (mut pos, end) = (piece.pos.max(self.both(piece.from)[0].next), piece.pos.saturating_add(piece.len));
        let mut held: Vec<_> = self
            .held
            .iter()
            .filter(|held| held.from == piece.from && held.len > 0)
            .map(|held| (held.pos, held.pos.saturating_add(held.len)))
            .collect();
        held.sort_unstable();
        let mut kept = false;
        for (from, to) in held {
            if pos < from.min(end) {
                self.keep(&piece, pos, from.min(end), false);
                kept = true;
            }
            pos = pos.max(to);
        }
        if pos < end || piece.fin {
            self.keep(&piece, pos.min(end), end, piece.fin);
            kept = true;
        }
        if !kept {
            out(Ordered::Again);
        }
    }

    /// Keeps the bytes of a piece between two positions.
    fn keep(&mut self, piece: &Piece<'_>, pos: u64, end: u64, fin: bool) {
        let part = |at: u64| usize::try_from(at - piece.pos).unwrap_or(usize::MAX).min(piece.payload.len());
        let payload = piece.payload.get(part(pos)..part(end)).unwrap_or_default().to_vec();
        self.held_bytes += payload.len();
        let Piece { time, taken, from, ack, .. } = *piece;
        self.held.push_back(Held { time, taken, from, pos, payload, len: end - pos, fin, ack });
    }

    /// Counts all that waits no more.
    fn count_ready(&mut self, out: &mut impl FnMut(Ordered<'_>)) {
        while let Some(at) = self.held.iter().position(|held| self.is_ready(held.from, held.pos, held.ack)) {
            self.count_held(at, out);
        }
    }

    fn count_held(&mut self, at: usize, out: &mut impl FnMut(Ordered<'_>)) {
        let Some(Held { time, taken, from, pos, payload, len, fin, ack }) = self.held.remove(at) else { return };
        self.held_bytes -= payload.len();
        self.count(Piece { time, taken, from, pos, payload: &payload, len, fin, ack }, out);
    }

    /// Waits no longer for what the first of the pieces waits for.
    fn give_up_first(&mut self, out: &mut impl FnMut(Ordered<'_>)) {
        let Some(first) = self.held.front() else { return };
        let (time, from, ack) = (first.time, first.from, first.ack);
        // What it acknowledges comes before it. Of that, what waits is counted, and only the rest is missing.
        if let Some(ack) = ack.filter(|&ack| self.both(1 - from)[0].next < ack && self.both(1 - from)[0].seen) {
            self.pass_to(1 - from, ack, time, out);
        } else {
            let pos = first.pos;
            self.pass_to(from, pos, time, out);
        }
        self.count_ready(out);
    }

    /// Whatever of a direction is missing before `pos`, or before the next bytes that wait, is missing for good.
    fn pass_to(&mut self, from: usize, pos: u64, time: u64, out: &mut impl FnMut(Ordered<'_>)) {
        let waiting = self.held.iter().filter(|held| held.from == from).map(|held| held.pos).min();
        let pos = waiting.map_or(pos, |waiting| waiting.min(pos));
        let next = self.both(from)[0].next;
        if pos > next {
            out(Ordered::Hole { time: self.behind_last(time), from, missing: pos - next });
            self.stream(from).next = pos;
        } else if let Some(at) = self.held.iter().position(|held| held.from == from && held.pos <= next) {
            // It waits for what it acknowledges, which waits for it in turn: only a capture with two clocks says so.
            self.count_held(at, out);
        }
    }
}

#[cfg(test)]
mod tests;
