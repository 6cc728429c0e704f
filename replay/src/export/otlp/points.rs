//! The points of metrics: which form they have, and how values become them.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, Sum, exemplar,
};
use redtape_core::config::{Config, Temporality};
use redtape_core::metric::{self, Family, FamilyKind, Resolution, Scale, Series, Value};

use crate::export::Replayed;
use crate::failure::Result;
use crate::settings::unusable;

/// How metrics go out by OTLP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MetricForm {
    /// How often, in tape time.
    pub(crate) interval: Duration,
    /// Whether values are what is new since the last export, instead of all since the start.
    pub(super) delta: bool,
    /// How fine the exponential buckets of histograms are; `None` if they have explicit ones.
    exponential: Option<Resolution>,
}

impl MetricForm {
    /// As the configuration has it.
    ///
    /// # Errors
    ///
    /// What cannot be used.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        Ok(Self {
            interval: config.otel_metrics_export.interval.0,
            delta: config.redtape.otlp.temporality != Temporality::Cumulative,
            exponential: config.exponential_histograms().map_err(unusable)?,
        })
    }
}

/// How the values of a family are told.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) form: &'a MetricForm,
    pub(super) replayed: &'a Replayed,
    pub(super) scale: Scale,
    /// Since when values count, and when they were so, in nanoseconds since 1970.
    pub(super) times: (u64, u64),
}

impl Told<'_> {
    fn scaled(self, value: u128) -> f64 {
        if self.scale == Scale::Seconds { seconds(value) } else { value as f64 }
    }

    /// The latest span of each bucket that has one, as it is exported: of those that ended in the time that the point is about.
    fn exemplars(self, counted: &metric::Histogram) -> Vec<Exemplar> {
        let latest = (0..counted.counts().len()).filter_map(|bucket| counted.exemplar(bucket));
        let (start, end) = self.times;
        let exported = latest.map(|&metric::Exemplar { trace_id, span_id, value, at }| Exemplar {
            filtered_attributes: Vec::new(),
            time_unix_nano: self.replayed.time(at).unix_nanos(),
            span_id: self.replayed.span_id(span_id).0.to_vec(),
            trace_id: self.replayed.trace_id(trace_id).0.to_vec(),
            value: Some(exemplar::Value::AsDouble(self.scaled(value.into()))),
        });
        exported.filter(|exemplar| exemplar.time_unix_nano > start && exemplar.time_unix_nano <= end).collect()
    }

    /// Adds a point.
    pub(super) fn push(self, data: &mut Data, value: &Value, attributes: Vec<KeyValue>) {
        let Told { form, scale, times: (start_time_unix_nano, time_unix_nano), .. } = self;
        let scaled = |value: u128| self.scaled(value);
        match (data, value) {
            (Data::Sum(sum), Value::Counter(count)) => {
                let value = match scale {
                    Scale::Seconds => Number::AsDouble(seconds(*count)),
                    Scale::Bytes | Scale::None => Number::AsInt(i64::try_from(*count).unwrap_or(i64::MAX)),
                };
                sum.data_points.push(NumberDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    value: Some(value),
                    ..NumberDataPoint::default()
                });
            }
            (Data::Histogram(histogram), Value::Histogram(counted)) => {
                histogram.data_points.push(HistogramDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count: counted.count(),
                    sum: Some(scaled(counted.sum())),
                    bucket_counts: counted.counts().to_vec(),
                    explicit_bounds: counted.bounds().iter().map(|&bound| scaled(bound.into())).collect(),
                    exemplars: self.exemplars(counted),
                    ..HistogramDataPoint::default()
                });
            }
            (Data::ExponentialHistogram(histogram), Value::Histogram(counted)) => {
                let counts = counted.exponential().zip(form.exponential);
                let counts = counts.map(|(counts, resolution)| counts.coarser(resolution));
                let positive = counts
                    .as_ref()
                    .map(|counts| Buckets { offset: counts.offset(), bucket_counts: counts.counts().to_vec() });
                histogram.data_points.push(ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count: counted.count(),
                    sum: Some(scaled(counted.sum())),
                    scale: counts.as_ref().map_or(0, |counts| counts.scale().into()),
                    zero_count: counts.as_ref().map_or(0, |counts| counts.zeros()),
                    positive,
                    exemplars: self.exemplars(counted),
                    ..ExponentialHistogramDataPoint::default()
                });
            }
            _ => {}
        }
    }
}

