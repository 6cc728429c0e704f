//! The metrics there are: names, help, what they measure and of which spans, and their labels.

use super::label::Label;
use super::settings::{MetricFeature, MetricsConfig};
use super::snapshot::{FamilyKind, Scale};
use crate::exchange::Outcome;
use crate::kubernetes::PodFact;
use crate::span::{Span, SpanKind};

/// Which names metrics have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricNames {
    /// Those of OpenTelemetry's stable conventions, which public dashboards query.
    #[default]
    Default,
    /// Those of Beyla 1.0, with its labels.
    Beyla10,
}

/// What a metric takes from a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// 1 for each.
    Count,
    /// Its whole duration in nanoseconds, waiting included.
    Duration,
    /// How long it waited for its first read, in nanoseconds.
    Queue,
    /// The request body's size in bytes; 0 if unknown.
    RequestSize,
    /// The response body's size in bytes; 0 if unknown.
    ResponseSize,
}

impl Measure {
    /// What it takes from `span`.
    pub(super) fn of(self, span: &Span) -> u64 {
        match self {
            Self::Count => 1,
            Self::Duration => span.duration_nanos(),
            Self::Queue => span.queue_nanos.unwrap_or(0),
            Self::RequestSize => span.http.request_size.unwrap_or(0),
            Self::ResponseSize => span.http.response_size.unwrap_or(0),
        }
    }
}

/// Which spans a metric is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// All of them.
    Always,
    /// Those that ended with what ends a request: a response, or the end of the connection.
    Finished,
    /// Those of which it is not known how they ended.
    Incomplete,
    /// Finished ones of one side, of plain HTTP.
    Kind(SpanKind),
    /// Finished ones of one side, of gRPC.
    Rpc(SpanKind),
    /// Finished ones whose waiting time is known.
    Queued,
}

