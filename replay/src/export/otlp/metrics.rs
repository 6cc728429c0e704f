//! Metrics as OTLP's messages. The SDK's own exporter takes what the SDK has measured at its own times; these have the tape's.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use redtape_core::metric::{Family, FamilyKind, Scale, Series, Snapshot};
use redtape_core::{AttributeValue, WallNanos};

use super::owners::{Owner, Services};
use super::points::{MetricForm, Told, metric};
use crate::export::replayed::{RUN_LABEL, Replayed};

/// Points of one request at most: with sixteen buckets and a dozen labels about 1 MiB, and with an exemplar in each bucket
/// less than 2.5 MiB, of the 4 MiB that receivers take.
const POINTS_MAX: u64 = 1_500;

/// Turns snapshots into requests.
#[derive(Clone, Debug)]
pub(super) struct MetricMaker {
    replayed: Replayed,
    form: MetricForm,
    /// Where the tape was recorded: whose redtape says what it says of itself.
    host: String,
}

/// What becomes of a label.
enum Place {
    /// It is told by the resource: the part of its [`Owner`].
    Owner(usize),
    /// The resource tells it in other words.
    Nowhere,
    /// An attribute of the point.
    Point(String),
}

impl MetricMaker {
    /// What was recorded on `host`.
    pub(super) fn new(replayed: Replayed, form: MetricForm, host: &str) -> Self {
        Self { replayed, form, host: host.into() }
    }

    /// Requests with all metrics as they were at `at`, counted since `start`, and how many points are in each. `services` are
    /// those of the series, as far as they are known.
    pub(super) fn make(
        &self,
        (start, at): (WallNanos, WallNanos),
        snapshot: &Snapshot,
        services: &Services,
    ) -> Vec<(ExportMetricsServiceRequest, u64)> {
        let time = self.replayed.time(at).unix_nanos();
        let times = (self.replayed.time(start).unix_nanos().min(time), time);
        let mut requests = Vec::new();
        let mut owners: BTreeMap<Owner, Vec<Metric>> = BTreeMap::new();
        let mut points = 0;
        for family in exported(snapshot) {
            let places: Vec<_> = family.labels.iter().map(|label| place(label)).collect();
            for series in &family.series {
                let (owner, attributes) = self.identity(&places, series);
                let metrics = owners.entry(owner).or_default();
                if metrics.last().is_none_or(|metric| metric.name != family.otel_name) {
                    metrics.push(metric(family, &self.form));
                }
                if let Some(data) = metrics.last_mut().and_then(|metric| metric.data.as_mut()) {
                    self.told(family.scale, times).push(data, &series.value, attributes);
                }
                points += 1;
                if points == POINTS_MAX {
                    requests.push((self.request(std::mem::take(&mut owners), services), std::mem::take(&mut points)));
                }
            }
        }
        if points > 0 {
            requests.push((self.request(owners, services), points));
        }
        requests
    }

    /// Whose series it is, and the attributes that tell it from the owner's others.
    fn identity(&self, places: &[Place], series: &Series) -> (Owner, Vec<KeyValue>) {
        let (mut owner, mut attributes) = (Owner::default(), Vec::new());
        for (place, value) in places.iter().zip(&series.values).filter(|(_, value)| !value.is_empty()) {
            match place {
                Place::Owner(part) => owner[*part].clone_from(value),
                Place::Nowhere => {}
                Place::Point(key) => attributes.push(point(key, value)),
            }
        }
        if series.overflow {
            attributes.push(pair("otel.metric.overflow", any_value::Value::BoolValue(true)));
        }
        if let Some(run) = self.replayed.run() {
            attributes.push(text(RUN_LABEL, run));
        }
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        (owner, attributes)
    }

