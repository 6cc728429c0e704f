//! What of a call's payload is kept: the head of what a side says and the edges of the rest, of TLS records their heads, of
//! HTTP/2 its frames but for DATA.

use core::hint::black_box;

use redtape_abi::limits::{PIECES_MAX, SEGMENTS_MAX, TLS_HEAD_BYTES};
use redtape_abi::{Data, option};

use crate::emit;
use crate::frames::{self, Frames, Walked};
use crate::maps::option;
use crate::payload::{
    CAPTURED_MAX, Scratch, append_table, copied, copy_prefix, copy_tail, cut, fault, forget, put, restart,
};

/// What is remembered of two streams of bytes, so that the next call's can be chosen from. All zeros at first.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    /// Bytes moved since the direction last turned.
    run: u64,
    /// 1: what is received is TLS; what is sent is.
    tls: [u8; 2],
    /// 1: bytes were last moved out.
    last_out: u8,
    /// 1: both directions are HTTP/2.
    http2: u8,
    reserved: [u8; 4],
    /// Of what is received, and of what is sent.
    frames: [Frames; 2],
}

impl Talk {
    pub(crate) const NEW: Self =
        Self { run: 0, tls: [0; 2], last_out: 0, http2: 0, reserved: [0; 4], frames: [Frames::NEW; 2] };

    /// Counts the bytes of a direction since it last turned.
    #[inline(always)]
    fn turn(&mut self, out: bool, len: u64) {
        if self.last_out != u8::from(out) {
            self.last_out = u8::from(out);
            self.run = 0;
        }
        self.run = self.run.wrapping_add(len);
    }

    /// Bytes are about to be sent: by the time that this is done, those of the answer may have been read.
    #[inline(always)]
    pub(crate) fn about_to_send(&mut self) {
        self.turn(true, 0);
    }

    /// Whether the direction is TLS.
    #[inline(always)]
    pub(crate) fn tls_of(&mut self, out: bool) -> &mut u8 {
        let [received, sent] = &mut self.tls;
        if out { sent } else { received }
    }
}

/// Whether the frames of the call in `scratch` are walked: on HTTP/2, which a client's preface begins.
#[inline(always)]
pub(crate) fn has_frames(scratch: *mut Scratch, talk: &mut Talk) -> bool {
    if talk.http2 == 0 && forget!((*scratch).data.pos) == 0 && frames::begin(scratch, &raw mut talk.frames) {
        talk.http2 = 1;
    }
    talk.http2 != 0
}

/// Copies what is kept of the call in `scratch.moved`, and notes it in `scratch.data`, which is complete but for that.
#[inline(always)]
pub(crate) fn keep(scratch: *mut Scratch, talk: &mut Talk) {
    restart(scratch);
    let rest = prefix(scratch, talk);
    keep_end(scratch, talk, rest);
}

/// As [`keep`], of a call that [`has_frames`]. The verifier goes through the walk once for each way of getting here that it can tell
/// from the others, so this belongs into a program of its own, behind a tail call.
#[inline(always)]
pub(crate) fn keep_frames(scratch: *mut Scratch, talk: &mut Talk) {
    restart(scratch);
    let rest = match frames::walk(scratch, &raw mut talk.frames) {
        Walked::Not => prefix(scratch, talk),
        Walked::UpTo(offset) => forget!((*scratch).moved.len).wrapping_sub(offset),
    };
    keep_end(scratch, talk, rest);
    append_table(scratch);
}

/// Keeps what is wanted of the last `rest` bytes.
#[inline(always)]
fn keep_end(scratch: *mut Scratch, talk: &mut Talk, rest: u64) {
    put!(scratch.captured, copied(scratch) as u32);
    tail(scratch, rest);
    talk.turn(forget!((*scratch).moved.out), forget!((*scratch).moved.len));
}

/// Keeps the call's first bytes. Returns how many there are behind them, of which some may be kept; none of TLS.
#[inline(always)]
fn prefix(scratch: *mut Scratch, talk: &mut Talk) -> u64 {
    let (len, out) = (forget!((*scratch).moved.len), forget!((*scratch).moved.out));
    let want = wanted(talk, out, forget!((*scratch).moved.within));
    put!(scratch.wanted, want);
    let want = forget!((*scratch).wanted);
    let got = copy_prefix(scratch, want);
    put!(scratch.data.prefix_len, got);
    if u64::from(got) < want && forget!((*scratch).moved.segments) <= u64::from(SEGMENTS_MAX) {
        fault(scratch);
    }
    if forget!((*scratch).data.pos) == 0 && got >= 2 && begins_tls(scratch) {
        *talk.tls_of(out) = 1;
        if got > TLS_HEAD_BYTES {
            put!(scratch.data.prefix_len, TLS_HEAD_BYTES);
            cut(scratch, TLS_HEAD_BYTES);
        }
    }
    if *talk.tls_of(out) != 0 { 0 } else { len.wrapping_sub(want) }
}

/// Keeps the call's last bytes, of the `rest` that are not kept yet.
#[inline(always)]
fn tail(scratch: *mut Scratch, rest: u64) {
    let tail = u64::from(option(option::TAIL_BYTES));
    put!(scratch.wanted, if rest < tail { rest } else { tail });
    let want = forget!((*scratch).wanted);
    let can_be_had = forget!((*scratch).moved.within) == forget!((*scratch).moved.len);
    if want != 0 && can_be_had && copy_tail(scratch, want) {
        put!(scratch.data.tail_len, want as u32);
        put!(scratch.captured, forget!((*scratch).captured).wrapping_add(want as u32));
    }
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
pub(crate) fn send(scratch: *const Scratch, lane: u8) {
    let behind = black_box(forget!((*scratch).captured).wrapping_add(8 * forget!((*scratch).data.pieces)));
    if behind > CAPTURED_MAX + 8 * PIECES_MAX {
        return;
    }
    emit::send_bytes(lane, scratch.cast(), size_of::<Data>() as u64 + u64::from(behind));
}
