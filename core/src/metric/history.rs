//! All series over time: what a backfill is written from.
//!
//! A file of OpenMetrics has all samples of a series together, so nothing can be written before the end is known. What is
//! kept until then is how much each series has changed at which step, in a byte for each number that is small: a
//! histogram that changes takes two bytes more than it has buckets, one that does not change takes none.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::by_series::BySeries;
use super::openmetrics::{write_head, write_label, write_labels, write_series};
use super::snapshot::{Family, Snapshot, Value};
use super::{FamilyKind, TextFormat};
use crate::time::WallNanos;

/// Collects snapshots, which come in order of time, and writes them as OpenMetrics with a time on each sample.
///
/// A series has a sample at each step from its first on, and two more: a zero one step before the first, so that what it
/// began with counts as an increase, and its last value once more a step after the last.
#[derive(Clone, Debug)]
pub struct History {
    step_nanos: u64,
    /// A label that all series have.
    label: Option<(&'static str, String)>,
    times: Vec<WallNanos>,
    families: BTreeMap<&'static str, Kept>,
}

/// One family: its head and its series.
#[derive(Clone, Debug)]
struct Kept {
    head: Family,
    series: BySeries<Log>,
}

/// One series: where it is, and the way there.
#[derive(Clone, Debug)]
struct Log {
    value: Value,
    /// The step of its first sample.
    first: usize,
    /// The step of its last change.
    changed: usize,
    /// For each change how many steps it is after the one before, and by how much each number has grown.
    bytes: Vec<u8>,
}

impl History {
    /// A history that has nothing yet. `step_nanos` is how far apart the snapshots are meant to be; `label`, if any, is one
    /// more that all series have.
    pub fn new(step_nanos: u64, label: Option<(&'static str, &str)>) -> Self {
        let label = label.map(|(name, value)| (name, value.to_owned()));
        Self { step_nanos, label, times: Vec::new(), families: BTreeMap::new() }
    }

    /// Takes the next snapshot. One of the same time as the last, or earlier, takes its place.
    pub fn add(&mut self, at: WallNanos, snapshot: &Snapshot) {
        if self.times.last().is_none_or(|last| at > *last) {
            self.times.push(at);
        }
        let step = self.times.len() - 1;
        for family in &snapshot.families {
            let kept = self.families.entry(family.name).or_insert_with(|| Kept::new(family));
            for series in &family.series {
                kept.series.entry(series, || Log::new(&series.value, step)).update(&series.value, step);
            }
        }
    }

    /// How many samples there will be.
    pub fn samples(&self) -> u64 {
        let series = self.families.values().flat_map(|kept| kept.series.iter().map(|(_, log)| log));
        series
            .map(|log| {
                let each = match &log.value {
                    Value::Histogram(histogram) => histogram.counts().len() as u64 + 2,
                    Value::Counter(_) | Value::Info => 1,
                };
                each * ((self.times.len() - log.first) as u64 + 1 + u64::from(log.value != Value::Info))
            })
            .sum()
    }

    /// Writes everything, ending in `# EOF`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        let mut labels = String::new();
        for Kept { head, series } in self.families.values() {
            if series.iter().next().is_none() {
                continue;
            }
            write_head(out, head, TextFormat::OpenMetrics)?;
            for (values, log) in series.iter() {
                labels.clear();
                write_labels(&mut labels, &head.labels, values)?;
                if let Some((name, value)) = &self.label {
                    write_label(&mut labels, name, value)?;
                }
                self.write_log(out, head, &labels, log)?;
            }
        }
        out.write_str("# EOF\n")
    }

    fn write_log(&self, out: &mut impl Write, head: &Family, labels: &str, log: &Log) -> fmt::Result {
        let (mut value, mut bytes, mut next) = (log.value.zero(), log.bytes.as_slice(), log.first);
        if let Some(first) = self.times.get(log.first).filter(|_| head.kind != FamilyKind::Info) {
            let before = WallNanos::new(first.unix_nanos().saturating_sub(self.step_nanos));
            write_series(out, head, labels, &value, before.into())?;
        }
        let mut gap = take(&mut bytes);
        for (step, time) in self.times.iter().enumerate().skip(log.first) {
            while let Some(steps) = gap.filter(|steps| next as u128 + steps == step as u128) {
                next += usize::try_from(steps).unwrap_or(0);
                value.grow(&mut bytes);
                gap = take(&mut bytes);
            }
            write_series(out, head, labels, &value, (*time).into())?;
        }
        match self.times.last() {
            Some(last) => {
                let after = WallNanos::new(last.unix_nanos().saturating_add(self.step_nanos));
                write_series(out, head, labels, &value, after.into())
            }
            None => Ok(()),
        }
    }
}

impl Kept {
    fn new(family: &Family) -> Self {
        let head = Family { labels: family.labels.clone(), series: Vec::new(), ..*family };
        Self { head, series: BySeries::default() }
    }
}

impl Log {
    fn new(value: &Value, step: usize) -> Self {
        Self { value: value.zero(), first: step, changed: step, bytes: Vec::new() }
    }

    fn update(&mut self, value: &Value, step: usize) {
        if self.value == *value {
            return;
        }
        put(&mut self.bytes, (step - self.changed) as u128);
        self.value.put_growth(value, &mut self.bytes);
        self.changed = step;
        self.value = value.clone();
    }
}

impl Value {
    /// What it began as.
    pub fn zero(&self) -> Self {
        match self {
            Self::Counter(_) => Self::Counter(0),
            Self::Histogram(histogram) => Self::Histogram(histogram.since(histogram)),
            Self::Info => Self::Info,
        }
    }

