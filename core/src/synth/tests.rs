//! The generator against itself: its truth is what an independent, trivial parser reads from its bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::event::{Body, BodyBuf, Direction, EventBuf};
use crate::exchange::Outcome;
use crate::ids::ConnKey;
use crate::span::SpanKind;
use crate::time::MonoNanos;

fn scenarios() -> impl Iterator<Item = Scenario> {
    let capture = CapturePolicy { whole: u64::MAX, ..CapturePolicy::default() };
    (0..60).map(move |seed| {
        let shop = Scenario::shop();
        let recorder = Recorder { capture, ..shop.recorder };
        let per_mille = PerMille { lures: 500, ..shop.per_mille };
        Scenario { seed, requests: Some(48), recorder, per_mille, ..shop }
    })
}

#[derive(Debug, Default)]
struct Streams {
    bytes: [Vec<u8>; 2],
}

fn streams(events: impl Iterator<Item = EventBuf>) -> BTreeMap<ConnKey, Streams> {
    let mut all: BTreeMap<ConnKey, Streams> = BTreeMap::new();
    for event in events {
        if let BodyBuf::Data(data, payload) = &event.body {
            let stream = &mut all.entry(data.conn).or_default().bytes[data.direction as usize];
            assert_eq!(stream.len() as u64, data.pos);
            payload.as_ranges().iter().for_each(|(_, piece)| stream.extend_from_slice(piece));
            assert_eq!(stream.len() as u64, data.pos + data.len);
        }
    }
    all
}

/// A message as the trivial parser reads it: its first line, its end, and the size of its body.
struct Read<'a> {
    line: Vec<&'a str>,
    end: usize,
    size: u64,
}

