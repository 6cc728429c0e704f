//! Tracking and HTTP/2 parsing: gRPC calls from events to exchanges, and from events to metrics.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use redtape_benches::metrics_of_events;
use redtape_core::synth::{GrpcWorkload, Workload};
use redtape_core::{EventBuf, Limits, Shard};

const CALLS: u64 = 10_000;

/// Frames and header blocks alone, and the same number of transactions in HTTP/1 to hold against.
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

criterion_group!(benches, stage1);
criterion_main!(benches);
