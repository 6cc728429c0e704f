//! All metrics at one moment, sorted: what encoders and exporters read.

use crate::metric::histogram::Histogram;
use crate::time::MonoNanos;

/// What a family's samples are (OpenMetrics 1.0, "Metric Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows.
    Counter,
    /// Counts by upper bounds.
    Histogram,
    /// Facts, as labels.
    Info,
}

impl FamilyKind {
    /// As in OpenMetrics' `# TYPE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    /// What an exposition has behind a family's name; of a histogram, which has several samples, nothing.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Histogram => "",
            Self::Info => "_info",
        }
    }
}

/// What the integers of a family stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Bytes.
    Bytes,
    /// Counts.
    None,
    /// Nanoseconds, written as seconds.
    Seconds,
}

/// All metrics at one moment: families by name, series by label values, an overflow series last.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The families.
    pub families: Vec<Family>,
    /// How many spans were observed so far.
    pub observed: u64,
}

/// All series of one metric.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name in Prometheus, without the suffixes of samples (`_total`, `_info`, `_bucket`).
    pub name: &'static str,
    /// Its name in OpenTelemetry.
    pub otel_name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What its samples are.
    pub kind: FamilyKind,
    /// What its integers stand for.
    pub scale: Scale,
    /// The names of its labels, ascending.
    pub labels: Vec<&'static str>,
    /// Its series.
    pub series: Vec<Series>,
}

impl Family {
    /// Its name as an exposition has it: of a histogram without the suffixes of its samples.
    pub fn exposed_name(&self) -> String {
        format!("{}{}", self.name, self.kind.suffix())
    }
}

/// One metric with one label set.
#[derive(Clone, Debug)]
pub struct Series {
    /// The values of the family's labels, in their order; an empty one is the same as none. Of the overflow series,
    /// empty altogether.
    pub values: Vec<String>,
    /// It has all that was beyond the limit of series.
    pub overflow: bool,
    /// The number of the observed span that began it, from 1.
    pub born: u64,
    /// The end of the latest span in it.
    pub updated: MonoNanos,
    /// What was counted.
    pub value: Value,
    /// What `value` is the sum of, where that is more than one thing: each with the number of the span that began it. Which
    /// of them share a series can change, as an edge of the service graph has another name once its server is seen; each of
    /// them alone only grows, and no two series of a family ever share one.
    pub parts: Vec<(u64, Value)>,
}

impl Series {
    /// Whether it was updated at `since` or later, or says nothing of when it was.
    pub fn is_lasting(&self, since: MonoNanos) -> bool {
        self.updated >= since || self.updated == MonoNanos::ZERO
    }
}

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A counter's value. The sum is wide, so that no sum of bytes or nanoseconds ever wraps.
    Counter(u128),
    /// A histogram's.
    Histogram(Histogram),
    /// There is nothing but the labels.
    Info,
}

impl Value {
    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter(sum), Self::Counter(more)) => *sum += more,
            (Self::Histogram(sum), Self::Histogram(more)) => sum.merge(more),
            _ => {}
        }
    }

    /// What was counted since it was as `earlier`, from which it must have grown: a part of a series has, but a series has
    /// less where parts of it have left.
    pub fn since(&self, earlier: &Self) -> Self {
        match (self, earlier) {
            (Self::Counter(now), Self::Counter(earlier)) => Self::Counter(now.saturating_sub(*earlier)),
            (Self::Histogram(now), Self::Histogram(earlier)) => Self::Histogram(now.since(earlier)),
            (now, _) => now.clone(),
        }
    }
}

/// The label that marks the series that has all that was beyond the limit.
pub const OVERFLOW_LABEL: &str = "otel_metric_overflow";
