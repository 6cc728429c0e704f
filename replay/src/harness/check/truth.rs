//! Checks spans of synthetic traffic against what really happened.

use redtape_core::synth::{Scenario, Verdict};

use super::fault::Checks;
use crate::harness::observe::Observed;
use crate::harness::spec::{Count, SpansExpect};

/// Counts the spans that say something that is not so, and the exchanges without a span, as `redtape synth --check` does.
pub(crate) fn check_truth(checks: &mut Checks, key: &str, expect: &SpansExpect, seen: &Observed, scenario: &Scenario) {
    if expect.wrong.is_none() && expect.missing.is_none() {
        return;
    }
    let mut verdict = Verdict::default();
    scenario.truth().for_each(|truth| verdict.truth(truth));
    seen.spans.iter().for_each(|span| verdict.span(span.clone()));
    verdict.finish();
    for (name, condition, count) in
        [("wrong", &expect.wrong, verdict.wrong), ("missing", &expect.missing, verdict.missing)]
    {
        if checks.condition(format!("{key}.{name}"), condition.as_ref(), &Count::of(count))
            && let Some(fault) = checks.last_fault()
        {
            fault.details = verdict.examples.iter().filter(|example| example.starts_with(name)).cloned().collect();
        }
    }
}
