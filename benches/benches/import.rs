//! Packet captures: how fast packets become a tape, with the heads of messages or with all payload, and how fast RED metrics.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail")]

use std::hint::black_box;
use std::io::{self, Cursor};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redtape_benches::{metrics_of_tape, write_pcap};
use redtape_core::synth::Workload;
use redtape_core::tape::WriterOptions;
use redtape_replay::import::{Bytes, ImportOptions, Imported, KeptPayload, Opened, open};

const WORKLOAD: Workload = Workload { transactions: 20_000, seed: 1 };

fn import(pcap: &'static [u8], payload: KeptPayload) -> Box<Imported> {
    let bytes: Bytes = Box::new(Cursor::new(pcap));
    let options = ImportOptions { payload, ..ImportOptions::default() };
    let Opened::Capture(capture) = open(bytes, options, WriterOptions::PIPE).unwrap() else {
        panic!("it is a capture");
    };
    capture
}

fn packets(c: &mut Criterion) {
    let mut pcap = Vec::new();
    let packets = write_pcap(WORKLOAD, &mut pcap).unwrap();
    let pcap: &'static [u8] = pcap.leak();
    let mut group = c.benchmark_group("import");
    group.throughput(Throughput::Elements(packets)).sample_size(20);
    for (name, payload) in [("heads", KeptPayload::Heads), ("all payload", KeptPayload::All)] {
        group.bench_function(format!("packets to tape, {name}"), |b| {
            b.iter(|| black_box(io::copy(&mut import(pcap, payload), &mut io::sink()).unwrap()));
        });
    }
    group.bench_function("packets to metrics", |b| {
        b.iter(|| black_box(metrics_of_tape(import(pcap, KeptPayload::Heads)).unwrap()));
    });
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
