//! Copying payload: a call's first bytes and its last ones, gathered from up to eight segments, and whatever the walk over
//! frames points at.
//!
//! What the loops work with lies in the per-CPU map, not in registers: the verifier forgets what it knew of a value that
//! went through a map, so all the ways that lead to a loop look the same to it, and it follows only one of them.

use core::hint::black_box;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use redtape_abi::limits::{EDGE_BYTES_MAX, HEAD_BYTES_MAX, PIECES_MAX, SEGMENTS_MAX};
use redtape_abi::{Data, counter, data_flags};

use crate::emit::count;
use crate::frames::Walk;
use crate::kernel::user;

pub(crate) const CAPTURED_MAX: u32 = HEAD_BYTES_MAX + EDGE_BYTES_MAX;

/// A data record in the making. The verifier adds up the largest offset and the largest copy, hence the margin.
#[repr(C)]
pub(crate) struct Scratch {
    pub data: Data,
    pub payload: [u8; CAPTURED_MAX as usize],
    margin: [u8; HEAD_BYTES_MAX as usize],
    pub moved: Moved,
    pub walk: Walk,
    pub messages: Messages,
    /// The address of the socket's `struct sock`, for the program that goes on with the call.
    pub socket: u64,
    /// How many bytes of the call's start, or of its end, are wanted.
    pub wanted: u64,
    /// How many bytes of payload belong to the record, without the table of the pieces.
    pub captured: u32,
    pub reserved: u32,
    /// Bytes copied so far.
    at: u64,
    /// Bytes passed so far on the way to the tail.
    passed: u64,
}

/// What a call moved, as its arguments tell it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Moved {
    /// Where the bytes are in user memory: themselves, or an array of `struct iovec`. 0 if they never were there.
    pub address: u64,
    /// Segments of the iovec; 0 if `address` is that of the bytes.
    pub segments: u64,
    /// How many bytes were moved.
    pub len: u64,
    /// How many of them lie there, from the first on: all, but of several messages only those of the first.
    pub within: u64,
    /// `MSG_` flags of the call.
    pub flags: u64,
    pub fd: u32,
    pub out: bool,
    /// One of [`redtape_abi::call`].
    pub source: u8,
    pub reserved: u16,
}

/// What adds up the messages of a call that moves several.
#[repr(C)]
pub(crate) struct Messages {
    /// How many were moved.
    pub moved: u64,
    /// How many bytes those make that were looked at, and the first of them.
    pub len: u64,
    pub first: u64,
    /// 1: not all could be looked at.
    pub unread: u64,
}

/// A field of the scratch map, forgotten by the verifier.
macro_rules! forget {
    ($($place:tt)+) => {
        unsafe { (&raw const $($place)+).read_volatile() }
    };
}
pub(crate) use forget;

/// Writes a field of the scratch map.
macro_rules! put {
    ($scratch:ident.$($place:tt).+, $value:expr) => {{
        let value = $value;
        unsafe { (&raw mut (*$scratch).$($place).+).write_volatile(value) }
    }};
}
pub(crate) use put;

/// Address and length of segment `n`, the length cut to `left`.
#[inline(always)]
pub(crate) fn segment(scratch: *const Scratch, n: u64, left: u64) -> Option<(u64, u64)> {
    let (address, segments) = (forget!((*scratch).moved.address), forget!((*scratch).moved.segments));
    if segments == 0 {
        return (n == 0).then_some((address, left));
    }
    if n >= segments {
        return None;
    }
    let [base, len]: [u64; 2] = user(address.wrapping_add(n * 16))?;
    Some((base, if len < left { len } else { left }))
}

/// Nothing is copied so far.
#[inline(always)]
pub(crate) fn restart(scratch: *mut Scratch) {
    cut(scratch, 0);
}

/// Only the first `len` of the bytes copied so far count.
#[inline(always)]
pub(crate) fn cut(scratch: *mut Scratch, len: u32) {
    put!(scratch.at, u64::from(len));
}

/// How many bytes were copied so far.
#[inline(always)]
pub(crate) fn copied(scratch: *const Scratch) -> u64 {
    forget!((*scratch).at)
}

/// Copies the call's first `want` bytes (at most [`HEAD_BYTES_MAX`]). Returns how many it got.
#[inline(always)]
pub(crate) fn copy_prefix(scratch: *mut Scratch, want: u64) -> u32 {
    for n in 0..u64::from(SEGMENTS_MAX) {
        let at = forget!((*scratch).at);
        if at >= want {
            break;
        }
        let Some((base, len)) = segment(scratch, n, want - at) else { break };
        if !copy(scratch, base, len) {
            break;
        }
    }
    forget!((*scratch).at) as u32
}

/// Copies the call's last `want` bytes (at most [`EDGE_BYTES_MAX`]) behind what was copied before. All or nothing.
#[inline(always)]
pub(crate) fn copy_tail(scratch: *mut Scratch, want: u64) -> bool {
    let before = forget!((*scratch).at);
    let len = forget!((*scratch).moved.len);
    let skip = len.wrapping_sub(want);
    put!(scratch.passed, 0);
    for n in 0..u64::from(SEGMENTS_MAX) {
        let passed = forget!((*scratch).passed);
        if passed >= len {
            break;
        }
        let Some((base, length)) = segment(scratch, n, len - passed) else { break };
        let end = passed + length;
        if end > skip {
            let from = skip.saturating_sub(passed);
            if !copy(scratch, base.wrapping_add(from), length - from) {
                return false;
            }
        }
        put!(scratch.passed, end);
    }
    forget!((*scratch).passed) == len && forget!((*scratch).at) == before + want
}

/// Copies `len` bytes of user memory behind what was copied before.
#[inline(always)]
pub(crate) fn copy(scratch: *mut Scratch, from: u64, len: u64) -> bool {
    let bytes = black_box(len);
    if bytes > u64::from(HEAD_BYTES_MAX) {
        return false;
    }
    // Not needed beyond the copy, or LLVM would save it before it is compared, and old kernels forget what is saved.
    let at = black_box(forget!((*scratch).at));
    if at > u64::from(CAPTURED_MAX) {
        return false;
    }
    let copied = unsafe {
        let to = (&raw mut (*scratch).payload).cast::<u8>().add(at as usize);
        bpf_probe_read_user(to.cast(), bytes as u32, from as *const _)
    };
    // What could not be copied was filled with zeros, which are no payload.
    if copied != 0 {
        return false;
    }
    let at = forget!((*scratch).at) + len;
    put!(scratch.at, at);
    true
}

/// Notes that payload could not be copied, once for a call.
#[inline(always)]
pub(crate) fn fault(scratch: *mut Scratch) {
    let flags = forget!((*scratch).data.flags);
    if flags & data_flags::FAULT == 0 {
        put!(scratch.data.flags, flags | data_flags::FAULT);
        count(counter::FAULT);
    }
}

/// Puts the table of the walk's pieces behind the payload of the record.
#[inline(always)]
pub(crate) fn append_table(scratch: *mut Scratch) {
    let bytes = black_box(8 * forget!((*scratch).data.pieces));
    if bytes == 0 || bytes > 8 * PIECES_MAX {
        return;
    }
    let at = black_box(forget!((*scratch).captured));
    if at > CAPTURED_MAX {
        return;
    }
    unsafe {
        let to = (&raw mut (*scratch).payload).cast::<u8>().add(at as usize);
        bpf_probe_read_kernel(to.cast(), bytes, (&raw const (*scratch).walk.table).cast());
    }
}
