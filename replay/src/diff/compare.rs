//! The comparison: a pure function of two sides and a tolerance.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::Serialize;

use super::args::Part;
use super::routes::{self, RouteChange};
use super::side::{Group, MetricSeries, Red, Row, Side, Spans};

/// Series that are named of what one metric has gained, and of what it has lost.
const NAMED: usize = 100;

/// By how much numbers may differ: thousandths of a per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolerance(u64);

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| "is no number of per cent".to_owned())?;
        if !(0.0..=1e9).contains(&percent) {
            return Err("is not between 0 and 1000000000".into());
        }
        Ok(Self((percent * 1000.0).round() as u64))
    }
}

impl Tolerance {
    /// Whether `after` is as `before`, as far as this goes.
    fn allows(self, before: u64, after: u64) -> bool {
        u128::from(before.abs_diff(after)) * 100_000 <= u128::from(self.0) * u128::from(before)
    }

    fn allows_float(self, before: f64, after: f64) -> bool {
        before == after || (after - before).abs() * 100_000.0 <= self.0 as f64 * before.abs()
    }

    /// In per cent.
    pub(super) fn percent(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

/// All that changed. What is `None` was not compared.
#[derive(Debug, Serialize)]
pub(crate) struct Changes {
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) tolerance_percent: f64,
    /// How many there are in all: routes, series, rows.
    pub(crate) differences: usize,
    pub(crate) routes: Option<Vec<RouteChange>>,
    pub(crate) series: Option<SeriesChanges>,
    pub(crate) spans: Option<SpanChanges>,
    pub(crate) red: Option<Vec<RedChange>>,
    /// Of files of metrics: sums, counts and counters.
    pub(crate) values: Option<Vec<ValueChange>>,
}

/// Series gained and lost.
#[derive(Debug, Serialize)]
pub(crate) struct SeriesChanges {
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// Metrics that have gained or lost any.
    pub(crate) metrics: Vec<MetricChange>,
}

/// Series gained and lost of one metric; of each, 100 are named.
#[derive(Debug, Serialize)]
pub(crate) struct MetricChange {
    pub(crate) metric: String,
    pub(crate) before: usize,
    pub(crate) after: usize,
    pub(crate) gained: usize,
    pub(crate) lost: usize,
    pub(crate) gained_series: Vec<String>,
    pub(crate) lost_series: Vec<String>,
}

/// What became of spans.
#[derive(Debug, Serialize)]
pub(crate) struct SpanChanges {
    pub(crate) before: u64,
    pub(crate) after: u64,
    /// Kinds of spans of which there are more or fewer.
    pub(crate) groups: Vec<GroupChange>,
    /// Where both sides are about the same spans: what became of each.
    pub(crate) same: Option<SameSpans>,
}

/// How many spans of one kind there are.
#[derive(Debug, Serialize)]
pub(crate) struct GroupChange {
    #[serde(flatten)]
    pub(crate) group: Group,
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// Spans by their ids.
#[derive(Debug, Serialize)]
pub(crate) struct SameSpans {
    pub(crate) in_both: usize,
    pub(crate) only_before: usize,
    pub(crate) only_after: usize,
    /// They have another parent.
    pub(crate) parents: usize,
    /// They have another service, name or answer: from, to, and how many, those with the most first.
    pub(crate) moved: Vec<(Group, Group, usize)>,
}

/// A row of the RED table that is new, gone, or has other values.
#[derive(Debug, Serialize)]
pub(crate) struct RedChange {
    #[serde(flatten)]
    pub(crate) row: Row,
    pub(crate) before: Option<RedValues>,
    pub(crate) after: Option<RedValues>,
    /// Which values are beyond the tolerance.
    pub(crate) changed: Vec<&'static str>,
}

/// The values of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RedValues {
    pub(crate) count: u64,
    /// In a thousand seconds; `None` where the length of one of the recordings is not known, so that counts are compared.
    pub(crate) rate_milli: Option<u64>,
    pub(crate) errors: u64,
    pub(crate) incomplete: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p95_ns: u64,
    pub(crate) p99_ns: u64,
}

/// A number of a series.
#[derive(Debug, Serialize)]
pub(crate) struct ValueChange {
    pub(crate) metric: String,
    pub(crate) labels: String,
    pub(crate) value: String,
    pub(crate) before: f64,
    pub(crate) after: f64,
}

/// Compares what both sides have of `parts`; of all, if there are none.
pub(crate) fn compare(before: &Side, after: &Side, tolerance: Tolerance, parts: &[Part]) -> Changes {
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let spans = before.spans.as_ref().zip(after.spans.as_ref());
    let series = before.series.as_ref().zip(after.series.as_ref());
    let nanos = before.nanos.zip(after.nanos);
    let red = before.red.as_ref().zip(after.red.as_ref()).filter(|_| wanted(Part::Red));
    let red = red.map(|(old, new)| red_changes(old, new, nanos, tolerance));
    // Where there is a RED table, it has these numbers already.
    let only_series = series.filter(|_| red.is_none() && spans.is_none() && wanted(Part::Red));
    let mut changes = Changes {
        before: before.name.clone(),
        after: after.name.clone(),
        tolerance_percent: tolerance.percent(),
        differences: 0,
        routes: spans.filter(|_| wanted(Part::Routes)).map(|(old, new)| routes::changes(old, new)),
        series: series.filter(|_| wanted(Part::Series)).map(|(old, new)| series_changes(old, new)),
        spans: spans.filter(|_| wanted(Part::Spans)).map(|(old, new)| span_changes(old, new, nanos, tolerance)),
        red,
        values: only_series.map(|(old, new)| value_changes(old, new, tolerance)),
    };
    changes.differences = changes.count();
    changes
}

impl Changes {
    fn count(&self) -> usize {
        let series = self.series.iter().flat_map(|series| &series.metrics).map(|metric| metric.gained + metric.lost);
        let spans = self.spans.as_ref().map_or(0, SpanChanges::count);
        let list = |len: Option<usize>| len.unwrap_or(0);
        list(self.routes.as_ref().map(Vec::len))
            + series.sum::<usize>()
            + spans
            + list(self.red.as_ref().map(Vec::len))
            + list(self.values.as_ref().map(Vec::len))
    }
}

impl SpanChanges {
    /// How many differences these are.
    pub(super) fn count(&self) -> usize {
        let some = |count: usize| usize::from(count > 0);
        let same =
            |same: &SameSpans| same.moved.len() + some(same.only_before) + some(same.only_after) + some(same.parents);
        self.groups.len() + self.same.as_ref().map_or(0, same)
    }
}

fn series_changes(old: &BTreeMap<String, MetricSeries>, new: &BTreeMap<String, MetricSeries>) -> SeriesChanges {
    let none = MetricSeries::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let metrics = names.into_iter().filter_map(|name| {
        let (before, after) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        let without = |a: &MetricSeries, b: &MetricSeries| -> Vec<String> {
            a.keys().filter(|labels| !b.contains_key(*labels)).cloned().collect()
        };
        let (mut gained, mut lost) = (without(after, before), without(before, after));
        if gained.is_empty() && lost.is_empty() {
            return None;
        }
        let (gained_count, lost_count) = (gained.len(), lost.len());
        gained.truncate(NAMED);
        lost.truncate(NAMED);
        Some(MetricChange {
            metric: name.clone(),
            before: before.len(),
            after: after.len(),
            gained: gained_count,
            lost: lost_count,
            gained_series: gained,
            lost_series: lost,
        })
    });
    let all = |side: &BTreeMap<String, MetricSeries>| side.values().map(BTreeMap::len).sum();
    SeriesChanges { before: all(old), after: all(new), metrics: metrics.collect() }
}

fn value_changes(
    old: &BTreeMap<String, MetricSeries>,
    new: &BTreeMap<String, MetricSeries>,
    tolerance: Tolerance,
) -> Vec<ValueChange> {
    let mut changes = Vec::new();
    for (metric, series) in old {
        for (labels, values) in series {
            for (value, &before) in values {
                let after = new.get(metric).and_then(|series| series.get(labels)?.get(value)).copied();
                let Some(after) = after.filter(|after| !tolerance.allows_float(before, *after)) else { continue };
                let (metric, labels, value) = (metric.clone(), labels.clone(), value.clone());
                changes.push(ValueChange { metric, labels, value, before, after });
            }
        }
    }
    changes
}

/// How many in a thousand seconds.
fn rate(count: u64, nanos: u64) -> u64 {
    let rate = (u128::from(count) * 1_000_000_000_000).checked_div(u128::from(nanos));
    u64::try_from(rate.unwrap_or(0)).unwrap_or(u64::MAX)
}

/// How long both sides are, where that is known of both.
type Nanos = Option<(u64, u64)>;

fn span_changes(old: &Spans, new: &Spans, nanos: Nanos, tolerance: Tolerance) -> SpanChanges {
    let kinds: BTreeSet<&Group> = old.groups.keys().chain(new.groups.keys()).collect();
    let groups = kinds.into_iter().filter_map(|group| {
        let [before, after] = [old, new].map(|side| side.groups.get(group).copied().unwrap_or(0));
        // Recordings need not be of the same length.
        let rates = nanos.map_or((before, after), |nanos| (rate(before, nanos.0), rate(after, nanos.1)));
        let same = before == after || tolerance.allows(rates.0, rates.1) && before > 0 && after > 0;
        (!same).then(|| GroupChange { group: group.clone(), before, after })
    });
    SpanChanges { before: old.count, after: new.count, groups: groups.collect(), same: same_spans(old, new) }
}

/// What became of each span, where at least half of the smaller side's are on the other one.
fn same_spans(old: &Spans, new: &Spans) -> Option<SameSpans> {
    let both = || old.by_id.iter().filter_map(|(id, before)| Some((before, new.by_id.get(id)?)));
    let in_both = both().count();
    if old.more || new.more || in_both == 0 || in_both * 2 < old.by_id.len().min(new.by_id.len()) {
        return None;
    }
    let mut moved: BTreeMap<(&Group, &Group), usize> = BTreeMap::new();
    for ((before, _), (after, _)) in both().filter(|(before, after)| before.0 != after.0) {
        *moved.entry((before, after)).or_default() += 1;
    }
    let mut moved: Vec<_> = moved.into_iter().map(|((from, to), count)| (from.clone(), to.clone(), count)).collect();
    moved.sort_by(|a, b| (b.2, &a.0, &a.1).cmp(&(a.2, &b.0, &b.1)));
    Some(SameSpans {
        in_both,
        only_before: old.by_id.len() - in_both,
        only_after: new.by_id.len() - in_both,
        parents: both().filter(|(before, after)| before.1 != after.1).count(),
        moved,
    })
}

fn red_changes(
    old: &BTreeMap<Row, Red>,
    new: &BTreeMap<Row, Red>,
    nanos: Nanos,
    tolerance: Tolerance,
) -> Vec<RedChange> {
    let rows: BTreeSet<&Row> = old.keys().chain(new.keys()).collect();
    let changed = rows.into_iter().filter_map(|row| {
        let before = old.get(row).map(|red| RedValues::new(red, nanos.map(|nanos| nanos.0)));
        let after = new.get(row).map(|red| RedValues::new(red, nanos.map(|nanos| nanos.1)));
        let changed = before.zip(after).map_or_else(Vec::new, |(before, after)| before.changed(&after, tolerance));
        let same = before.is_some() && after.is_some() && changed.is_empty();
        (!same).then(|| RedChange { row: row.clone(), before, after, changed })
    });
    changed.collect()
}

impl RedValues {
    fn new(red: &Red, nanos: Option<u64>) -> Self {
        let quantile = |permille| red.duration.quantile(permille);
        Self {
            count: red.count,
            rate_milli: nanos.map(|nanos| rate(red.count, nanos)),
            errors: red.errors,
            incomplete: red.incomplete,
            p50_ns: quantile(500),
            p95_ns: quantile(950),
            p99_ns: quantile(990),
        }
    }

