//! Calls that moved bytes: which socket, which way, at which position, and what of the payload is kept.

use core::hint::black_box;

use redtape_abi::limits::{MESSAGES_MAX, SEGMENTS_MAX, TLS_HEAD_BYTES};
use redtape_abi::{Data, call, counter, data_flags, kind, lane, layout as index, option};

use crate::calls::Call;
use crate::control::O_NONBLOCK;
use crate::emit::{self, count};
use crate::kernel::{field, user};
use crate::maps::{SCRATCH, option};
use crate::payload::{CAPTURED_MAX, Moved, Scratch, copy_prefix, copy_tail, forget};
use crate::socket::{POSITIONS, Sock, Use, introduce, known_or_adopted, read_to};
use crate::walk::{Walked, socket_of};

const MSG_OOB: u64 = 0x1;
const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_DONTWAIT: u64 = 0x40;
const MSG_ERRQUEUE: u64 = 0x2000;

/// Offsets in the user's `struct msghdr`, and the size of `struct mmsghdr`, whose length follows the header.
const MSG_IOV: u64 = 16;
const MSG_LEN: u64 = 56;
const MMSG_BYTES: u64 = 64;

/// A data call returned without an error.
#[inline(always)]
pub(crate) fn moved(call: &Call) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let Some((moved, walked)) = resolve(call) else { return };
    if moved.flags & (MSG_OOB | MSG_ERRQUEUE) != 0 {
        return;
    }
    unsafe { (&raw mut (*scratch).moved).write_volatile(moved) };
    let len = forget!((*scratch).moved.len);
    if len == 0 && !asked_for_bytes(scratch) {
        return;
    }
    let by = if forget!((*scratch).moved.out) {
        Use::Written(len)
    } else if forget!((*scratch).moved.flags) & MSG_PEEK != 0 {
        Use::Read(0)
    } else {
        Use::Read(len)
    };
    let Some(sock) = known_or_adopted(walked.sk, call.tgid, by) else { return };
    introduce(walked.sk, sock, lane::CALL);
    record(call, scratch, &walked, sock);
}

/// The call's socket, direction and bytes. None if it moved none, or not on a socket.
#[inline(always)]
fn resolve(call: &Call) -> Option<(Moved, Walked)> {
    if matches!(call.number, call::SENDFILE | call::SPLICE) {
        return resolve_kernel_copy(call);
    }
    let out = matches!(call.number, call::WRITE | call::WRITEV | call::SENDTO | call::SENDMSG | call::SENDMMSG);
    let plain = matches!(call.number, call::READ | call::RECVFROM);
    // A read of nothing into nothing is not the end of the stream (see `asked_for_bytes`). recvmmsg tells it by a message.
    if call.ret == 0 && (out || call.number == call::RECVMMSG || (plain && call.arg(2) == 0)) {
        return None;
    }
    let fd = call.arg(0) as u32;
    let walked = socket_of(fd)?;
    let len = call.ret.cast_unsigned();
    let address = call.arg(1);
    let (flags, (address, segments), (len, within)) = match call.number {
        call::READ | call::WRITE => (0, (address, 0), (len, len)),
        call::RECVFROM | call::SENDTO => (call.arg(3), (address, 0), (len, len)),
        call::READV | call::WRITEV => (0, (address, call.arg(2)), (len, len)),
        call::RECVMSG | call::SENDMSG => (call.arg(2), message(address), (len, len)),
        _ => (call.arg(3), message(address), messages(address, len)),
    };
    Some((Moved { address, segments, len, within, flags, fd, out, source: call.number, reserved: 0 }, walked))
}

/// sendfile and splice: the socket may be on either side.
#[inline(always)]
fn resolve_kernel_copy(call: &Call) -> Option<(Moved, Walked)> {
    if call.ret == 0 {
        return None;
    }
    let (to, from) = match call.number {
        call::SENDFILE => (call.arg(0) as u32, call.arg(1) as u32),
        _ => (call.arg(2) as u32, call.arg(0) as u32),
    };
    let (fd, out, walked) = match socket_of(to) {
        Some(walked) => (to, true, walked),
        None => (from, false, socket_of(from)?),
    };
    let len = call.ret.cast_unsigned();
    Some((
        Moved { address: 0, segments: 0, len, within: 0, flags: 0, fd, out, source: call.number, reserved: 0 },
        walked,
    ))
}

