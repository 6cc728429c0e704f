//! From snapshots to samples: which samples a series gets at a step.

use std::collections::BTreeMap;
use std::time::Duration;

use redtape_core::WallNanos;
use redtape_core::metric::{
    BySeries, Family, FamilyKind, OVERFLOW_LABEL, Resolution, Scale, Series, Snapshot, Value, bucket_bound,
};

use super::message::{Histogram, Label, STALE, Sample, TimeSeries};
use crate::export::native::{Native, ZERO_THRESHOLD, scaled};
use crate::export::replayed::RUN_LABEL;

/// What is known of each series: when it began, when it last changed, and whether it was told to have ended.
#[derive(Debug)]
pub(super) struct Samples {
    step: i64,
    /// Milliseconds after which a series that does not change has ended.
    ttl: Option<i64>,
    families: BTreeMap<&'static str, BySeries<Seen>>,
    form: Form,
    /// No sample is older.
    begun: i64,
}

/// What series are like.
#[derive(Debug)]
struct Form {
    /// A label that all of them have.
    run: Option<Label>,
    /// Whether histograms are also told as native ones, and how fine.
    native: Option<Resolution>,
}

/// What series are told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The last value once more, a step later.
    Stays,
    /// The same, and a step behind that the mark of the end.
    StaysAndGoes,
    /// The mark of the end, at once.
    Goes,
}

#[derive(Debug)]
struct Seen {
    count: u128,
    changed: i64,
    /// When it was told to have ended, and its value then.
    ended: Option<(i64, Value)>,
}

impl Samples {
    /// Samples of steps that are `step` apart; series end that do not change for `ttl_nanos`.
    pub(super) fn new(step: Duration, ttl_nanos: Option<u64>, run: Option<&str>, native: Option<Resolution>) -> Self {
        let form = Form { run: run.map(|run| label(RUN_LABEL, run)), native };
        Self {
            step: i64::try_from(step.as_millis()).unwrap_or(i64::MAX),
            ttl: ttl_nanos.map(millis),
            families: Default::default(),
            form,
            begun: i64::MIN,
        }
    }

    /// What there is began then: also the zeros of series are no older.
    pub(super) fn begin(&mut self, at: WallNanos) {
        self.begun = millis(at.unix_nanos());
    }

    /// The samples of a step: each series' value; of one that is new, a zero a step before, so that what it began with counts
    /// as an increase; of one that had ended and goes on, its old value a step before; of one that ends, the mark of that.
    pub(super) fn step(&mut self, at: WallNanos, snapshot: &Snapshot) -> Vec<TimeSeries> {
        let (at, mut all) = (millis(at.unix_nanos()), Vec::new());
        let before = (at - self.step).max(self.begun);
        for family in &snapshot.families {
            let known = self.families.entry(family.name).or_default();
            let fact = family.kind == FamilyKind::Info;
            for series in &family.series {
                let count = count(&series.value);
                let mut new = false;
                let seen = known.entry(series, || {
                    new = true;
                    Seen { count, changed: at, ended: None }
                });
                let mut values = Vec::with_capacity(2);
                if count != seen.count {
                    (seen.count, seen.changed) = (count, at);
                }
                let over = !fact && self.ttl.is_some_and(|ttl| at - seen.changed > ttl);
                match seen.ended.take() {
                    Some(ended) if over => {
                        seen.ended = Some(ended);
                        continue;
                    }
                    None if over => {
                        seen.ended = Some((at, series.value.clone()));
                        push(&mut all, family, series, &[(at, None)], &self.form);
                        continue;
                    }
                    Some((ended, value)) => values.extend((before > ended && before < at).then_some((before, value))),
                    None if new && !fact && before < at => values.push((before, series.value.zero())),
                    None => {}
                }
                values.push((at, series.value.clone()));
                let values: Vec<_> = values.iter().map(|(at, value)| (*at, Some(value))).collect();
                push(&mut all, family, series, &values, &self.form);
            }
        }
        all
    }