    /// A part of all requests, in millionths: recordings need not be of the same length.
    pub(super) fn share(&self, part: u64) -> u64 {
        let share = (u128::from(part) * 1_000_000).checked_div(u128::from(self.count + self.incomplete));
        u64::try_from(share.unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// Errors and incomplete ones are compared as shares of all.
    fn changed(&self, after: &Self, tolerance: Tolerance) -> Vec<&'static str> {
        let values = [
            ("rate", self.rate_milli.unwrap_or(self.count), after.rate_milli.unwrap_or(after.count)),
            ("errors", self.share(self.errors), after.share(after.errors)),
            ("incomplete", self.share(self.incomplete), after.share(after.incomplete)),
            ("p50", self.p50_ns, after.p50_ns),
            ("p95", self.p95_ns, after.p95_ns),
            ("p99", self.p99_ns, after.p99_ns),
        ];
        values
            .into_iter()
            .filter(|(_, before, after)| !tolerance.allows(*before, *after))
            .map(|(name, ..)| name)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances() {
        let of = |text: &str| text.parse::<Tolerance>().unwrap();
        assert!(of("0").allows(5, 5) && !of("0").allows(1000, 1001));
        assert!(of("10%").allows(100, 110) && of("10").allows(100, 90) && !of("10").allows(100, 111));
        assert!(!of("99999").allows(0, 1), "no per cent of nothing is something");
        assert!(of("0.5").allows(1000, 1005) && !of("0.5").allows(1000, 1006));
        for wrong in ["-1", "ten", "", "NaN", "inf"] {
            assert!(wrong.parse::<Tolerance>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn as_many_spans_are_as_many_however_long_the_recordings_are() {
        let group = |name: &str| Group { name: name.into(), service: "a".into(), ..Group::default() };
        let spans = |of: &[(&str, u64)]| Spans {
            groups: of.iter().map(|(name, count)| (group(name), *count)).collect(),
            ..Spans::default()
        };
        let changes = |before: &[(&str, u64)], after: &[(&str, u64)]| {
            let changes = span_changes(&spans(before), &spans(after), Some((1000, 1100)), "5".parse().unwrap());
            changes.groups.into_iter().map(|one| one.group.name).collect::<Vec<_>>()
        };
        assert_eq!(changes(&[("same", 500), ("faster", 500)], &[("same", 500), ("faster", 551)]), [""; 0]);
        assert_eq!(changes(&[("more", 500), ("gone", 1)], &[("more", 700), ("new", 1)]), ["gone", "more", "new"]);
    }

    #[test]
    fn recordings_need_not_be_of_the_same_length() {
        let side = |count, nanos| {
            let red = Red { count, errors: count / 10, ..Red::default() };
            let row = Row { service: "a".into(), kind: "server".into(), route: "/".into(), method: "GET".into() };
            Side { nanos: Some(nanos), red: Some(BTreeMap::from([(row, red)])), ..Side::default() }
        };
        let second = 1_000_000_000;
        let same = compare(&side(100, second), &side(200, 2 * second), Tolerance::default(), &[]);
        assert_eq!(same.differences, 0);
        let other = compare(&side(100, second), &side(150, 2 * second), Tolerance::default(), &[]);
        assert_eq!(other.red.unwrap()[0].changed, ["rate"]);
        assert_eq!(
            compare(&side(100, second), &side(150, second), Tolerance::default(), &[Part::Series]).differences,
            0
        );
    }
}
