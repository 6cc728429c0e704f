//! What the properties are tried on.

use proptest::prelude::*;
use redtape_core::synth::{CapturePolicy, Clients, Distribution, PerMille, Protocol, Recorder, Scenario, Weights};

/// Captures everything, so that nothing about a message can be unknown.
pub(crate) const EVERYTHING: CapturePolicy = CapturePolicy { whole: u64::MAX, prefix: 0, tail: 0 };

/// Variations of the shop of all shapes; payloads captured as `capture` says.
pub(crate) fn scenarios(capture: CapturePolicy) -> impl Strategy<Value = Scenario> {
    let some = PerMille::SOME;
    let mixes = prop_oneof![
        4 => Just((some, 0)),
        1 => Just((PerMille { chunked: 900, recorded_clients: 800, ..PerMille::NOTHING }, 0)),
        3 => Just((PerMille { cut: 50, ..some }, 9)),
        1 => Just((PerMille { pipelined: 900, recorded_clients: 500, chunked: 300, interim: 100, ..PerMille::NOTHING }, 0)),
        1 => Just((PerMille { closing: 300, unanswered: 150, cut: 150, abandoned: 150, tunnels: 150, ..some }, 0)),
    ];
    let spacing = prop_oneof![Just(50_000_u64), Just(3_000_000), Just(400_000_000)];
    let shape = (any::<u64>(), 1_u64..60, 1_u64..12, 1_u32..10, spacing, any::<bool>(), mixes);
    shape.prop_map(move |(seed, requests, keep_alive, connections, spacing, arrivals, (per_mille, http2))| {
        let mut shop = Scenario::shop();
        for service in shop.services.values_mut() {
            service.protocols = Weights([(Protocol::Http1, 10 - http2), (Protocol::Http2, http2)].into());
        }
        let clients = Clients {
            connections,
            interval: Some(Distribution::constant(spacing)),
            keep_alive: Distribution::uniform(1, keep_alive),
            ..shop.clients
        };
        let recorder = Recorder { arrivals, capture, loss: 0 };
        Scenario { seed, requests: Some(requests), clients, recorder, per_mille, ..shop }
    })
}

/// The same with bodies that look like messages: nothing to be fooled by where no bytes are missing.
pub(crate) fn with_lures(scenario: Scenario) -> Scenario {
    Scenario { per_mille: PerMille { lures: 500, ..scenario.per_mille }, ..scenario }
}

/// The same without pipelining.
pub(crate) fn one_by_one(scenario: Scenario) -> Scenario {
    Scenario { per_mille: PerMille { pipelined: 0, ..scenario.per_mille }, ..scenario }
}

/// Few cases in a plain test run; `PROPTEST_CASES` asks for another number.
pub(crate) fn config() -> ProptestConfig {
    const UNASKED: u32 = 256;
    let asked = ProptestConfig::default();
    let cases = if asked.cases == UNASKED { 32 } else { asked.cases };
    ProptestConfig { cases, max_shrink_iters: 200, ..asked }
}
