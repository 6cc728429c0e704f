//! Whatever one peer sends, the memory in use stays within its bounds, what went wrong is counted, and the connection's
//! other streams are not hurt.

use super::Wire;
use super::wire::{GET, frame, reset};
use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Finding, Outcome, What};
use crate::limits::Limits;
use crate::synth::frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, PADDED, PING, RST_STREAM, SETTINGS};
use crate::time::MonoNanos;
use crate::track::Shard;

/// Fixed state of a shard with few connections, with room for what one call adds before it is looked at.
const FIXED_BYTES: usize = 64 << 10;

/// What was found, in all and after each call; the most memory in use.
struct Ran {
    found: Vec<Finding>,
    peak: usize,
    /// The most bytes that one call led to.
    largest: usize,
}

fn run(wire: &Wire, limits: &Limits) -> Ran {
    let (mut shard, mut out) = (Shard::new(limits), Vec::new());
    let mut ran = Ran { found: Vec::new(), peak: 0, largest: 0 };
    for event in &wire.script.events {
        shard.push(&event.as_event(), event.time, &mut out);
        ran.peak = ran.peak.max(shard.cost_bytes());
        ran.largest = ran.largest.max(out.iter().map(Finding::held_bytes).sum());
        ran.found.append(&mut out);
    }
    shard.finish(MonoNanos::MAX, &mut ran.found);
    ran
}

fn count(found: &[Finding], wanted: DiagnosticKind) -> u64 {
    let of = |what: &What| match *what {
        What::Diagnostic(kind, count) if kind == wanted => count,
        _ => 0,
    };
    found.iter().map(|finding| of(&finding.what)).sum()
}

/// The outcome and the status of the request for this path.
fn ended(found: &[Finding], path: &str) -> Option<(Outcome, Option<u16>)> {
    found.iter().find_map(|finding| match &finding.what {
        What::Ended(exchange) if exchange.request.head.target() == path => {
            Some((exchange.outcome, exchange.response.as_ref().map(|response| response.status)))
        }
        _ => None,
    })
}

/// An attack: its frames from number `n` on, each time one call's.
type Attack = fn(u32) -> Vec<u8>;

fn odd(n: u32) -> u32 {
    2 * n + 101
}

const REQUEST: [u8; 3] = [0x82, 0x86, 0x84];
/// A field that nobody asks for.
const OTHER: [u8; 5] = [0, 1, b'a', 1, b'b'];

fn continuation(n: u32, fragment: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, END_HEADERS, odd(n), fragment)
}

/// A request that is reset at once.
fn given_up(n: u32, block: &[u8]) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, odd(n), block), reset(odd(n), 8)].concat()
}

/// A request with two fields of 48 KiB.
fn long_head(n: u32) -> Vec<u8> {
    let field = [&[0, 1, b'a', 0x7f, 0x80, 0x80, 0x03][..], &[b'x'; 127 + (3 << 14)]].concat();
    let block = [&REQUEST[..], &field, &field].concat();
    let (first, second) = block.split_at(60_000);
    [frame(HEADERS, 0, odd(n), first), continuation(n, second)].concat()
}

/// More of the block of the first request.
fn endless() -> Vec<u8> {
    frame(CONTINUATION, 0, odd(0), &OTHER.repeat(100))
}

#[test]
fn attacks_are_bounded_and_counted_and_hurt_no_other_stream() {
    use DiagnosticKind::{HeadTooLong, MalformedFrame, MalformedHeaderBlock, StreamOverflow, StreamReuse};
    let attacks: [(&str, Attack, Option<DiagnosticKind>); 14] = [
        ("frames on stream 0", |_| frame(DATA, 0, 0, &[0; 64]), Some(MalformedFrame)),
        ("frames of a wrong size", |_| frame(RST_STREAM, 0, 1, &[0; 9]), Some(MalformedFrame)),
        ("padding longer than its frame", |_| frame(DATA, PADDED, 1, &[255, 0]), Some(MalformedFrame)),
        ("the end of a block of which nobody knows", |n| continuation(n, &OTHER), Some(MalformedFrame)),
        ("requests on one stream", |_| frame(HEADERS, END_HEADERS | 1, 99, &REQUEST), Some(StreamReuse)),
        ("blocks that are no HPACK", |n| given_up(n, &[0x80]), Some(MalformedHeaderBlock)),
        // 64 KiB, which the other side has not allowed.
        ("too large a table", |n| given_up(n, &[0x3f, 0xe1, 0xff, 0x03, 0x82]), Some(MalformedHeaderBlock)),
        ("changes of the table's size", |n| given_up(n, &[&[0x20; 8000][..], &REQUEST].concat()), None),
        ("settings of a table of 4 GiB", |_| frame(SETTINGS, 0, 0, &[0, 1, 255, 255, 255, 255]), None),
        ("streams that are opened", |n| frame(HEADERS, END_HEADERS, odd(n), &REQUEST), Some(StreamOverflow)),
        ("streams that are opened and reset", |n| given_up(n, &REQUEST), None),
        ("heads that are too long", |n| [long_head(n), reset(odd(n), 8)].concat(), Some(HeadTooLong)),
        ("a block without an end", |n| if n == 0 { frame(HEADERS, 1, odd(0), &REQUEST) } else { endless() }, None),
        ("frames that say nothing", |_| [frame(PING, 0, 0, &[0; 8]), frame(DATA, 0, 1, &[])].concat(), None),
    ];
    for (what, attack, counted) in attacks {
        let limits = Limits { streams: 64, ..Limits::default() };
        let mut wire = Wire::new();
        let before = [wire.request(1, "/", true), wire.request(99, "/before", true)];
        wire.send(">", &before);
        (0..1500).for_each(|n| wire.send(">", &[attack(n)]));
        // What comes behind it is a request like any other.
        let end = frame(CONTINUATION, END_HEADERS, odd(0), &[]);
        let after = frame(HEADERS, END_HEADERS | 1, odd(5000), &[&[0x82, 0x86, 4, 6][..], b"/after"].concat());
        wire.send(">", &[if what == "a block without an end" { end } else { Vec::new() }, after]);
        let answers =
            [frame(HEADERS, END_HEADERS | 1, odd(5000), &[0x88]), frame(HEADERS, END_HEADERS | 1, 99, &[0x8d])];
        wire.send("<", &answers);
        let ran = run(&wire, &limits);
        assert!(ran.peak < limits.shard_buffered_bytes + FIXED_BYTES, "{what}: {} bytes", ran.peak);
        assert!(ran.largest <= limits.shard_moment_bytes, "{what}: {} bytes at once", ran.largest);
        if let Some(counted) = counted {
            assert!(count(&ran.found, counted) >= 1400, "{what}: {}", count(&ran.found, counted));
        }
        assert_eq!(count(&ran.found, DiagnosticKind::ConnectionEvicted), 0, "{what}");
        assert_eq!(ended(&ran.found, "/after"), Some((Outcome::Complete, Some(200))), "{what}");
        // Where streams are many, the oldest has to go.
        let before =
            if counted == Some(StreamOverflow) { (Outcome::Incomplete, None) } else { (Outcome::Complete, Some(404)) };
        assert_eq!(ended(&ran.found, "/before"), Some(before), "{what}");
    }
}

