//! Properties of the tape, over events as recorders write them (I16).

use std::io::Cursor;

use proptest::prelude::*;
use redtape_core::synth::{CapturePolicy, Scenario, Workload};
use redtape_core::tape::{CloseReason, EventSource, Meta, Reader, TapeSource, Writer, WriterOptions};
use redtape_core::{Body, Engine, EngineOptions, EventBuf, Output};

use crate::generate::{config, scenarios};

/// A tape of these events, in blocks so small that there are many.
fn write(scenario: &Scenario, events: &[EventBuf], compress: bool) -> Vec<u8> {
    let meta = Meta { origin: scenario.origin(), ..Meta::default() };
    let options = WriterOptions { compress, block_bytes: 3_000, ..WriterOptions::FILE };
    let mut writer = Writer::new(Vec::new(), &meta, options).expect("a Vec can be written to");
    for event in events {
        writer.push(&event.as_event()).expect("a Vec can be written to");
    }
    writer.finish(CloseReason::Done).expect("a Vec can be written to").1
}

/// The events of a tape. Nothing but an unreadable beginning is an error.
fn read(bytes: &[u8]) -> Option<Vec<EventBuf>> {
    let mut source = TapeSource::new(Reader::open(Cursor::new(bytes)).ok()?);
    let mut events = Vec::new();
    while let Some(event) = source.next_event().ok()? {
        events.push(event.into());
    }
    Some(events)
}

/// Without dictionary entries, which each block repeats, and without what the reader puts in the place of damage.
fn facts(events: &[EventBuf]) -> Vec<&EventBuf> {
    let fact = |event: &&EventBuf| {
        !matches!(event.as_event().body, Body::Connection(_) | Body::Process(_) | Body::Loss(_) | Body::Tick)
    };
    events.iter().filter(fact).collect()
}

fn spans(events: &[EventBuf]) -> Vec<String> {
    let mut engine = Engine::new(EngineOptions::default());
    events.iter().for_each(|event| engine.push(&event.as_event()));
    engine.finish();
    let span = |output| if let Output::Span(span) = output { Some(format!("{span:?}")) } else { None };
    std::iter::from_fn(|| engine.poll_output()).filter_map(span).collect()
}

/// Whether `part` is what is left of `whole` when events are taken out.
fn is_subsequence(part: &[&EventBuf], whole: &[&EventBuf]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|event| rest.any(|other| other == event))
}

proptest! {
    #![proptest_config(config())]

    /// What is read is what was written, and gives the same spans.
    #[test]
    fn a_tape_changes_nothing(scenario in scenarios(CapturePolicy::default()), compress: bool) {
        let events: Vec<_> = scenario.events().collect();
        let again = read(&write(&scenario, &events, compress)).expect("a whole tape");
        prop_assert_eq!(facts(&again), facts(&events));
        prop_assert_eq!(spans(&again), spans(&events));
    }

    /// A tape that was cut gives the events before the cut.
    #[test]
    fn a_cut_tape_gives_a_prefix(scenario in scenarios(CapturePolicy::default()), cut: prop::sample::Index) {
        let events: Vec<_> = scenario.events().collect();
        let bytes = write(&scenario, &events, false);
        if let Some(part) = read(&bytes[..cut.index(bytes.len())]) {
            prop_assert!(facts(&events).starts_with(&facts(&part)));
        }
    }

    /// A damaged tape gives some of the events, and none that is changed.
    #[test]
    fn damage_changes_no_event(
        scenario in scenarios(CapturePolicy::default()),
        at: prop::sample::Index,
        bit in 0_u8..8,
        compress: bool,
    ) {
        let events: Vec<_> = scenario.events().collect();
        let mut bytes = write(&scenario, &events, compress);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Some(left) = read(&bytes) {
            prop_assert!(is_subsequence(&facts(&left), &facts(&events)));
        }
    }
}

/// The traffic that benches use, from a tape: the truth of each route comes out.
#[test]
fn the_workload_comes_out_of_a_tape_as_it_went_in() {
    let workload = Workload { transactions: 3_000, seed: 5 };
    let mut writer = Writer::new(Vec::new(), &Meta::default(), WriterOptions::FILE).expect("a Vec can be written to");
    for event in workload.events() {
        writer.push(&event.as_event()).expect("a Vec can be written to");
    }
    let bytes = writer.finish(CloseReason::Done).expect("a Vec can be written to").1;
    let mut source = TapeSource::new(Reader::open(Cursor::new(&bytes)).expect("a tape"));
    let mut engine = Engine::new(EngineOptions::default());
    while let Some(event) = source.next_event().expect("a whole tape") {
        engine.push(&event);
    }
    engine.finish();
    let (mut count, mut errors, mut duration, mut queue, mut sizes) = (0, 0, 0, 0, [0, 0]);
    while let Some(output) = engine.poll_output() {
        let Output::Span(span) = output else { continue };
        count += 1;
        errors += u64::from(span.http.status_code >= Some(500));
        duration += span.duration_nanos();
        queue += span.queue_nanos.expect("arrivals are recorded");
        sizes[0] += span.http.request_size.expect("known");
        sizes[1] += span.http.response_size.expect("known");
    }
    let totals = workload.totals();
    let sum = |field: fn(&redtape_core::synth::RouteTotals) -> u64| totals.iter().map(field).sum::<u64>();
    assert_eq!((count, errors), (sum(|route| route.count), sum(|route| route.errors)));
    assert_eq!((duration, queue), (sum(|route| route.duration_nanos), sum(|route| route.queue_nanos)));
    assert_eq!(sizes, [sum(|route| route.request_bytes), sum(|route| route.response_bytes)]);
}
