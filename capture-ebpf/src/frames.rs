//! HTTP/2 connections: a walk over the heads of frames (RFC 9113, section 4.1), so that each head is kept, all that is not
//! DATA, and of DATA next to nothing: trailers are kept wherever in a call they lie.
//!
//! It reads lengths and types, to choose what to copy. Where it errs, by bytes that it could not see or by a peer that lies,
//! other bytes are kept, but those that are kept are what they are and lie where they lay.
//!
//! ```text
//! preface ──▶ walking ──a call that was not walked to its end, or not seen──▶ lost
//!                ▲────────── a call begins with a plausible head ───────────────┘
//! ```

use core::hint::black_box;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use redtape_abi::limits::{
    DATA_PIECES_MAX, EDGE_BYTES_MAX, FRAME_DATA_BYTES, FRAME_STEPS_MAX, FRAME_WHOLE_BYTES, HEAD_BYTES_MAX, PIECES_MAX,
};
use redtape_abi::option;

use crate::kernel::user;
use crate::maps::option;
use crate::payload::{Scratch, copied, copy, fault, forget, put, segment};

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

/// How far the walk over one direction of a connection has come. All zeros: it has yet to begin.
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
    /// 1: it is not known where a frame begins.
    lost: u8,
    reserved: [u8; 5],
}

impl Frames {
    pub(crate) const NEW: Self =
        Self { pos: 0, left: 0, keep: 0, head: [0; HEAD_BYTES as usize], seen: 0, lost: 0, reserved: [0; 5] };
}

/// Where the walk through one call is.
#[repr(C)]
pub(crate) struct Walk {
    /// The direction's state, while the call is walked.
    frames: Frames,
    /// The offset in the call that it has come to.
    offset: u64,
    /// The number of the next segment.
    segment: u64,
    /// The offset at which the segment before it ends.
    segment_end: u64,
    /// A byte's address in that segment is this and the byte's offset in the call.
    base: u64,
    /// Bytes of a head that this step has read, and that are still to be passed.
    head_bytes: u64,
    /// Where the last piece ends.
    piece_end: u64,
    /// Offset and length of each.
    pub table: [[u32; 2]; PIECES_MAX as usize],
}

/// Whether the call in `scratch`, its direction's first, begins with a client's preface. If so, both directions begin.
#[inline(always)]
pub(crate) fn begin(scratch: *const Scratch, both: *mut [Frames; 2]) -> bool {
    let Some((address, len)) = segment(scratch, 0, forget!((*scratch).moved.within)) else { return false };
    if len < PREFACE.len() as u64 || user::<[u8; 8]>(address) != Some(PREFACE) {
        return false;
    }
    let preface = direction(both, scratch);
    // It is no frame, but passed like the payload of one.
    unsafe {
        (*preface).left = PREFACE_BYTES;
        (*preface).keep = PREFACE_BYTES;
    }
    true
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
    /// Not at all: nobody knows where its frames begin.
    Not,
    /// Up to this offset, which may be the call's end.
    UpTo(u64),
}

/// Walks the frames of the call in `scratch`, and copies what is kept of them: so many pieces as `scratch.data` says, which
/// `scratch.walk` has the table of.
#[inline(always)]
pub(crate) fn walk(scratch: *mut Scratch, both: *mut [Frames; 2]) -> Walked {
    let before = unsafe { *direction(both, scratch) };
    put!(scratch.walk.frames, before);
    put!(scratch.walk.offset, 0);
    put!(scratch.walk.segment, 0);
    put!(scratch.walk.segment_end, 0);
    put!(scratch.walk.piece_end, 0);
    if before.lost != 0 || before.pos != forget!((*scratch).data.pos) {
        put!(scratch.walk.frames, Frames { lost: 1, ..Frames::NEW });
    }
    for _ in 0..FRAME_STEPS_MAX {
        if !step(scratch) {
            break;
        }
    }
    let (offset, len) = (forget!((*scratch).walk.offset), forget!((*scratch).moved.len));
    put!(scratch.walk.frames.pos, forget!((*scratch).data.pos).wrapping_add(len));
    if offset != len {
        put!(scratch.walk.frames.lost, 1);
    }
    let after = forget!((*scratch).walk.frames);
    unsafe { *direction(both, scratch) = after };
    if offset == 0 { Walked::Not } else { Walked::UpTo(offset) }
}

/// The next step: into the next segment, or over a frame as far as the segment has it, and in any case over what is not
/// kept of it. False: the walk ends here.
#[inline(always)]
fn step(scratch: *mut Scratch) -> bool {
    let (offset, len) = (forget!((*scratch).walk.offset), forget!((*scratch).moved.len));
    if offset >= len {
        return false;
    }
    let (left, keep) = (forget!((*scratch).walk.frames.left), forget!((*scratch).walk.frames.keep));
    if left == 0 || keep != 0 {
        let end = forget!((*scratch).walk.segment_end);
        if offset >= end {
            return next_segment(scratch, end);
        }
        put!(scratch.walk.head_bytes, 0);
        if left == 0 && !head(scratch, end - offset) {
            return false;
        }
        if !keep_some(scratch) {
            put!(scratch.walk.frames.keep, 0);
        }
    }
    pass(scratch);
    true
}

