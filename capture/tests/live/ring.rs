//! Losses: a ring that nobody reads.

use libtest_mimic::Trial;
use redtape_capture::ProbeOptions;
use redtape_core::LossCause;

use super::recording::{pair, record_with, send, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("what_the_ring_cannot_hold_is_counted_and_windowed", overflow)]
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
