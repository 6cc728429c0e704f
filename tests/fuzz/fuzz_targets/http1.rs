//! Any calls on one connection, with any positions, order, holes and bytes: no panic, and memory within its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::{Body, Data, DataFlags, Direction, Limits, MonoNanos, Ranges, Role, Shard, Source, Stamp};
use redtape_fuzz::{connection, event};

// The input is a sequence of calls: what happens, how many bytes, how far the position jumps, how many bytes were not
// captured; then the bytes.
fuzz_target!(|input: &[u8]| {
    let Some((&[mode], mut rest)) = input.split_first_chunk::<1>() else { return };
    let limits = Limits {
        shard_buffered_bytes: 16 << 10,
        head_bytes: 1 << 10,
        head_lines: 16,
        pipelined_requests: 8,
        reorder_pieces: 4,
        arrivals: 4,
        ..Limits::default()
    };
    let (mut shard, mut out) = (Shard::new(&limits), Vec::new());
    let role = [Role::Unknown, Role::Client, Role::Server][usize::from(mode % 3)];
    let info = connection(role, mode & 0x80 != 0);
    let conn = info.key;
    let (mut now, mut next) = (0u64, [0u64; 2]);
    shard.push(&event(0, Body::Connection(&info)), MonoNanos::ZERO, &mut out);
    while let Some((&[what, count, jump, hole], after)) = rest.split_first_chunk::<4>() {
        let (bytes, after) = after.split_at(usize::from(count).min(after.len()));
        rest = after;
        now += u64::from(what >> 4) * 10_000_000;
        let direction = if what & 1 == 0 { Direction::In } else { Direction::Out };
        let pos = next[direction as usize].saturating_add_signed(i64::from(jump.cast_signed()));
        let len = bytes.len() as u64 + u64::from(hole);
        let at = MonoNanos::new(now);
        let stamp = Stamp { entry: at, exit: at, flags: DataFlags(u16::from(what & 2)), ..Stamp::default() };
        let (process, source, ranges) = (info.process, Source::Read, Ranges::prefix(bytes));
        let body = match what & 12 {
            12 if what & 2 == 0 => Body::Close { conn },
            12 => Body::SocketError { conn, errno: 104 },
            8 => Body::Arrival { conn, end: pos + len, fin: false },
            _ => Body::Data(Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges }),
        };
        if matches!(body, Body::Data(_)) {
            next[direction as usize] = pos.saturating_add(len);
        }
        shard.push(&event(now, body), at, &mut out);
        assert!(shard.cost_bytes() < 64 << 10);
        out.clear();
    }
    shard.finish(MonoNanos::new(now), &mut out);
});
