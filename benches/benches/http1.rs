//! Tracking and HTTP/1 parsing: from events to exchanges, per request and response.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use redtape_core::{
    Body, BodyBuf, ConnInfo, Data, Direction, EventBuf, Limits, MonoNanos, Origin, Ranges, RangesBuf, Role, Shard,
    Source, Stamp,
};

/// Exchanges in one round.
const EXCHANGES: u64 = 1000;

fn connection() -> ConnInfo {
    ConnInfo { role: Role::Server, ..ConnInfo::unknown(Origin::default(), 1) }
}

fn request(cookie: usize) -> Vec<u8> {
    let fields = "Host: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0\r\n\
                  Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\n\
                  traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nConnection: keep-alive\r\n";
    format!("GET /api/v1/users/12345/orders HTTP/1.1\r\n{fields}Cookie: {}\r\n\r\n", "x".repeat(cookie)).into_bytes()
}

fn response() -> Vec<u8> {
    let fields = "Server: nginx/1.26.2\r\nDate: Mon, 23 Sep 2024 10:00:00 GMT\r\nContent-Type: application/json\r\n\
                  Content-Length: 21\r\nConnection: keep-alive\r\nCache-Control: no-cache, no-store\r\n\
                  X-Request-Id: 12345678-abcd\r\n";
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{{\"status\": \"success\"}}").into_bytes()
}

fn chunked() -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..16 {
        bytes.extend_from_slice(b"40\r\n");
        bytes.extend_from_slice(&[b'x'; 64]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A keep-alive connection with that request and response again and again.
fn conversation(request: &[u8], response: &[u8]) -> Vec<EventBuf> {
    let info = connection();
    let mut events = vec![EventBuf::new(MonoNanos::ZERO, BodyBuf::Connection(Box::new(info.clone())))];
    let mut next = [0u64; 2];
    for number in 0..EXCHANGES {
        for (direction, bytes) in [(Direction::In, request), (Direction::Out, response)] {
            let time = MonoNanos::new(number * 1000);
            let stamp = Stamp { entry: time, exit: time, ..Stamp::default() };
            let len = bytes.len() as u64;
            let pos = next[direction as usize];
            next[direction as usize] += len;
            if direction == Direction::In {
                let body = Body::Arrival { conn: info.key, end: pos + len, fin: false };
                events.push(EventBuf::new(time, BodyBuf::Plain(body)));
            }
            let (conn, process, source, ranges) = (info.key, info.process, Source::Read, Ranges::EMPTY);
            let data = Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges };
            events.push(EventBuf::new(time, BodyBuf::Data(data, RangesBuf::prefix(bytes))));
        }
    }
    events
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1");
    group.throughput(Throughput::Elements(EXCHANGES));
    let cases = [
        ("exchange", conversation(&request(20), &response())),
        ("cookie_4k", conversation(&request(4096), &response())),
        ("chunked", conversation(&request(20), &chunked())),
    ];
    for (name, owned) in &cases {
        let events: Vec<_> = owned.iter().map(EventBuf::as_event).collect();
        group.bench_function(*name, |bencher| {
            bencher.iter_batched(
                || (Shard::new(&Limits::default()), Vec::new()),
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
}

criterion_group!(benches, bench);
criterion_main!(benches);
