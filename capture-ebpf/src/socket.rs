//! What is remembered of a followed socket, and how it is first seen.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_get_socket_cookie};
use redtape_abi::{Conn, conn_flags, counter, kind, layout as index, option, role};

use crate::emit::{self, count, now};
use crate::keep::Talk;
use crate::kernel::{field, kernel};
use crate::maps::{LISTENERS, SOCKETS, layout, option};

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;

pub(crate) const TCP_ESTABLISHED: u8 = 1;
pub(crate) const TCP_SYN_SENT: u8 = 2;
pub(crate) const TCP_SYN_RECV: u8 = 3;
pub(crate) const TCP_CLOSE: u8 = 7;
pub(crate) const TCP_CLOSE_WAIT: u8 = 8;
pub(crate) const TCP_LISTEN: u8 = 10;

/// Keys that the programs made, where the kernel gave no cookie.
const OWN_KEY: u64 = 1 << 63;
/// `enum sock_flags`: the peer has ended its stream, and the end counts in `rcv_nxt`.
const SOCK_DONE: u64 = 1 << 1;

/// Bits of [`Sock::known`].
pub(crate) const POSITIONS: u8 = 1;
pub(crate) const ISN: u8 = 2;
pub(crate) const PREEXISTING: u8 = 4;

/// A followed socket. Programs on several CPUs use it at once, so what different ones write is in different bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sock {
    /// Its key: the cookie, or a number with [`OWN_KEY`].
    pub key: u64,
    /// When the handshake was completed, 0 if not seen.
    pub established: u64,
    /// Positions last seen: what sequence numbers are widened from.
    pub in_pos: u64,
    pub out_pos: u64,
    /// What its calls' payload is chosen by.
    pub talk: Talk,
    /// Sequence numbers of position 0.
    pub in_base: u32,
    pub out_base: u32,
    /// The process that used it first.
    pub tgid: u32,
    /// One of [`role`].
    pub role: u8,
    /// What of the positions is known.
    pub known: u8,
    /// 1: its facts were sent.
    pub introduced: u8,
    pub reserved: u8,
}

impl Sock {
    /// The position of sequence number `seq`, next to the position last seen.
    #[inline(always)]
    fn widen(base: u32, last: u64, seq: u32) -> u64 {
        let step = seq.wrapping_sub(base).wrapping_sub(last as u32).cast_signed();
        last.wrapping_add(i64::from(step).cast_unsigned())
    }

    /// The position of a received sequence number.
    #[inline(always)]
    pub(crate) fn in_position(&self, seq: u32) -> u64 {
        Self::widen(self.in_base, self.in_pos, seq)
    }

    /// The position of a sent sequence number.
    #[inline(always)]
    pub(crate) fn out_position(&self, seq: u32) -> u64 {
        Self::widen(self.out_base, self.out_pos, seq)
    }
}

/// The sequence number behind the last byte received, and whether the peer has ended its stream there.
#[inline(always)]
pub(crate) fn received(sk: u64) -> (u32, bool) {
    let next: u32 = field(sk, index::TCP_RCV_NXT);
    let fin = field::<u64>(sk, index::SK_FLAGS) & SOCK_DONE != 0;
    (next.wrapping_sub(u32::from(fin)), fin)
}

/// The sequence number behind the last byte that was read. The end of the stream takes up a number of its own, which
/// is consumed together with the last byte or by a read that returns 0: it is no byte.
#[inline(always)]
pub(crate) fn read_to(sk: u64) -> u32 {
    let copied: u32 = field(sk, index::TCP_COPIED_SEQ);
    let (end, fin) = received(sk);
    if fin && copied == end.wrapping_add(1) { end } else { copied }
}

/// The entry of a followed socket, if the address still means the same socket.
#[inline(always)]
pub(crate) fn known(sk: u64) -> Option<&'static mut Sock> {
    let sock = unsafe { &mut *SOCKETS.get_ptr_mut(sk)? };
    let cookie: u64 = field(sk, index::SK_COOKIE);
    (sock.key & OWN_KEY != 0 || sock.key == cookie).then_some(sock)
}

/// How a socket that is not followed yet comes to be used.
pub(crate) enum Use {
    /// accept returned it: nothing has been read or written.
    Accepted,
    /// This many bytes were read from it just now.
    Read(u64),
    /// This many bytes were written to it just now.
    Written(u64),
}