    fn told(&self, scale: Scale, times: (u64, u64)) -> Told<'_> {
        Told { form: &self.form, replayed: &self.replayed, scale, times }
    }

    fn request(&self, owners: BTreeMap<Owner, Vec<Metric>>, services: &Services) -> ExportMetricsServiceRequest {
        let resource_metrics = owners.into_iter().map(|(owner, metrics)| ResourceMetrics {
            resource: Some(Resource { attributes: self.resource(&owner, services), ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "redtape".into(),
                    version: env!("CARGO_PKG_VERSION").into(),
                    ..InstrumentationScope::default()
                }),
                metrics,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        });
        ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
    }

    fn resource(&self, owner: &Owner, services: &Services) -> Vec<KeyValue> {
        let mut attributes: Vec<_> = match services.get(owner) {
            Some(known) => known
                .attributes()
                .map(|(key, value)| match value {
                    AttributeValue::Int(number) => pair(key, any_value::Value::IntValue(*number)),
                    AttributeValue::Text(value) => text(key, value),
                })
                .collect(),
            None => self.bare_resource(owner),
        };
        attributes.extend(self.replayed.attributes().iter().map(|(key, value)| text(key, value)));
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        attributes
    }

    /// What series themselves say of their owner; of redtape's own, what is known of redtape.
    fn bare_resource(&self, owner: &Owner) -> Vec<KeyValue> {
        let [name, namespace, instance] = owner;
        let own = owner.iter().all(String::is_empty);
        let (name, instance, host) =
            if own { ("redtape", &self.host, self.host.as_str()) } else { (name.as_str(), instance, "") };
        let all = [
            ("host.name", host),
            ("service.instance.id", instance),
            ("service.name", name),
            ("service.namespace", namespace),
            ("telemetry.sdk.name", "redtape"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        all.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value)).collect()
    }
}

/// How many points a snapshot has.
pub(super) fn points(snapshot: &Snapshot) -> u64 {
    exported(snapshot).map(|family| family.series.len() as u64).sum()
}

/// The families that are exported: what others have as information, OTLP has as resources.
fn exported(snapshot: &Snapshot) -> impl Iterator<Item = &Family> {
    snapshot.families.iter().filter(|family| family.kind != FamilyKind::Info)
}

/// What becomes of a label that Prometheus has. Receivers make `job` and `instance` of the resource.
fn place(label: &str) -> Place {
    match label {
        "service_name" => Place::Owner(0),
        "service_namespace" => Place::Owner(1),
        "instance" | "target_instance" => Place::Owner(2),
        "job" => Place::Nowhere,
        _ => Place::Point(attribute(label)),
    }
}

/// The attribute that OpenTelemetry's conventions have for a label; labels that they do not know stay as they are.
fn attribute(label: &str) -> String {
    const KNOWN: &[&str] = &[
        "client.address",
        "error.type",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "network.peer.address",
        "rpc.grpc.status_code",
        "rpc.method",
        "rpc.system",
        "server.address",
        "server.port",
        "span.kind",
        "span.name",
        "status.code",
        "url.path",
        "url.scheme",
    ];
    let known = KNOWN.iter().find(|known| known.replace('.', "_") == label);
    match known {
        Some(known) => (*known).into(),
        None if label.starts_with("k8s_") => label.replace('_', ".").replace(".start.time", ".start_time"),
        None => label.into(),
    }
}

