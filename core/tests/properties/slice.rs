//! Properties of slices and filters (I19): a part of a tape says what the whole says of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use redtape_core::edit::{CutCounts, Expr, Selection, Sieve, Slicer};
use redtape_core::synth::{CapturePolicy, ExchangeId, Scenario};
use redtape_core::tape::{EventSource, Merge, Meta, Reader, TapeSource, WriterOptions};
use redtape_core::{
    Body, BodyBuf, ConnKey, Engine, EngineOptions, EventBuf, Exchange, Limits, MonoNanos, Outcome, Output, Role,
    SpanId, Version,
};

use crate::generate::{config, scenarios};
use crate::oracle::stage1;
use crate::worlds::worlds;

/// The events of the tape that a slice is.
fn slice(scenario: &Scenario, events: &[EventBuf], selection: Selection) -> Vec<EventBuf> {
    sliced(scenario, events, selection).0
}

/// The same, and what was cut.
fn sliced(scenario: &Scenario, events: &[EventBuf], selection: Selection) -> (Vec<EventBuf>, CutCounts) {
    let meta = Meta { origin: scenario.origin(), ..Meta::default() };
    let options = WriterOptions { block_bytes: 3_000, ..WriterOptions::FILE };
    let mut slicer = Slicer::new(&meta, "part", selection, Vec::new(), options).expect("a Vec can be written to");
    for event in events {
        slicer.push(&event.as_event()).expect("a Vec can be written to");
    }
    let counts = slicer.counts();
    let (_, tape) = slicer.finish().expect("a Vec can be written to");
    (read(&tape), counts)
}

/// The parent of each span, and the one that its request names.
fn parents(events: &[EventBuf]) -> BTreeMap<SpanId, [Option<SpanId>; 2]> {
    let (mut engine, mut parents) = (Engine::new(EngineOptions::default()), BTreeMap::new());
    events.iter().for_each(|event| engine.push(&event.as_event()));
    engine.finish();
    while let Some(output) = engine.poll_output() {
        if let Output::Span(span) = output {
            let named = span.http.head.context.map(|context| context.parent_id);
            parents.insert(span.span_id, [span.parent_span_id, named]);
        }
    }
    parents
}

fn read(tape: &[u8]) -> Vec<EventBuf> {
    let mut source = TapeSource::new(Reader::open(tape).expect("a slice is a tape"));
    let mut events = Vec::new();
    while let Some(event) = source.next_event().expect("a slice can be read") {
        events.push(event.into());
    }
    events
}

fn exchanges(events: &[EventBuf]) -> BTreeMap<ExchangeId, Exchange> {
    stage1(events, &Limits::default()).exchanges
}

/// Connections with all that is on them.
fn whole(conns: BTreeSet<ConnKey>) -> BTreeMap<ConnKey, MonoNanos> {
    conns.into_iter().map(|conn| (conn, MonoNanos::MAX)).collect()
}

fn conns(events: &[EventBuf]) -> Vec<ConnKey> {
    let keys: BTreeSet<_> = events.iter().filter_map(|event| event.as_event().body.conn()).collect();
    keys.into_iter().collect()
}

/// Whether both say the same, but for facts of the connection that a cut changes.
fn same(one: &Exchange, other: &Exchange) -> bool {
    let text = |exchange: &Exchange| {
        let Exchange { role, process, request, response, reset, outcome, end, .. } = exchange;
        format!("{role:?} {process:?} {request:?} {response:?} {reset:?} {outcome:?} {end:?}")
    };
    text(one) == text(other)
}

/// When the first byte of the request moved.
fn begins(exchange: &Exchange) -> MonoNanos {
    let first = exchange.request.message.first;
    if exchange.role == Role::Client { first.entry } else { first.exit }
}

/// Whether something of a head is not known.
fn is_in_part(exchange: &Exchange) -> bool {
    exchange.request.message.truncated || exchange.response.as_ref().is_some_and(|response| response.message.truncated)
}

fn middle(events: &[EventBuf], per_mille: u64) -> MonoNanos {
    let (first, last) = (events.first().map(|event| event.time), events.iter().map(|event| event.time).max());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    first.plus(last.since(first) * per_mille / 1000)
}

