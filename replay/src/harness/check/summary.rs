//! Checks counts of what went in and out.

use redtape_core::DiagnosticKind;

use super::fault::{Checks, Fault};
use crate::failure::Result;
use crate::harness::input::Input;
use crate::harness::observe::Observed;
use crate::harness::spec::{Count, Length, SummaryExpect};

/// Checks `expect` against what was observed. What speaks of the input is checked if the input is the one `expect` speaks of.
pub(crate) fn check_summary(
    checks: &mut Checks,
    key: &str,
    expect: &SummaryExpect,
    seen: &Observed,
    input: Option<&Input>,
) -> Result {
    let (totals, reports) = (&seen.ran.totals, &seen.ran.reports);
    let sum = |part: fn(&redtape_core::tape::ReadReport) -> u64| reports.iter().map(|(_, report)| part(report)).sum();
    let records = totals.lost.iter().filter(|(cause, _)| !cause.is_in_bytes());
    let mut count = |name: &str, condition, found: u64| {
        checks.condition(format!("{key}.{name}"), condition, &Count::of(found));
    };
    count("lost", expect.lost.as_ref(), records.map(|(_, count)| count).sum());
    count("spans", expect.spans.as_ref(), totals.spans);
    count("incomplete", expect.incomplete.as_ref(), totals.incomplete);
    count("errors", expect.errors.as_ref(), totals.errors);
    count("corrupt_blocks", expect.corrupt_blocks.as_ref(), sum(|report| report.corrupt_blocks));
    count("missing_blocks", expect.missing_blocks.as_ref(), sum(|report| report.missing_blocks));
    let missing_files = seen.ran.gaps.iter().map(|gap| u64::from(gap.to.saturating_sub(gap.from)) + 1).sum();
    count("missing_files", expect.missing_files.as_ref(), missing_files);
    count("skipped_bytes", expect.skipped_bytes.as_ref(), sum(|report| report.skipped_bytes));
    count("missing_events", expect.missing_events.as_ref(), sum(|report| report.missing_events()));
    count("unknown", expect.unknown.as_ref(), sum(|report| report.unknown_blocks + report.unknown_records));
    if let Some(input) = input {
        count("events", expect.events.as_ref(), totals.events);
        count("late", expect.late.as_ref(), totals.late);
        if expect.connections.is_some() || expect.open_connections.is_some() {
            let (all, open) = input.connections()?;
            count("connections", expect.connections.as_ref(), all);
            count("open_connections", expect.open_connections.as_ref(), open);
        }
        let duration = Length::of_nanos(seen.ran.duration_nanos());
        checks.condition(format!("{key}.duration"), expect.duration.as_ref(), &duration);
    }
    if let Some(expected) = expect.truncated {
        let found = reports.iter().any(|(_, report)| report.truncated);
        let fault = (expected != found).then(|| Fault {
            accept: Some(super::Accept::Value(found.to_string())),
            ..Fault::differs(expected, found)
        });
        checks.push(format!("{key}.truncated"), fault);
    }
    if let Some(expected) = &expect.diagnostics {
        for kind in DiagnosticKind::ALL {
            let found = totals.diagnostics.get(&kind).copied().unwrap_or(0);
            let key = format!("{key}.diagnostics.{}", kind.name());
            match expected.get(kind.name()) {
                None if found == 0 => {}
                None => checks.push(key, Some(Fault::new(format!("expected none, found {found}")))),
                condition => drop(checks.condition(key, condition, &Count::of(found))),
            }
        }
        if expected.is_empty() {
            let fine = totals.diagnostics.values().all(|count| *count == 0);
            checks.push(format!("{key}.diagnostics"), (!fine).then(|| Fault::new("expected none, found some")));
        }
    }
    Ok(())
}
