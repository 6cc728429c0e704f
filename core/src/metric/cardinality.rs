//! How many series there are, where they come from, and whether they still grow.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::snapshot::{Family, Snapshot, Value};
use crate::count::Count;

/// The series of a [`Snapshot`], counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cardinality {
    /// All series.
    pub series: usize,
    /// All samples of one scrape: a histogram's series has one a bucket, and count and sum.
    pub samples: usize,
    /// How many spans were observed.
    pub spans: u64,
    /// How many series there were after each equal part of the spans, up to all of them.
    pub growth: Vec<usize>,
    /// The metrics that have any series, those with the most first.
    pub metrics: Vec<MetricCardinality>,
}

/// The series of one metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricCardinality {
    /// Its name.
    pub name: &'static str,
    /// Its series, the overflow series included.
    pub series: usize,
    /// Its samples of one scrape.
    pub samples: usize,
    /// It has an overflow series: there would be more without the limit.
    pub overflow: bool,
    /// As in [`Cardinality`].
    pub growth: Vec<usize>,
    /// Its labels, those with the most distinct values first.
    pub labels: Vec<LabelCardinality>,
}

/// The values of one label of one metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelCardinality {
    /// Its name.
    pub name: &'static str,
    /// How many distinct values it has.
    pub values: usize,
    /// The values with the most series, and how many each has.
    pub worst: Vec<LabelValue>,
}

/// How many series have one value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelValue {
    /// The value.
    pub value: String,
    /// The series.
    pub series: usize,
}

impl Cardinality {
    /// Counts the series of `snapshot`: growth in `parts` steps, and at most `worst` values a label.
    pub fn new(snapshot: &Snapshot, parts: usize, worst: usize) -> Self {
        let observed = snapshot.observed;
        let families = || snapshot.families.iter().filter(|family| !family.series.is_empty());
        let mut metrics: Vec<_> =
            families().map(|family| MetricCardinality::new(family, observed, parts, worst)).collect();
        metrics.sort_by(|a, b| b.series.cmp(&a.series).then(a.name.cmp(b.name)));
        let growth = (0..parts).map(|part| metrics.iter().filter_map(|metric| metric.growth.get(part)).sum()).collect();
        Self {
            series: metrics.iter().map(|metric| metric.series).sum(),
            samples: metrics.iter().map(|metric| metric.samples).sum(),
            spans: observed,
            growth,
            metrics,
        }
    }
}

impl MetricCardinality {
    fn new(family: &Family, observed: u64, parts: usize, worst: usize) -> Self {
        let mut labels: Vec<_> =
            family.labels.iter().enumerate().map(|(at, name)| LabelCardinality::new(family, at, name, worst)).collect();
        labels.sort_by(|a, b| b.values.cmp(&a.values).then(a.name.cmp(b.name)));
        let samples = |value: &Value| match value {
            Value::Counter(_) | Value::Info => 1,
            Value::Histogram(histogram) => histogram.counts().len() + 2,
        };
        let born_by = |spans| family.series.iter().filter(|series| u128::from(series.born) <= spans).count();
        Self {
            name: family.name,
            series: family.series.len(),
            samples: family.series.iter().map(|series| samples(&series.value)).sum(),
            overflow: family.series.iter().any(|series| series.overflow),
            growth: (1..=parts).map(|part| born_by(u128::from(observed) * part as u128 / parts as u128)).collect(),
            labels,
        }
    }
}

impl LabelCardinality {
    fn new(family: &Family, at: usize, name: &'static str, worst: usize) -> Self {
        let mut values: BTreeMap<&str, usize> = BTreeMap::new();
        for value in family.series.iter().filter_map(|series| series.values.get(at)) {
            *values.entry(value).or_default() += 1;
        }
        let mut order: Vec<_> = values.iter().map(|(value, series)| (*value, *series)).collect();
        order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let worst = order.into_iter().take(worst);
        let worst = worst.map(|(value, series)| LabelValue { value: value.into(), series }).collect();
        Self { name, values: values.len(), worst }
    }
}

impl fmt::Display for Cardinality {
    /// A table of metrics, and below each its labels with the values that have the most series.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = |samples: usize| Count(samples as u64, "sample");
        let spans = Count(self.spans, "span");
        writeln!(f, "{} series, {} a scrape, from {spans}", self.series, samples(self.samples))?;
        write_growth(f, "growth", &self.growth)?;
        for metric in &self.metrics {
            let overflow = if metric.overflow { ", over the limit" } else { "" };
            writeln!(f, "\n{}: {} series, {}{overflow}", metric.name, metric.series, samples(metric.samples))?;
            write_growth(f, "  growth", &metric.growth)?;
            for label in &metric.labels {
                let worst = label.worst.iter().map(|worst| format!("{:?} {}", worst.value, worst.series));
                let more = if label.values > label.worst.len() { ", ..." } else { "" };
                writeln!(f, "  {} {}: {}{more}", label.name, label.values, worst.collect::<Vec<_>>().join(", "))?;
            }
        }
        Ok(())
    }
}

fn write_growth(f: &mut fmt::Formatter<'_>, title: &str, growth: &[usize]) -> fmt::Result {
    if growth.is_empty() {
        return Ok(());
    }
    let steps: Vec<_> = growth.iter().map(usize::to_string).collect();
    writeln!(f, "{title}: {}", steps.join(" "))
}
