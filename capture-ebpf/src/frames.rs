//! HTTP/2 connections: a walk over the heads of frames (RFC 9113, section 4.1), so that each head is kept, all that is not
//! DATA, and of DATA next to nothing: trailers are kept wherever in a call they lie.
//!
//! It reads lengths and types, to choose what to copy. Where it errs, by bytes that it could not see or by a peer that lies,
//! other bytes are kept, but those that are kept are what they are and lie where they lay.
//!
//! ```text
//! Off ──preface──▶ On ──a call that was not walked to its end, or not seen──▶ Lost
//!                   ▲──────── a call begins with a plausible head ──────────────┘
//! ```

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use redtape_abi::limits::{
    DATA_PIECES_MAX, EDGE_BYTES_MAX, FRAME_DATA_BYTES, FRAME_STEPS_MAX, FRAME_WHOLE_BYTES, HEAD_BYTES_MAX, PIECES_MAX,
};
use redtape_abi::option;

use crate::kernel::user;
use crate::maps::option;
use crate::payload::{Scratch, copied, copy, forget, segment};

/// What a client sends first, and how long that is in all (RFC 9113, section 3.4).
const PREFACE: [u8; 8] = *b"PRI * HT";
const PREFACE_BYTES: u32 = 24;

const HEAD_BYTES: u64 = 9;
/// Payload is kept up to here, so that there is room for the heads of all pieces, and for a tail.
const PAYLOAD_BYTES: u64 = (HEAD_BYTES_MAX - EDGE_BYTES_MAX) as u64;

/// The type of DATA frames, the highest one that RFC 9113 defines, and the highest that is believed.
const DATA: u8 = 0;
const DEFINED_MAX: u8 = 9;
const TYPE_MAX: u8 = 0x1f;

/// Values of [`Frames::state`].
const OFF: u8 = 0;
const ON: u8 = 1;
const LOST: u8 = 2;

/// How far the walk over one direction of a connection has come. All zeros: it is not known to be HTTP/2.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Frames {
    /// The position that it has come to.
    pos: u64,
    /// Bytes left of the frame's payload.
    left: u32,
    /// How many of those are kept.
    keep: u32,
    /// The frame's head, and how many bytes of it were seen. None: its payload is under way, or over.
    head: [u8; HEAD_BYTES as usize],
    seen: u8,
    state: u8,
    reserved: [u8; 5],
}

impl Frames {
    pub(crate) const OFF: Self =
        Self { pos: 0, left: 0, keep: 0, head: [0; HEAD_BYTES as usize], seen: 0, state: OFF, reserved: [0; 5] };
}

/// Where the walk through one call is.
#[repr(C)]
pub(crate) struct Walk {
    /// The direction's state, while the call is walked.
    frames: Frames,
    /// The position of the call's first byte.
    pos: u64,
    /// The offset in the call that it has come to.
    offset: u64,
    /// The segment that comes next, the offset at which it begins, and what the offset of a byte before that has to be added to for
    /// the byte's address.
    segment: u64,
    segment_end: u64,
    base: u64,
    /// How many pieces there are, and where the last of them ends.
    pieces: u64,
    piece_end: u64,
    /// Offset and length of each.
    pub table: [[u32; 2]; PIECES_MAX as usize],
}

macro_rules! put {
    ($scratch:ident.$($place:tt).+, $value:expr) => {
        let value = $value;
        unsafe { (&raw mut (*$scratch).$($place).+).write_volatile(value) }
    };
}

/// Whether the directions of a connection are to be walked from now on: the call in `scratch`, whose first byte is at position `pos`,
/// may begin with a client's preface.
#[inline(always)]
pub(crate) fn begin(scratch: *const Scratch, both: *mut [Frames; 2], pos: u64) {
    if pos != 0 {
        return;
    }
    let Some((address, len)) = segment(scratch, 0, forget!((*scratch).moved.within)) else { return };
    if len < PREFACE.len() as u64 || user::<[u8; 8]>(address) != Some(PREFACE) {
        return;
    }
    unsafe {
        (*both)[0].state = ON;
        (*both)[1].state = ON;
        let preface = direction(both, scratch);
        // It is no frame, but passed like the payload of one.
        (*preface).left = PREFACE_BYTES;
        (*preface).keep = PREFACE_BYTES;
    }
}