/// Whether a read had room for bytes: only then is one that returned none the end of the stream. Where the segments are too
/// many to look at, they are taken to have room; where they cannot be read, not: that a stream ended is told in other ways.
#[inline(always)]
fn asked_for_bytes(scratch: *const Scratch) -> bool {
    if matches!(forget!((*scratch).moved.source), call::READ | call::RECVFROM) {
        return true;
    }
    let (address, segments) = (forget!((*scratch).moved.address), forget!((*scratch).moved.segments));
    for n in 0..u64::from(SEGMENTS_MAX) {
        if n >= segments {
            return false;
        }
        match user::<u64>(address.wrapping_add(n * 16 + 8)) {
            Some(0) => {}
            Some(_) => return true,
            None => return false,
        }
    }
    true
}

/// Address and number of the segments of a `struct msghdr`.
#[inline(always)]
fn message(header: u64) -> (u64, u64) {
    match user::<[u64; 2]>(header.wrapping_add(MSG_IOV)) {
        Some([address, segments]) => (address, segments),
        None => {
            count(counter::BAD_ARGUMENT);
            (0, 0)
        }
    }
}

/// How many bytes an array of `struct mmsghdr` moved, and how many its first message did: payload is only taken from
/// that one. Where not all lengths can be summed, the position is that of the last bytes, which are not the first
/// message's.
#[inline(always)]
fn messages(headers: u64, moved: u64) -> (u64, u64) {
    let mut len = 0_u64;
    let mut first = 0;
    let mut whole = moved <= u64::from(MESSAGES_MAX);
    for n in 0..u64::from(MESSAGES_MAX) {
        if n >= moved {
            break;
        }
        match user::<u32>(headers.wrapping_add(n * MMSG_BYTES).wrapping_add(MSG_LEN)) {
            Some(bytes) => len += u64::from(bytes),
            None => whole = false,
        }
        if n == 0 {
            first = len;
        }
    }
    if !whole {
        count(counter::BAD_ARGUMENT);
        first = 0;
    }
    (len, first)
}

#[inline(always)]
fn record(call: &Call, scratch: *mut Scratch, walked: &Walked, sock: &mut Sock) {
    let (len, out) = (forget!((*scratch).moved.len), forget!((*scratch).moved.out));
    let msg_flags = forget!((*scratch).moved.flags);
    let peek = msg_flags & MSG_PEEK != 0;
    let pos = position(sock, walked.sk, out, len, peek);
    let (prefix_len, tail_len, mut flags) = copy_payload(scratch, sock, out, pos, len);
    if !peek {
        turn(sock, out, len);
    }
    if msg_flags & MSG_DONTWAIT != 0 || walked.file_flags & O_NONBLOCK != 0 {
        flags |= data_flags::NONBLOCKING;
    }
    if peek {
        flags |= data_flags::PEEK;
    }
    if sock.known & POSITIONS == 0 {
        flags |= data_flags::POS_GUESSED;
    }
    let (fd, source) = (forget!((*scratch).moved.fd), forget!((*scratch).moved.source));
    unsafe {
        (*scratch).data = Data {
            header: emit::header(kind::DATA, lane::CALL, call.exit),
            cookie: sock.key,
            entry: call.entry,
            pos,
            len,
            tgid: call.tgid,
            tid: call.tid,
            loop_turn: call.loop_turn,
            fd: fd.cast_signed(),
            prefix_len,
            tail_len,
            source,
            out: u8::from(out),
            flags,
            reserved: 0,
        };
    }
    send(scratch, prefix_len, tail_len);
}

