//! `redtape synth` tells the truth: what it says has happened is what a replay of its tape says.

use proptest::prelude::*;
use redtape_core::synth::{PerMille, Recorder, Scenario, Truth, Verdict, transform};
use redtape_core::{Engine, EngineOptions, EventBuf, Output};

use crate::generate::config;
use crate::worlds::worlds;

/// Runs the engine over a scenario's events, as the tape comes, and holds its spans against the truth.
fn verdict(scenario: &Scenario) -> Verdict {
    let mut recording = scenario.recording();
    let events = std::iter::from_fn(move || {
        let event = recording.next()?;
        Some((event, recording.truth().collect()))
    });
    judge(events)
}

/// The same, of what is left of all events.
fn verdict_of(scenario: &Scenario, events: Vec<EventBuf>) -> Verdict {
    let mut truth = Some(scenario.truth().collect());
    judge(events.into_iter().map(|event| (event, truth.take().unwrap_or_default())))
}

/// Takes events, each with what has become known of the truth.
fn judge(events: impl Iterator<Item = (EventBuf, Vec<Truth>)>) -> Verdict {
    let (mut engine, mut verdict) = (Engine::new(EngineOptions::default()), Verdict::default());
    let take = |engine: &mut Engine, verdict: &mut Verdict| {
        while let Some(output) = engine.poll_output() {
            if let Output::Span(span) = output {
                verdict.span(*span);
            }
        }
    };
    for (event, truth) in events {
        engine.push(&event.as_event());
        truth.into_iter().for_each(|truth| verdict.truth(truth));
        take(&mut engine, &mut verdict);
    }
    engine.finish();
    take(&mut engine, &mut verdict);
    verdict.finish();
    verdict
}

proptest! {
    #![proptest_config(config())]

    /// The truth is what a replay says, for all that a scenario can ask for: also whose child each span is, and of which nobody can know it.
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

    /// However little of each call's payload was captured, no span is wrong, and none is of what has not happened: a request
    /// that cannot be read is left out, and the calls that are made for it are no other request's.
    #[test]
    fn uncaptured_bytes_make_no_span_wrong(scenario in worlds(), prefix in 0_u64..1000) {
        let events: Vec<_> = scenario.events().collect();
        let verdict = verdict_of(&scenario, transform::truncate_payloads(&events, prefix));
        prop_assert!(verdict.wrong == 0 && verdict.spans <= verdict.happened, "{verdict:#?}\n{scenario:?}");
    }

    /// The same of HTTP/1 with all that can go wrong in it.
    #[test]
    fn uncaptured_bytes_of_a_shop_make_no_span_wrong(seed: u64, requests in 1_u64..60, prefix in 0_u64..1000) {
        let scenario = Scenario { seed, requests: Some(requests), ..Scenario::shop() };
        let events: Vec<_> = scenario.events().collect();
        let verdict = verdict_of(&scenario, transform::truncate_payloads(&events, prefix));
        prop_assert!(verdict.wrong == 0 && verdict.spans <= verdict.happened, "{verdict:#?}\n{scenario:?}");
    }
}