    /// The samples after the last step.
    pub(super) fn end(&self, at: WallNanos, snapshot: &Snapshot, end: End) -> Vec<TimeSeries> {
        let (at, mut all) = (millis(at.unix_nanos()), Vec::new());
        for family in &snapshot.families {
            let known = self.families.get(family.name);
            let going_on =
                |series: &&Series| known.and_then(|known| known.get(series)).is_some_and(|seen| seen.ended.is_none());
            for series in family.series.iter().filter(going_on) {
                let again = (at + self.step, Some(&series.value));
                let values = match end {
                    End::Stays => vec![again],
                    End::StaysAndGoes => vec![again, (at + 2 * self.step, None)],
                    End::Goes => vec![(at + 1, None)],
                };
                push(&mut all, family, series, &values, &self.form);
            }
        }
        all
    }
}

/// Appends a series' samples, a time series for each number that it has. No value is the mark of the end.
fn push(all: &mut Vec<TimeSeries>, family: &Family, series: &Series, values: &[(i64, Option<&Value>)], form: &Form) {
    let mut labels: Vec<Label> = match series.overflow {
        true => vec![label(OVERFLOW_LABEL, "true")],
        false => {
            let labels = family.labels.iter().zip(&series.values).filter(|(_, value)| !value.is_empty());
            labels.map(|(name, value)| label(name, value)).collect()
        }
    };
    labels.extend(form.run.clone());
    let mut add = |suffix: &str, bound: Option<String>, number: &dyn Fn(&Value) -> f64| {
        let mut labels = labels.clone();
        labels.push(label("__name__", &format!("{}{suffix}", family.name)));
        labels.extend(bound.map(|bound| label("le", &bound)));
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let sample =
            |(at, value): &(i64, Option<&Value>)| Sample { timestamp: *at, value: value.map_or(STALE, number) };
        all.push(TimeSeries { labels, samples: values.iter().map(sample).collect(), histograms: Vec::new() });
    };
    match &series.value {
        Value::Info => add("_info", None, &|_| 1.0),
        Value::Counter(_) => add("_total", None, &|value| count(value) as f64),
        Value::Histogram(histogram) => {
            let bounds = histogram.bounds().iter().map(|&bound| Some(bound)).chain([None]);
            for (at, bound) in bounds.enumerate() {
                add("_bucket", Some(bucket_bound(bound, family.scale)), &|value| match value {
                    Value::Histogram(histogram) => histogram.counts().iter().take(at + 1).sum::<u64>() as f64,
                    Value::Counter(_) | Value::Info => 0.0,
                });
            }
            add("_count", None, &|value| count(value) as f64);
            add("_sum", None, &|value| match (value, family.scale) {
                (Value::Histogram(histogram), scale) => scaled(histogram.sum(), scale),
                (Value::Counter(_) | Value::Info, _) => 0.0,
            });
            if let Some(resolution) = form.native {
                labels.push(label("__name__", family.name));
                labels.sort_by(|a, b| a.name.cmp(&b.name));
                let histograms = values.iter().filter_map(|value| native(value, family.scale, resolution)).collect();
                all.push(TimeSeries { labels, samples: Vec::new(), histograms });
            }
        }
    }
}

/// A native histogram at a time; no value is the mark of the end.
fn native((timestamp, value): &(i64, Option<&Value>), scale: Scale, resolution: Resolution) -> Option<Histogram> {
    let told = Histogram { zero_threshold: ZERO_THRESHOLD, timestamp: *timestamp, ..Histogram::default() };
    let Some(value) = value else {
        return Some(Histogram { count: Some(0), sum: STALE, zero_count: Some(0), ..told });
    };
    let Value::Histogram(histogram) = value else { return None };
    let Native { schema, zeros, spans, deltas } = Native::of(histogram, resolution)?;
    Some(Histogram {
        count: Some(histogram.count()),
        sum: scaled(histogram.sum(), scale),
        schema,
        zero_count: Some(zeros),
        positive_spans: spans,
        positive_deltas: deltas,
        ..told
    })
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.into(), value: value.into() }
}