/// Copies what is kept of the payload. Returns the bytes of its start and of its end, and flags.
#[inline(always)]
fn copy_payload(scratch: *mut Scratch, sock: &mut Sock, out: bool, pos: u64, len: u64) -> (u32, u32, u16) {
    // MSG_TRUNC discards the bytes instead of copying them (tcp(7)); bytes that were peeked at come again.
    let msg_flags = forget!((*scratch).moved.flags);
    if len == 0 || forget!((*scratch).moved.address) == 0 || msg_flags & (MSG_PEEK | MSG_TRUNC) != 0 {
        return (0, 0, 0);
    }
    let within = forget!((*scratch).moved.within);
    unsafe { (&raw mut (*scratch).wanted).write_volatile(wanted(sock, out, len, within)) };
    let [prefix, tail] = forget!((*scratch).wanted);
    let prefix_len = copy_prefix(scratch, prefix);
    let mut flags = 0;
    if u64::from(prefix_len) < prefix && forget!((*scratch).moved.segments) <= u64::from(SEGMENTS_MAX) {
        flags = data_flags::FAULT;
        count(counter::FAULT);
    }
    if pos == 0 && prefix_len >= 2 && begins_tls(scratch) {
        *tls_of(sock, out) = 1;
        return (if prefix_len > TLS_HEAD_BYTES { TLS_HEAD_BYTES } else { prefix_len }, 0, flags);
    }
    if tail > 0 && copy_tail(scratch, tail) { (prefix_len, tail as u32, flags) } else { (prefix_len, 0, flags) }
}

/// The position of the call's first byte, by the socket's own sequence numbers, which the call has advanced.
#[inline(always)]
fn position(sock: &mut Sock, sk: u64, out: bool, len: u64, peek: bool) -> u64 {
    // Before the handshake is completed, only TCP Fast Open moves bytes: the first ones, once.
    if sock.known & POSITIONS == 0 {
        return 0;
    }
    if out {
        let end = sock.out_position(field(sk, index::TCP_WRITE_SEQ));
        sock.out_pos = end;
        return end.wrapping_sub(len);
    }
    let end = sock.in_position(read_to(sk));
    sock.in_pos = end;
    if peek { end } else { end.wrapping_sub(len) }
}

/// How many bytes to keep of the call's start and of its end: the rest of the head, else short edges. Only the first
/// `within` of the call's bytes can be had.
#[inline(always)]
fn wanted(sock: &mut Sock, out: bool, len: u64, within: u64) -> [u64; 2] {
    if *tls_of(sock, out) != 0 {
        return [if within < u64::from(TLS_HEAD_BYTES) { within } else { u64::from(TLS_HEAD_BYTES) }, 0];
    }
    let run = if sock.last_out == u8::from(out) { sock.run } else { 0 };
    let head = u64::from(option(option::HEAD_BYTES)).saturating_sub(run);
    let edge = u64::from(option(option::PREFIX_BYTES));
    let keep = if head > edge { head } else { edge };
    let prefix = if within < keep { within } else { keep };
    if within < len {
        return [prefix, 0];
    }
    let rest = len - prefix;
    let tail = u64::from(option(option::TAIL_BYTES));
    [prefix, if rest < tail { rest } else { tail }]
}

/// Whether the direction is TLS.
#[inline(always)]
fn tls_of(sock: &mut Sock, out: bool) -> &mut u8 {
    let [received, sent] = &mut sock.tls;
    if out { sent } else { received }
}

/// Counts the bytes of a direction since it last turned.
#[inline(always)]
fn turn(sock: &mut Sock, out: bool, len: u64) {
    if sock.last_out != u8::from(out) {
        sock.last_out = u8::from(out);
        sock.run = 0;
    }
    sock.run = sock.run.wrapping_add(len);
}

/// A TLS handshake record (RFC 8446, section 5.1): type 22, version 3.x.
#[inline(always)]
fn begins_tls(scratch: *const Scratch) -> bool {
    unsafe { (*scratch).payload[0] == 0x16 && (*scratch).payload[1] == 0x03 }
}

#[inline(always)]
fn send(scratch: *const Scratch, prefix_len: u32, tail_len: u32) {
    let captured = black_box(prefix_len + tail_len);
    if captured > CAPTURED_MAX {
        return;
    }
    emit::send_bytes(lane::CALL, scratch.cast(), size_of::<Data>() as u64 + u64::from(captured));
}
