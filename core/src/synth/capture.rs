//! What a recorder keeps of payloads: every head, little of bodies.

use super::frames::{DATA, PREFACE};
use crate::event::Direction;
use crate::ranges::RangesBuf;

/// How much of the payload is captured, as the BPF programs decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
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

/// One socket's account of the bytes since its direction last turned, and of the frames of HTTP/2.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    last: Option<Direction>,
    bytes: u64,
    /// After the client's preface: where in its frames each direction is.
    frames: Option<[Walk; 2]>,
}

/// Where in a sequence of frames a direction is.
#[derive(Clone, Debug, Default)]
struct Walk {
    /// The bytes of a frame's head so far.
    head: Vec<u8>,
    /// So many bytes of the payload are left, and whether they are kept.
    left: usize,
    kept: bool,
}

impl CapturePolicy {
    /// What is captured of a call that moves `payload`.
    pub(super) fn capture(&self, turn: &mut Turn, direction: Direction, payload: &[u8]) -> RangesBuf {
        if turn.last != Some(direction) {
            (turn.last, turn.bytes) = (Some(direction), 0);
        }
        let len = payload.len();
        let whole = usize::try_from(self.whole.saturating_sub(turn.bytes)).unwrap_or(usize::MAX);
        turn.bytes += len as u64;
        let front = whole.max(self.prefix).min(len);
        let preface = if payload.starts_with(PREFACE) { PREFACE.len() } else { 0 };
        if preface > 0 {
            turn.frames = Some(Default::default());
        }
        if let Some(frames) = &mut turn.frames {
            return frames[direction as usize].capture(payload, preface, front);
        }
        let tail = len.saturating_sub(self.tail).max(front);
        let mut ranges = RangesBuf::prefix(&payload[..front]);
        ranges.push(u32::try_from(tail).unwrap_or(u32::MAX), &payload[tail..]);
        ranges
    }
}

impl Walk {
    /// Keeps the heads of frames and all that is not DATA, and whatever comes before `front`.
    fn capture(&mut self, payload: &[u8], preface: usize, front: usize) -> RangesBuf {
        let mut kept = Vec::new();
        kept.push(0..front);
        let mut at = preface;
        while at < payload.len() {
            let room = payload.len() - at;
            let (len, keep) = if self.left > 0 {
                let len = self.left.min(room);
                self.left -= len;
                (len, self.kept)
            } else {
                let len = (9 - self.head.len()).min(room);
                self.head.extend_from_slice(&payload[at..at + len]);
                if let &[a, b, c, kind, ..] = &self.head[..]
                    && self.head.len() == 9
                {
                    self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                    self.kept = kind != DATA;
                    self.head.clear();
                }
                (len, true)
            };
            if keep {
                match kept.last_mut() {
                    Some(last) if last.end >= at => last.end = last.end.max(at + len),
                    _ => kept.push(at..at + len),
                }
            }
            at += len;
        }
        let mut ranges = RangesBuf::default();
        for range in kept {
            ranges.push(u32::try_from(range.start).unwrap_or(u32::MAX), &payload[range]);
        }
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
