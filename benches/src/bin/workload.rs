//! Writes the synthetic workload as a tape, with its truth beside it, or replays such a tape to RED metrics in one
//! thread: the two sides of a comparison with other tools, and a check of the result.
//!
//! ```text
//! workload write TRANSACTIONS TAPE TRUTH.tsv
//! workload grpc CALLS TAPE
//! workload replay TAPE
//! workload scap TRANSACTIONS CAPTURE.scap
//! workload pcap TRANSACTIONS CAPTURE.pcap
//! ```
//! Truth and replay are tables of the same form: method, route (as the generator and as the replay names it), count,
//! responses of status 500 and above, and the sum of durations in nanoseconds. The last line is the total.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, bail};
use redtape_benches::{durations, metrics_of_tape, tape_of, workload_tape, write_pcap, write_scap};
use redtape_core::synth::{GrpcWorkload, Workload};
use redtape_core::tape::WriterOptions;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", transactions, tape, truth] => {
            let transactions = transactions.parse().with_context(|| format!("not a number: {transactions}"))?;
            write(Workload { transactions, seed: 1 }, tape, truth)
        }
        ["grpc", calls, tape] => {
            let calls = calls.parse().with_context(|| format!("not a number: {calls}"))?;
            let out = BufWriter::new(File::create(tape).with_context(|| format!("failed to create {tape}"))?);
            tape_of(GrpcWorkload { calls, seed: 1 }.events(), out, WriterOptions::FILE)
                .and_then(|mut out| Ok(out.flush()?))
                .with_context(|| format!("failed to write {tape}"))
        }
        ["replay", tape] => replay(tape),
        [form @ ("pcap" | "scap"), transactions, capture] => {
            let transactions = transactions.parse().with_context(|| format!("not a number: {transactions}"))?;
            let out = BufWriter::new(File::create(capture).with_context(|| format!("failed to create {capture}"))?);
            let workload = Workload { transactions, seed: 1 };
            let written = if form == "scap" { write_scap(workload, out) } else { write_pcap(workload, out).map(drop) };
            written.with_context(|| format!("failed to write {capture}"))
        }
        _ => bail!(
            "usage: workload write TRANSACTIONS TAPE TRUTH.tsv | workload grpc CALLS TAPE | workload replay TAPE | \
             workload scap TRANSACTIONS CAPTURE.scap | workload pcap TRANSACTIONS CAPTURE.pcap"
        ),
    }
}

fn write(workload: Workload, tape: &str, truth: &str) -> anyhow::Result<()> {
    let create = |path: &str| File::create(path).with_context(|| format!("failed to create {path}"));
    workload_tape(workload, BufWriter::new(create(tape)?), WriterOptions::FILE)
        .and_then(|mut out| Ok(out.flush()?))
        .with_context(|| format!("failed to write {tape}"))?;
    let mut out = BufWriter::new(create(truth)?);
    let (mut count, mut errors, mut nanos) = (0, 0, 0);
    for route in workload.totals() {
        let duration = route.duration_nanos;
        writeln!(out, "{}\t{}\t{}\t{}\t{duration}", route.method, route.template, route.count, route.errors)?;
        (count, errors, nanos) = (count + route.count, errors + route.errors, nanos + duration);
    }
    writeln!(out, "*\ttotal\t{count}\t{errors}\t{nanos}")?;
    out.flush().with_context(|| format!("failed to write {truth}"))
}

fn replay(tape: &str) -> anyhow::Result<()> {
    let file = File::open(tape).with_context(|| format!("failed to open {tape}"))?;
    let metrics = metrics_of_tape(file).with_context(|| format!("failed to replay {tape}"))?;
    let mut out = std::io::stdout().lock();
    let mut total = [0; 3];
    for (route, [count, errors, nanos]) in durations(&metrics) {
        writeln!(out, "{route}\t{count}\t{errors}\t{nanos}")?;
        total = [total[0] + count, total[1] + errors, total[2] + nanos];
    }
    writeln!(out, "*\ttotal\t{}\t{}\t{}", total[0], total[1], total[2])?;
    Ok(())
}
