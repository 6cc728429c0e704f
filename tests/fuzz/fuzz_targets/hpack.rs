//! Any bytes as header blocks of requests, some of which are missed: no panic, and memory within its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::{Body, Data, Direction, Limits, MonoNanos, Ranges, Role, Shard, Source, Stamp, What};
use redtape_fuzz::{connection, event};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

// The input is a sequence of blocks, each behind its length; those of even length are lost where `mode` says so.
fuzz_target!(|input: &[u8]| {
    let Some((&[mode], mut rest)) = input.split_first_chunk::<1>() else { return };
    let limits = Limits { header_table_bytes: 256, head_bytes: 512, ..Limits::default() };
    let (mut shard, mut out) = (Shard::new(&limits), Vec::new());
    let info = connection(Role::Server, false);
    let conn = info.key;
    let at = |now| MonoNanos::new(now);
    shard.push(&event(0, Body::Connection(&info)), at(0), &mut out);
    let (mut now, mut pos, mut stream, mut call) = (0, 0, 1u32, PREFACE.to_vec());
    loop {
        now += 1000;
        let stamp = Stamp { entry: at(now), exit: at(now), ..Stamp::default() };
        let (process, direction, source, len) = (info.process, Direction::In, Source::Read, call.len() as u64);
        let data =
            Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges: Ranges::prefix(&call) };
        pos += len;
        if pos == len || mode & 1 == 0 || len % 2 == 1 {
            shard.push(&event(now, Body::Data(data)), at(now), &mut out);
        }
        for finding in out.drain(..) {
            if let What::Ended(exchange) = finding.what {
                assert!(exchange.request.head.target().len() <= 3 * 512);
            }
        }
        assert!(shard.cost_bytes() < 512 << 10);
        let Some((&[len], after)) = rest.split_first_chunk::<1>() else { break };
        let (block, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        call = [&[0, 0, block.len() as u8, 1, 5][..], &stream.to_be_bytes(), block].concat();
        stream += 2;
    }
    shard.finish(at(now), &mut out);
});
