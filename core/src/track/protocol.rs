//! What a connection speaks: not known yet, one of the protocols that have a parser, or none of these.

use super::detect::{Detected, METHOD_BYTES, detect};
use super::parser::{Call, Chunk, Gap, Parser, Side};
use super::reorder::Piece;
use crate::event::{Data, Direction};
use crate::http1::Http1;
use crate::http2::Http2;

#[derive(Debug)]
pub(super) enum Protocol {
    Undecided(Undecided),
    Http1(Http1),
    Http2(Box<Http2>),
    /// None that is followed: its bytes are only counted.
    Ignored,
}

/// A connection whose protocol is not known yet.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    /// The calls so far, where their bytes were too few to tell, each with the position from which its bytes are new.
    pub(super) held: Vec<(Piece, u64)>,
    /// How often the direction has turned without a known message beginning there.
    pub(super) turns: u8,
    pub(super) last: Option<Direction>,
}

/// So many first bytes of a message always tell the protocol.
pub(super) const DETECT_BYTES: usize = METHOD_BYTES + 8;

impl Protocol {
    pub(super) fn parser(&mut self) -> Option<&mut dyn Parser> {
        match self {
            Self::Http1(parser) => Some(parser),
            Self::Http2(parser) => Some(&mut **parser),
            Self::Undecided(_) | Self::Ignored => None,
        }
    }

    /// Of the memory in use, the bytes that [`Parser::shed`] lets go of.
    pub(super) fn spare_bytes(&self) -> usize {
        match self {
            Self::Http1(parser) => parser.spare_bytes(),
            Self::Http2(parser) => parser.spare_bytes(),
            Self::Undecided(_) | Self::Ignored => 0,
        }
    }
}

impl Undecided {
    /// What the bytes so far of one direction are, `prefix` the latest of them.
    pub(super) fn detect(&self, direction: Direction, prefix: &[u8], attached: bool) -> Detected {
        let held = self.held.iter().map(|(piece, _)| piece.as_data()).filter(|held| held.direction == direction);
        let mut first: Vec<u8> = Vec::new();
        for held in held {
            held.ranges.iter().for_each(|(_, bytes)| first.extend_from_slice(bytes));
        }
        let detected = if first.is_empty() {
            detect(prefix)
        } else {
            first.extend(prefix.iter().take(DETECT_BYTES));
            detect(&first)
        };
        // In the middle of a body anything may look like a beginning, so a whole start line is asked for there; and
        // servers are not the only ones to send SETTINGS there.
        match (detected, Http1::side_of(prefix)) {
            (Detected::Request, side) if attached && side != Some(Side::Request) => Detected::Unknown,
            (Detected::Response, side) if attached && side != Some(Side::Response) => Detected::Unknown,
            (Detected::Http2Server, _) if attached => Detected::Unknown,
            (detected, _) => detected,
        }
    }
}

/// Hands the bytes of a call from position `from` on to `parser`: what was captured, and the gaps between. `collect` takes
/// what was found, at the end and whenever results pile up.
pub(super) fn feed(
    parser: &mut dyn Parser,
    side: Side,
    data: &Data<'_>,
    from: u64,
    call: &Call<'_>,
    mut collect: impl FnMut(&mut dyn Parser),
) {
    let mut at = from;
    for (offset, bytes) in data.ranges.iter() {
        let pos = data.pos.saturating_add(offset);
        let known = usize::try_from(at.saturating_sub(pos)).unwrap_or(usize::MAX);
        let within = usize::try_from(call.end.saturating_sub(pos)).unwrap_or(usize::MAX).min(bytes.len());
        let mut chunk = Chunk { pos, bytes: bytes.get(..within).unwrap_or_default() }.skip(known);
        if chunk.bytes.is_empty() {
            continue;
        }
        if chunk.pos > at {
            parser.gap(side, Gap::Skipped(chunk.pos - at, call));
        }
        at = chunk.end();
        loop {
            chunk = chunk.skip(parser.feed(side, chunk, call));
            if chunk.bytes.is_empty() {
                break;
            }
            collect(parser);
        }
    }
    if at < call.end {
        parser.gap(side, Gap::Skipped(call.end - at, call));
    }
    collect(parser);
}
