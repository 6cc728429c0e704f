//! The tape: how fast events are written and read. Transactions of four events, two with 300 bytes of payload.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redtape_core::tape::{Block, CloseReason, Meta, Reader, Writer, WriterOptions};
use redtape_core::{
    Body, ConnInfo, ConnKey, Data, DataFlags, Direction, Event, Ext, MonoNanos, Origin, ProcKey, ProcessInfo, Ranges,
    Role, Source, Stamp, Tid,
};

const ORIGIN: Origin = Origin([7; 16]);
const TRANSACTIONS: u64 = 25_000;
const CONNECTIONS: u64 = 100;

fn connection(id: u64) -> ConnInfo {
    ConnInfo {
        process: ProcKey::new(ORIGIN, 1),
        role: Role::Server,
        endpoint: Some(redtape_core::Endpoint {
            local: ([10, 0, 0, 1], 8080).into(),
            remote: ([10, 0, 0, 2], 40_000).into(),
        }),
        netns: 4_026_531_840,
        isn_local: Some(1_234_567),
        isn_remote: Some(7_654_321),
        established: Some(MonoNanos::new(1)),
        ..ConnInfo::unknown(ORIGIN, id)
    }
}

/// Calls `push` with each event of the benchmark.
fn events(mut push: impl FnMut(&Event<'_>)) {
    let mut seq = 0;
    let mut event = |time: u64, body: Body<'_>| {
        seq += 1;
        push(&Event { time: MonoNanos::new(time), cpu: 3, seq, late: false, body, ext: Ext::default() });
    };
    let process = ProcessInfo { key: ProcKey::new(ORIGIN, 1), origin: ORIGIN, id: 1, ..ProcessInfo::default() };
    event(0, Body::Process(&process));
    for id in 0..CONNECTIONS {
        event(0, Body::Connection(&connection(id)));
    }
    let head = "GET /api/users/{} HTTP/1.1\r\nhost: example.com\r\naccept: */*\r\n".to_owned() + &"x".repeat(240);
    for n in 0..TRANSACTIONS {
        let (conn, turn, now) = (ConnKey::new(ORIGIN, n % CONNECTIONS), n / CONNECTIONS, 1_000_000_000 + n * 10_000);
        let mut payload = head.clone().into_bytes();
        payload.truncate(300);
        payload[20..28].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let mut data = |time: u64, direction, len: u64, payload: &[u8]| {
            let at = MonoNanos::new(time);
            let (entry, exit) = (at.minus(3000), at);
            let stamp = Stamp { tid: Tid(4711), flags: DataFlags(0), loop_turn: 0, entry, exit };
            let source = if direction == Direction::In { Source::Read } else { Source::Write };
            let (process, pos, ranges) = (ProcKey::new(ORIGIN, 1), turn * 5000, Ranges::prefix(payload));
            event(time, Body::Data(Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges }));
        };
        data(now + 1000, Direction::In, 300, &payload);
        data(now + 5000, Direction::Out, 300, &payload);
        data(now + 6000, Direction::Out, 4096, &[]);
        event(now, Body::Arrival { conn, end: turn * 300 + 300, fin: false });
    }
}

fn tape(options: WriterOptions) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Meta { origin: ORIGIN, ..Meta::default() }, options).unwrap();
    events(|event| writer.push(event).unwrap());
    writer.finish(CloseReason::Done).unwrap().1
}

/// Reads the tape; gives the number of events of wanted connections and the bytes of their payload.
fn read(tape: &[u8], wanted: impl Fn(ConnKey) -> bool + Copy) -> (u64, usize) {
    let (mut reader, mut block) = (Reader::open(tape).unwrap(), Block::default());
    let mut sum = (0, 0);
    while reader.read_block(&mut block).unwrap() {
        for event in block.events_where(wanted) {
            sum.0 += 1;
            if let Body::Data(data) = event.body {
                sum.1 += data.ranges.captured();
            }
        }
    }
    sum
}

fn tapes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tape");
    group.throughput(Throughput::Elements(TRANSACTIONS * 4)).sample_size(20);
    let (raw, compressed) = (tape(WriterOptions::PIPE), tape(WriterOptions::FILE));
    group.bench_function("read", |bencher| bencher.iter(|| read(&raw, |_| true)));
    group.bench_function("read/half", |bencher| bencher.iter(|| read(&raw, |conn| conn.get() % 2 == 0)));
    group.bench_function("read/zstd", |bencher| bencher.iter(|| read(&compressed, |_| true)));
    group.bench_function("write", |bencher| bencher.iter(|| tape(WriterOptions::PIPE)));
    group.bench_function("write/zstd", |bencher| bencher.iter(|| tape(WriterOptions::FILE)));
    group.finish();
}

criterion_group!(benches, tapes);
criterion_main!(benches);
