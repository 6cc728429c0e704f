//! What of a call's payload is kept: the head of what a side says and the edges of the rest, of TLS records their heads, of
//! HTTP/2 its frames but for DATA.

use core::hint::black_box;

use redtape_abi::limits::{PIECES_MAX, SEGMENTS_MAX, TLS_HEAD_BYTES};
use redtape_abi::{Data, counter, data_flags, lane, option};

use crate::emit::{self, count};
use crate::frames::{self, Frames, Walked};
use crate::maps::option;
use crate::payload::{CAPTURED_MAX, Scratch, append_table, copied, copy_prefix, copy_tail, forget, restart};

/// What is remembered of two streams of bytes, so that the next call's can be chosen from. All zeros at first.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    /// Bytes moved since the direction last turned.
    run: u64,
    /// Of what is received, and of what is sent.
    frames: [Frames; 2],
    /// 1: what is received is TLS; what is sent is.
    tls: [u8; 2],
    /// 1: bytes were last moved out.
    last_out: u8,
    reserved: [u8; 5],
}

impl Talk {
    pub(crate) const NEW: Self = Self { run: 0, frames: [Frames::OFF; 2], tls: [0; 2], last_out: 0, reserved: [0; 5] };

    /// Counts the bytes of a direction since it last turned.
    #[inline(always)]
    pub(crate) fn turn(&mut self, out: bool, len: u64) {
        if self.last_out != u8::from(out) {
            self.last_out = u8::from(out);
            self.run = 0;
        }
        self.run = self.run.wrapping_add(len);
    }

    /// Whether the direction is TLS.
    #[inline(always)]
    fn tls_of(&mut self, out: bool) -> &mut u8 {
        let [received, sent] = &mut self.tls;
        if out { sent } else { received }
    }
}

/// What was copied behind the record's head.
pub(crate) struct Kept {
    /// Bytes of the call's start, and of its end.
    pub prefix_len: u32,
    pub tail_len: u32,
    /// Pieces between them.
    pub pieces: u32,
    /// Bytes in all, without the table of the pieces.
    captured: u32,
    /// Bits of [`data_flags`].
    pub flags: u16,
}

impl Kept {
    pub(crate) const NOTHING: Self = Self { prefix_len: 0, tail_len: 0, pieces: 0, captured: 0, flags: 0 };
}

/// Copies what is kept of the call in `scratch.moved`, whose first byte is at position `pos` of its stream.
#[inline(always)]
pub(crate) fn keep(scratch: *mut Scratch, talk: &mut Talk, pos: u64) -> Kept {
    let len = forget!((*scratch).moved.len);
    let within = forget!((*scratch).moved.within);
    restart(scratch);
    frames::no_pieces(scratch);
    if within != 0 {
        frames::begin(scratch, &raw mut talk.frames, pos);
    }
    let tail = u64::from(option(option::TAIL_BYTES));
    let mut kept = Kept::NOTHING;
    let rest = match frames::walk(scratch, &raw mut talk.frames, pos) {
        Walked::Whole => 0,
        Walked::UpTo(offset) => len.wrapping_sub(offset),
        Walked::Not => match prefix(scratch, talk, pos, &mut kept) {
            Some(rest) => rest,
            None => return kept,
        },
    };
    kept.pieces = frames::pieces(scratch);
    kept.captured = copied(scratch) as u32;
    let tail = if within < len {
        0
    } else if rest < tail {
        rest
    } else {
        tail
    };
    if tail > 0 && copy_tail(scratch, tail) {
        kept.tail_len = tail as u32;
        kept.captured += tail as u32;
    }
    if kept.pieces > 0 && !append_table(scratch, kept.captured, kept.pieces) {
        return Kept::NOTHING;
    }
    kept
}

/// Keeps the call's first bytes. Returns how many there are behind them, of which some may be kept; none of TLS.
#[inline(always)]
fn prefix(scratch: *mut Scratch, talk: &mut Talk, pos: u64, kept: &mut Kept) -> Option<u64> {
    let (len, out) = (forget!((*scratch).moved.len), forget!((*scratch).moved.out));
    let want = wanted(talk, out, forget!((*scratch).moved.within));
    unsafe { (&raw mut (*scratch).wanted).write_volatile(want) };
    let want = forget!((*scratch).wanted);
    kept.prefix_len = copy_prefix(scratch, want);
    kept.captured = kept.prefix_len;
    if u64::from(kept.prefix_len) < want && forget!((*scratch).moved.segments) <= u64::from(SEGMENTS_MAX) {
        kept.flags = data_flags::FAULT;
        count(counter::FAULT);
    }
    if pos == 0 && kept.prefix_len >= 2 && begins_tls(scratch) {
        *talk.tls_of(out) = 1;
        if kept.prefix_len > TLS_HEAD_BYTES {
            kept.prefix_len = TLS_HEAD_BYTES;
            kept.captured = TLS_HEAD_BYTES;
        }
    }
    if *talk.tls_of(out) != 0 { None } else { Some(len.wrapping_sub(want)) }
}

/// How many bytes to keep of the call's start: the rest of the head, else a short edge. Only the first `within` of the
/// call's bytes can be had.
#[inline(always)]
fn wanted(talk: &mut Talk, out: bool, within: u64) -> u64 {
    let keep = if *talk.tls_of(out) != 0 {
        u64::from(TLS_HEAD_BYTES)
    } else {
        let run = if talk.last_out == u8::from(out) { talk.run } else { 0 };
        let head = u64::from(option(option::HEAD_BYTES)).saturating_sub(run);
        let edge = u64::from(option(option::PREFIX_BYTES));
        if head > edge { head } else { edge }
    };
    if within < keep { within } else { keep }
}

/// A TLS handshake record (RFC 8446, section 5.1): type 22, version 3.x.
#[inline(always)]
fn begins_tls(scratch: *const Scratch) -> bool {
    unsafe { (*scratch).payload[0] == 0x16 && (*scratch).payload[1] == 0x03 }
}

/// Sends the record in `scratch.data`, with what was kept.
#[inline(always)]
pub(crate) fn send(scratch: *const Scratch, kept: &Kept) {
    let behind = black_box(kept.captured + 8 * kept.pieces);
    if behind > CAPTURED_MAX + 8 * PIECES_MAX {
        return;
    }
    emit::send_bytes(lane::CALL, scratch.cast(), size_of::<Data>() as u64 + u64::from(behind));
}