    /// Says by how much each of its numbers has to grow to be those of `later`.
    fn put_growth(&self, later: &Self, bytes: &mut Vec<u8>) {
        match (self, later) {
            (Self::Counter(before), Self::Counter(after)) => put(bytes, after.saturating_sub(*before)),
            (Self::Histogram(before), Self::Histogram(after)) => {
                for (before, after) in before.counts().iter().zip(after.counts()) {
                    put(bytes, u128::from(after.saturating_sub(*before)));
                }
                put(bytes, after.sum().saturating_sub(before.sum()));
            }
            _ => {}
        }
    }

    /// Grows by what [`Value::put_growth`] has said.
    fn grow(&mut self, bytes: &mut &[u8]) {
        let mut next = || take(bytes).unwrap_or(0);
        match self {
            Self::Counter(count) => *count += next(),
            Self::Histogram(histogram) => histogram.grow(next),
            Self::Info => {}
        }
    }
}

/// Appends a number, seven bits a byte, the lowest first (LEB128).
fn put(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

/// Takes a number; `None` at the end.
fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0;
    for shift in (0..128).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::Limits;
    use crate::metric::spans::{MILLI, server};
    use crate::metric::{MetricsConfig, Registry};

    const STEP: u64 = 15_000 * MILLI;

    fn history(counts: &[&[&str]]) -> History {
        let config = MetricsConfig { duration_buckets: vec![5 * MILLI], ..MetricsConfig::default() };
        let mut registry = Registry::new(&config, &Limits::default());
        let mut history = History::new(STEP, None);
        for (at, routes) in (1_u64..).zip(counts) {
            routes.iter().for_each(|route| registry.observe(&server(route)));
            history.add(WallNanos::new(1_000_000 * MILLI + at * STEP), &registry.snapshot());
        }
        history
    }

    fn lines(history: &History, prefix: &str) -> Vec<String> {
        let mut text = String::new();
        history.write(&mut text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines.map(|line| line.rsplit_once('}').map_or(line, |(_, sample)| sample).trim().to_owned()).collect()
    }

    #[test]
    fn a_series_begins_with_a_zero_and_ends_with_its_last_value_twice() {
        let history = history(&[&["/a"], &["/a", "/b", "/b"], &[]]);
        assert_eq!(
            lines(&history, "http_server_request_duration_seconds_count"),
            ["0 1000", "1 1015", "2 1030", "2 1045", "2 1060", "0 1015", "2 1030", "2 1045", "2 1060"]
        );
        let sums = lines(&history, "http_server_request_duration_seconds_sum");
        assert_eq!(sums[..5], ["0 1000", "0.003 1015", "0.006 1030", "0.006 1045", "0.006 1060"]);
        // A fact has no beginning.
        assert_eq!(lines(&history, "target_info"), ["1 1015", "1 1030", "1 1045", "1 1060"]);
        let mut text = String::new();
        history.write(&mut text).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count() as u64, history.samples());
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_snapshot_of_the_same_time_takes_the_place_of_the_last() {
        let mut history = history(&[&["/a"]]);
        let mut registry = Registry::new(&MetricsConfig::default(), &Limits::default());
        for _ in 0..3 {
            registry.observe(&server("/c"));
        }
        history.add(WallNanos::new(1_000_000 * MILLI + STEP), &registry.snapshot());
        let all = lines(&history, "http_server_request_duration_seconds_count");
        assert_eq!(all, ["0 1000", "1 1015", "1 1030", "0 1000", "3 1015", "3 1030"]);
    }

    #[test]
    fn nothing_is_written_of_nothing() {
        assert_eq!(lines(&History::new(STEP, None), ""), ["# EOF"]);
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers: Vec<u128>) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|&number| put(&mut bytes, number));
            let mut rest = bytes.as_slice();
            for number in numbers {
                prop_assert_eq!(take(&mut rest), Some(number));
            }
            prop_assert_eq!(take(&mut rest), None);
        }

        #[test]
        fn each_sample_is_what_the_snapshot_had(steps in proptest::collection::vec(
            proptest::collection::vec(0..4_usize, 0..6), 1..8)
        ) {
            const ROUTES: [&str; 4] = ["/a", "/b", "/c", "/d"];
            let steps: Vec<Vec<&str>> = steps.iter().map(|step| step.iter().map(|&at| ROUTES[at]).collect()).collect();
            let steps: Vec<&[&str]> = steps.iter().map(Vec::as_slice).collect();
            let mut expected = Vec::new();
            for route in ROUTES {
                let mut count = 0;
                for (at, step) in (1..).zip(&steps) {
                    let before = count;
                    count += step.iter().filter(|other| **other == route).count();
                    if before == 0 && count > 0 {
                        expected.push(format!("0 {}", 1_000 + (at - 1) * 15));
                    }
                    if count > 0 {
                        expected.push(format!("{count} {}", 1_000 + at * 15));
                    }
                }
                if count > 0 {
                    expected.push(format!("{count} {}", 1_015 + steps.len() * 15));
                }
            }
            prop_assert_eq!(lines(&history(&steps), "http_server_request_duration_seconds_count"), expected);
        }
    }
}
