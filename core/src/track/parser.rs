//! The seam between connection tracking and protocols: parsers see two byte streams with holes, never syscalls.

use std::sync::Arc;

use super::arrivals::Arrivals;
use crate::diagnostic::DiagnosticKind;
use crate::event::Stamp;
use crate::exchange::{Exchange, Started};
use crate::facts::{ConnInfo, Role};
use crate::ids::ProcKey;
use crate::limits::Limits;
use crate::time::MonoNanos;

/// Turns the two byte streams of a connection into exchanges.
///
/// Bytes of one side come in order and without overlap; what is missing between them is told by [`Parser::gap`]. A
/// request's bytes come before those of the response that they cause. After each call, [`Parser::poll`] is called until
/// it has nothing more.
pub(crate) trait Parser {
    /// The next bytes of one side. Returns how many were taken: less than all where results have piled up.
    fn feed(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize;

    /// Next come bytes of one side that nobody has.
    fn gap(&mut self, side: Side, gap: Gap<'_>);

    /// No more bytes of this side follow.
    fn end(&mut self, side: Side, end: End);

    /// The next result, in order of byte position.
    fn poll(&mut self) -> Option<Found>;

    /// Lets go of what is kept only for messages to come, which then may be known in part.
    fn shed(&mut self);

    /// How many bytes that lets go of.
    fn spare_bytes(&self) -> usize;

    /// Heap memory in use, in bytes.
    fn held_bytes(&self) -> usize;
}

/// One of the two streams, by what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// Bytes at a position of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) pos: u64,
    pub(crate) bytes: &'a [u8],
}

impl Chunk<'_> {
    /// The position behind the last byte.
    pub(crate) const fn end(&self) -> u64 {
        self.pos.saturating_add(self.bytes.len() as u64)
    }

    /// What is left behind the first `count` bytes.
    #[must_use]
    pub(crate) fn skip(self, count: usize) -> Self {
        let bytes = self.bytes.get(count..).unwrap_or_default();
        Self { pos: self.pos.saturating_add((self.bytes.len() - bytes.len()) as u64), bytes }
    }
}

/// The call that moved a chunk, and where it happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) conn: &'a Arc<ConnInfo>,
    pub(crate) role: Role,
    pub(crate) process: ProcKey,
    pub(crate) stamp: Stamp,
    /// The positions of its first byte and behind its last.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// When its bytes arrived; `None` for bytes sent.
    pub(crate) arrivals: Option<&'a Arrivals>,
    /// When they arrived, where the connection has no arrivals of its own.
    pub(crate) arrived: Option<MonoNanos>,
    pub(crate) limits: &'a Limits,
    /// Records from up to this moment may be missing.
    pub(crate) lossy_until: MonoNanos,
}

impl Call<'_> {
    /// When the byte at `pos` became readable.
    pub(crate) fn arrival(&self, pos: u64) -> Option<MonoNanos> {
        self.arrivals?.at(pos).or(self.arrived).filter(|&at| at <= self.stamp.exit)
    }
}

/// Missing bytes of a stream, and how many.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gap<'a> {
    /// The call is known; its payload was not captured there.
    Skipped(u64, &'a Call<'a>),
    /// Their records are lost, so the calls that moved them are not known. Records from up to that moment may be missing.
    Lost(u64, MonoNanos),
    /// None, but bytes came after later ones of the other side.
    Disorder,
}

/// How and when a stream ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) how: EndKind,
    /// When that became clear.
    pub(crate) at: MonoNanos,
    /// Records from up to this moment may be missing.
    pub(crate) lossy_until: MonoNanos,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndKind {
    /// As TCP wants it: with a FIN.
    Orderly,
    /// By an error.
    Reset,
    /// The tape ends, or the connection is no longer followed: how the stream goes on is not known.
    Unknown,
}

/// A result of a parser.
#[derive(Debug)]
pub(crate) enum Found {
    Started(Box<Started>),
    /// The request at this position, which was announced, may no longer be alone.
    NotAlone(u64),
    Ended(Box<Exchange>),
    /// Something was wrong, at this position.
    Trouble(DiagnosticKind, u64),
}
