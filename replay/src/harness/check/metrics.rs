//! Checks metrics: samples, identities with spans, and golden files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use redtape_core::metric::{Family, FamilyKind, OVERFLOW_LABEL, Snapshot, Value};
use redtape_core::{Span, SpanKind};

use super::buckets::buckets_and_counts;
use super::fault::{Accept, Checks, Fault};
use super::golden::check_openmetrics;
use crate::failure::Result;
use crate::harness::advice::instead_of;
use crate::harness::input::Input;
use crate::harness::observe::{Observed, Replayer, openmetrics, samples};
use crate::harness::spec::{Aggregate, At, Decimal, Identity, Loaded, MetricsExpect, Sample};

/// How many values are listed.
const LISTED: usize = 5;

/// A sample: name, labels, value.
pub(super) type Found = (String, BTreeMap<String, String>, Decimal);

/// Checks all that `expect` says of metrics.
pub(crate) fn check_metrics(
    checks: &mut Checks,
    key: &str,
    expect: &MetricsExpect,
    seen: &Observed,
    at: (&Replayer<'_>, &Input, &Loaded),
) -> Result {
    let (replayer, input, spec) = at;
    let earlier = match expect.at {
        At::End | At::Every(_) => None,
        At::Offset(offset) => match replayer.metrics_at(input, offset)? {
            Some(snapshot) => Some(snapshot),
            None => {
                let end = crate::write::nanos(seen.ran.duration_nanos());
                let message =
                    format!("expected metrics {offset} after the first event, but the input ends after {end}");
                checks.push(format!("{key}.at"), Some(Fault::new(message)));
                return Ok(());
            }
        },
    };
    let snapshot = earlier.as_deref().unwrap_or(&seen.snapshot);
    let text = earlier.as_deref().map(openmetrics);
    let text = text.as_deref().unwrap_or(&seen.openmetrics);
    let mut moments = Moments::new(expect);
    if let At::Every(step) = expect.at {
        replayer.metrics_each(input, step, |after, snapshot| {
            moments.look(Some(after), snapshot, &openmetrics(snapshot), &[]);
            ControlFlow::Continue(())
        })?;
    }
    moments.look(None, snapshot, text, &seen.spans);
    moments.tell(checks, key);
    if let Some(golden) = &expect.openmetrics {
        check_openmetrics(checks, &format!("{key}.openmetrics"), &spec.beside(golden), text);
    }
    Ok(())
}

/// What first failed of each sample and identity, at one moment or several.
struct Moments<'a> {
    expect: &'a MetricsExpect,
    samples: Vec<Option<Fault>>,
    identity: Vec<Option<Fault>>,
}

impl<'a> Moments<'a> {
    fn new(expect: &'a MetricsExpect) -> Self {
        let none = |count| std::iter::repeat_with(|| None).take(count).collect();
        Self { expect, samples: none(expect.samples.len()), identity: none(expect.identity.len()) }
    }

    /// Looks at metrics, of which others follow if they are of a moment so long `after` the first event.
    fn look(&mut self, after: Option<u64>, snapshot: &Snapshot, text: &str, spans: &[Span]) {
        let found = samples(text);
        let told = |mut fault: Fault| {
            if let Some(after) = after {
                fault.message = format!("after {}: {}", crate::write::nanos(after), fault.message);
            }
            // Of many moments, what was found at one is not to be expected at all.
            if matches!(self.expect.at, At::Every(_)) {
                fault.accept = None;
            }
            fault
        };
        for (sample, fault) in self.expect.samples.iter().zip(&mut self.samples).filter(|(_, fault)| fault.is_none()) {
            *fault = check_sample(sample, &snapshot.families, &found, after.is_none()).map(told);
        }
        for (identity, fault) in
            self.expect.identity.iter().zip(&mut self.identity).filter(|(_, fault)| fault.is_none())
        {
            *fault = match identity {
                Identity::BucketsAndCounts => {
                    let histograms = snapshot.families.iter().filter(|family| family.kind == FamilyKind::Histogram);
                    // Before anything was counted, there is nothing to compare.
                    let counted = after.is_none() || histograms.clone().any(|family| !family.series.is_empty());
                    let named = histograms.map(|family| (family.name, family.series.len()));
                    if counted { buckets_and_counts(named, &found) } else { None }
                }
                Identity::SpansAndMetrics => spans_and_metrics(snapshot, spans),
            }
            .map(told);
        }
    }

