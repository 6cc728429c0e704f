//! Checks budgets of series.

use std::collections::{BTreeMap, BTreeSet};

use redtape_core::config::did_you_mean;
use redtape_core::metric::{Cardinality, Snapshot};

use super::fault::{Checks, Fault};
use crate::harness::observe::Observed;
use crate::harness::spec::{CardinalityExpect, Count, Growth};

/// How many of the worst values are told.
const WORST: usize = 5;

/// Checks all budgets.
pub(crate) fn check_cardinality(checks: &mut Checks, key: &str, expect: &CardinalityExpect, seen: &Observed) {
    let found = Cardinality::new(&seen.snapshot, 0, WORST);
    let worst = || {
        let metrics = found.metrics.iter().take(WORST);
        metrics.map(|metric| format!("{}: {} series", metric.name, metric.series)).collect::<Vec<_>>()
    };
    let overflow = found.metrics.iter().filter(|metric| metric.overflow).count() as u64;
    for (name, condition, count) in [
        ("series", &expect.series, found.series as u64),
        ("samples", &expect.samples, found.samples as u64),
        ("overflow", &expect.overflow, overflow),
    ] {
        if checks.condition(format!("{key}.{name}"), condition.as_ref(), &Count::of(count))
            && let Some(fault) = checks.last_fault()
        {
            fault.details = worst();
        }
    }
    for (name, condition) in &expect.per_metric {
        let key = format!("{key}.per_metric.{name}");
        let metric = found.metrics.iter().find(|metric| metric.name == name);
        let known: Vec<_> = seen.snapshot.families.iter().map(|family| family.name).collect();
        if metric.is_none() && !known.contains(&name.as_str()) {
            checks.push(key, Some(Fault::new(unknown("metric", name, &known))));
            continue;
        }
        let series = metric.map_or(0, |metric| metric.series as u64);
        if checks.condition(key, Some(condition), &Count::of(series))
            && let (Some(fault), Some(metric)) = (checks.last_fault(), metric)
        {
            let labels = metric.labels.iter().take(WORST);
            fault.details = labels.map(|label| format!("{}: {} values", label.name, label.values)).collect();
        }
    }
    check_labels(checks, key, expect, &seen.snapshot);
    if let Some(growth) = &expect.growth {
        check_growth(checks, &format!("{key}.growth.series"), growth, &seen.snapshot);
    }
}

fn check_labels(checks: &mut Checks, key: &str, expect: &CardinalityExpect, snapshot: &Snapshot) {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for family in snapshot.families.iter().filter(|family| !family.series.is_empty()) {
        for (at, label) in family.labels.iter().enumerate() {
            let of_series = family.series.iter().filter_map(|series| series.values.get(at));
            values.entry(label).or_default().extend(of_series.map(String::as_str).filter(|value| !value.is_empty()));
        }
    }
    for (label, budget) in &expect.labels {
        let key = format!("{key}.labels.{label}");
        let Some(values) = values.get(label.as_str()) else {
            let known: Vec<_> = values.keys().copied().collect();
            checks.push(key, Some(Fault::new(unknown("label", label, &known))));
            continue;
        };
        if checks.condition(key.clone(), budget.values.as_ref(), &Count::of(values.len() as u64))
            && let Some(fault) = checks.last_fault()
        {
            let some: Vec<_> = values.iter().take(WORST).map(|value| format!("{value:?}")).collect();
            let more = if values.len() > WORST { ", ..." } else { "" };
            fault.details = vec![format!("values: {}{more}", some.join(", "))];
        }
        let with_label = snapshot.families.iter().filter(|family| family.labels.contains(&label.as_str()));
        let overflow = with_label.filter(|family| family.series.iter().any(|series| series.overflow)).count() as u64;
        checks.condition(format!("{key}.overflow"), budget.overflow.as_ref(), &Count::of(overflow));
    }
}

/// Series that began with one of the last spans: a leak that a total hides goes on to the end.
fn check_growth(checks: &mut Checks, key: &str, growth: &Growth, snapshot: &Snapshot) {
    let (observed, window) = (snapshot.observed, growth.per_requests);
    if observed < window {
        let message = format!("wants the last {window} spans, but there are {observed} in all");
        return checks.push(key, Some(Fault::new(message)));
    }
    let is_new = |born: u64| born > observed - window;
    let series = snapshot.families.iter().flat_map(|family| family.series.iter().map(move |series| (family, series)));
    let new: Vec<_> = series.filter(|(_, series)| is_new(series.born)).collect();
    if checks.condition(key.to_owned(), Some(&growth.series), &Count::of(new.len() as u64))
        && let Some(fault) = checks.last_fault()
    {
        fault.details = new
            .iter()
            .take(WORST)
            .map(|(family, series)| {
                let labels = family.labels.iter().zip(&series.values).filter(|(_, value)| !value.is_empty());
                let labels: Vec<_> = labels.map(|(label, value)| format!("{label}={value:?}")).collect();
                format!("with span {}: {}{{{}}}", series.born, family.name, labels.join(","))
            })
            .collect();
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match did_you_mean(name, known) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`; there are {}", known.join(", ")),
    }
}