/// The state of the call's direction. One pointer for both, or the verifier would follow what comes for each.
#[inline(always)]
fn direction(both: *mut [Frames; 2], scratch: *const Scratch) -> *mut Frames {
    let out = black_box(u64::from(forget!((*scratch).moved.out)));
    unsafe { both.cast::<Frames>().add((out & 1) as usize) }
}

/// How a call was walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walked {
    /// Not at all: it is not of HTTP/2, or nobody knows where its frames begin.
    Not,
    /// To its end.
    Whole,
    /// Up to this offset.
    UpTo(u64),
}

/// Walks the frames of the call in `scratch`, whose first byte is at position `pos`, and copies what is kept of them behind nothing: the
/// pieces are in `scratch.walk.table`, as many as [`pieces`] says.
#[inline(always)]
pub(crate) fn walk(scratch: *mut Scratch, both: *mut [Frames; 2], pos: u64) -> Walked {
    let frames = direction(both, scratch);
    let state = unsafe { (*frames).state };
    if state == OFF {
        return Walked::Not;
    }
    let before = unsafe { *frames };
    put!(scratch.walk.frames, before);
    put!(scratch.walk.pos, pos);
    put!(scratch.walk.offset, 0);
    put!(scratch.walk.segment, 0);
    put!(scratch.walk.segment_end, 0);
    put!(scratch.walk.piece_end, 0);
    if state == LOST || forget!((*scratch).walk.frames.pos) != pos {
        put!(scratch.walk.frames, Frames { state: LOST, ..Frames::OFF });
    }
    for _ in 0..FRAME_STEPS_MAX {
        if !step(scratch) {
            break;
        }
    }
    let (offset, len) = (forget!((*scratch).walk.offset), forget!((*scratch).moved.len));
    let frames = direction(both, scratch);
    put!(scratch.walk.frames.pos, forget!((*scratch).walk.pos).wrapping_add(len));
    if offset != len {
        put!(scratch.walk.frames.state, LOST);
    }
    let state = forget!((*scratch).walk.frames);
    unsafe { *frames = state };
    match offset {
        0 => Walked::Not,
        _ if offset == len => Walked::Whole,
        _ => Walked::UpTo(offset),
    }
}

/// How many pieces the walk has kept.
#[inline(always)]
pub(crate) fn pieces(scratch: *const Scratch) -> u32 {
    forget!((*scratch).walk.pieces) as u32
}

/// No pieces so far.
#[inline(always)]
pub(crate) fn no_pieces(scratch: *mut Scratch) {
    put!(scratch.walk.pieces, 0);
}

/// The next step: over what is not kept, into the next segment, or over bytes of one segment that are all kept or all of a head.
/// False: it ends here.
#[inline(always)]
fn step(scratch: *mut Scratch) -> bool {
    let (offset, len) = (forget!((*scratch).walk.offset), forget!((*scratch).moved.len));
    if offset >= len {
        return false;
    }
    let (left, keep) = (forget!((*scratch).walk.frames.left), forget!((*scratch).walk.frames.keep));
    if left != 0 && keep == 0 {
        pass(scratch, offset, len, left);
        return true;
    }
    let end = forget!((*scratch).walk.segment_end);
    if offset >= end {
        return next_segment(scratch, end);
    }
    let address = forget!((*scratch).walk.base).wrapping_add(offset);
    if left == 0 {
        head(scratch, offset, address, end - offset)
    } else {
        payload(scratch, offset, address, end - offset)
    }
}

/// Passes bytes that are not kept, wherever they are.
#[inline(always)]
fn pass(scratch: *mut Scratch, offset: u64, len: u64, left: u32) {
    let rest = len - offset;
    let passed = if u64::from(left) < rest { u64::from(left) } else { rest };
    put!(scratch.walk.frames.left, left.wrapping_sub(passed as u32));
    put!(scratch.walk.offset, offset + passed);
}

#[inline(always)]
fn next_segment(scratch: *mut Scratch, start: u64) -> bool {
    let within = forget!((*scratch).moved.within);
    if start >= within {
        return false;
    }
    let number = forget!((*scratch).walk.segment);
    let Some((address, len)) = segment(scratch, number, within - start) else { return false };
    put!(scratch.walk.segment, number + 1);
    put!(scratch.walk.base, address.wrapping_sub(start));
    put!(scratch.walk.segment_end, start.wrapping_add(len));
    true
}

