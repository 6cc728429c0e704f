//! Bytes that came before the ones in front of them.

use crate::event::{Data, Direction};
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;

/// The calls of one direction that wait for earlier bytes.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) direction: Direction,
    /// When the first of them came: the watermark.
    pub(crate) since: MonoNanos,
    /// By position.
    pieces: Vec<Piece>,
}

/// One call that moved bytes, kept.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Without its payload.
    data: Data<'static>,
    payload: RangesBuf,
}

impl Waiting {
    pub(crate) const fn new(direction: Direction, since: MonoNanos) -> Self {
        Self { direction, since, pieces: Vec::new() }
    }

    /// Keeps a call. False if the same bytes are here already.
    pub(crate) fn insert(&mut self, piece: Piece) -> bool {
        let at = self.pieces.partition_point(|other| other.data.pos < piece.data.pos);
        let known = self
            .pieces
            .get(at)
            .is_some_and(|other| other.data.pos == piece.data.pos && other.data.len >= piece.data.len);
        if !known {
            self.pieces.insert(at, piece);
        }
        !known
    }

    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Takes the pieces, by position.
    pub(crate) fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }

    /// Takes the first piece if it begins at `next` or before.
    pub(crate) fn take_ready(&mut self, next: u64) -> Option<Piece> {
        let ready = self.pieces.first()?.data.pos <= next;
        ready.then(|| self.pieces.remove(0))
    }

    /// Heap memory in use, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.pieces.iter().map(Piece::held_bytes).sum::<usize>()
    }
}

impl Piece {
    /// The call again.
    pub(crate) fn as_data(&self) -> Data<'_> {
        Data { ranges: self.payload.as_ranges(), ..self.data }
    }

    pub(crate) const fn direction(&self) -> Direction {
        self.data.direction
    }

    /// Heap memory in use, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.payload.as_ranges().captured()
    }
}

impl From<&Data<'_>> for Piece {
    fn from(data: &Data<'_>) -> Self {
        Self { data: Data { ranges: Ranges::EMPTY, ..*data }, payload: data.ranges.into() }
    }
}
