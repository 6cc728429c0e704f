//! What the benches share: the workload as a tape, and the pipeline from events to RED metrics.
#![forbid(unsafe_code)]

mod pcap;
mod scap;

pub use pcap::write_pcap;
pub use scap::write_scap;

use std::io::{Read, Write};

use anyhow::Context as _;
use redtape_core::metric::{Snapshot, Value};
use redtape_core::synth::Workload;
use redtape_core::tape::{CloseReason, EventSource, Meta, Reader, TapeSource, Writer, WriterOptions};
use redtape_core::{Engine, EngineOptions, EventBuf};

/// Writes the workload as a tape to `out`, and gives it back.
///
/// # Errors
/// If `out` cannot be written to.
pub fn workload_tape<W: Write>(workload: Workload, out: W, options: WriterOptions) -> anyhow::Result<W> {
    tape_of(workload.events(), out, options)
}

/// Writes events as a tape to `out`, and gives it back.
///
/// # Errors
/// If `out` cannot be written to.
pub fn tape_of<W: Write>(events: impl Iterator<Item = EventBuf>, out: W, options: WriterOptions) -> anyhow::Result<W> {
    let mut writer = Writer::new(out, &Meta::default(), options)?;
    for event in events {
        writer.push(&event.as_event())?;
    }
    Ok(writer.finish(CloseReason::Done)?.1)
}

/// The metrics of events in memory.
pub fn metrics_of_events(events: &[EventBuf]) -> Snapshot {
    let mut engine = Engine::new(EngineOptions::default());
    for event in events {
        engine.push(&event.as_event());
        while engine.poll_output().is_some() {}
    }
    engine.finish();
    engine.metrics().snapshot()
}

/// The metrics of a tape.
///
/// # Errors
/// If it is none, or cannot be read.
pub fn metrics_of_tape(tape: impl Read) -> anyhow::Result<Snapshot> {
    let mut source = TapeSource::new(Reader::open(tape).context("failed to open the tape")?);
    let mut engine = Engine::new(EngineOptions::default());
    while let Some(event) = source.next_event().context("failed to read the tape")? {
        engine.push(&event);
        while engine.poll_output().is_some() {}
    }
    engine.finish();
    Ok(engine.metrics().snapshot())
}

/// Count and sum in nanoseconds of the server spans' durations, and how many failed (status 500 and above), by method and
/// route.
pub fn durations(metrics: &Snapshot) -> Vec<(String, [u128; 3])> {
    let mut rows: std::collections::BTreeMap<String, [u128; 3]> = std::collections::BTreeMap::new();
    let family = metrics.families.iter().find(|family| family.name == "http_server_request_duration_seconds");
    for (family, series) in family.iter().flat_map(|family| family.series.iter().map(move |series| (family, series))) {
        let label = |name| {
            let at = family.labels.iter().position(|label| *label == name);
            at.and_then(|at| series.values.get(at)).map_or("", String::as_str)
        };
        let Value::Histogram(histogram) = &series.value else { continue };
        let row = rows.entry(format!("{}\t{}", label("http_request_method"), label("http_route"))).or_default();
        let failed = if label("http_response_status_code").starts_with('5') { histogram.count() } else { 0 };
        for (sum, more) in row.iter_mut().zip([histogram.count().into(), failed.into(), histogram.sum()]) {
            *sum += more;
        }
    }
    rows.into_iter().collect()
}