/// Passes what is left of a frame of which no more is kept.
#[inline(always)]
fn pass(scratch: *mut Scratch) {
    if forget!((*scratch).walk.frames.keep) != 0 {
        return;
    }
    let left = forget!((*scratch).walk.frames.left);
    let offset = forget!((*scratch).walk.offset);
    let rest = forget!((*scratch).moved.len).wrapping_sub(offset);
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

/// Reads a frame's head, or what of it lies in the `room` of the segment. False if it can hardly be one.
#[inline(always)]
fn head(scratch: *mut Scratch, room: u64) -> bool {
    let missing = HEAD_BYTES.wrapping_sub(u64::from(forget!((*scratch).walk.frames.seen)));
    let len = if missing < room { missing } else { room };
    put!(scratch.walk.head_bytes, len);
    let address = forget!((*scratch).walk.base).wrapping_add(forget!((*scratch).walk.offset));
    let bytes = black_box(len);
    if bytes > HEAD_BYTES {
        return false;
    }
    let seen = black_box(u64::from(forget!((*scratch).walk.frames.seen)));
    if seen >= HEAD_BYTES {
        return false;
    }
    let read = unsafe {
        let to = (&raw mut (*scratch).walk.frames.head).cast::<u8>().add(seen as usize);
        bpf_probe_read_user(to.cast(), bytes as u32, address as *const _)
    };
    if read != 0 {
        fault(scratch);
        return false;
    }
    if len == missing {
        return understood(scratch, len as u32);
    }
    put!(scratch.walk.frames.seen, forget!((*scratch).walk.frames.seen).wrapping_add(len as u8));
    put!(scratch.walk.frames.left, len as u32);
    put!(scratch.walk.frames.keep, len as u32);
    true
}

/// Takes in a head that is complete with `head_bytes` more. They are passed and kept with the payload. False if it can hardly
/// be a head.
#[inline(always)]
fn understood(scratch: *mut Scratch, head_bytes: u32) -> bool {
    let [a, b, c, kind, flags, stream, ..] = forget!((*scratch).walk.frames.head);
    let len = u32::from_be_bytes([0, a, b, c]);
    if forget!((*scratch).walk.frames.lost) != 0 {
        // The default of SETTINGS_MAX_FRAME_SIZE, defined flags, a stream's number: other bytes rarely look like that.
        if len > 1 << 14 || kind > DEFINED_MAX || flags & !0x2d != 0 || stream & 0x80 != 0 {
            return false;
        }
        put!(scratch.walk.frames.lost, 0);
    } else if kind > TYPE_MAX {
        return false;
    }
    let kept = if kind == DATA && len > FRAME_WHOLE_BYTES { FRAME_DATA_BYTES } else { len };
    put!(scratch.walk.frames.seen, 0);
    put!(scratch.walk.frames.left, len + head_bytes);
    put!(scratch.walk.frames.keep, kept + head_bytes);
    true
}

/// Keeps what is wanted next and lies in the segment: as part of the last piece where it continues that, else as a new one.
/// False if there is no room for it, or it cannot be read.
#[inline(always)]
fn keep_some(scratch: *mut Scratch) -> bool {
    let offset = forget!((*scratch).walk.offset);
    let len = within_budget(scratch, offset);
    let pieces = u64::from(forget!((*scratch).data.pieces));
    // While its head is not complete, it is not known.
    let data = forget!((*scratch).walk.frames.seen) == 0 && forget!((*scratch).walk.frames.head[3]) == DATA;
    let new = pieces == 0 || forget!((*scratch).walk.piece_end) != offset;
    if new && pieces >= u64::from(if data { DATA_PIECES_MAX } else { PIECES_MAX }) {
        return false;
    }
    let address = forget!((*scratch).walk.base).wrapping_add(offset);
    if len == 0 {
        return false;
    }
    if !copy(scratch, address, len) {
        fault(scratch);
        return false;
    }
    let index = black_box(if new { pieces } else { pieces.wrapping_sub(1) });
    if index >= u64::from(PIECES_MAX) {
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
    put!(scratch.data.pieces, index as u32 + 1);
    put!(scratch.walk.piece_end, offset + len);
    put!(scratch.walk.offset, offset + len);
    put!(scratch.walk.frames.left, forget!((*scratch).walk.frames.left).wrapping_sub(len as u32));
    put!(scratch.walk.frames.keep, forget!((*scratch).walk.frames.keep).wrapping_sub(len as u32));
    true
}

/// How many of the wanted bytes lie in the segment, and may be kept: heads also where payload may not.
#[inline(always)]
fn within_budget(scratch: *const Scratch, offset: u64) -> u64 {
    let at = copied(scratch);
    let limit = u64::from(option(option::HEAD_BYTES));
    let payload = (if limit < PAYLOAD_BYTES { limit } else { PAYLOAD_BYTES }).saturating_sub(at);
    let head = forget!((*scratch).walk.head_bytes);
    let budget = if payload < head { head } else { payload };
    let budget = if at + budget > u64::from(HEAD_BYTES_MAX) { 0 } else { budget };
    let wanted = u64::from(forget!((*scratch).walk.frames.keep));
    let room = forget!((*scratch).walk.segment_end).wrapping_sub(offset);
    let len = if wanted < room { wanted } else { room };
    if len < budget { len } else { budget }
}
