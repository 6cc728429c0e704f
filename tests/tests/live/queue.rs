//! Queue time: from the arrival of a request to the application's first read, and to its accept.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use redtape_tests::{Recorder, Requirement, Result, Span, trial};
use serde::Deserialize;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/queue.py");

pub(crate) fn trials() -> Vec<Trial> {
    const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Program("python3")];
    vec![trial("queue::time_before_accept_and_read", PYTHON, time_before_accept_and_read)]
}

/// What the script measured: the times before and after each step.
#[derive(Debug, Deserialize)]
struct Measured {
    path: String,
    connect: (u64, u64),
    send: (u64, u64),
    accept: (u64, u64),
    receive: (u64, u64),
}

fn time_before_accept_and_read() -> Result<()> {
    let recording = Recorder::start(["--", "python3", SCRIPT])?.wait()?;
    let spans = recording.spans()?;
    let servers: BTreeMap<_, _> =
        spans.iter().filter(|span| span.is_server()).map(|span| (span.path(), span)).collect();
    let mut requests = 0;
    for line in recording.recorder.stdout.lines() {
        let measured: Measured = serde_json::from_str(line)?;
        let span = servers.get(&measured.path).ok_or_else(|| format!("no span for {}", measured.path))?;
        check_times(span, &measured)?;
        check_phases(span, &spans)?;
        requests += 1;
    }
    assert_eq!((requests, servers.len()), (5, 5));
    Ok(())
}

/// Both lie within what the script measured around them, whatever else the machine was doing.
fn check_times(span: &Span, measured: &Measured) -> Result<()> {
    let within = |from: (u64, u64), to: (u64, u64)| to.0.saturating_sub(from.1)..=to.1 - from.0;
    let queue = span.queue_ns.ok_or("the queue time is not known")?;
    let expected = within(measured.send, measured.receive);
    assert!(*expected.start() > 80_000_000, "the script is meant to wait: {measured:?}");
    assert!(expected.contains(&queue), "{queue} is not in {expected:?}");

    let accept: u64 = span.attribute("redtape.accept_wait_ns").parse()?;
    let expected = within(measured.connect, measured.accept);
    assert!(expected.contains(&accept), "{accept} is not in {expected:?}");
    Ok(())
}

/// The two phases follow each other and fill the span.
fn check_phases(server: &Span, spans: &[Span]) -> Result<()> {
    let is_child = |span: &&Span| span.parent_span_id.as_ref() == Some(&server.span_id) && span.kind == "internal";
    let children: BTreeMap<_, _> = spans.iter().filter(is_child).map(|span| (span.name.as_str(), span)).collect();
    let [queue, processing] =
        ["in queue", "processing"].map(|name| children.get(name).ok_or_else(|| format!("no span {name:?}")));
    let (queue, processing) = (queue?, processing?);
    assert_eq!(Some(queue.duration_ns), server.queue_ns);
    assert_eq!(queue.start_time_unix_nano, server.start_time_unix_nano);
    assert_eq!(queue.end_time_unix_nano, processing.start_time_unix_nano);
    assert_eq!(processing.end_time_unix_nano, server.end_time_unix_nano);
    Ok(())
}