    fn tell(self, checks: &mut Checks, key: &str) {
        for (name, faults) in [("samples", self.samples), ("identity", self.identity)] {
            for (number, fault) in faults.into_iter().enumerate() {
                checks.push(format!("{key}.{name}[{number}]"), fault);
            }
        }
    }
}

/// What is wrong with a sample. There has to be one where it is the `last` moment that is looked at.
fn check_sample(sample: &Sample, families: &[Family], all: &[Found], last: bool) -> Option<Fault> {
    if let Some(message) = misspelt(sample, families) {
        return Some(Fault::new(message));
    }
    let named: Vec<_> = all.iter().filter(|(name, ..)| *name == sample.name).collect();
    let fits = |labels: &BTreeMap<String, String>| {
        sample.labels.iter().all(|label| label.holds(labels.get(&label.name).map_or("", String::as_str)))
    };
    let fit: Vec<_> = named.iter().filter(|(_, labels, _)| fits(labels)).collect();
    let Some((comparison, expected, tolerance)) = sample.test else {
        let (_, labels, value) = fit.first()?;
        let found = format!("found {} of them, the first {}{} {value}", fit.len(), sample.name, shown(labels));
        return Some(Fault::new(format!("expected no sample, {found}")));
    };
    let values = fit.iter().map(|(.., value)| *value);
    let found = match sample.of {
        Aggregate::Count => Some(Decimal::whole(fit.len() as u64)),
        Aggregate::Sum => values.reduce(Decimal::plus),
        Aggregate::Max => values.max(),
        Aggregate::Min => values.min(),
    };
    let Some(found) = found else { return last.then(|| no_sample(sample, &named)) };
    if comparison.holds(found, expected, tolerance) {
        return None;
    }
    let mut fault = Fault::new(format!("expected {}, found {found}", sample.text.trim()));
    fault.accept = sample.accepting(found).map(|text| Accept::Value(serde_json::Value::from(text).to_string()));
    if fit.len() > 1 {
        fault.details =
            fit.iter().take(LISTED).map(|(name, labels, value)| format!("{name}{} {value}", shown(labels))).collect();
        if fit.len() > LISTED {
            fault.details.push(format!("and {} more", fit.len() - LISTED));
        }
    }
    Some(fault)
}

