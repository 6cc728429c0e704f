//! Checks metrics: samples, identities with spans, and golden files.

use std::collections::{BTreeMap, BTreeSet};

use redtape_core::config::did_you_mean;
use redtape_core::metric::{Family, FamilyKind, Snapshot, Value};
use redtape_core::{Span, SpanKind};

use super::buckets::buckets_and_counts;
use super::fault::{Accept, Checks, Fault};
use super::golden::check_openmetrics;
use crate::failure::Result;
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
        At::End => None,
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
    let found = samples(text);
    for (number, sample) in expect.samples.iter().enumerate() {
        checks.push(format!("{key}.samples[{number}]"), check_sample(sample, &found));
    }
    for (number, identity) in expect.identity.iter().enumerate() {
        let key = format!("{key}.identity[{number}]");
        let fault = match identity {
            Identity::BucketsAndCounts => {
                let histograms = snapshot.families.iter().filter(|family| family.kind == FamilyKind::Histogram);
                buckets_and_counts(histograms.map(|family| (family.name, family.series.len())), &found)
            }
            Identity::SpansAndMetrics if earlier.is_some() => {
                Some(Fault::new("spans are counted at the end alone: leave `at` out"))
            }
            Identity::SpansAndMetrics => spans_and_metrics(snapshot, &seen.spans),
        };
        checks.push(key, fault);
    }
    if let Some(golden) = &expect.openmetrics {
        check_openmetrics(checks, &format!("{key}.openmetrics"), &spec.beside(golden), text);
    }
    Ok(())
}

fn check_sample(sample: &Sample, all: &[Found]) -> Option<Fault> {
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
    let Some(found) = found else { return Some(no_sample(sample, all, &named)) };
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

/// What there is instead of a sample that there is not.
fn no_sample(sample: &Sample, all: &[Found], named: &[&Found]) -> Fault {
    let names: BTreeSet<_> = all.iter().map(|(name, ..)| name.as_str()).collect();
    if named.is_empty() {
        let names: Vec<_> = names.into_iter().collect();
        let advice =
            did_you_mean(&sample.name, &names).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Fault::new(format!("there is no sample called `{}`{advice}", sample.name));
    }
    let mut fault = Fault::new(format!("no sample of `{}` has these labels", sample.name));
    for label in &sample.labels {
        let values: BTreeSet<_> =
            named.iter().map(|(_, labels, _)| labels.get(&label.name).map_or("", String::as_str)).collect();
        if !values.iter().any(|value| label.holds(value)) {
            let mut values: Vec<_> = values.into_iter().map(|value| format!("{value:?}")).collect();
            if values == ["\"\""] {
                let known: BTreeSet<_> =
                    named.iter().flat_map(|(_, labels, _)| labels.keys().map(String::as_str)).collect();
                let known: Vec<_> = known.into_iter().collect();
                fault.details.push(format!("none has `{}`; there are {}", label.name, known.join(", ")));
                continue;
            }
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