/// How often something was counted.
fn count(value: &Value) -> u128 {
    match value {
        Value::Counter(count) => *count,
        Value::Histogram(histogram) => histogram.count().into(),
        Value::Info => 1,
    }
}

fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use redtape_core::MonoNanos;

    use super::*;

    fn snapshot(counts: &[(&str, u128)]) -> Snapshot {
        let series = |(route, count): &(&str, u128)| Series {
            values: vec![(*route).to_owned(), String::new()],
            overflow: false,
            born: 1,
            parts: Vec::new(),
            updated: MonoNanos::ZERO,
            value: Value::Counter(*count),
        };
        let family = Family {
            name: "calls",
            otel_name: "calls",
            help: "",
            kind: FamilyKind::Counter,
            scale: Scale::None,
            labels: vec!["http_route", "job"],
            series: counts.iter().map(series).collect(),
        };
        Snapshot { families: vec![family], observed: 0 }
    }

    /// What is told of `/a` at each step, in seconds: `-` is the mark of the end.
    fn told(samples: &mut Samples, steps: &[(u64, u128)]) -> Vec<String> {
        let at = |second: u64| WallNanos::new(second * 1_000_000_000);
        let step = |&(second, count): &(u64, u128)| {
            let series = samples.step(at(second), &snapshot(&[("/a", count)]));
            let samples = series.iter().flat_map(|series| &series.samples).map(|sample| {
                let value = match sample.value {
                    stale if stale.to_bits() == STALE.to_bits() => "-".to_owned(),
                    value => value.to_string(),
                };
                format!("{value}@{}", sample.timestamp / 1000)
            });
            samples.collect::<Vec<_>>().join(" ")
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn a_series_begins_with_a_zero() {
        let mut samples = Samples::new(Duration::from_secs(15), None, None, None);
        assert_eq!(told(&mut samples, &[(100, 3), (115, 3), (130, 4)]), ["0@85 3@100", "3@115", "4@130"]);
        let end = samples.end(WallNanos::new(130_000_000_000), &snapshot(&[("/a", 4)]), End::StaysAndGoes);
        let end: Vec<_> = end[0].samples.iter().map(|sample| sample.timestamp).collect();
        assert_eq!(end, [145_000, 160_000]);
    }

    #[test]
    fn a_live_run_says_nothing_of_before_and_behind_it() {
        let mut samples = Samples::new(Duration::from_secs(15), None, None, None);
        samples.begin(WallNanos::new(95_000_000_000));
        assert_eq!(told(&mut samples, &[(100, 3), (115, 4)]), ["0@95 3@100", "4@115"]);
        let end = samples.end(WallNanos::new(115_000_000_000), &snapshot(&[("/a", 4)]), End::Goes);
        let end: Vec<_> = end[0].samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect();
        assert_eq!(end, [(115_001, STALE.to_bits())]);
    }

    #[test]
    fn a_series_that_does_not_change_ends_and_may_go_on() {
        let mut samples = Samples::new(Duration::from_secs(15), Some(20_000_000_000), None, None);
        assert_eq!(
            told(&mut samples, &[(100, 3), (115, 3), (130, 3), (145, 3), (160, 5), (175, 5)]),
            ["0@85 3@100", "3@115", "-@130", "", "3@145 5@160", "5@175"]
        );
        assert_eq!(told(&mut samples, &[(190, 5), (205, 6)]), ["-@190", "6@205"]);
        assert!(told(&mut samples, &[(300, 6)])[0].starts_with('-'));
        assert!(samples.end(WallNanos::new(301_000_000_000), &snapshot(&[("/a", 6)]), End::StaysAndGoes).is_empty());
    }

    #[test]
    fn labels_are_sorted_and_none_is_empty() {
        let series = Samples::new(Duration::from_millis(1), None, Some("x"), None)
            .step(WallNanos::new(1), &snapshot(&[("/a", 1)]));
        let labels: Vec<_> = series[0].labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
        assert_eq!(labels, [("__name__", "calls_total"), ("http_route", "/a"), ("replay_run", "x")]);
    }
}
