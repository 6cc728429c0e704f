//! Properties of stage 1: connection tracking, HTTP/1 and HTTP/2.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use redtape_core::synth::{CapturePolicy, ExchangeId, PerMille, Recorder, Scenario, Truth, transform};
use redtape_core::{EventBuf, Limits, Outcome};

use crate::generate::{EVERYTHING, config, scenarios, with_lures};
use crate::oracle::{Found, assert_exact, assert_sound, by_id, inexact, stage1, untimely};

/// The recorder's reorder window, in nanoseconds.
const WINDOW: u64 = 50_000_000;

fn record(scenario: &Scenario) -> (Vec<EventBuf>, BTreeMap<ExchangeId, Truth>) {
    (scenario.events().collect(), by_id(scenario.truth()))
}

fn run(events: &[EventBuf]) -> Found {
    stage1(events, &Limits::default())
}

proptest! {
    #![proptest_config(config())]

    /// Where everything is captured, everything is known, and all of it is right (I12 as well: as many exchanges come
    /// out as went in).
    #[test]
    fn a_whole_recording_is_understood_exactly(scenario in scenarios(EVERYTHING)) {
        let (events, truth) = record(&with_lures(scenario));
        assert_exact(&run(&events), &truth);
    }

    /// Where only heads and the ends of calls are captured, nothing is wrong. Nothing but sizes is unknown either, unless
    /// messages were so long and so close that their heads were not captured, or a message of unknown length is followed by
    /// one that begins with a call too short to tell.
    #[test]
    fn bodies_need_not_be_captured(scenario in scenarios(CapturePolicy::default())) {
        let (events, truth) = record(&scenario);
        let found = run(&events);
        assert_sound(&found, &truth);
        let pipelined: BTreeSet<_> = truth.values().filter(|truth| truth.pipelined).map(|truth| truth.id.conn).collect();
        let is_long = |truth: &&Truth| truth.request_size.max(truth.response_size) > Some(4_000);
        let long: BTreeSet<_> = truth.values().filter(is_long).map(|truth| truth.id.conn).collect();
        let told = |truth: &&Truth| !pipelined.contains(&truth.id.conn) && !long.contains(&truth.id.conn);
        for truth in truth.values().filter(told) {
            let exchange = found.exchanges.get(&truth.id);
            prop_assert!(exchange.is_some_and(|exchange| exchange.outcome == truth.outcome), "{exchange:?}\n{truth:?}");
            prop_assert_eq!(exchange.and_then(|exchange| untimely(truth, exchange)), None);
        }
    }

    /// Where heads are captured in part and the client pipelines, requests may be hidden in what was not captured: no
    /// response is taken for another's, and none has an end that may be another's.
    #[test]
    fn hidden_requests_make_nothing_wrong(
        scenario in scenarios(CapturePolicy::default()),
        whole in 100_u64..8192,
        pipelined in 0_u32..1000,
    ) {
        let recorder = Recorder { capture: CapturePolicy { whole, ..CapturePolicy::default() }, ..scenario.recorder };
        let scenario = Scenario { recorder, per_mille: PerMille { pipelined, ..scenario.per_mille }, ..scenario };
        let (events, truth) = record(&scenario);
        assert_sound(&run(&events), &truth);
    }

    /// I1: the same events, the same result.
    #[test]
    fn deterministic(scenario in scenarios(CapturePolicy::default())) {
        let (events, _) = record(&scenario);
        prop_assert_eq!(run(&events).lines(), run(&events).lines());
    }

    /// I2: how bytes are divided into calls does not matter.
    #[test]
    fn chunking_does_not_matter(scenario in scenarios(EVERYTHING), seed: u64) {
        let (events, _) = record(&with_lures(scenario));
        prop_assert_eq!(run(&transform::rechunk(&events, seed)).lines(), run(&events).lines());
    }

    /// I3: how connections interleave does not matter.
    #[test]
    fn interleaving_does_not_matter(scenario in scenarios(EVERYTHING), seed: u64) {
        let (events, truth) = record(&with_lures(scenario));
        assert_exact(&run(&transform::interleave(&events, WINDOW, seed)), &truth);
    }

    /// I3: where calls come later than those that they caused, what is said to be known is right.
    #[test]
    fn late_events_make_nothing_wrong(
        scenario in scenarios(EVERYTHING),
        per_mille in 1_u32..50,
        nanos in 1..2 * WINDOW,
        seed: u64,
    ) {
        let (events, truth) = record(&scenario);
        let mut found = run(&transform::delay(&events, per_mille, nanos, seed));
        found.exchanges.retain(|_, exchange| exchange.outcome != Outcome::Incomplete);
        assert_no_strangers(&found, &truth);
    }

    /// I4: what is complete in a part is complete, and equal, in the whole; the rest is marked.
    #[test]
    fn a_prefix_gives_a_part(scenario in scenarios(CapturePolicy::default()), cut: prop::sample::Index) {
        let (events, truth) = record(&scenario);
        let cut = cut.index(events.len() + 1);
        let (part, whole) = (run(&events[..cut]), run(&events));
        assert_sound(&part, &truth);
        let last = events[..cut].last().map(|event| event.time).unwrap_or_default();
        for (id, exchange) in &part.exchanges {
            // A call is written down when it is entered, its end is the time of its exit.
            prop_assert!(exchange.end <= last.plus(10_000_000), "{exchange:?}");
            if exchange.outcome != Outcome::Incomplete {
                prop_assert_eq!(format!("{exchange:?}"), format!("{:?}", whole.exchanges[id]));
            }
        }
    }

    /// I5: lost calls make nothing wrong, and connections that lost none are not touched.
    #[test]
    fn losses_make_nothing_wrong(scenario in scenarios(EVERYTHING), per_mille in 1_u32..300, seed: u64) {
        let (events, truth) = record(&scenario);
        let (kept, gone) = transform::drop_data(&events, per_mille, seed);
        let found = run(&kept);
        assert_sound(&found, &truth);
        let torn: BTreeSet<_> = gone.iter().map(|gone| gone.conn).collect();
        let last: BTreeMap<_, _> = truth.keys().map(|id| (id.conn, *id)).collect();
        for truth in truth.values().filter(|truth| !torn.contains(&truth.id.conn)) {
            let exchange = found.exchanges.get(&truth.id);
            let inexact = exchange.and_then(|exchange| inexact(truth, exchange));
            // While records of any connection are missing, what ends with the connection may not have ended there, and what a
            // client has reset may have been answered before.
            let doubtful = exchange.is_some_and(|exchange| exchange.outcome == Outcome::Incomplete)
                && (truth.outcome == Outcome::Reset || last.get(&truth.id.conn) == Some(&truth.id));
            prop_assert!(exchange.is_some() && (inexact.is_none() || doubtful), "{inexact:?}");
        }
    }

    /// I5, with bodies captured in part only.
    #[test]
    fn losses_and_partial_capture_make_nothing_wrong(
        scenario in scenarios(CapturePolicy::default()),
        per_mille in 1_u32..300,
        seed: u64,
    ) {
        let (events, truth) = record(&scenario);
        let kept = transform::drop_data(&events, per_mille, seed).0;
        assert_sound(&run(&kept), &truth);
    }

    /// I5, where dictionary entries, accepts, arrivals and closes are lost as well.
    #[test]
    fn any_loss_makes_no_strangers(scenario in scenarios(EVERYTHING), per_mille in 1_u32..300, seed: u64) {
        let (events, truth) = record(&scenario);
        let kept = transform::drop_any(&events, per_mille, seed);
        assert_no_strangers(&run(&kept), &truth);
    }

    /// I6: what comes twice counts once.
    #[test]
    fn duplicates_do_not_matter(scenario in scenarios(EVERYTHING), per_mille in 1_u32..500, seed: u64) {
        let (events, truth) = record(&with_lures(scenario));
        assert_exact(&run(&transform::duplicate(&events, per_mille, seed)), &truth);
    }

    /// I7, I9: damaged bytes neither panic nor use more memory than allowed.
    #[test]
    fn damage_stays_bounded(scenario in scenarios(EVERYTHING), per_mille in 1_u32..1000, seed: u64) {
        let (events, _) = record(&scenario);
        let damaged = transform::corrupt(&transform::shuffle(&events, WINDOW, seed), per_mille, seed);
        let limits = Limits { shard_connections: 4, shard_buffered_bytes: 8 << 10, head_bytes: 2 << 10, ..Limits::default() };
        let found = stage1(&damaged, &limits);
        prop_assert!(found.peak_bytes < 128 << 10, "{} bytes", found.peak_bytes);
    }

    /// I8: what was not captured is unknown, but nothing that can be known without it changes.
    #[test]
    fn truncation_makes_nothing_wrong(scenario in scenarios(EVERYTHING), prefix in 0_u64..600) {
        let (events, truth) = record(&scenario);
        let kept = transform::truncate_payloads(&events, prefix);
        assert_no_strangers(&run(&kept), &truth);
    }

    /// I11: moving everything in time moves everything in time.
    #[test]
    fn time_shifts(scenario in scenarios(CapturePolicy::default()), nanos in 0_u64..1 << 50) {
        let (events, _) = record(&scenario);
        let (early, late) = (run(&events), run(&transform::shift_time(&events, nanos)));
        prop_assert_eq!(early.exchanges.len(), late.exchanges.len());
        for (early, late) in early.exchanges.values().zip(late.exchanges.values()) {
            prop_assert_eq!(late.end.since(early.end), nanos);
            prop_assert_eq!(late.request.message.first.exit.since(early.request.message.first.exit), nanos);
            prop_assert_eq!((late.outcome, &late.request.head), (early.outcome, &early.request.head));
        }
    }

    /// I14: a recording that begins in the middle finds the next message, and no phantoms.
    #[test]
    fn a_late_start_makes_nothing_wrong(scenario in scenarios(CapturePolicy::default()), cut: prop::sample::Index) {
        let (events, truth) = record(&scenario);
        let late = transform::start_at(&events, cut.index(events.len()));
        let found = run(&late);
        assert_no_strangers(&found, &truth);
    }

    /// I15: addresses that are used again do not join what has nothing to do with each other.
    #[test]
    fn closed_connections_stay_closed(scenario in scenarios(EVERYTHING)) {
        let (events, truth) = record(&scenario);
        let closes = events.iter().filter(|event| matches!(event.as_event().body, redtape_core::Body::Close { .. }));
        let mut again = events.clone();
        let end = events.last().map(|event| event.time).unwrap_or_default();
        let late = events.iter().filter(|event| matches!(event.as_event().body, redtape_core::Body::Data(_))).take(20);
        again.extend(late.cloned().map(|event| EventBuf { late: true, ..event }));
        prop_assert!(closes.count() > 0 && end > again[0].time);
        assert_exact(&run(&again), &truth);
    }
}

/// Every exchange found is a true one, asked and answered as it was. Its times and sizes are not looked at.
fn assert_no_strangers(found: &Found, truth: &BTreeMap<ExchangeId, Truth>) {
    for (id, exchange) in &found.exchanges {
        let Some(truth) = truth.get(id) else { panic!("a phantom: {exchange:?}") };
        let head = &exchange.request.head;
        let asked =
            exchange.request.message.truncated || (head.method() == truth.method && head.target() == truth.target);
        let answered = exchange.response.as_ref().is_none_or(|response| Some(response.status) == truth.status);
        assert!(asked && answered, "{exchange:?}\n{truth:?}");
    }
}