/// A metric without points.
pub(super) fn metric(family: &Family, form: &MetricForm) -> Metric {
    let temporality = if form.delta { AggregationTemporality::Delta } else { AggregationTemporality::Cumulative };
    let aggregation_temporality = temporality.into();
    let data = match family.kind {
        FamilyKind::Histogram if form.exponential.is_some() && family.series.iter().all(has_exponential) => {
            Data::ExponentialHistogram(ExponentialHistogram { data_points: Vec::new(), aggregation_temporality })
        }
        FamilyKind::Histogram => Data::Histogram(Histogram { data_points: Vec::new(), aggregation_temporality }),
        FamilyKind::Counter | FamilyKind::Info => {
            Data::Sum(Sum { data_points: Vec::new(), aggregation_temporality, is_monotonic: true })
        }
    };
    Metric {
        name: family.otel_name.into(),
        description: family.help.into(),
        // UCUM, as semantic conventions write units.
        unit: match family.scale {
            Scale::Bytes => "By",
            Scale::Seconds => "s",
            Scale::None => "1",
        }
        .into(),
        data: Some(data),
        ..Metric::default()
    }
}

/// Whether its histogram was counted so. A live run that was told of it later has begun without.
fn has_exponential(series: &Series) -> bool {
    matches!(&series.value, Value::Histogram(histogram) if histogram.exponential().is_some())
}

/// Nanoseconds as seconds.
fn seconds(nanos: u128) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn family() -> Family {
        Family {
            name: "http_server_request_duration_seconds",
            otel_name: "http.server.request.duration",
            help: "Duration.",
            kind: FamilyKind::Histogram,
            scale: Scale::Seconds,
            labels: Vec::new(),
            series: Vec::new(),
        }
    }

    #[test]
    fn exponential_histograms_are_as_fine_as_the_receiver_gets_them() {
        let config = "otel_metrics_export: {histogram_aggregation: base2_exponential_bucket_histogram, \
                      exponential_histogram: {max_scale: 1}}\nprometheus_export: {native_histogram: {}}\n\
                      redtape: {otlp: {temporality: delta}}\n";
        let config = Config::from_yaml(config, "c.yml").unwrap().0;
        let form = MetricForm::of(&config).unwrap();
        let mut counted = metric::Histogram::new(Arc::from([5]));
        counted = counted.with_exponential(config.metrics().unwrap().exponential, Scale::Seconds);
        [0, 1_000_000_000, 1_500_000_000, 3_000_000_000].into_iter().for_each(|nanos| counted.record(nanos));
        assert_eq!(counted.exponential().unwrap().scale(), 3, "as fine as Prometheus wants it");
        let mut made = metric(&family(), &form);
        let told = Told { form: &form, replayed: &Replayed::default(), scale: Scale::Seconds, times: (1, 2) };
        told.push(made.data.as_mut().unwrap(), &Value::Histogram(counted), Vec::new());
        let Some(Data::ExponentialHistogram(histogram)) = &made.data else { panic!("{made:?}") };
        assert_eq!(histogram.aggregation_temporality, 1);
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum, point.scale, point.zero_count), (4, Some(5.5), 1, 1));
        // Buckets of the width of the root of 2: 1 s is the end of one, 1.5 s is within the third, 3 s within the fifth.
        let positive = point.positive.as_ref().unwrap();
        assert_eq!((positive.offset, &*positive.bucket_counts), (-1, &[1, 0, 1, 0, 1][..]));
    }
}
