//! What the properties are tried on.

use proptest::prelude::*;
use redtape_core::synth::{CapturePolicy, Mix, Scenario};

/// Captures everything, so that nothing about a message can be unknown.
pub(crate) const EVERYTHING: CapturePolicy = CapturePolicy { whole: u64::MAX, prefix: 0, tail: 0 };

/// Scenarios of all shapes; payloads captured as `capture` says.
pub(crate) fn scenarios(capture: CapturePolicy) -> impl Strategy<Value = Scenario> {
    let mixes = prop_oneof![
        4 => Just(Mix::default()),
        1 => Just(Mix { chunked: 900, calls: 600, recorded_clients: 800, ..Mix::PLAIN }),
        3 => Just(Mix { http2: 900, cut: 50, ..Mix::default() }),
        1 => Just(Mix { pipelined: 900, recorded_clients: 500, chunked: 300, interim: 100, ..Mix::PLAIN }),
        1 => Just(Mix { closing: 300, unanswered: 150, cut: 150, abandoned: 150, tunnels: 150, ..Mix::default() }),
    ];
    let spacing = prop_oneof![Just(50_000_u64), Just(3_000_000), Just(400_000_000)];
    let sizes = prop_oneof![Just(2_000_u64), Just(40_000)];
    let shape = (any::<u64>(), 1_u32..10, 1_u32..8, spacing, any::<bool>(), sizes, mixes);
    shape.prop_map(move |(seed, connections, requests_per_connection, spacing_nanos, arrivals, body_bytes, mix)| {
        Scenario {
            seed,
            connections,
            requests_per_connection,
            spacing_nanos,
            arrivals,
            capture,
            body_bytes,
            mix,
            ..Scenario::default()
        }
    })
}

/// The same with bodies that look like messages: nothing to be fooled by where no bytes are missing.
pub(crate) fn with_lures(scenario: Scenario) -> Scenario {
    Scenario { mix: Mix { lures: 500, ..scenario.mix }, ..scenario }
}

/// The same without pipelining.
pub(crate) fn one_by_one(scenario: Scenario) -> Scenario {
    Scenario { mix: Mix { pipelined: 0, ..scenario.mix }, ..scenario }
}

/// Few cases in a plain test run; `PROPTEST_CASES` asks for another number.
pub(crate) fn config() -> ProptestConfig {
    const UNASKED: u32 = 256;
    let asked = ProptestConfig::default();
    let cases = if asked.cases == UNASKED { 32 } else { asked.cases };
    ProptestConfig { cases, max_shrink_iters: 200, ..asked }
}