/// The entry of a TCP socket, made now if it is not followed yet. None for other sockets, and where the table is full.
#[inline(always)]
pub(crate) fn known_or_adopted(sk: u64, tgid: u32, by: Use) -> Option<&'static mut Sock> {
    if let Some(sock) = known(sk) {
        return Some(sock);
    }
    let state: u8 = field(sk, index::SK_STATE);
    if !is_tcp(sk) || matches!(state, TCP_CLOSE | TCP_LISTEN) {
        return None;
    }
    let cookie: u64 = field(sk, index::SK_COOKIE);
    let key = if cookie == 0 { own_key() } else { cookie };
    let mut sock = blank(key, tgid);
    match by {
        Use::Accepted => {
            sock.role = role::SERVER;
            begin(sk, &mut sock);
        }
        Use::Read(len) => {
            resume(sk, state, &mut sock);
            sock.in_pos = sock.in_pos.wrapping_sub(len);
        }
        Use::Written(len) => {
            resume(sk, state, &mut sock);
            sock.out_pos = sock.out_pos.wrapping_sub(len);
        }
    }
    insert(sk, &sock)
}

/// Whether it is a TCP socket over IPv4 or IPv6.
#[inline(always)]
pub(crate) fn is_tcp(sk: u64) -> bool {
    let family: u16 = field(sk, index::SK_FAMILY);
    let protocol: u16 = field(sk, index::SK_PROTOCOL);
    (family == AF_INET || family == AF_INET6) && protocol == IPPROTO_TCP
}

/// A key for a socket without a cookie: no two are made at the same time on the same CPU. The socket's address would do
/// as well, but must not get into a file.
#[inline(always)]
pub(crate) fn own_key() -> u64 {
    now() << 8 | u64::from(unsafe { bpf_get_smp_processor_id() } & 0xff) | OWN_KEY
}

/// The key of a socket that a tracepoint was given.
#[inline(always)]
pub(crate) fn key_of(sk: *const u8) -> u64 {
    if option(option::COOKIE) != 0 { unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) } } else { own_key() }
}

#[inline(always)]
pub(crate) fn blank(key: u64, tgid: u32) -> Sock {
    Sock {
        key,
        established: 0,
        in_pos: 0,
        out_pos: 0,
        talk: Talk::NEW,
        in_base: 0,
        out_base: 0,
        tgid,
        role: role::UNKNOWN,
        known: 0,
        introduced: 0,
        reserved: 0,
    }
}

/// Puts a socket into the table.
#[inline(always)]
pub(crate) fn insert(sk: u64, sock: &Sock) -> Option<&'static mut Sock> {
    if SOCKETS.insert(sk, sock, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
        return None;
    }
    SOCKETS.get_ptr_mut(sk).map(|sock| unsafe { &mut *sock })
}

/// Positions begin now: the handshake is completed, and nothing has been read or written.
#[inline(always)]
pub(crate) fn begin(sk: u64, sock: &mut Sock) {
    sock.in_base = field(sk, index::TCP_COPIED_SEQ);
    sock.out_base = field(sk, index::TCP_WRITE_SEQ);
    sock.known |= POSITIONS | ISN;
}

/// Positions of a client whose handshake was completed just now. With TCP Fast Open bytes may have been written before,
/// so what it sends is counted from the SYN on, as `bytes_acked` does.
#[inline(always)]
pub(crate) fn begin_client(sk: u64, sock: &mut Sock) {
    begin(sk, sock);
    let (una, acked): (u32, u64) = (field(sk, index::TCP_SND_UNA), field(sk, index::TCP_BYTES_ACKED));
    sock.out_base = una.wrapping_sub(acked as u32).wrapping_add(1);
}

/// Positions of a socket that was open before: counted back by the bytes that the kernel counted.
///
/// `bytes_received` grows with `rcv_nxt`, from the number behind the SYN on. `bytes_acked` grows with `snd_una`: on the
/// side that connected from the SYN on, which makes it one more than the bytes, on the side that accepted from behind
/// it. `bytes_sent` and `bytes_retrans` tell which, and so the role; if they do not, positions start at what is known.
#[inline(always)]
pub(crate) fn resume(sk: u64, state: u8, sock: &mut Sock) {
    sock.known |= POSITIONS | PREEXISTING;
    let next: u32 = field(sk, index::TCP_RCV_NXT);
    let received: u64 = field(sk, index::TCP_BYTES_RECEIVED);
    sock.in_base = next.wrapping_sub(received as u32);
    sock.in_pos = received;
    sock.in_pos = sock.in_position(read_to(sk));

    let una: u32 = field(sk, index::TCP_SND_UNA);
    let acked: u64 = field(sk, index::TCP_BYTES_ACKED);
    let sent: u64 = field(sk, index::TCP_BYTES_SENT);
    let retransmitted: u64 = field(sk, index::TCP_BYTES_RETRANS);
    let snd_nxt: u32 = field(sk, index::TCP_SND_NXT);
    let first = snd_nxt.wrapping_sub(sent.wrapping_sub(retransmitted) as u32);
    let by_acked = una.wrapping_sub(acked as u32);
    let open = matches!(state, TCP_ESTABLISHED | TCP_CLOSE_WAIT);
    if open && first == by_acked {
        sock.role = role::SERVER;
        sock.known |= ISN;
    } else if open && first == by_acked.wrapping_add(1) {
        sock.role = role::CLIENT;
        sock.known |= ISN;
    }
    sock.out_base = if sock.role == role::CLIENT { by_acked.wrapping_add(1) } else { by_acked };
    sock.out_pos = acked;
    sock.out_pos = sock.out_position(field(sk, index::TCP_WRITE_SEQ));
}

