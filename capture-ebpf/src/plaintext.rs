//! Plaintext that a function of a TLS library moved: its position, and the record of it, which keeps of the payload what a record of
//! a system call keeps.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::uprobe;
use aya_ebpf::programs::ProbeContext;
use redtape_abi::{Data, counter, data_flags, kind, lane};

use crate::emit::{self, count, now};
use crate::keep::{has_frames, keep, keep_frames, send};
use crate::kernel::{current, thread_key};
use crate::maps::{AFTER_RETURN, THREADS, TLS_FREE, TLS_MOVED, TLS_OBJECTS, TLS_SCRATCH};
use crate::payload::{Moved, Scratch, put};
use crate::tls::{Object, Place, Running};

/// A call that moved plaintext.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Plaintext {
    /// The TLS object.
    place: Place,
    /// Where the plaintext is, and how much.
    buffer: u64,
    len: u64,
    /// The position of its first byte.
    pos: u64,
    entered: u64,
    left: u64,
    /// 1: it was sent.
    out: u64,
}

/// Plaintext was moved: takes its position, and goes on with `tls_keep`.
#[inline(always)]
pub(crate) fn moved(ctx: &impl EbpfContext, place: Place, object: &mut Object, call: &Running, len: u64, out: bool) {
    let pos = if out { object.out_pos } else { object.in_pos };
    if out {
        object.out_pos = pos.wrapping_add(len);
    } else {
        object.in_pos = pos.wrapping_add(len);
    }
    let (buffer, entered, left, out) = (call.buffer, call.entered, now(), u64::from(out));
    let moved = Plaintext { place, buffer, len, pos, entered, left, out };
    if TLS_MOVED.insert(thread_key(), moved, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
        return;
    }
    unsafe { AFTER_RETURN.tail_call(ctx, 0) };
}

/// The end of the programs on the return of a function that moved plaintext.
#[uprobe]
pub fn tls_keep(_ctx: ProbeContext) -> u32 {
    let (tgid, tid) = current();
    let Some(moved) = TLS_MOVED.get_ptr(thread_key()) else { return 0 };
    let moved = unsafe { *moved };
    let _gone = TLS_MOVED.remove(thread_key());
    let Some(object) = TLS_OBJECTS.get_ptr_mut(moved.place) else { return 0 };
    // None is free if dozens of threads were preempted right here.
    let Ok(Some(number)) = TLS_FREE.pop() else {
        let _number_is_lost = emit::header(kind::TLS_DATA, lane::TLS, moved.left);
        emit::ring_full(lane::TLS);
        return 0;
    };
    if let Some(scratch) = TLS_SCRATCH.get_ptr_mut(number) {
        let object = unsafe { &mut *object };
        begin(scratch, &moved, object, tgid, tid);
        if has_frames(scratch, &mut object.talk) {
            keep_frames(scratch, &mut object.talk);
        } else {
            keep(scratch, &mut object.talk);
        }
        // Numbered last, so that few come in another order than that of their numbers: this program can be preempted.
        put!(scratch.data.header, emit::header(kind::TLS_DATA, lane::TLS, moved.left));
        send(scratch, lane::TLS);
    }
    let _there_is_room = TLS_FREE.push(number, 0);
    0
}

/// Begins the record.
#[inline(always)]
fn begin(scratch: *mut Scratch, moved: &Plaintext, object: &Object, tgid: u32, tid: u32) {
    let loop_turn = THREADS.get_ptr(thread_key()).map_or(0, |thread| unsafe { (*thread).loop_turn });
    let source = 12 + 2 * object.library + moved.out as u8;
    unsafe {
        (*scratch).moved = Moved {
            address: moved.buffer,
            segments: 0,
            len: moved.len,
            // SSL_sendfile has no buffer, nor has gnutls_record_send when it is called again for what it has taken.
            within: if moved.buffer == 0 { 0 } else { moved.len },
            flags: 0,
            fd: 0,
            out: moved.out != 0,
            source,
            reserved: 0,
        };
        (*scratch).captured = 0;
        (*scratch).data = Data {
            header: redtape_abi::Header { kind: kind::TLS_DATA, lane: lane::TLS, cpu: 0, reserved: 0, seq: 0, time: 0 },
            cookie: object.id,
            entry: moved.entered,
            pos: moved.pos,
            len: moved.len,
            tgid,
            tid,
            loop_turn,
            fd: -1,
            prefix_len: 0,
            tail_len: 0,
            source,
            out: moved.out as u8,
            flags: if object.nonblocking != 0 { data_flags::NONBLOCKING } else { 0 },
            pieces: 0,
            carrier: object.carrier,
            library: object.library,
            rule: object.rule,
            joined: object.joined,
            reserved: 0,
            reserved_too: 0,
        };
    }
}
