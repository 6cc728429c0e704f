//! Memory stays bounded whatever connections do, and what has to go goes in a fixed order.

use super::script::{Script, render, run};
use crate::diagnostic::DiagnosticKind;
use crate::event::EventBuf;
use crate::exchange::{Finding, What};
use crate::facts::Role;
use crate::limits::Limits;
use crate::time::MonoNanos;
use crate::track::Shard;

/// The events of that many connections, one after the other, none of them closed.
fn connections(count: u64, calls: &[(&str, &[u8])]) -> Vec<EventBuf> {
    let scripts = (0..count).map(|id| {
        let mut script = Script::new(Role::Server, false, id);
        calls.iter().for_each(|(way, bytes)| script.bytes(way, bytes));
        script.events
    });
    scripts.flatten().collect()
}

/// The most memory in use, and what was found.
fn peak(events: &[EventBuf], limits: &Limits) -> (usize, Vec<Finding>) {
    let (mut shard, mut out, mut peak) = (Shard::new(limits), Vec::new(), 0);
    for (now, event) in (0..).zip(events) {
        shard.push(&event.as_event(), MonoNanos::new(now), &mut out);
        peak = peak.max(shard.cost_bytes());
    }
    shard.finish(MonoNanos::MAX, &mut out);
    (peak, out)
}

fn evictions(findings: &[Finding]) -> usize {
    let evicted = |what: &What| matches!(what, What::Diagnostic(DiagnosticKind::ConnectionEvicted, _));
    findings.iter().filter(|finding| evicted(&finding.what)).count()
}

#[test]
fn connections_that_are_never_closed() {
    let calls: &[(&str, &[u8])] =
        &[(">", b"GET / HTTP/1.1\r\n\r\n"), ("<", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")];
    let limits = Limits::default();
    let (peak, out) = peak(&connections(20_000, calls), &limits);
    // 64 shards share 64 MiB with the rest of core.
    assert!(peak < 640 << 10, "{peak}");
    assert_eq!(evictions(&out), 20_000 - limits.shard_connections);
}

#[test]
fn half_sent_requests() {
    let half = [b"GET / HTTP/1.1\r\nCookie: ", &[b'x'; 8000][..]].concat();
    let limits = Limits::default();
    let (peak, out) = peak(&connections(2000, &[(">", &half)]), &limits);
    assert!(peak < limits.shard_buffered_bytes + (700 << 10), "{peak}");
    assert!(evictions(&out) > 1900);
}

#[test]
fn requests_without_responses() {
    let limits = Limits::default();
    let (peak, out) = peak(&connections(5000, &[(">", b"GET / HTTP/1.1\r\n\r\n")]), &limits);
    assert!(peak < limits.shard_buffered_bytes + (700 << 10), "{peak}");
    let incomplete = out.iter().filter(|finding| matches!(&finding.what, What::Ended(_))).count();
    assert_eq!(incomplete, 5000);
}

/// A far-future time stops tape time: what is found from then on waits for the end of the moment, within bounds.
#[test]
fn time_that_stands_still() {
    let exchange: &[(&str, &[u8])] = &[(">", b"GET / HTTP/1.1\r\n\r\n"), ("<", b"HTTP/1.1 204 No Content\r\n\r\n")];
    let events = connections(20_000, exchange);
    let (limits, future) = (Limits::default(), MonoNanos::new(1 << 63));
    let (mut shard, mut out) = (Shard::new(&limits), Vec::new());
    events.iter().for_each(|event| shard.push(&event.as_event(), future, &mut out));
    let held: usize = out.iter().map(Finding::held_bytes).sum();
    assert!((limits.shard_moment_bytes / 2..=limits.shard_moment_bytes).contains(&held), "{held}");
    // Opened, Started, Ended of each; Closed and a diagnostic of each that had to go.
    let found = 3 * 20_000 + 2 * (20_000 - limits.shard_connections);
    let kept = out.len();
    shard.push(&connections(1, exchange)[0].as_event(), future.plus(1), &mut out);
    let dropped = out.iter().find_map(|finding| match finding.what {
        What::Diagnostic(DiagnosticKind::StandstillOverflow, count) => Some(count),
        _ => None,
    });
    assert_eq!(dropped, Some((found - kept) as u64), "time goes on, and all that was dropped is counted");
}

#[test]
fn the_connection_idle_for_longest_goes_first() {
    let request: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
    let mut events = Vec::new();
    for id in [1, 2, 3] {
        let mut script = Script::new(Role::Server, false, id);
        script.bytes(">", request);
        events.extend(script.events);
        // The first is used again before the third comes.
        if id == 2 {
            let mut first = Script::new(Role::Server, false, 1);
            first.bytes(">", request);
            first.bytes(">", request);
            events.extend(first.events.pop());
        }
    }
    let found = run(&events, &Limits { shard_connections: 2, ..Limits::default() });
    let second = events[2].as_event().body.conn();
    let evicted = found.iter().find(|finding| evictions(std::slice::from_ref(finding)) == 1);
    assert_eq!(evicted.map(|finding| finding.conn), second, "{}", render(&found));
}