/// Sends the facts of a connection unless they were sent; tries again at the next record if the ring is full.
#[inline(always)]
pub(crate) fn introduce(sk: u64, sock: &mut Sock, lane: u8) {
    if sock.introduced != 0 {
        return;
    }
    let header = emit::header(kind::CONN, lane, now());
    // Not by `emit::send`: what is called in several places, as a closure is, LLVM makes a function of its own.
    let Some(mut entry) = emit::reserve::<Conn>(lane) else { return };
    fill(&mut entry, sk, sock);
    unsafe { (*entry.as_mut_ptr()).header = header };
    entry.submit(emit::wake_flags());
    sock.introduced = 1;
}

/// Field by field, in the ring's memory: a struct on the stack would take what old kernels leave of it.
#[inline(always)]
fn fill(conn: &mut MaybeUninit<Conn>, sk: u64, sock: &Sock) {
    let conn = conn.as_mut_ptr();
    let known = sock.known & ISN != 0;
    let preexisting = sock.known & PREEXISTING != 0;
    let family: u16 = field(sk, index::SK_FAMILY);
    unsafe {
        (*conn).cookie = sock.key;
        (*conn).established = sock.established;
        (*conn).first_in = sock.in_pos;
        (*conn).first_out = sock.out_pos;
        (*conn).netns = netns(sk);
        (*conn).isn_local = if known { sock.out_base.wrapping_sub(1) } else { 0 };
        (*conn).isn_remote = if known { sock.in_base.wrapping_sub(1) } else { 0 };
        (*conn).tgid = sock.tgid;
        (*conn).local_port = field(sk, index::SK_LOCAL_PORT);
        (*conn).remote_port = u16::from_be(field(sk, index::SK_REMOTE_PORT));
        (*conn).family = family;
        (*conn).role = sock.role;
        (*conn).flags =
            if known { conn_flags::ISN_KNOWN } else { 0 } | if preexisting { conn_flags::PREEXISTING } else { 0 };
        let (local, remote) = (&raw mut (*conn).local, &raw mut (*conn).remote);
        if family == AF_INET6 {
            local.cast::<u128>().write_unaligned(field(sk, index::SK_LOCAL_V6));
            remote.cast::<u128>().write_unaligned(field(sk, index::SK_REMOTE_V6));
        } else {
            local.cast::<u128>().write_unaligned(u128::from(field::<u32>(sk, index::SK_LOCAL_V4)));
            remote.cast::<u128>().write_unaligned(u128::from(field::<u32>(sk, index::SK_REMOTE_V4)));
        }
    }
}

/// The inode number of the socket's network namespace.
#[inline(always)]
pub(crate) fn netns(sk: u64) -> u32 {
    let net: u64 = field(sk, index::SK_NET);
    kernel(net.wrapping_add((layout(index::NET_NS) + layout(index::NS_INUM)) as u64))
}

/// The key of `LISTENERS` for the socket's namespace and local port.
#[inline(always)]
pub(crate) fn listener_key(sk: u64) -> u64 {
    u64::from(netns(sk)) << 32 | u64::from(field::<u16>(sk, index::SK_LOCAL_PORT))
}

/// Notes that a followed process listens where this socket is bound.
#[inline(always)]
pub(crate) fn note_listener(key: u64) {
    if let Some(listeners) = LISTENERS.get_ptr_mut(key) {
        unsafe { *listeners += 1 };
    } else if LISTENERS.insert(key, 1, u64::from(BPF_ANY)).is_err() {
        count(counter::MAP_FULL);
    }
}