/// Reads the message at the front of `bytes`, which has a body unless `bodyless`.
fn read(bytes: &[u8], bodyless: bool) -> Read<'_> {
    let mut at = 0;
    let mut line = || {
        let end = at + bytes[at..].iter().position(|&byte| byte == b'\n').unwrap();
        let line = std::str::from_utf8(&bytes[at..end]).unwrap().trim_end();
        at = end + 1;
        line
    };
    let first: Vec<&str> = line().splitn(3, ' ').collect();
    let (mut length, mut chunked) = (None, false);
    loop {
        let header = line().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap();
        match name {
            "content-length" => length = Some(value.trim().parse::<usize>().unwrap()),
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    let mut size = 0;
    if bodyless {
    } else if chunked {
        loop {
            let text = bytes[at..].split(|&byte| byte == b'\n').next().unwrap();
            at += text.len() + 1;
            let digits: String = text.iter().map(|&b| b as char).take_while(char::is_ascii_hexdigit).collect();
            let chunk = usize::from_str_radix(&digits, 16).unwrap();
            if chunk == 0 {
                break;
            }
            size += chunk as u64;
            at += chunk + 2;
        }
        while !bytes[at..].starts_with(b"\r\n") {
            at += 1 + bytes[at..].iter().position(|&byte| byte == b'\n').unwrap();
        }
        at += 2;
    } else if let Some(length) = length {
        size = (length as u64).min((bytes.len() - at) as u64);
        at += length.min(bytes.len() - at);
    } else if first[0].starts_with("HTTP/") {
        size = (bytes.len() - at) as u64;
        at = bytes.len();
    }
    Read { line: first, end: at, size }
}

#[test]
fn truth_is_what_the_bytes_say() {
    let mut outcomes = BTreeMap::new();
    for scenario in scenarios() {
        let streams = streams(scenario.events());
        let mut truths: BTreeMap<ConnKey, Vec<Truth>> = BTreeMap::new();
        for truth in scenario.truth() {
            truths.entry(truth.id.conn).or_default().push(truth);
        }
        assert_eq!(truths.keys().collect::<Vec<_>>(), streams.keys().collect::<Vec<_>>());
        for (conn, truths) in truths {
            let [mut requests, mut responses] = streams[&conn].bytes.each_ref();
            if truths[0].kind == SpanKind::Client {
                std::mem::swap(&mut requests, &mut responses);
            }
            let (mut at, mut back) = (0, 0);
            for truth in truths {
                *outcomes.entry(format!("{:?} {:?}", truth.outcome, truth.status)).or_insert(0) += 1;
                let request = read(&requests[at..], false);
                assert_eq!(request.line[..2], [&truth.method, &truth.target], "seed {} {truth:?}", scenario.seed);
                assert_eq!(truth.request, at as u64..(at + request.end) as u64);
                assert!(truth.request_size.is_none_or(|size| size == request.size));
                at += request.end;
                let Some(range) = truth.response else {
                    assert_eq!(truth.outcome, Outcome::NoResponse);
                    assert!(responses[back..].is_empty());
                    continue;
                };
                let tunnel = truth.outcome == Outcome::Complete && truth.response_size.is_none();
                let bodyless = tunnel || truth.method == "HEAD" || matches!(truth.status, Some(204 | 304));
                let response = loop {
                    let response =
                        read(&responses[back..], matches!(&responses[back + 9..back + 11], b"10") || bodyless);
                    if !matches!(response.line[1], "100" | "103") {
                        break response;
                    }
                    back += response.end;
                };
                assert_eq!(response.line[1].parse().ok(), truth.status);
                assert_eq!(range, back as u64..(back + response.end) as u64, "seed {}", scenario.seed);
                assert!(truth.response_size.is_none_or(|size| size == response.size));
                back += response.end;
            }
        }
    }
    // Everything that can happen has happened: nine statuses, cut and missing responses.
    assert!(outcomes.len() == 11, "{outcomes:?}");
}

#[test]
fn recordings_are_in_tape_order() {
    for scenario in scenarios() {
        let mut now = MonoNanos::ZERO;
        let (mut known, mut closed) = (BTreeSet::new(), BTreeSet::new());
        let mut sequences = BTreeMap::new();
        let mut readable: BTreeMap<ConnKey, u64> = BTreeMap::new();
        for event in scenario.events() {
            assert!(event.time >= now && !event.late);
            now = event.time;
            let sequence = sequences.entry(event.cpu).or_insert(0);
            assert_eq!(event.seq, *sequence);
            *sequence += 1;
            let Some(conn) = event.as_event().body.conn() else { continue };
            assert!(!closed.contains(&conn), "seed {} {event:?}", scenario.seed);
            match event.as_event().body {
                Body::Connection(info) => {
                    known.insert(info.key);
                }
                Body::Close { .. } => {
                    closed.insert(conn);
                }
                Body::Arrival { end, .. } => {
                    readable.insert(conn, end);
                }
                Body::Data(data) if data.direction == Direction::In => {
                    assert!(
                        data.pos + data.len <= readable.get(&conn).copied().unwrap_or(0),
                        "bytes read before they came"
                    );
                    assert!(data.stamp.entry <= data.stamp.exit && data.stamp.exit == event.time);
                }
                Body::Data(data) => assert!(data.stamp.entry == event.time && data.stamp.exit > event.time),
                _ => {}
            }
            assert!(known.contains(&conn), "no dictionary entry");
        }
        assert_eq!(known, closed, "every connection ends");
    }
}

#[test]
fn times_and_parents_fit_together() {
    for scenario in scenarios() {
        let truths: BTreeMap<ExchangeId, Truth> = scenario.truth().map(|truth| (truth.id, truth)).collect();
        assert_eq!(truths.len(), scenario.truth().count(), "ids are unique");
        for truth in truths.values() {
            assert!(truth.end.is_none_or(|end| end > truth.start));
            assert!(truth.kind == SpanKind::Server || truth.queue_nanos.is_none());
            let Some(parent) = truth.parent.map(|id| &truths[&id]) else { continue };
            assert_ne!(parent.kind, truth.kind);
            assert!(parent.start < truth.start, "seed {} {parent:?} {truth:?}", scenario.seed);
            if truth.kind == SpanKind::Client {
                assert!(parent.end > truth.end && parent.process == truth.process);
                assert!(parent.tid == truth.tid || !truth.blocking);
            }
        }
    }
}

#[test]
fn equal_scenarios_give_equal_recordings() {
    let scenario = Scenario { seed: 3, ..Scenario::shop() };
    assert!(scenario.events().eq(scenario.events()));
    assert!(!scenario.events().eq(Scenario { seed: 4, ..scenario.clone() }.events()));
    assert_ne!(scenario.origin(), Scenario { seed: 4, ..scenario.clone() }.origin());
}

#[test]
fn transforms_do_what_they_say() {
    let scenario = scenarios().nth(5).unwrap();
    let events: Vec<_> = scenario.events().collect();
    let bytes = |events: &[EventBuf]| -> BTreeMap<_, _> {
        streams(events.iter().cloned()).into_iter().map(|(conn, streams)| (conn, streams.bytes)).collect()
    };
    let pieces = transform::rechunk(&events, 1);
    assert!(pieces.len() > events.len());
    assert_eq!(bytes(&pieces), bytes(&events));
    assert_eq!(bytes(&transform::interleave(&events, 5_000_000, 1)), bytes(&events));

    let (kept, gone) = transform::drop_data(&events, 100, 1);
    let losses = kept.iter().filter(|event| matches!(event.as_event().body, Body::Loss(_))).count();
    assert!(!gone.is_empty() && losses == gone.len() && kept.len() == events.len());
    let twice = transform::duplicate(&events, 100, 1);
    assert!(twice.len() > events.len() && twice.iter().any(|event| event.late));

    let later = transform::shift_time(&events, 1_000);
    assert_eq!(later[7].time.since(events[7].time), 1_000);
    let short = transform::truncate_payloads(&events, 20);
    let captured = |event: &EventBuf| match &event.body {
        BodyBuf::Data(_, payload) => payload.as_ranges().captured(),
        _ => 0,
    };
    assert_eq!(short.iter().map(captured).max(), Some(20));

    let half = transform::start_at(&events, events.len() / 2);
    let open = |event: &&EventBuf| matches!(&event.body, BodyBuf::Connection(info) if info.preexisting);
    assert!(half.iter().filter(open).count() > 0);
}

#[test]
fn the_workload_is_four_events_a_transaction() {
    let workload = Workload { transactions: 10_000, seed: 1 };
    let mut now = MonoNanos::ZERO;
    let (mut calls, mut arrivals, mut opened) = (0, 0, 0);
    for event in workload.events() {
        assert!(event.time >= now, "{event:?}");
        now = event.time;
        match event.as_event().body {
            Body::Data(data) => {
                assert!(data.ranges.captured() <= 300);
                calls += u64::from(data.len > 0);
            }
            Body::Arrival { fin, .. } => arrivals += u64::from(!fin),
            Body::Accept { .. } => opened += 1,
            _ => {}
        }
    }
    assert_eq!((calls, arrivals), (30_000, 10_000));
    assert!((100..=164).contains(&opened), "{opened}");
    let totals = workload.totals();
    let (count, errors) = totals.iter().fold((0, 0), |sum, route| (sum.0 + route.count, sum.1 + route.errors));
    assert_eq!(count, 10_000);
    assert!((100..200).contains(&errors), "{errors}");
}

#[test]
fn the_workload_of_grpc_is_read_as_it_was_made() {
    let mut engine = crate::Engine::new(crate::EngineOptions::default());
    for event in (GrpcWorkload { calls: 2_000, seed: 3 }).events() {
        engine.push(&event.as_event());
    }
    engine.finish();
    assert_eq!((engine.totals().spans, engine.totals().incomplete), (2_000, 0));
    assert_eq!(engine.totals().diagnostics, BTreeMap::new());
    let snapshot = engine.metrics().snapshot();
    let series = |name: &str| {
        let family = snapshot.families.iter().find(|family| family.name == name);
        family.map_or(0, |family| family.series.len())
    };
    // 20 methods, most of which fail now and then; and no call counts twice.
    assert!(series("rpc_server_duration_seconds") > 20);
    assert_eq!(series("http_server_request_duration_seconds"), 0);
}
