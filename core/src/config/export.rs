//! The sections of the exporters, with Beyla's keys and defaults.

use std::collections::BTreeMap;

use super::histograms::{ExponentialHistogram, NativeHistogram};
use super::metrics::Feature;
use super::scalar::{Period, UnknownWord};
use super::section::{section, words};
use crate::sample::{SAMPLERS, Sampler};
use crate::signals::Protocols;

section! {
    /// `prometheus_export`: an endpoint to be scraped.
    PrometheusExport {
        /// The TCP port; 0 for none.
        port: u16 = 0,
        /// The path of the endpoint.
        path: String = "/metrics".into(),
        /// Adds `url_path` to server metrics.
        report_target: bool = false,
        /// Adds the client's address to server metrics.
        report_peer: bool = false,
        /// The buckets of histograms.
        buckets: Buckets = Buckets::default(),
        /// Which metrics there are.
        features: Option<Vec<Feature>> = None,
        /// How long a series is shown after its last change.
        ttl: Period = Period::seconds(300),
        /// Which samples carry a trace's id.
        exemplar_filter: ExemplarFilter = ExemplarFilter::AlwaysOff,
        /// Of which protocols, all if not given.
        instrumentations: Option<Vec<Instrumentation>> = None,
        /// Whether the service graph has edges from a service to itself.
        allow_service_graph_self_references: bool = false,
        /// Native histograms, beside those with buckets, for whoever scrapes in protobuf; none without this section.
        native_histogram: Option<NativeHistogram> = None,
    }
    without effect {
        "`redtape_internal_build_info` is shown with the internal metrics alone" => [disable_build_info],
        "labels are those that `docs/metrics.md` lists; what a process or its pod says of itself beyond them becomes none" => [extra_resource_attributes, extra_span_resource_attributes],
        "memory is bounded by `redtape.limits`" => [service_cache_size, span_metrics_service_cache_size],
    }
}

section! {
    /// `otel_metrics_export`: metrics by OTLP.
    OtelMetricsExport {
        /// The receiver's URL; empty for none.
        endpoint: String = String::new(),
        /// How to speak to it.
        protocol: Protocol = Protocol::Guess,
        /// Whether to accept any certificate.
        insecure_skip_verify: bool = false,
        /// How often to export.
        interval: Period = Period::seconds(60),
        /// Headers of each request.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// Adds `url.path` to server metrics.
        report_target: bool = false,
        /// Adds the client's address to server metrics.
        report_peer: bool = false,
        /// The buckets of histograms.
        buckets: Buckets = Buckets::default(),
        /// Which metrics there are.
        features: Option<Vec<Feature>> = None,
        /// Of which protocols, all if not given.
        instrumentations: Option<Vec<Instrumentation>> = None,
        /// The form of histograms.
        histogram_aggregation: HistogramAggregation = HistogramAggregation::Explicit,
        /// How fine exponential histograms are.
        exponential_histogram: ExponentialHistogram = ExponentialHistogram::default(),
        /// How long a service is silent until its span names are forgotten; series stay.
        ttl: Period = Period::seconds(300),
        /// Whether the service graph has edges from a service to itself.
        allow_service_graph_self_references: bool = false,
        /// As `attributes.drop_metric_unresolved_ips`, in older files.
        drop_unresolved_ips: bool = false,
    }
    without effect {
        "labels are those that `docs/metrics.md` lists; what a process or its pod says of itself beyond them becomes none" => [extra_resource_attributes, extra_span_resource_attributes],
        "redtape's telemetry does not come from an SDK" => [otel_sdk_log_level],
        "memory is bounded by `redtape.limits`" => [reporters_cache_len],
    }
}

section! {
    /// `otel_traces_export`: spans by OTLP.
    OtelTracesExport {
        /// The receiver's URL; empty for none.
        endpoint: String = String::new(),
        /// How to speak to it.
        protocol: Protocol = Protocol::Guess,
        /// Whether to accept any certificate.
        insecure_skip_verify: bool = false,
        /// Headers of each request.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// Which traces to export.
        sampler: SamplerConfig = SamplerConfig::default(),
        /// Of which protocols, all if not given.
        instrumentations: Option<Vec<Instrumentation>> = None,
        /// Spans of one request at most.
        #[serde(alias = "max_export_batch_size")]
        batch_max_size: usize = 4096,
        /// How long a span may wait for others to be sent with. Beyla's default is 15 s.
        batch_timeout: Period = Period::seconds(1),
        /// Spans that may wait to be sent.
        #[serde(alias = "queue_size")]
        max_queue_size: usize = 16_384,
        /// How long to wait before a request is tried again; twice as long before the next try, and so on.
        backoff_initial_interval: Option<Period> = None,
        /// How long to wait between two tries at most.
        backoff_max_interval: Option<Period> = None,
        /// How long to go on trying.
        backoff_max_elapsed_time: Option<Period> = None,
    }
    without effect {
        "redtape's telemetry does not come from an SDK" => [otel_sdk_log_level],
        "memory is bounded by `redtape.limits`" => [reporters_cache_len],
    }
}

section! {
    /// `sampler`: which traces to export (OpenTelemetry's `OTEL_TRACES_SAMPLER`).
    SamplerConfig {
        /// `parentbased_always_on` if not given.
        name: Option<String> = None,
        /// The part of all traces that `traceidratio` exports, from 0 to 1; 1 if not given.
        arg: Option<String> = None,
    }
    without effect {}
}