/// What is wrong with the names of a sample and its labels: there could be none such, whatever was counted.
fn misspelt(sample: &Sample, families: &[Family]) -> Option<String> {
    let names = |family: &Family| {
        let suffixes: &[&str] = match family.kind {
            FamilyKind::Counter => &["_total"],
            FamilyKind::Info => &["_info"],
            FamilyKind::Histogram => &["_bucket", "_count", "_sum"],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", family.name)).collect::<Vec<_>>()
    };
    let Some(family) = families.iter().find(|family| names(family).contains(&sample.name)) else {
        let known: Vec<_> = families.iter().flat_map(names).collect();
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let advice = instead_of(&sample.name, &known);
        return Some(format!("there is no sample called `{}`{advice}", sample.name));
    };
    let mut known = family.labels.clone();
    known.push(OVERFLOW_LABEL);
    if sample.name.ends_with("_bucket") {
        known.push("le");
    }
    let label = sample.labels.iter().find(|label| !known.contains(&label.name.as_str()))?;
    let advice = instead_of(&label.name, &known);
    Some(format!("no `{}` has a label `{}`{advice}; there are {}", sample.name, label.name, known.join(", ")))
}

/// What there is instead of a sample that there is not.
fn no_sample(sample: &Sample, named: &[&Found]) -> Fault {
    if named.is_empty() {
        return Fault::new(format!("there is no sample of `{}`: nothing was counted", sample.name));
    }
    let mut fault = Fault::new(format!("no sample of `{}` has these labels", sample.name));
    for label in &sample.labels {
        let values: BTreeSet<_> =
            named.iter().map(|(_, labels, _)| labels.get(&label.name).map_or("", String::as_str)).collect();
        if !values.iter().any(|value| label.holds(value)) {
            let mut values: Vec<_> = values.into_iter().map(|value| format!("{value:?}")).collect();
            let more = if values.len() > LISTED { ", ..." } else { "" };
            values.truncate(LISTED);
            fault.details.push(format!("`{}` is one of {}{more}", label.name, values.join(", ")));
        }
    }
    fault
}

/// Labels as they are written.
pub(super) fn shown(labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", labels.join(","))
}

/// The families that count every finished exchange of a kind, by their names in OpenTelemetry.
const COUNTING: [(&str, SpanKind, bool); 4] = [
    ("http.server.request.duration", SpanKind::Server, false),
    ("http.client.request.duration", SpanKind::Client, false),
    ("rpc.server.duration", SpanKind::Server, true),
    ("rpc.client.duration", SpanKind::Client, true),
];

/// What is counted of spans is what there are of spans: in all, and by service, method, status and route where the metric has
/// these labels.
fn spans_and_metrics(snapshot: &Snapshot, spans: &[Span]) -> Option<Fault> {
    let of_name = |name: &str| snapshot.families.iter().find(|family| family.otel_name == name);
    let mut compared = false;
    for (name, kind, grpc) in COUNTING {
        let Some(family) = of_name(name) else { continue };
        compared = true;
        let counted =
            |span: &&Span| span.kind == kind && span.is_grpc() == grpc && !span.incomplete() && !span.ignored.metrics;
        let overflow = family.series.iter().any(|series| series.overflow);
        let labels = if overflow { Vec::new() } else { shared_labels(family) };
        let mut expected: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for span in spans.iter().filter(counted) {
            *expected.entry(labels.iter().map(|(label, _)| of_span(span, label)).collect()).or_default() += 1;
        }
        let mut found: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        for series in &family.series {
            let values = labels.iter().map(|(_, at)| series.values.get(*at).cloned().unwrap_or_default());
            if let Value::Histogram(histogram) = &series.value {
                *found.entry(values.collect()).or_default() += histogram.count();
            }
        }
        let keys: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
        for key in keys {
            let (spans, count) = (expected.get(key).unwrap_or(&0), found.get(key).unwrap_or(&0));
            if spans != count {
                let names: Vec<_> =
                    labels.iter().zip(key).map(|((label, _), value)| format!("{label}={value:?}")).collect();
                let message =
                    format!("{}{{{}}} counts {count}, but there are {spans} spans", family.name, names.join(","));
                return Some(Fault::new(message));
            }
        }
    }
    (!compared).then(|| Fault::new("there is no metric of durations to compare with: nothing was counted"))
}

/// The labels of a family whose values spans tell, each with its place.
fn shared_labels(family: &Family) -> Vec<(&'static str, usize)> {
    let told = ["service_name", "http_request_method", "http_response_status_code", "http_route"];
    let labels = family.labels.iter().enumerate().filter(|(_, label)| told.contains(label));
    labels.map(|(at, label)| (*label, at)).collect()
}

fn of_span(span: &Span, label: &str) -> String {
    match label {
        "service_name" => span.service.name.to_string(),
        "http_request_method" => span.method().to_owned(),
        "http_response_status_code" => span.http.status_code.map_or_else(String::new, |code| code.to_string()),
        _ => span.route.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use redtape_core::metric::Scale;

    use super::*;

    fn family(name: &'static str, kind: FamilyKind) -> Family {
        let labels = vec!["http_route", "service_name"];
        Family { name, otel_name: "", help: "", kind, scale: Scale::None, labels, series: Vec::new() }
    }

    #[test]
    fn what_cannot_be_there_is_no_proof_that_it_is_absent() {
        let families = [
            family("http_seconds", FamilyKind::Histogram),
            family("calls", FamilyKind::Counter),
            family("t", FamilyKind::Info),
        ];
        let check = |text: &str| {
            check_sample(&Sample::parse(text).unwrap(), &families, &[], true)
                .map(|fault| fault.message)
                .unwrap_or_default()
        };
        for right in [
            "absent(http_seconds_count)",
            "count(http_seconds_bucket{le=\"1\",http_route=\"/\"}) <= 5",
            "absent(calls_total{otel_metric_overflow=\"true\"})",
            "count(t_info) == 0",
        ] {
            assert_eq!(check(right), "", "{right}");
        }
        for (wrong, message) in [
            ("absent(htpp_seconds_count)", "did you mean `http_seconds_count`?"),
            ("count(htpp_seconds_count) <= 5", "did you mean `http_seconds_count`?"),
            ("absent(calls)", "there is no sample called `calls`"),
            ("absent(calls_total{http_rout=\"/\"})", "did you mean `http_route`?"),
            ("absent(http_seconds_count{le=\"1\"})", "no `http_seconds_count` has a label `le`"),
            ("max(calls_total) < 1", "nothing was counted"),
        ] {
            let found = check(wrong);
            assert!(found.contains(message), "{wrong}: {found}");
        }
    }
}
