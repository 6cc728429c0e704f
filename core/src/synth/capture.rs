//! What a recorder keeps of payloads: every head, little of bodies.

use crate::event::Direction;
use crate::ranges::RangesBuf;

/// How much of the payload is captured, as the BPF programs decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturePolicy {
    /// Bytes kept whole since the direction of the connection last turned.
    pub whole: u64,
    /// After that, bytes kept from the front of each call.
    pub prefix: usize,
    /// After that, bytes kept from the end of each call.
    pub tail: usize,
}

impl Default for CapturePolicy {
    fn default() -> Self {
        Self { whole: 8 << 10, prefix: 64, tail: 32 }
    }
}

/// One socket's account of the bytes since its direction last turned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    last: Option<Direction>,
    bytes: u64,
}

impl CapturePolicy {
    /// What is captured of a call that moves `payload`.
    pub(super) fn capture(&self, turn: &mut Turn, direction: Direction, payload: &[u8]) -> RangesBuf {
        if turn.last != Some(direction) {
            *turn = Turn { last: Some(direction), bytes: 0 };
        }
        let len = payload.len();
        let whole = usize::try_from(self.whole.saturating_sub(turn.bytes)).unwrap_or(usize::MAX);
        turn.bytes += len as u64;
        let front = whole.max(self.prefix).min(len);
        let tail = len.saturating_sub(self.tail).max(front);
        let mut ranges = RangesBuf::prefix(&payload[..front]);
        ranges.push(u32::try_from(tail).unwrap_or(u32::MAX), &payload[tail..]);
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_kept_and_bodies_are_not() {
        let policy = CapturePolicy { whole: 10, prefix: 2, tail: 3 };
        let mut turn = Turn::default();
        let mut pieces = |direction, len: u8| {
            let payload: Vec<u8> = (0..len).collect();
            let ranges = policy.capture(&mut turn, direction, &payload);
            ranges.as_ranges().iter().map(|(at, bytes)| (at, bytes.len())).collect::<Vec<_>>()
        };
        assert_eq!(pieces(Direction::In, 8), [(0, 8)]);
        assert_eq!(pieces(Direction::In, 20), [(0, 2), (17, 3)]);
        assert_eq!(pieces(Direction::Out, 12), [(0, 10), (10, 2)]);
        assert_eq!(pieces(Direction::In, 12), [(0, 10), (10, 2)]);
    }
}