/// An attribute of a point. Of some, conventions want a number.
fn point(key: &str, value: &str) -> KeyValue {
    const NUMBERS: [&str; 3] = ["http.response.status_code", "rpc.grpc.status_code", "server.port"];
    let number = NUMBERS.contains(&key).then(|| value.parse().ok()).flatten();
    number.map_or_else(|| text(key, value), |number| pair(key, any_value::Value::IntValue(number)))
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, any_value::Value::StringValue(value.into()))
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
    use redtape_core::MonoNanos;
    use redtape_core::metric::{self, Value};

    use super::*;

    fn family(series: usize) -> Family {
        let mut histogram = metric::Histogram::new(Arc::from([5_000_000, 1_000_000_000]));
        [1_000_000, 6_000_000, 2_500_000_000].into_iter().for_each(|value| histogram.record(value));
        let series = (0..series).map(|at| Series {
            values: vec![
                "GET".into(),
                format!("host:{}", at % 2),
                "shop/cart".into(),
                "cart".into(),
                "shop".into(),
                format!("/{at}"),
            ],
            overflow: false,
            born: 1,
            parts: Vec::new(),
            updated: MonoNanos::ZERO,
            value: Value::Histogram(histogram.clone()),
        });
        Family {
            name: "http_server_request_duration_seconds",
            otel_name: "http.server.request.duration",
            help: "Duration.",
            kind: FamilyKind::Histogram,
            scale: Scale::Seconds,
            labels: vec!["http_request_method", "instance", "job", "service_name", "service_namespace", "url_path"],
            series: series.collect(),
        }
    }

    fn maker() -> MetricMaker {
        MetricMaker::new(Replayed::default(), MetricForm::default(), "web-1")
    }

    fn times(start: u64, at: u64) -> (WallNanos, WallNanos) {
        (WallNanos::new(start), WallNanos::new(at))
    }

    fn pairs(attributes: &[KeyValue]) -> Vec<String> {
        let value = |pair: &KeyValue| match pair.value.clone().unwrap().value.unwrap() {
            any_value::Value::StringValue(text) => text,
            other => format!("{other:?}"),
        };
        attributes.iter().map(|pair| format!("{}={}", pair.key, value(pair))).collect()
    }

    #[test]
    fn series_are_points_of_their_services() {
        let snapshot = Snapshot { families: vec![family(2)], observed: 6 };
        let requests = maker().make(times(1_000, 5_000), &snapshot, &Services::new());
        let [(request, 2)] = requests.as_slice() else { panic!("{requests:?}") };
        let [first, second] = request.resource_metrics.as_slice() else { panic!("one resource an instance") };
        assert_eq!(
            pairs(&first.resource.as_ref().unwrap().attributes),
            [
                "service.instance.id=host:0",
                "service.name=cart",
                "service.namespace=shop",
                "telemetry.sdk.name=redtape",
                concat!("telemetry.sdk.version=", env!("CARGO_PKG_VERSION")),
            ]
        );
        let metric = &second.scope_metrics[0].metrics[0];
        assert_eq!((&*metric.name, &*metric.unit), ("http.server.request.duration", "s"));
        let Some(Data::Histogram(histogram)) = &metric.data else { panic!("a histogram") };
        assert_eq!(histogram.aggregation_temporality, 2);
        let point = &histogram.data_points[0];
        assert_eq!(pairs(&point.attributes), ["http.request.method=GET", "url.path=/1"]);
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000, 5_000));
        assert_eq!((point.count, point.sum), (3, Some(2.507)));
        assert_eq!((&*point.explicit_bounds, &*point.bucket_counts), (&[0.005, 1.0][..], &[1, 1, 1][..]));
    }

    #[test]
    fn what_is_redtapes_own_says_so() {
        let series = |overflow, values| Series {
            values,
            overflow,
            born: 0,
            updated: MonoNanos::ZERO,
            value: Value::Counter(7),
            parts: Vec::new(),
        };
        let family = Family {
            name: "redtape_lost_records",
            otel_name: "redtape_lost_records",
            kind: FamilyKind::Counter,
            scale: Scale::None,
            labels: vec!["cause"],
            series: vec![series(false, vec!["ring_full".into()]), series(true, Vec::new())],
            ..family(0)
        };
        let replayed = Replayed::new(WallNanos::new(0), crate::export::Shift::default(), Some("r1"));
        let maker = MetricMaker::new(replayed, MetricForm::default(), "web-1");
        let requests = maker.make(times(0, 5), &Snapshot { families: vec![family], observed: 0 }, &Services::new());
        let resource = &requests[0].0.resource_metrics[0];
        let attributes = pairs(&resource.resource.as_ref().unwrap().attributes);
        assert!(
            attributes.contains(&"service.name=redtape".into())
                && attributes.contains(&"service.instance.id=web-1".into())
        );
        assert!(attributes.contains(&"redtape.replay.run=r1".into()), "{attributes:?}");
        let Some(Data::Sum(sum)) = &resource.scope_metrics[0].metrics[0].data else { panic!("a sum") };
        assert!(sum.is_monotonic);
        assert_eq!(pairs(&sum.data_points[0].attributes), ["cause=ring_full", "replay_run=r1"]);
        assert_eq!(pairs(&sum.data_points[1].attributes), ["otel.metric.overflow=BoolValue(true)", "replay_run=r1"]);
        assert_eq!(sum.data_points[0].value, Some(Number::AsInt(7)));
    }

    #[test]
    fn requests_are_bounded() {
        let many = usize::try_from(POINTS_MAX).unwrap() * 2 + 1;
        let requests =
            maker().make(times(0, 5), &Snapshot { families: vec![family(many)], observed: 0 }, &Services::new());
        assert_eq!(requests.iter().map(|(_, points)| *points).collect::<Vec<_>>(), [POINTS_MAX, POINTS_MAX, 1]);
        assert_eq!(maker().make(times(0, 5), &Snapshot::default(), &Services::new()), []);
    }

    #[test]
    fn labels_are_attributes_again() {
        for (label, expected) in [
            ("http_response_status_code", "http.response.status_code"),
            ("status_code", "status.code"),
            ("k8s_pod_start_time", "k8s.pod.start_time"),
            ("client_service_namespace", "client_service_namespace"),
            ("source", "source"),
        ] {
            assert_eq!(attribute(label), expected);
        }
    }
}
