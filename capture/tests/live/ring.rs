//! Losses: a ring that nobody reads.

use std::io::{Read, Write};

use libtest_mimic::Trial;
use redtape_capture::{Counters, ProbeOptions};
use redtape_core::{BodyBuf, LossCause};

use super::recording::{pair, record_with, send, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("what_the_ring_cannot_hold_is_counted_and_windowed", overflow),
        trial("what_a_full_table_cannot_hold_is_counted", full_table),
        trial("skipped_runs_are_told", skipped),
        trial("produced_is_what_was_called_and_recorded_or_lost", accounts),
    ]
}

/// Without arrivals, a record is a call that the workload made and counted, or one of the nine of its connection's life.
fn accounts() {
    for ring_bytes in [16 << 10, 64 << 10, 64 << 20] {
        let own = ProbeOptions { every_exec: false, every_listen: false, ..ProbeOptions::default() };
        let quiet = ProbeOptions { arrival_hooks: Vec::new(), ..own };
        let options = ProbeOptions { ring_bytes, ..quiet };
        let mut calls = 0;
        let recording = record_with(&options, |_| {
            // listen, accept, connect, and the facts of either end.
            calls += 5;
            let (mut client, mut server) = pair();
            for _ in 0..5000 {
                assert_eq!(client.write(&[7; 50]).expect("writes"), 50);
                assert_eq!(server.read(&mut [0; 64]).expect("reads"), 50);
                calls += 2;
            }
            // Each end's descriptor is closed, and its socket goes.
            calls += 4;
        });
        let Counters { produced, delivered, ring_full, map_full, malformed, .. } = recording.counters;
        assert_eq!((produced, map_full, malformed), (calls, 0, 0), "{ring_bytes} bytes: {:?}", recording.counters);
        assert_eq!(produced, delivered + ring_full);
        assert_eq!(ring_full > 0, ring_bytes < 64 << 20);
        // What the tape tells is the same account.
        let lost: u64 = recording.losses().iter().map(|loss| loss.count).sum();
        assert_eq!((lost, recording.counts.lost), (ring_full, ring_full));
        let recorded = recording.events.iter().filter(|event| match event.body {
            BodyBuf::Data(..) => true,
            BodyBuf::Plain(body) => body.conn().is_some(),
            _ => false,
        });
        // The listen and the facts are no events; both ends' came when the ring was empty.
        assert_eq!(recorded.count() as u64 + 3, delivered);
    }
}

fn overflow() {
    let options = ProbeOptions { ring_bytes: 64 << 10, ..ProbeOptions::default() };
    let calls = 2000;
    let recording = record_with(&options, |probes| {
        let (mut client, mut server) = pair();
        for call in 0..calls {
            send(&mut client, &mut server, call * 10, 10);
            if call == calls / 2 {
                // The reader comes back once: what is lost lies before and behind what it takes.
                probes.drain(&mut |_| {});
            }
        }
    });
    let counters = recording.counters;
    assert!(counters.ring_full > 0);
    assert_eq!(counters.produced, counters.delivered + counters.ring_full);
    assert!(counters.produced >= 3 * calls, "{counters:?}");
    let losses = recording.losses();
    assert!(losses.iter().all(|loss| loss.cause == LossCause::RingFull && loss.from <= loss.to));
    assert_eq!(losses.iter().map(|loss| loss.count).sum::<u64>(), recording.counts.lost);
}

/// Of ten connections at a time the table holds two, both ends of each.
fn full_table() {
    let options = ProbeOptions { sockets: 4, ..ProbeOptions::default() };
    let mut pairs = Vec::new();
    let recording = record_with(&options, |_| {
        for _ in 0..10 {
            let (mut client, mut server) = pair();
            send(&mut client, &mut server, 0, 10);
            pairs.push((client, server));
        }
    });
    let Counters { map_full, ring_full, .. } = recording.counters;
    // Each of the other sixteen ends was refused at least once.
    assert!(map_full >= 16 && ring_full == 0, "{:?}", recording.counters);
    let losses = recording.losses();
    assert!(losses.iter().all(|loss| loss.cause == LossCause::MapFull && loss.from <= loss.to));
    assert_eq!(losses.iter().map(|loss| loss.count).sum::<u64>(), map_full);
    let mut seen: Vec<_> = recording.conns().map(|conn| conn.key).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

/// From Linux 5.12 on.
fn skipped() {
    record_with(&ProbeOptions::default(), |probes| assert!(probes.skipped_runs().is_some()));
}
