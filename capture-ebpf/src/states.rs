//! The life of sockets: connecting, established, errors, gone.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use redtape_abi::{Listen, Socket, kind, lane, layout as index, option, role};

use crate::emit::{self, now};
use crate::kernel::{current, field, is_followed};
use crate::maps::{LISTENERS, SOCKETS, option};
use crate::socket::{
    TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT, begin, begin_client, blank, insert, introduce,
    is_tcp, key_of, known, listener_key, netns, note_listener, own_key,
};

/// `inet_sock_set_state(sk, old, new)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let typed: *const u8 = ctx.arg(0);
    let sk = core::hint::black_box(typed as u64);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    if !is_tcp(sk) {
        return 0;
    }
    match (old as u8, new as u8) {
        (_, TCP_SYN_SENT) => connecting(typed, sk),
        (TCP_SYN_SENT, TCP_ESTABLISHED) => established(sk),
        (TCP_SYN_RECV, TCP_ESTABLISHED) => accepted(typed, sk),
        (_, TCP_LISTEN) => listening(sk),
        (TCP_LISTEN, TCP_CLOSE) => no_longer_listening(sk),
        (_, TCP_CLOSE) => failed(sk),
        _ => {}
    }
    0
}

/// `tcp_destroy_sock(sk)`: the socket is gone. TCP reaching CLOSE is not enough: after a half-close the program may read
/// on from a socket that is in CLOSE already.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    let typed: *const u8 = ctx.arg(0);
    let sk = core::hint::black_box(typed as u64);
    if let Some(sock) = known(sk) {
        introduce(sk, sock, lane::STATE);
        report(kind::CLOSED, sock.key, 0);
        let _gone = SOCKETS.remove(sk);
    }
    0
}

/// connect(2), in the caller's context: the ports are not chosen yet.
#[inline(always)]
fn connecting(typed: *const u8, sk: u64) {
    let (tgid, _) = current();
    if !is_followed(tgid) {
        return;
    }
    let mut key = key_of(typed);
    if let Some(before) = known(sk) {
        if before.established == 0 {
            return;
        }
        // It was connected, disconnected (connect to AF_UNSPEC), and connects anew, with the same cookie.
        report(kind::CLOSED, before.key, 0);
        key = own_key();
    }
    let mut sock = blank(key, tgid);
    sock.role = role::CLIENT;
    insert(sk, &sock);
}

/// A followed client's handshake is completed.
#[inline(always)]
fn established(sk: u64) {
    let Some(sock) = known(sk) else { return };
    begin_client(sk, sock);
    sock.established = now();
    sock.introduced = 0;
    introduce(sk, sock, lane::STATE);
}

/// A handshake is completed on the listening side, in whatever context: followed if the listener is.
#[inline(always)]
fn accepted(typed: *const u8, sk: u64) {
    if option(option::FOLLOW_ALL) == 0 && LISTENERS.get_ptr(listener_key(sk)).is_none() {
        return;
    }
    if let Some(sock) = known(sk) {
        // With TCP Fast Open it may be accepted, read and answered before the handshake is completed.
        sock.established = now();
        sock.introduced = 0;
        introduce(sk, sock, lane::STATE);
        return;
    }
    let mut sock = blank(key_of(typed), 0);
    sock.role = role::SERVER;
    sock.established = now();
    begin(sk, &mut sock);
    if let Some(sock) = insert(sk, &sock) {
        introduce(sk, sock, lane::STATE);
    }
}

/// listen(2), in the caller's context. Not bound yet means that the first accept has to tell the port.
#[inline(always)]
fn listening(sk: u64) {
    let (tgid, _) = current();
    let followed = is_followed(tgid);
    if !followed && (option(option::LISTEN_ALL) == 0 || tgid == 0) {
        return;
    }
    let port: u16 = field(sk, index::SK_LOCAL_PORT);
    if followed && port != 0 {
        note_listener(listener_key(sk));
    }
    // The recorder may have to choose the process now: its first connection can come at any moment.
    let header = emit::header(kind::LISTEN, lane::STATE, now());
    emit::send_at_once::<Listen>(lane::STATE, header, |entry| {
        entry.write(Listen { header, tgid, netns: netns(sk), followed: u32::from(followed), port, reserved: 0 });
    });
}

/// A listener was closed; others may share its port.
#[inline(always)]
fn no_longer_listening(sk: u64) {
    let key = listener_key(sk);
    let Some(listeners) = LISTENERS.get_ptr_mut(key) else { return };
    let left = unsafe { (*listeners).saturating_sub(1) };
    unsafe { *listeners = left };
    if left == 0 {
        let _gone = LISTENERS.remove(key);
    }
}

/// TCP reached CLOSE: in order, or by an error.
#[inline(always)]
fn failed(sk: u64) {
    let Some(sock) = known(sk) else { return };
    let errno: i32 = field(sk, index::SK_ERR);
    if errno != 0 {
        introduce(sk, sock, lane::STATE);
        report(kind::SOCKET_ERROR, sock.key, errno.unsigned_abs());
    }
}

#[inline(always)]
fn report(kind: u8, key: u64, errno: u32) {
    let header = emit::header(kind, lane::STATE, now());
    emit::send::<Socket>(lane::STATE, header, |entry| {
        entry.write(Socket { header, cookie: key, errno, reserved: 0 });
    });
}
