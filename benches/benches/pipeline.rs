//! The whole pipeline on the synthetic workload: from events, and from the bytes of a tape, to RED metrics.

use std::hint::black_box;
use std::io::Cursor;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redtape_benches::{metrics_of_events, metrics_of_tape, workload_tape};
use redtape_core::EventBuf;
use redtape_core::synth::Workload;
use redtape_core::tape::WriterOptions;

const WORKLOAD: Workload = Workload { transactions: 20_000, seed: 1 };

/// From events in memory: connection tracking, parsing, linking, routes, metrics.
fn events(c: &mut Criterion) {
    let events: Vec<EventBuf> = WORKLOAD.events().collect();
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(WORKLOAD.transactions)).sample_size(20);
    group.bench_function("events to metrics", |b| b.iter(|| black_box(metrics_of_events(&events))));
    for (name, compress) in [("tape to metrics", false), ("compressed tape to metrics", true)] {
        let tape = workload_tape(WORKLOAD, Vec::new(), WriterOptions { compress, ..WriterOptions::FILE });
        let tape = tape.expect("a Vec can be written to");
        group.bench_function(name, |b| {
            b.iter(|| black_box(metrics_of_tape(Cursor::new(&tape)).expect("a whole tape")));
        });
    }
    group.finish();
}

/// The generator itself, which must not be what is measured elsewhere.
fn generator(c: &mut Criterion) {
    let mut group = c.benchmark_group("synth");
    group.throughput(Throughput::Elements(WORKLOAD.transactions)).sample_size(20);
    group.bench_function("workload", |b| b.iter(|| black_box(WORKLOAD.events().count())));
    group.finish();
}

criterion_group!(benches, events, generator);
criterion_main!(benches);
