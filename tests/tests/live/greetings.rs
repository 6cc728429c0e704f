//! The four greetings services under load: every request is a span, and every greeting is one trace.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use redtape_tests::{Greetings, Load, Recorder, Requirement, Result, Span, Truth, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("greetings::every_request_is_a_span_and_every_greeting_a_trace", &[Requirement::Bpf], every_request)]
}

fn every_request() -> Result<()> {
    let services = Greetings::start(&["--max-delay-us", "2000"])?;
    let recorder = Recorder::start(["--port", &services.ports()])?;
    let truth = Load::new(services.frontend(), 300, &["/greeting=9", "/missing=1"]).send()?;
    let recording = recorder.stop()?;
    assert_eq!(recording.info()?.lost, 0);

    let spans = recording.spans()?;
    check_counts(&spans, &truth);
    check_traces(&spans, &truth);
    Ok(())
}

/// Server spans per service, path and status are exactly what the client counted and what follows from it.
fn check_counts(spans: &[Span], truth: &Truth) {
    let [good, failed] = [200, 502].map(|status| truth.count("/greeting", status));
    let missing = truth.count("/missing", 404);
    assert!(good > 0 && failed > 0 && missing > 0, "the load is meant to have all three: {truth:?}");
    let expected = [
        ("frontend", "/greeting", 200, good),
        ("frontend", "/greeting", 502, failed),
        ("frontend", "/missing", 404, missing),
        ("message", "/message", 200, good),
        ("name", "/name", 200, good),
        ("name", "/name", 502, failed),
        ("year", "/year", 200, good),
        ("year", "/year", 500, failed),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(service, path, status, count)| ((service.to_owned(), path.to_owned(), status.to_string()), count))
        .collect();
    let mut found = BTreeMap::new();
    for span in spans.iter().filter(|span| span.is_server()) {
        *found.entry((span.service.clone(), span.path(), span.status_code())).or_insert(0_u64) += 1;
    }
    assert_eq!(found, expected);
    assert!(spans.iter().all(|span| !span.incomplete));
}

/// A good greeting is one trace of four server and three client spans; one that failed lacks `message`'s two.
fn check_traces(spans: &[Span], truth: &Truth) {
    let mut traces: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        traces.entry(&span.trace_id).or_default().push(span);
    }
    let mut shapes = BTreeMap::new();
    for trace in traces.values() {
        let servers = trace.iter().filter(|span| span.is_server()).count();
        let clients = trace.iter().filter(|span| span.is_client()).count();
        let roots = trace.iter().filter(|span| span.parent_span_id.is_none()).count();
        *shapes.entry((servers, clients, roots)).or_insert(0_u64) += 1;
    }
    let count = |path, status| truth.count(path, status);
    let expected = [
        ((1, 0, 1), count("/missing", 404)),
        ((3, 2, 1), count("/greeting", 502)),
        ((4, 3, 1), count("/greeting", 200)),
    ];
    assert_eq!(shapes, BTreeMap::from(expected));
}
