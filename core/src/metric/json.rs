//! The same metrics as JSON: what `--metrics json` writes. Integers in nanoseconds and bytes, never a float.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::snapshot::{Family, Scale, Series, Snapshot, Value};

impl Serialize for Snapshot {
    /// An object with `metrics`, a list; families without series are left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Metrics<'a> {
            metrics: Vec<&'a Family>,
        }
        let metrics = self.families.iter().filter(|family| !family.series.is_empty()).collect();
        Metrics { metrics }.serialize(serializer)
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Metric<'a> {
            name: &'a str,
            r#type: &'a str,
            unit: Option<&'a str>,
            help: &'a str,
            series: Vec<Line<'a>>,
        }
        let unit = match self.scale {
            Scale::Bytes => Some("bytes"),
            Scale::None => None,
            Scale::Seconds => Some("nanoseconds"),
        };
        let series = self.series.iter().map(|series| Line::new(self, series)).collect();
        Metric { name: self.name, r#type: self.kind.as_str(), unit, help: self.help, series }.serialize(serializer)
    }
}

/// One series. Of the fields after `overflow`, those that its type has.
#[derive(Serialize)]
struct Line<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    overflow: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<u128>,
    /// Upper bounds and how many values are at or below each; the count has what is above all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<Vec<(u64, u64)>>,
}

impl<'a> Line<'a> {
    fn new(family: &'a Family, series: &'a Series) -> Self {
        let labels = family.labels.iter().zip(&series.values).filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(label, value)| (*label, value.as_str())).collect();
        let line = Self { labels, overflow: series.overflow, value: None, count: None, sum: None, buckets: None };
        match &series.value {
            Value::Counter(value) => Self { value: Some(*value), ..line },
            Value::Info => line,
            Value::Histogram(histogram) => {
                let cumulative = histogram.counts().iter().scan(0, |below, count| {
                    *below += count;
                    Some(*below)
                });
                let buckets = histogram.bounds().iter().copied().zip(cumulative).collect();
                let (count, sum) = (Some(histogram.count()), Some(histogram.sum()));
                Self { count, sum, buckets: Some(buckets), ..line }
            }
        }
    }
}
