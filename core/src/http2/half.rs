//! One direction of a connection: where in the sequence of frames it is.
//!
//! ```text
//!   Preface ──▶ Head ◀──────────────▶ Payload
//!                 ▲  head   payload      │ hole in it, of known size: the frame goes on
//!                 │ a call begins        │
//!                 │ with a chain         ▼ more was lost than the frame has left
//!               Seek ◀──────────────── (framing lost)                    Off: not followed any more
//! ```

use super::frame::{FrameHead, HEAD_BYTES};
use super::hpack::Decoder;
use super::streams::Begin;

/// One direction.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) state: State,
    pub(super) decoder: Decoder,
    /// A header block that goes on in CONTINUATION frames.
    pub(super) block: Option<Box<Block>>,
    /// No frame has come; the first is SETTINGS (RFC 9113, section 3.4).
    pub(super) fresh: bool,
    /// Its frames were followed from the connection's first byte on.
    pub(super) unbroken: bool,
    /// That the encoder may use a larger table than is kept was said.
    pub(super) told_bound: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// In the client's connection preface, of which so many bytes have come.
    Preface(usize),
    /// In the head of a frame.
    Head(PartialHead),
    Payload(Payload),
    /// Somewhere: what comes is skipped until a call begins with a chain of frames.
    Seek,
    /// Not followed any more.
    Off,
}

/// The first bytes of a frame's head, and where they began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PartialHead {
    pub(super) bytes: [u8; HEAD_BYTES],
    pub(super) have: usize,
    pub(super) begin: Option<Begin>,
}

/// A frame whose payload came in part.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) head: FrameHead,
    pub(super) begin: Begin,
    /// The first bytes, as far as they are needed.
    pub(super) kept: Vec<u8>,
    /// So many are needed.
    pub(super) keep: usize,
    /// So many of the payload are to come.
    pub(super) left: u64,
    /// A part is missing: `kept` is what came before.
    pub(super) cut: bool,
}

/// A frame that is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) head: FrameHead,
    pub(super) begin: Begin,
    /// Its payload, or the first bytes of it.
    pub(super) payload: &'a [u8],
    /// Bytes of the payload that were needed are missing.
    pub(super) cut: bool,
}

/// A header block that came in part.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) of: BlockOf,
    pub(super) bytes: Vec<u8>,
    /// Bytes behind these are missing, or too many.
    pub(super) cut: bool,
}

/// What a header block is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockOf {
    pub(super) stream: u32,
    pub(super) begin: Begin,
    pub(super) end_stream: bool,
    /// A promised request, which no client has sent.
    pub(super) pushed: bool,
}

impl Half {
    pub(super) fn new(state: State, decoder: Decoder) -> Self {
        let unbroken = !matches!(state, State::Seek);
        Self { state, decoder, block: None, fresh: unbroken, unbroken, told_bound: false }
    }

    /// Heap memory in use, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| size_of::<Block>() + block.bytes.capacity());
        let payload = if let State::Payload(payload) = &self.state { payload.kept.capacity() } else { 0 };
        self.decoder.held_bytes() + block + payload
    }
}
