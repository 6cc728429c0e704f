//! Prometheus' exposition in protobuf, the one that has native histograms: families one after the other, each behind its
//! length (`io/prometheus/client/metrics.proto` of Prometheus' client model).

use prost::Message;
use redtape_core::MonoNanos;
use redtape_core::metric::{
    Exemplar, Family, FamilyKind, Histogram, OVERFLOW_LABEL, Resolution, Scale, Series, Snapshot, Value,
};

use crate::export::{BucketSpan, Native, ZERO_THRESHOLD, scaled};

/// How a snapshot is written.
pub(super) struct Protobuf<'a> {
    /// How fine native histograms are.
    pub(super) native: Resolution,
    /// Series that were last updated before this are left out.
    pub(super) since: MonoNanos,
    /// How exemplars are told.
    pub(super) exemplars: &'a dyn Fn(&Exemplar) -> Exemplar,
}

impl Protobuf<'_> {
    /// All families that have any series.
    pub(super) fn write(&self, snapshot: &Snapshot) -> Vec<u8> {
        let mut bytes = Vec::new();
        for family in &snapshot.families {
            let lasting = |series: &&Series| family.kind == FamilyKind::Info || series.is_lasting(self.since);
            let metric: Vec<_> =
                family.series.iter().filter(lasting).map(|series| self.metric(family, series)).collect();
            if metric.is_empty() {
                continue;
            }
            let (suffix, kind) = match family.kind {
                FamilyKind::Counter => ("_total", 0),
                FamilyKind::Info => ("_info", 1),
                FamilyKind::Histogram => ("", 4),
            };
            let message =
                MetricFamily { name: format!("{}{suffix}", family.name), help: family.help.into(), kind, metric };
            bytes.extend(message.encode_length_delimited_to_vec());
        }
        bytes
    }

    fn metric(&self, family: &Family, series: &Series) -> Metric {
        let label = match series.overflow {
            true => vec![label(OVERFLOW_LABEL, "true")],
            false => {
                let labels = family.labels.iter().zip(&series.values).filter(|(_, value)| !value.is_empty());
                labels.map(|(name, value)| label(name, value)).collect()
            }
        };
        let metric = Metric { label, ..Metric::default() };
        match &series.value {
            Value::Counter(count) => Metric { counter: Some(Number { value: *count as f64 }), ..metric },
            Value::Info => Metric { gauge: Some(Number { value: 1.0 }), ..metric },
            Value::Histogram(histogram) => {
                Metric { histogram: Some(self.histogram(family.scale, histogram)), ..metric }
            }
        }
    }

    /// Both the classic buckets and the native ones: it is for whoever scrapes to choose.
    fn histogram(&self, scale: Scale, histogram: &Histogram) -> HistogramMessage {
        let mut below = 0;
        let bounds = histogram.bounds().iter().map(|&bound| scaled(bound.into(), scale)).chain([f64::INFINITY]);
        let buckets = bounds.zip(histogram.counts()).enumerate().map(|(at, (upper_bound, count))| {
            below += count;
            let exemplar = histogram.exemplar(at).map(self.exemplars);
            Bucket { cumulative_count: below, upper_bound, exemplar: exemplar.map(|exemplar| told(&exemplar, scale)) }
        });
        let bucket = buckets.collect();
        let classic = HistogramMessage {
            sample_count: histogram.count(),
            sample_sum: scaled(histogram.sum(), scale),
            bucket,
            ..HistogramMessage::default()
        };
        match Native::of(histogram, self.native) {
            None => classic,
            Some(Native { schema, zeros, spans, deltas }) => HistogramMessage {
                schema,
                zero_threshold: ZERO_THRESHOLD,
                zero_count: zeros,
                positive_span: spans,
                positive_delta: deltas,
                ..classic
            },
        }
    }
}

fn told(exemplar: &Exemplar, scale: Scale) -> ExemplarMessage {
    let Exemplar { trace_id, span_id, value, at } = exemplar;
    let (seconds, nanos) = (at.unix_nanos() / 1_000_000_000, at.unix_nanos() % 1_000_000_000);
    ExemplarMessage {
        label: vec![label("traceID", &trace_id.to_string()), label("spanID", &span_id.to_string())],
        value: scaled((*value).into(), scale),
        timestamp: Some(Timestamp {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: i32::try_from(nanos).unwrap_or(0),
        }),
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair { name: name.into(), value: value.into() }
}

#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    /// Of `MetricType`.
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Number>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Number>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<HistogramMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `Gauge` and `Counter`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
}

/// `Histogram`
#[derive(Clone, PartialEq, Message)]
struct HistogramMessage {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<ExemplarMessage>,
}

/// `Exemplar`
#[derive(Clone, PartialEq, Message)]
struct ExemplarMessage {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
