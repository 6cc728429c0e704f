//! Frames of HTTP/2 in any calls on one connection, with any holes: no panic, and memory within its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::{Body, Data, Direction, Limits, MonoNanos, RangesBuf, Role, Shard, Source, Stamp};
use redtape_fuzz::{connection, event};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

// The input is a sequence of frames: kind, flags, stream, length of the payload, and how it moves: whole, cut in two calls,
// with a hole, or lost. Then the payload. Bytes that are no frames come about by wrong lengths.
fuzz_target!(|input: &[u8]| {
    let Some((&[mode], mut rest)) = input.split_first_chunk::<1>() else { return };
    let limits = Limits {
        shard_buffered_bytes: 32 << 10,
        head_bytes: 1 << 10,
        head_lines: 16,
        streams: 4,
        header_table_bytes: 256,
        ..Limits::default()
    };
    let (mut shard, mut out) = (Shard::new(&limits), Vec::new());
    let role = [Role::Unknown, Role::Client, Role::Server][usize::from(mode % 3)];
    let info = connection(role, mode & 0x80 != 0);
    let conn = info.key;
    let (mut now, mut next) = (0u64, [0u64; 2]);
    shard.push(&event(0, Body::Connection(&info)), MonoNanos::ZERO, &mut out);
    let mut call = |direction: Direction, ranges: &RangesBuf, len: u64, lost: bool| {
        now += 1000;
        let (at, pos) = (MonoNanos::new(now), next[direction as usize]);
        next[direction as usize] += len;
        let stamp = Stamp { entry: at, exit: at, ..Stamp::default() };
        let (process, source, ranges) = (info.process, Source::Read, ranges.as_ranges());
        let data = Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges };
        if !lost {
            shard.push(&event(now, Body::Data(data)), at, &mut out);
        }
        assert!(shard.cost_bytes() < 96 << 10);
        out.clear();
    };
    let requests = if info.role == Role::Client { Direction::Out } else { Direction::In };
    if mode & 0x40 == 0 {
        call(requests, &RangesBuf::prefix(PREFACE), PREFACE.len() as u64, false);
        call(requests.reverse(), &RangesBuf::prefix(&PREFACE[24..]), 9, false);
    }
    while let Some((&[kind, flags, stream, len, how, extra], after)) = rest.split_first_chunk::<6>() {
        let (payload, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let claimed = (payload.len() as u32).wrapping_add(u32::from(extra & 3)).to_be_bytes();
        let mut bytes = claimed[1..].to_vec();
        bytes.extend_from_slice(&[kind % 11, flags, 0, 0, 0, stream]);
        bytes.extend_from_slice(payload);
        let direction = if how & 1 == 0 { requests } else { requests.reverse() };
        let cut = usize::from(extra) % bytes.len();
        match how >> 1 & 3 {
            0 => call(direction, &RangesBuf::prefix(&bytes[..]), bytes.len() as u64, false),
            1 => {
                call(direction, &RangesBuf::prefix(&bytes[..cut]), cut as u64, cut == 0);
                call(direction, &RangesBuf::prefix(&bytes[cut..]), (bytes.len() - cut) as u64, false);
            }
            2 => {
                let mut ranges = RangesBuf::prefix(&bytes[..cut]);
                let from = cut + usize::from(extra >> 4).min(bytes.len() - cut);
                ranges.push(from as u32, &bytes[from..]);
                call(direction, &ranges, bytes.len() as u64, false);
            }
            _ => call(direction, &RangesBuf::default(), bytes.len() as u64, true),
        }
    }
    shard.push(&event(now, Body::Close { conn }), MonoNanos::new(now), &mut out);
    shard.finish(MonoNanos::new(now), &mut out);
});