impl When {
    pub(super) fn includes(self, span: &Span) -> bool {
        let finished = span.outcome != Outcome::Incomplete;
        match self {
            Self::Always => true,
            Self::Finished => finished,
            Self::Incomplete => !finished,
            Self::Kind(kind) => finished && span.kind == kind && !span.is_grpc(),
            Self::Rpc(kind) => finished && span.kind == kind && span.is_grpc(),
            Self::Queued => finished && span.queue_nanos.is_some(),
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    /// Its name in Prometheus, without the suffixes of samples.
    pub(super) name: &'static str,
    /// Its name in OpenTelemetry.
    pub(super) otel_name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: FamilyKind,
    pub(super) scale: Scale,
    pub(super) when: When,
    pub(super) measure: Measure,
    /// The labels it has unless `attributes.select` says otherwise, ascending.
    pub(super) shown: &'static [Label],
    /// The labels it can have.
    pub(super) available: &'static [Label],
    /// What switches it on; `None` if nothing has to.
    pub(super) feature: Option<MetricFeature>,
}

const SERVER: &[Label] = &[
    Label::ErrorType,
    Label::Method,
    Label::StatusCode,
    Label::Route,
    Label::Instance,
    Label::Job,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::UrlScheme,
];
const CLIENT: &[Label] = SERVER;
const ALL_SERVER: &[Label] = &[
    Label::ClientAddress,
    Label::ErrorType,
    Label::Method,
    Label::StatusCode,
    Label::Route,
    Label::Instance,
    Label::Job,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::UrlPath,
    Label::UrlScheme,
];
const ALL_CLIENT: &[Label] = &[
    Label::ErrorType,
    Label::Method,
    Label::StatusCode,
    Label::Route,
    Label::Instance,
    Label::Job,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::UrlPath,
    Label::UrlScheme,
];
/// The labels of Beyla 1.0. Its client metrics have no route.
const SERVER_1_0: &[Label] = &[
    Label::Method,
    Label::StatusCode,
    Label::Route,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::TargetInstance,
];
const CLIENT_1_0: &[Label] =
    &[Label::Method, Label::StatusCode, Label::ServiceName, Label::ServiceNamespace, Label::TargetInstance];
const ALL_SERVER_1_0: &[Label] = &[
    Label::ClientAddress,
    Label::Method,
    Label::StatusCode,
    Label::Route,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::TargetInstance,
    Label::UrlPath,
];
const ALL_CLIENT_1_0: &[Label] = &[
    Label::Method,
    Label::StatusCode,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::TargetInstance,
];
/// gRPC's own status says what HTTP's cannot: that is 200 even of calls that failed.
const RPC: &[Label] = &[
    Label::ErrorType,
    Label::Instance,
    Label::Job,
    Label::RpcStatus,
    Label::RpcMethod,
    Label::RpcSystem,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
];
const ALL_RPC: &[Label] = &[
    Label::ClientAddress,
    Label::ErrorType,
    Label::StatusCode,
    Label::Instance,
    Label::Job,
    Label::RpcStatus,
    Label::RpcMethod,
    Label::RpcSystem,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::UrlScheme,
];
/// The labels of Beyla 1.0.
const RPC_1_0: &[Label] = &[
    Label::RpcStatus,
    Label::RpcMethod,
    Label::RpcSystem,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::TargetInstance,
];
const ALL_RPC_1_0: &[Label] = &[
    Label::ClientAddress,
    Label::RpcStatus,
    Label::RpcMethod,
    Label::RpcSystem,
    Label::ServerAddress,
    Label::ServerPort,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::TargetInstance,
];
const SERVICE: &[Label] = &[Label::Instance, Label::Job, Label::ServiceName, Label::ServiceNamespace];
const SERVICE_ROUTE: &[Label] =
    &[Label::Route, Label::Instance, Label::Job, Label::ServiceName, Label::ServiceNamespace];
const SPAN_METRICS: &[Label] = &[
    Label::Instance,
    Label::Job,
    Label::ServiceName,
    Label::ServiceNamespace,
    Label::Source,
    Label::SpanKind,
    Label::SpanName,
    Label::SpanStatus,
];

const fn histogram(
    names: [&'static str; 2],
    help: &'static str,
    measure: Measure,
    when: When,
    labels: [&'static [Label]; 2],
) -> Definition {
    let scale = match measure {
        Measure::Duration | Measure::Queue => Scale::Seconds,
        Measure::RequestSize | Measure::ResponseSize => Scale::Bytes,
        Measure::Count => Scale::None,
    };
    let [name, otel_name] = names;
    let [shown, available] = labels;
    let (kind, feature) = (FamilyKind::Histogram, None);
    Definition { name, otel_name, help, kind, scale, when, measure, shown, available, feature }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    measure: Measure,
    when: When,
    shown: &'static [Label],
) -> Definition {
    let (kind, scale, available, feature) = (FamilyKind::Counter, Scale::None, shown, None);
    Definition { name, otel_name: name, help, kind, scale, when, measure, shown, available, feature }
}

const IN_SERVER: When = When::Kind(SpanKind::Server);
const IN_CLIENT: When = When::Kind(SpanKind::Client);

const APPLICATION: [Definition; 6] = [
    histogram(
        ["http_client_request_body_size_bytes", "http.client.request.body.size"],
        "Size of the body of requests sent.",
        Measure::RequestSize,
        IN_CLIENT,
        [CLIENT, ALL_CLIENT],
    ),
    histogram(
        ["http_client_request_duration_seconds", "http.client.request.duration"],
        "Duration of requests sent, from the first byte written to the last byte of the response read.",
        Measure::Duration,
        IN_CLIENT,
        [CLIENT, ALL_CLIENT],
    ),
    histogram(
        ["http_client_response_body_size_bytes", "http.client.response.body.size"],
        "Size of the body of responses received.",
        Measure::ResponseSize,
        IN_CLIENT,
        [CLIENT, ALL_CLIENT],
    ),
    histogram(
        ["http_server_request_body_size_bytes", "http.server.request.body.size"],
        "Size of the body of requests received.",
        Measure::RequestSize,
        IN_SERVER,
        [SERVER, ALL_SERVER],
    ),
    histogram(
        ["http_server_request_duration_seconds", "http.server.request.duration"],
        "Duration of requests received, from the arrival of the first byte to the last byte of the response written.",
        Measure::Duration,
        IN_SERVER,
        [SERVER, ALL_SERVER],
    ),
    histogram(
        ["http_server_response_body_size_bytes", "http.server.response.body.size"],
        "Size of the body of responses sent.",
        Measure::ResponseSize,
        IN_SERVER,
        [SERVER, ALL_SERVER],
    ),
];

const APPLICATION_1_0: [Definition; 4] = [
    histogram(
        ["http_client_duration_seconds", "http.client.duration"],
        "Duration of requests sent, from the first byte written to the last byte of the response read.",
        Measure::Duration,
        IN_CLIENT,
        [CLIENT_1_0, ALL_CLIENT_1_0],
    ),
    histogram(
        ["http_client_request_size_bytes", "http.client.request.size"],
        "Size of the body of requests sent.",
        Measure::RequestSize,
        IN_CLIENT,
        [CLIENT_1_0, ALL_CLIENT_1_0],
    ),
    histogram(
        ["http_server_duration_seconds", "http.server.duration"],
        "Duration of requests received, from the arrival of the first byte to the last byte of the response written.",
        Measure::Duration,
        IN_SERVER,
        [SERVER_1_0, ALL_SERVER_1_0],
    ),
    histogram(
        ["http_server_request_size_bytes", "http.server.request.size"],
        "Size of the body of requests received.",
        Measure::RequestSize,
        IN_SERVER,
        [SERVER_1_0, ALL_SERVER_1_0],
    ),
];

/// Durations of gRPC calls: of clients and of servers.
const fn rpc(names: [[&'static str; 2]; 2], labels: [&'static [Label]; 2]) -> [Definition; 2] {
    const CLIENT: &str = "Duration of gRPC calls made, from the first byte written to the end of the response read.";
    const SERVER: &str =
        "Duration of gRPC calls received, from the arrival of the first byte to the end of the response written.";
    let [client, server] = names;
    [
        histogram(client, CLIENT, Measure::Duration, When::Rpc(SpanKind::Client), labels),
        histogram(server, SERVER, Measure::Duration, When::Rpc(SpanKind::Server), labels),
    ]
}

const RPC_NAMES: [[&str; 2]; 2] =
    [["rpc_client_duration_seconds", "rpc.client.duration"], ["rpc_server_duration_seconds", "rpc.server.duration"]];
const RPC_CALL_NAMES: [[&str; 2]; 2] = [
    ["rpc_client_call_duration_seconds", "rpc.client.call.duration"],
    ["rpc_server_call_duration_seconds", "rpc.server.call.duration"],
];

/// What redtape says of its own.
const OWN: [Definition; 3] = [
    counter(
        "redtape_incomplete_spans",
        "Spans of which it is not known how they ended, because of lost events or the end of the tape. They are in no \
         other metric.",
        Measure::Count,
        When::Incomplete,
        SERVICE,
    ),
    histogram(
        ["redtape_queue_seconds", "redtape.queue"],
        "How long requests waited between their arrival and the application's first read.",
        Measure::Queue,
        When::Queued,
        [SERVICE_ROUTE, ALL_SERVER],
    ),
    Definition {
        name: "target",
        otel_name: "target",
        help: "The services there are.",
        kind: FamilyKind::Info,
        scale: Scale::None,
        when: When::Always,
        measure: Measure::Count,
        shown: SERVICE,
        available: SERVICE,
        feature: None,
    },
];

const SPAN: [Definition; 2] = [
    counter("traces_spanmetrics_calls", "Spans.", Measure::Count, When::Finished, SPAN_METRICS),
    histogram(
        ["traces_spanmetrics_latency", "traces_spanmetrics_latency"],
        "Duration of spans, in seconds.",
        Measure::Duration,
        When::Finished,
        [SPAN_METRICS, SPAN_METRICS],
    ),
];

const SPAN_OTEL: [Definition; 2] = [
    counter("traces_span_metrics_calls", "Spans.", Measure::Count, When::Finished, SPAN_METRICS),
    histogram(
        ["traces_span_metrics_duration_seconds", "traces_span_metrics_duration_seconds"],
        "Duration of spans.",
        Measure::Duration,
        When::Finished,
        [SPAN_METRICS, SPAN_METRICS],
    ),
];

const SPAN_SIZES: [Definition; 2] = [
    counter(
        "traces_spanmetrics_response_size",
        "Bytes of response bodies.",
        Measure::ResponseSize,
        When::Finished,
        SPAN_METRICS,
    ),
    counter("traces_spanmetrics_size", "Bytes of request bodies.", Measure::RequestSize, When::Finished, SPAN_METRICS),
];

/// The metrics that `config` asks for.
pub(super) fn definitions(config: &MetricsConfig) -> Vec<Definition> {
    let rpc_names = if config.rpc_call_duration { RPC_CALL_NAMES } else { RPC_NAMES };
    let rpc_labels = match config.names {
        MetricNames::Default => [RPC, ALL_RPC],
        MetricNames::Beyla10 => [RPC_1_0, ALL_RPC_1_0],
    };
    let application: &[Definition] = match config.names {
        MetricNames::Default => &APPLICATION,
        MetricNames::Beyla10 => &APPLICATION_1_0,
    };
    let application = application.iter().filter(|_| config.protocols.http).copied();
    let application = rpc(rpc_names, rpc_labels).into_iter().filter(|_| config.protocols.grpc).chain(application);
    let application: Vec<_> = application.collect();
    let mut definitions = OWN.to_vec();
    for feature in config.features.union(&config.some_features) {
        let switched: &[Definition] = match feature {
            MetricFeature::Application => &application,
            MetricFeature::ApplicationSpan => &SPAN,
            MetricFeature::ApplicationSpanOtel => &SPAN_OTEL,
            MetricFeature::ApplicationSpanSizes => &SPAN_SIZES,
            MetricFeature::ApplicationServiceGraph => &[],
        };
        definitions.extend(switched.iter().map(|definition| Definition { feature: Some(*feature), ..*definition }));
    }
    definitions
}

/// The labels of a metric under `config`, ascending. Metrics that tell services apart by `instance` also tell of pods.
pub(super) fn labels(definition: &Definition, config: &MetricsConfig) -> Vec<Label> {
    let mut shown = definition.shown.to_vec();
    let mut available = definition.available.to_vec();
    if shown.contains(&Label::Instance) {
        shown.extend(PodFact::ALL.map(Label::Kubernetes));
        available.extend(PodFact::ALL.map(Label::Kubernetes));
    }
    let can = |label: &Label| definition.available.contains(label);
    if definition.when == IN_SERVER && config.report_target {
        shown.push(Label::UrlPath);
    }
    if config.report_peer && matches!(definition.when, When::Kind(_) | When::Rpc(_)) {
        shown.extend([Label::ClientAddress, Label::ServerAddress, Label::ServerPort].iter().filter(|label| can(label)));
    }
    config.select.labels(definition.name, definition.otel_name, &shown, &available)
}
