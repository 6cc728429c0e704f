//! accept, connect, shutdown and close.

use redtape_abi::{Control, data_flags, kind, lane};

use crate::calls::Call;
use crate::emit;
use crate::maps::LISTENERS;
use crate::socket::{Sock, Use, introduce, known, known_or_adopted, listener_key, note_listener};
use crate::walk::{Walked, socket_of};

pub(crate) const O_NONBLOCK: u32 = 0o4000;

/// accept or accept4 returned a descriptor.
#[inline(always)]
pub(crate) fn accepted(call: &Call) {
    let fd = call.ret as u32;
    let Some(walked) = socket_of(fd) else { return };
    let Some(sock) = known_or_adopted(walked.sk, call.tgid, Use::Accepted) else { return };
    sock.tgid = call.tgid;
    let listener = listener_key(walked.sk);
    if LISTENERS.get_ptr(listener).is_none() {
        note_listener(listener);
    }
    introduce(walked.sk, sock, lane::CALL);
    send(kind::ACCEPT, call, &walked, sock, fd, 0);
}

/// connect returned, with success or not.
#[inline(always)]
pub(crate) fn connected(call: &Call) {
    let fd = call.arg(0) as u32;
    let Some(walked) = socket_of(fd) else { return };
    let Some(sock) = known(walked.sk) else { return };
    introduce(walked.sk, sock, lane::CALL);
    send(kind::CONNECT, call, &walked, sock, fd, call.ret.unsigned_abs() as u16);
}

/// shutdown succeeded.
#[inline(always)]
pub(crate) fn shut(call: &Call) {
    let fd = call.arg(0) as u32;
    let Some(walked) = socket_of(fd) else { return };
    let Some(sock) = known(walked.sk) else { return };
    introduce(walked.sk, sock, lane::CALL);
    send(kind::SHUTDOWN, call, &walked, sock, fd, call.arg(1) as u16);
}

/// close was entered. Only a hint: other descriptors may keep the socket open.
#[inline(always)]
pub(crate) fn closing(call: &Call) {
    let fd = call.arg(0) as u32;
    let Some(walked) = socket_of(fd) else { return };
    let Some(sock) = known(walked.sk) else { return };
    introduce(walked.sk, sock, lane::CALL);
    send(kind::FD_CLOSE, call, &walked, sock, fd, 0);
}

#[inline(always)]
fn send(kind: u8, call: &Call, walked: &Walked, sock: &Sock, fd: u32, detail: u16) {
    let header = emit::header(kind, lane::CALL, call.exit);
    emit::send::<Control>(lane::CALL, header, |entry| {
        entry.write(Control {
            header,
            cookie: sock.key,
            entry: call.entry,
            tgid: call.tgid,
            tid: call.tid,
            loop_turn: call.loop_turn,
            fd: fd.cast_signed(),
            detail,
            flags: if walked.file_flags & O_NONBLOCK != 0 { data_flags::NONBLOCKING } else { 0 },
            reserved: 0,
        });
    });
}