/// A frame's head, or what of it lies in the segment.
#[inline(always)]
fn head(scratch: *mut Scratch, offset: u64, address: u64, room: u64) -> bool {
    let seen = black_box(u64::from(forget!((*scratch).walk.frames.seen)));
    if seen >= HEAD_BYTES {
        return false;
    }
    let missing = HEAD_BYTES - seen;
    let len = black_box(if missing < room { missing } else { room });
    if len > HEAD_BYTES {
        return false;
    }
    let read = unsafe {
        let to = (&raw mut (*scratch).walk.frames.head).cast::<u8>().add(seen as usize);
        bpf_probe_read_user(to.cast(), len as u32, address as *const _)
    };
    if read != 0 {
        return false;
    }
    if len < missing {
        put!(scratch.walk.frames.seen, (seen + len) as u8);
    } else if !understood(scratch) {
        return false;
    }
    keep(scratch, offset, address, len);
    put!(scratch.walk.offset, offset + len);
    true
}

/// Takes in a head that is complete. False if it can hardly be one.
#[inline(always)]
fn understood(scratch: *mut Scratch) -> bool {
    let [a, b, c, kind, flags, stream, ..] = forget!((*scratch).walk.frames.head);
    let len = u32::from_be_bytes([0, a, b, c]);
    if forget!((*scratch).walk.frames.state) == LOST {
        // The default of SETTINGS_MAX_FRAME_SIZE, defined flags, a stream's number: other bytes rarely look like that.
        if len > 1 << 14 || kind > DEFINED_MAX || flags & !0x2d != 0 || stream & 0x80 != 0 {
            return false;
        }
        put!(scratch.walk.frames.state, ON);
    } else if kind > TYPE_MAX {
        return false;
    }
    let kept = if kind == DATA && len > FRAME_WHOLE_BYTES { FRAME_DATA_BYTES } else { len };
    put!(scratch.walk.frames.seen, 0);
    put!(scratch.walk.frames.left, len);
    put!(scratch.walk.frames.keep, kept);
    true
}

/// What is kept of a frame's payload, or what of that lies in the segment.
#[inline(always)]
fn payload(scratch: *mut Scratch, offset: u64, address: u64, room: u64) -> bool {
    let (left, wanted) = (forget!((*scratch).walk.frames.left), forget!((*scratch).walk.frames.keep));
    let at = copied(scratch);
    let limit = u64::from(option(option::HEAD_BYTES));
    let limit = if limit < PAYLOAD_BYTES { limit } else { PAYLOAD_BYTES };
    let budget = limit.saturating_sub(at);
    let len = if u64::from(wanted) < room { u64::from(wanted) } else { room };
    let len = if len < budget { len } else { budget };
    if len == 0 || !keep(scratch, offset, address, len) {
        put!(scratch.walk.frames.keep, 0);
        return true;
    }
    put!(scratch.walk.frames.left, left.wrapping_sub(len as u32));
    put!(scratch.walk.frames.keep, wanted.wrapping_sub(len as u32));
    put!(scratch.walk.offset, offset + len);
    true
}

/// Keeps `len` bytes that lie at `offset` of the call: as part of the last piece where they continue it, else as a new one. False if
/// there is no room for them, or they cannot be read.
#[inline(always)]
fn keep(scratch: *mut Scratch, offset: u64, address: u64, len: u64) -> bool {
    let pieces = forget!((*scratch).walk.pieces);
    let data = forget!((*scratch).walk.frames.head[3]) == DATA;
    let new = pieces == 0 || forget!((*scratch).walk.piece_end) != offset;
    if new && pieces >= u64::from(if data { DATA_PIECES_MAX } else { PIECES_MAX }) {
        return false;
    }
    let index = black_box(if new { pieces } else { pieces.wrapping_sub(1) });
    if index >= u64::from(PIECES_MAX) || !copy(scratch, address, len) {
        return false;
    }
    unsafe {
        let [start, length] = &mut *(&raw mut (*scratch).walk.table).cast::<[u32; 2]>().add(index as usize);
        if new {
            *start = offset as u32;
            *length = 0;
        }
        *length = length.wrapping_add(len as u32);
    }
    put!(scratch.walk.pieces, index + 1);
    put!(scratch.walk.piece_end, offset + len);
    true
}
