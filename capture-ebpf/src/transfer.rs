//! Calls that moved bytes: which socket, which way, and at which position.

use core::hint::black_box;

use aya_ebpf::EbpfContext;
use redtape_abi::limits::{MESSAGES_MAX, SEGMENTS_MAX};
use redtape_abi::{Data, after, call, counter, data_flags, kind, lane, layout as index, option};

use crate::calls::Call;
use crate::control::O_NONBLOCK;
use crate::emit::{self, count};
use crate::go_tls;
use crate::keep::{has_frames, keep, keep_frames, send};
use crate::kernel::{field, user};
use crate::maps::{AFTER_SYS_EXIT, SCRATCH, SOCKETS, option};
use crate::payload::{Moved, Scratch, forget, put};
use crate::socket::{POSITIONS, Sock, Use, introduce, known_or_adopted, read_to};
use crate::tls::{self, SocketCall};
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
pub(crate) fn moved(ctx: &impl EbpfContext, call: &Call) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let Some((mut moved, walked)) = resolve(call, scratch) else { return };
    if moved.flags & (MSG_OOB | MSG_ERRQUEUE) != 0 {
        return;
    }
    // It discards the bytes instead of copying them (tcp(7)).
    if moved.flags & MSG_TRUNC != 0 {
        moved.within = 0;
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
    // Bytes that were peeked at come again.
    if forget!((*scratch).moved.flags) & MSG_PEEK == 0 {
        put!(scratch.socket, walked.sk);
        if has_frames(scratch, &mut sock.talk) {
            unsafe { AFTER_SYS_EXIT.tail_call(ctx, after::FRAMES) };
        }
        keep(scratch, &mut sock.talk);
        send(scratch, lane::CALL);
        if option(option::TLS) != 0 {
            unsafe { AFTER_SYS_EXIT.tail_call(ctx, after::TLS) };
        }
        return;
    }
    send(scratch, lane::CALL);
}

/// What is left to do for a call that moved HTTP/2 frames.
#[inline(always)]
pub(crate) fn moved_frames() {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let Some(sock) = SOCKETS.get_ptr_mut(forget!((*scratch).socket)) else { return };
    keep_frames(scratch, unsafe { &mut (*sock).talk });
    send(scratch, lane::CALL);
}

/// The call's socket, direction and bytes. None if it moved none, or not on a socket.
#[inline(always)]
fn resolve(call: &Call, scratch: *mut Scratch) -> Option<(Moved, Walked)> {
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
        _ => (call.arg(3), message(address), messages(scratch, address, len)),
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
fn messages(scratch: *mut Scratch, headers: u64, moved: u64) -> (u64, u64) {
    put!(scratch.messages.moved, moved);
    put!(scratch.messages.len, 0);
    put!(scratch.messages.first, 0);
    put!(scratch.messages.unread, u64::from(moved > u64::from(MESSAGES_MAX)));
    for n in 0..u64::from(MESSAGES_MAX) {
        if n >= forget!((*scratch).messages.moved) {
            break;
        }
        match user::<u32>(headers.wrapping_add(n * MMSG_BYTES).wrapping_add(MSG_LEN)) {
            Some(bytes) => put!(scratch.messages.len, forget!((*scratch).messages.len).wrapping_add(bytes.into())),
            None => put!(scratch.messages.unread, 1),
        }
        if n == 0 {
            put!(scratch.messages.first, forget!((*scratch).messages.len));
        }
    }
    if forget!((*scratch).messages.unread) != 0 {
        count(counter::BAD_ARGUMENT);
        put!(scratch.messages.first, 0);
    }
    (forget!((*scratch).messages.len), forget!((*scratch).messages.first))
}

/// Begins the record of the call.
#[inline(always)]
fn record(call: &Call, scratch: *mut Scratch, walked: &Walked, sock: &mut Sock) {
    let (len, out) = (forget!((*scratch).moved.len), forget!((*scratch).moved.out));
    let msg_flags = forget!((*scratch).moved.flags);
    let peek = msg_flags & MSG_PEEK != 0;
    let pos = position(sock, walked.sk, out, len, peek);
    let mut flags = 0;
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
            prefix_len: 0,
            tail_len: 0,
            source,
            out: u8::from(out),
            flags,
            pieces: 0,
            carrier: 0,
            library: 0,
            rule: 0,
            joined: 0,
            reserved: 0,
            reserved_too: 0,
        };
    }
    put!(scratch.captured, 0);
}

/// Tells the TLS programs of a call whose record was sent; `regs` are the call's.
#[inline(always)]
pub(crate) fn moved_records(regs: u64) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    let Some(sock) = SOCKETS.get_ptr_mut(forget!((*scratch).socket)) else { return };
    let out = forget!((*scratch).moved.out);
    let socket = SocketCall {
        key: forget!((*scratch).data.cookie),
        len: forget!((*scratch).data.len),
        tgid: forget!((*scratch).data.tgid),
        payload: unsafe { (&raw const (*scratch).payload).cast() },
        captured: forget!((*scratch).data.prefix_len),
        out,
        nonblocking: forget!((*scratch).data.flags) & data_flags::NONBLOCKING != 0,
        tls: *unsafe { &mut (*sock).talk }.tls_of(out) != 0,
    };
    go_tls::socket_moved(black_box(regs), &socket);
    tls::socket_moved(&socket);
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
