//! When bytes became readable, whoever reads them: the best of three hooks that the kernel has.

use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};
use redtape_abi::{Arrival, counter, kind, lane, layout as index};

use crate::emit::{self, count, now};
use crate::kernel::{field, kernel};
use crate::socket::{POSITIONS, Sock, introduce, known, received};

/// `sk_data_ready(sk)`, from 6.3 on: `rcv_nxt` has been advanced.
#[btf_tracepoint(function = "sk_data_ready")]
pub fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    readable(core::hint::black_box(sk as u64));
    0
}

/// The function behind it, where functions can be traced.
#[fentry(function = "sock_def_readable")]
pub fn sock_def_readable(ctx: FEntryContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    readable(core::hint::black_box(sk as u64));
    0
}

/// `tcp_probe(sk, skb)`: a segment is about to be processed; `skb->data` is its TCP header. It sees neither a stream's
/// end without data, nor sockets that are half closed.
#[btf_tracepoint(function = "tcp_probe")]
pub fn tcp_probe(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    let skb: *const u8 = ctx.arg(1);
    let (sk, skb) = (core::hint::black_box(sk as u64), core::hint::black_box(skb as u64));
    let Some(sock) = known(sk) else { return 0 };
    let header: u64 = field(skb, index::SKB_DATA);
    let seq = u32::from_be(kernel(header.wrapping_add(4)));
    let header_len = u32::from(kernel::<u8>(header.wrapping_add(12)) >> 4) * 4;
    let len = field::<u32>(skb, index::SKB_LEN).wrapping_sub(header_len);
    if len == 0 || len > 1 << 20 {
        return 0;
    }
    let next: u32 = field(sk, index::TCP_RCV_NXT);
    if seq.wrapping_sub(next).cast_signed() > 0 {
        count(counter::OUT_OF_ORDER);
        return 0;
    }
    arrived(sk, sock, seq.wrapping_add(len), false);
    0
}

#[inline(always)]
fn readable(sk: u64) {
    let Some(sock) = known(sk) else { return };
    let (end, fin) = received(sk);
    arrived(sk, sock, end, fin);
}

#[inline(always)]
fn arrived(sk: u64, sock: &mut Sock, end: u32, fin: bool) {
    if sock.known & POSITIONS == 0 {
        return;
    }
    let time = now();
    introduce(sk, sock, lane::ARRIVAL);
    send(sock, time, sock.in_position(end), fin);
}

#[inline(always)]
fn send(sock: &Sock, time: u64, end: u64, fin: bool) {
    let header = emit::header(kind::ARRIVAL, lane::ARRIVAL, time);
    emit::send::<Arrival>(lane::ARRIVAL, header, |entry| {
        entry.write(Arrival { header, cookie: sock.key, end, fin: u64::from(fin) });
    });
}
