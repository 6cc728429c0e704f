//! HTTP/2: frames, header blocks, and gRPC calls from events to exchanges and from events to metrics.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use redtape_benches::metrics_of_events;
use redtape_core::synth::{GrpcWorkload, Workload};
use redtape_core::{
    Body, ConnInfo, Data, Direction, Event, EventBuf, Ext, Limits, MonoNanos, Origin, Ranges, Role, Shard, Source,
    Stamp, What,
};

const CALLS: u64 = 10_000;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A request of nine fields, 84 bytes: three of the static table, four new ones in Huffman code for the dynamic table (of RFC 7541, appendix C.4
/// and C.6), and two that refer to these.
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\
    \x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf\
    \x61\x96\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff\
    \x6e\x91\x9d\x29\xad\x17\x18\x63\xc7\x8f\x0b\x97\xc8\xe9\xae\x82\xae\x43\xd3\xbe\xbf";

/// A frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A server's connection: what it reads and writes, call by call. Returns how many requests began and ended.
fn server(calls: &[(Direction, Vec<u8>)]) -> usize {
    let info = ConnInfo { role: Role::Server, ..ConnInfo::unknown(Origin::default(), 1) };
    let event = |time, body| Event { time, cpu: 0, seq: 0, late: false, body, ext: Ext(&[]) };
    let (mut shard, mut out) = (Shard::new(&Limits::default()), Vec::new());
    shard.push(&event(MonoNanos::new(0), Body::Connection(&info)), MonoNanos::new(0), &mut out);
    let (mut found, mut positions) = (0, [0; 2]);
    for (now, (direction, bytes)) in (1..).map(MonoNanos::new).zip(calls) {
        let pos = &mut positions[usize::from(*direction == Direction::Out)];
        let stamp = Stamp { entry: now, exit: now, ..Stamp::default() };
        let data = Data {
            conn: info.key,
            process: info.process,
            stamp,
            direction: *direction,
            source: Source::Read,
            pos: *pos,
            len: bytes.len() as u64,
            arrived: None,
            ranges: Ranges::prefix(bytes),
        };
        *pos += bytes.len() as u64;
        shard.push(&event(now, Body::Data(data)), now, &mut out);
        found += out.iter().filter(|finding| matches!(finding.what, What::Started(_) | What::Ended(_))).count();
        out.clear();
    }
    found
}

/// Frames that say next to nothing, and header blocks in frames of their own.
fn parsing(c: &mut Criterion) {
    let mut group = c.benchmark_group("HTTP/2");
    let small = frame(0, 0, 1, &[0; 16]).repeat(500);
    let head = (Direction::In, [PREFACE, &frame(1, 4, 1, REQUEST)].concat());
    let frames: Vec<_> = std::iter::once(head).chain((0..20).map(|_| (Direction::In, small.clone()))).collect();
    assert_eq!(server(&frames), 1, "one request began");
    group.throughput(Throughput::Elements(500 * 20));
    group.bench_function("frames", |b| b.iter(|| black_box(server(&frames))));

    let mut blocks = vec![(Direction::In, PREFACE.to_vec()), (Direction::Out, frame(4, 0, 0, &[]))];
    for stream in (1..2000).step_by(2) {
        blocks.push((Direction::In, frame(1, 5, stream, REQUEST)));
        blocks.push((Direction::Out, frame(1, 5, stream, b"\x88")));
    }
    assert_eq!(server(&blocks), 2000, "each began and ended");
    group.throughput(Throughput::Bytes(REQUEST.len() as u64 * 1000));
    group.bench_function("HPACK", |b| b.iter(|| black_box(server(&blocks))));
    group.finish();
}

/// gRPC calls, and the same number of transactions in HTTP/1 to hold against.
fn stage1(c: &mut Criterion) {
    let grpc: Vec<_> = GrpcWorkload { calls: CALLS, seed: 1 }.events().collect();
    let http1: Vec<_> = Workload { transactions: CALLS, seed: 1 }.events().collect();
    let mut group = c.benchmark_group("stage 1");
    group.throughput(Throughput::Elements(CALLS)).sample_size(20);
    for (name, owned) in [("gRPC unary", &grpc), ("HTTP/1", &http1)] {
        let events: Vec<_> = owned.iter().map(EventBuf::as_event).collect();
        group.bench_function(name, |b| {
            b.iter_batched(
                || (Shard::new(&Limits { shard_buffered_bytes: 1 << 20, ..Limits::default() }), Vec::new()),
                |(mut shard, mut out)| {
                    for event in &events {
                        shard.push(event, event.time, &mut out);
                        out.clear();
                    }
                    black_box(shard.cost_bytes())
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(CALLS)).sample_size(20);
    for (name, events) in [("gRPC unary to metrics", &grpc), ("HTTP/1 to metrics", &http1)] {
        group.bench_function(name, |b| b.iter(|| black_box(metrics_of_events(events))));
    }
    group.finish();
}

criterion_group!(benches, parsing, stage1);
criterion_main!(benches);
