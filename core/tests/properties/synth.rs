//! `redtape synth` tells the truth: what it says has happened is what a replay of its tape says.

use proptest::prelude::*;
use redtape_core::synth::{PerMille, Recorder, Scenario, Verdict};
use redtape_core::{Engine, EngineOptions, Output};

use crate::generate::config;
use crate::worlds::worlds;

/// Runs the engine over a scenario's events and holds its spans against the truth.
fn verdict(scenario: &Scenario) -> Verdict {
    let (mut engine, mut verdict) = (Engine::new(EngineOptions::default()), Verdict::default());
    let mut recording = scenario.recording();
    let take = |engine: &mut Engine, verdict: &mut Verdict| {
        while let Some(output) = engine.poll_output() {
            if let Output::Span(span) = output {
                verdict.span(*span);
            }
        }
    };
    while let Some(event) = recording.next() {
        engine.push(&event.as_event());
        recording.truth().for_each(|truth| verdict.truth(truth));
        take(&mut engine, &mut verdict);
    }
    engine.finish();
    take(&mut engine, &mut verdict);
    verdict.finish();
    verdict
}

proptest! {
    #![proptest_config(config())]

    /// The truth is what a replay says, for all that a scenario can ask for.
    #[test]
    fn truth_equals_replay(scenario in worlds()) {
        let verdict = verdict(&scenario);
        prop_assert!(verdict.is_equal(), "{verdict:#?}\n{scenario:?}");
        prop_assert_eq!((verdict.spans, verdict.incomplete), (verdict.happened, 0));
    }

    /// Whatever records are lost, no span is wrong, and none is of what has not happened. Without pipelining: behind a lost
    /// request that was not waited for, nothing tells whose the next response is.
    #[test]
    fn losses_make_no_span_wrong(scenario in worlds(), loss in 1_u32..300) {
        let recorder = Recorder { loss, ..scenario.recorder };
        let per_mille = PerMille { pipelined: 0, ..scenario.per_mille };
        let scenario = Scenario { recorder, per_mille, ..scenario };
        let verdict = verdict(&scenario);
        prop_assert!(verdict.wrong == 0 && verdict.spans <= verdict.happened, "{verdict:#?}\n{scenario:?}");
    }
}