proptest! {
    #![proptest_config(config())]

    /// Of chosen connections, a slice says what the whole says.
    #[test]
    fn a_slice_of_connections_is_the_restriction(scenario in scenarios(CapturePolicy::default()), bits: u64) {
        let events: Vec<_> = scenario.events().collect();
        let chosen: BTreeSet<_> =
            conns(&events).into_iter().enumerate().filter(|(at, _)| bits >> (at % 64) & 1 == 1).map(|(_, key)| key).collect();
        let sliced = slice(&scenario, &events, Selection { conns: Some(whole(chosen.clone())), ..Selection::ALL });
        let whole: Vec<_> = exchanges(&events).into_values().filter(|exchange| chosen.contains(&exchange.conn.key)).collect();
        let part: Vec<_> = exchanges(&sliced).into_values().collect();
        prop_assert_eq!(format!("{part:#?}"), format!("{whole:#?}"));
    }

    /// What is complete in the beginning of a tape is as in the whole.
    #[test]
    fn a_slice_up_to_a_moment_is_a_prefix(scenario in scenarios(CapturePolicy::default()), at in 0_u64..1000) {
        let events: Vec<_> = scenario.events().collect();
        let to = middle(&events, at);
        let sliced = slice(&scenario, &events, Selection { to, ..Selection::ALL });
        prop_assert!(sliced.iter().all(|event| event.time <= to));
        let whole = exchanges(&events);
        for (id, exchange) in exchanges(&sliced) {
            prop_assert!(whole.contains_key(&id), "{id:?} is in the slice alone");
            if exchange.outcome != Outcome::Incomplete {
                prop_assert!(same(&exchange, &whole[&id]), "{exchange:?}\n{:?}", whole[&id]);
            }
        }
    }

    /// A slice that begins later is the restriction of the whole: every request of which the first byte moves then is in it, with its
    /// path, and told as in the whole. What is in the middle of an exchange of HTTP/1 then is joined as it goes on.
    #[test]
    fn a_slice_from_a_moment_on_is_the_restriction(scenario in worlds(), at in 1_u64..1000) {
        let events: Vec<_> = scenario.events().collect();
        let from = middle(&events, at);
        let (sliced, counts) = sliced(&scenario, &events, Selection { from, ..Selection::ALL });
        let (part, whole) = (exchanges(&sliced), exchanges(&events));
        let under_way: BTreeSet<_> =
            whole.values().filter(|exchange| begins(exchange) < from && from <= exchange.end).map(|exchange| exchange.conn.key).collect();
        let joined = |exchange: &Exchange| match exchange.request.head.version {
            Version::Http2 => counts.http2_in_part > 0,
            // What a client that pipelines leaves behind is not told of.
            Version::Http10 | Version::Http11 => {
                scenario.per_mille.pipelined > 0 || under_way.contains(&exchange.conn.key)
            }
        };
        for (id, exchange) in &part {
            prop_assert!(whole.contains_key(id), "{exchange:#?} is in the slice alone");
            let left_open =
                joined(exchange) && (exchange.outcome == Outcome::Incomplete || is_in_part(exchange));
            prop_assert!(left_open || same(exchange, &whole[id]), "from {from}: {exchange:#?}\n{:#?}", whole[id]);
        }
        for (id, exchange) in &whole {
            let left_out = begins(exchange) < from || joined(exchange);
            prop_assert!(left_out || part.contains_key(id), "from {from}: not in the slice: {exchange:#?}");
        }
        let (part, whole) = (parents(&sliced), parents(&events));
        for (span, [parent, named]) in part {
            // Who is not in the slice is nobody's parent: then it is whom the request names, or not known.
            let is_known = parent == whole.get(&span).and_then(|[parent, _]| *parent);
            prop_assert!(is_known || parent.is_none() || parent == named, "{span} has the parent {parent:?}");
        }
    }

    /// A filter by what connections are is a slice of these.
    #[test]
    fn a_filter_keeps_what_decodes(scenario in scenarios(CapturePolicy::default())) {
        let events: Vec<_> = scenario.events().collect();
        let ports: BTreeSet<u16> = events
            .iter()
            .filter_map(|event| match &event.body {
                BodyBuf::Connection(info) => Some(info.endpoint?.local.port()),
                _ => None,
            })
            .collect();
        let Some(port) = ports.first() else { return Ok(()) };
        let expr = Expr::parse(&format!("local.port == {port}")).expect("an expression");
        let mut sieve = Sieve::new(expr);
        let kept: Vec<_> = events.iter().filter(|event| sieve.keeps(&event.as_event())).cloned().collect();
        let kept = slice(&scenario, &kept, Selection::ALL);
        let is_wanted = |exchange: &Exchange| exchange.conn.endpoint.is_some_and(|ends| ends.local.port() == *port);
        let whole: Vec<_> = exchanges(&events).into_values().filter(is_wanted).collect();
        let part: Vec<_> = exchanges(&kept).into_values().collect();
        prop_assert_eq!(format!("{part:#?}"), format!("{whole:#?}"));
    }

    /// Slices of a tape, merged, say what it says.
    #[test]
    fn slices_merge_to_the_whole(scenario in scenarios(CapturePolicy::default())) {
        let events: Vec<_> = scenario.events().collect();
        let conns = conns(&events);
        let (one, other): (BTreeSet<_>, BTreeSet<_>) = conns.into_iter().partition(|key| key.get() % 2 == 0);
        let meta = Meta { origin: scenario.origin(), ..Meta::default() };
        let tape = |conns| {
            let selection = Selection { conns: Some(whole(conns)), ..Selection::ALL };
            let mut slicer = Slicer::new(&meta, "part", selection, Vec::new(), WriterOptions::FILE).expect("a Vec");
            events.iter().for_each(|event| slicer.push(&event.as_event()).expect("a Vec can be written to"));
            slicer.finish().expect("a Vec can be written to").1
        };
        let (one, other) = (tape(one), tape(other));
        let readers = [&one, &other].map(|tape| Reader::open(&tape[..]).expect("a slice is a tape"));
        let (mut merge, mut merged) = (Merge::new(readers).expect("tapes merge"), Vec::new());
        while let Some(event) = merge.next_event().expect("tapes can be read") {
            merged.push(EventBuf::from(event));
        }
        let clocks = merged.iter().filter(|event| matches!(event.body, BodyBuf::Plain(Body::Clock { .. }))).count();
        prop_assert!(clocks > 0);
        let (merged, whole) = (exchanges(&merged), exchanges(&events));
        prop_assert_eq!(format!("{merged:#?}"), format!("{whole:#?}"));
    }
}