impl SamplerConfig {
    /// The sampler that it stands for.
    ///
    /// # Errors
    ///
    /// The key that is at fault, and what is wrong with it.
    pub(super) fn sampler(&self) -> Result<Sampler, (&'static str, String)> {
        let ratio = match self.arg.as_deref().map(str::trim) {
            None | Some("") => 1.0,
            Some(text) => {
                let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                ratio.ok_or_else(|| ("arg", format!("`{text}` is no number from 0 to 1")))?
            }
        };
        match self.name.as_deref().map(str::trim) {
            None | Some("") => Ok(Sampler::default()),
            Some(name) => {
                Sampler::new(name, ratio).ok_or_else(|| ("name", UnknownWord::new(name, &SAMPLERS).to_string()))
            }
        }
    }
}

words! {
    /// What a service's spans become.
    Signal {
        /// Metrics.
        Metrics = "metrics",
        /// Traces.
        Traces = "traces",
        /// Logs, which redtape does not have.
        Logs = "logs",
    }
}

words! {
    /// A protocol that signals can be switched on for.
    Instrumentation {
        /// All of them.
        All = "all" | "*",
        /// Plain HTTP.
        Http = "http",
        /// gRPC.
        Grpc = "grpc",
        /// One that redtape does not read.
        Other = "sql" | "redis" | "kafka" | "mqtt" | "nats" | "amqp" | "mongo" | "couchbase" | "memcached" | "sunrpc"
            | "aerospike" | "dns" | "gpu" | "genai",
    }
}

impl Instrumentation {
    /// What lists of them switch on, all together; everything if there is no list.
    pub(super) fn protocols(lists: &[&Option<Vec<Self>>]) -> Protocols {
        let listed = || lists.iter().filter_map(|list| list.as_ref());
        let on = |one| listed().next().is_none() || listed().flatten().any(|listed| [Self::All, one].contains(listed));
        Protocols { http: on(Self::Http), grpc: on(Self::Grpc) }
    }
}

words! {
    /// How to speak OTLP.
    Protocol {
        /// By the port: 4317 is gRPC, all others HTTP with protobuf.
        Guess = "",
        /// gRPC.
        Grpc = "grpc",
        /// HTTP with protobuf.
        HttpProtobuf = "http/protobuf",
        /// HTTP with JSON.
        HttpJson = "http/json",
    }
}

words! {
    /// The form of histograms.
    HistogramAggregation {
        /// The buckets that `buckets` names.
        Explicit = "explicit_bucket_histogram",
        /// Buckets that grow by a factor.
        Exponential = "base2_exponential_bucket_histogram",
    }
}

words! {
    /// Which samples carry a trace's id.
    ExemplarFilter {
        /// None.
        AlwaysOff = "always_off",
        /// All.
        AlwaysOn = "always_on",
        /// Those of sampled traces.
        TraceBased = "trace_based",
    }
}

section! {
    /// `buckets`: the upper bounds of histograms, ascending. Each replaces the default altogether.
    Buckets {
        /// In seconds.
        duration_histogram: Option<Vec<f64>> = None,
        /// In bytes.
        request_size_histogram: Option<Vec<f64>> = None,
        /// In bytes.
        response_size_histogram: Option<Vec<f64>> = None,
    }
    without effect {}
}

impl Buckets {
    /// Upper bounds of durations in nanoseconds, of request sizes and of response sizes in bytes; `None` where the default
    /// holds.
    ///
    /// # Errors
    ///
    /// The key whose bounds are negative, no numbers, or do not ascend.
    pub(super) fn bounds(&self) -> Result<[Option<Vec<u64>>; 3], &'static str> {
        Ok([
            scaled(self.duration_histogram.as_deref(), 1e9).ok_or("duration_histogram")?,
            scaled(self.request_size_histogram.as_deref(), 1.0).ok_or("request_size_histogram")?,
            scaled(self.response_size_histogram.as_deref(), 1.0).ok_or("response_size_histogram")?,
        ])
    }
}

/// The bounds as integers; `None` if they are not usable. A last bound of infinity is implied and may be given.
fn scaled(bounds: Option<&[f64]>, factor: f64) -> Option<Option<Vec<u64>>> {
    const LARGEST: f64 = 9e18;
    let Some(bounds) = bounds else { return Some(None) };
    let finite = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
    let usable = finite.iter().all(|&bound| bound >= 0.0 && bound * factor <= LARGEST);
    let scaled: Vec<u64> = finite.iter().map(|&bound| (bound * factor).round() as u64).collect();
    (usable && scaled.is_sorted_by(|a, b| a < b)).then_some(Some(scaled))
}

section! {
    /// `internal_metrics`: what redtape says of itself.
    InternalMetrics {
        /// An endpoint to be scraped.
        prometheus: InternalPrometheus = InternalPrometheus::default(),
    }
    without effect {
        "the internal metrics are always up to date" => [bpf_metric_scrape_interval],
        "the internal metrics are shown where `prometheus.port` says" => [exporter],
    }
}

section! {
    /// `internal_metrics.prometheus`
    InternalPrometheus {
        /// The TCP port; 0 for none. It may be the port of `prometheus_export`.
        port: u16 = 0,
        /// The path of the endpoint.
        path: String = "/internal/metrics".into(),
    }
    without effect {}
}