/// A request of a few bytes can refer to a path of many: what is found of one call is bounded all the same.
#[test]
fn a_call_of_tiny_requests_for_a_long_path() {
    let mut wire = Wire::new();
    let path = format!("/{}", "x".repeat(3900));
    let mut call = vec![wire.request(1, &path, true)];
    // The path is the newest entry but one.
    call.extend((1..20_000).map(|n| frame(HEADERS, END_HEADERS | 1, 2 * n + 1, &[0x82, 0x86, 0xbf])));
    wire.send(">", &call);
    let limits = Limits::default();
    let ran = run(&wire, &limits);
    assert!(ran.peak < limits.shard_buffered_bytes + FIXED_BYTES, "{} bytes", ran.peak);
    assert!(ran.largest <= limits.shard_moment_bytes, "{} bytes at once", ran.largest);
    let dropped = count(&ran.found, DiagnosticKind::StandstillOverflow);
    let whole = ran.found.iter().filter(|finding| matches!(finding.what, What::Started(_) | What::Ended(_))).count();
    let overflows = count(&ran.found, DiagnosticKind::StreamOverflow);
    assert!(dropped > 30_000 && overflows > 0, "{dropped} dropped, {whole} and {overflows} kept");
}

/// Fills the tables of both directions, then leaves the connection alone.
fn idle(id: u64) -> Wire {
    let mut wire = Wire::numbered(id);
    for (n, stream) in (0..60u32).zip((1..).step_by(2)) {
        let (path, trace) = (format!("/api/v1/things/{n:05}"), format!("trace-{n:040}"));
        let fields: [(&str, &str); 4] =
            [(":method", "GET"), (":scheme", "http"), (":path", &path), ("x-trace-of-the-caller", &trace)];
        let request = wire.headers(">", stream, true, &fields);
        wire.send(">", &[request]);
        let date = format!("Mon, 23 Sep 2024 10:00:{n:02} GMT");
        let response = wire.headers("<", stream, true, &[(":status", "200"), ("date", &date), ("etag", &trace)]);
        wire.send("<", &[response]);
    }
    wire
}

#[test]
fn idle_connections_lose_their_tables_before_they_are_forgotten() {
    let limits = Limits::default();
    let (mut shard, mut out) = (Shard::new(&limits), Vec::new());
    let mut now = 0;
    let mut push = |shard: &mut Shard, wire: &Wire, from: usize| {
        for event in wire.script.events.iter().skip(from) {
            now += 1_000_000;
            shard.push(&event.as_event(), MonoNanos::new(now), &mut out);
            assert!(shard.held_bytes() <= limits.shard_buffered_bytes);
        }
        std::mem::take(&mut out)
    };
    let mut first = idle(0);
    let found = push(&mut shard, &first, 0);
    assert_eq!(count(&found, DiagnosticKind::HeaderTableEvicted), 0);
    let alone = shard.held_bytes();
    // As many as a shard follows at most.
    let mut found = Vec::new();
    for id in 1..limits.shard_connections as u64 {
        found.append(&mut push(&mut shard, &idle(id), 0));
    }
    assert_eq!(count(&found, DiagnosticKind::ConnectionEvicted), 0);
    let shed = count(&found, DiagnosticKind::HeaderTableEvicted);
    assert!(shed > 300, "{shed} of 512 tables, {alone} bytes each");
    // The first one goes on: what refers to the lost table is not known, what does not is.
    let before = first.script.events.len();
    let requests = [
        first.headers(">", 201, true, &[(":method", "GET"), (":scheme", "http"), (":path", "/api/v1/things/00059")]),
        first.headers(">", 203, true, GET),
    ];
    first.send(">", &requests);
    let answers = [first.response(201, "200", true), first.response(203, "404", true)];
    first.send("<", &answers);
    let found = push(&mut shard, &first, before);
    assert_eq!(ended(&found, ""), Some((Outcome::Complete, Some(200))));
    assert_eq!(ended(&found, "/a"), Some((Outcome::Complete, Some(404))));
    assert_eq!(count(&found, DiagnosticKind::UnknownHeaders), 1);
}
