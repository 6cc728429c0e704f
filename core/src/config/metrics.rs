//! What the configuration says of metrics and their labels, and how it becomes a [`MetricsConfig`].

use std::collections::{BTreeMap, BTreeSet};

use super::engine::Fault;
use super::export::Instrumentation;
use super::kubernetes::Kubernetes;
use super::own::{Names, RpcNames};
use super::root::Config;
use super::section::{section, words};
use crate::metric::{
    DEFAULT_DURATION_BUCKETS, DEFAULT_SIZE_BUCKETS, DEFAULT_SPAN_NAMES_LIMIT, ExemplarFilter, MetricFeature,
    MetricNames, MetricsConfig, Select, SelectSection, Unresolved,
};

words! {
    /// A set of metrics that can be switched on.
    Feature {
        /// Everything that redtape has.
        All = "all" | "*",
        /// Request durations and body sizes.
        Application = "application",
        /// Metrics of hosts, which redtape does not have.
        ApplicationHost = "application_host",
        /// Metrics of processes, which redtape does not have.
        ApplicationProcess = "application_process",
        /// Metrics of language runtimes, which redtape does not have.
        ApplicationRuntime = "application_runtime",
        /// `traces_service_graph_*`
        ApplicationServiceGraph = "application_service_graph",
        /// `traces_spanmetrics_*`
        ApplicationSpan = "application_span",
        /// `traces_span_metrics_*`
        ApplicationSpanOtel = "application_span_otel",
        /// Body sizes of span metrics.
        ApplicationSpanSizes = "application_span_sizes",
        /// Metrics of BPF programs, which redtape does not have.
        Ebpf = "ebpf",
        /// Metrics of packets, which redtape does not have.
        Network = "network" | "network_flow_packets" | "network_inter_zone",
        /// Metrics of TCP, which redtape does not have.
        Stats = "stats" | "stats_tcp_rtt" | "stats_tcp_failed_connections",
    }
}

section! {
    /// `attributes`: what spans and metrics carry.
    Attributes {
        /// Labels by metric.
        select: BTreeMap<String, SelectConfig> = BTreeMap::new(),
        /// What the host is called in `service.instance.id`.
        instance_id: InstanceId = InstanceId::default(),
        /// What the host's id is.
        host_id: HostId = HostId::default(),
        /// What an end of the service graph is called of which only an address is known; the address if not given.
        rename_unresolved_hosts: String = String::new(),
        /// The same, of clients; as `rename_unresolved_hosts` if not given.
        rename_unresolved_hosts_incoming: String = String::new(),
        /// The same, of servers; as `rename_unresolved_hosts` if not given.
        rename_unresolved_hosts_outgoing: String = String::new(),
        /// Leaves edges out of the service graph of which one end is an address that has got no name. Calls count at the client then.
        drop_metric_unresolved_ips: bool = false,
        /// Names of one service's spans in span metrics, beyond which all are `AGGREGATED`; 0 is no limit.
        metric_span_names_limit: usize = DEFAULT_SPAN_NAMES_LIMIT,
        /// What of spans is secret.
        redact: RedactConfig = RedactConfig::default(),
        /// Where facts of pods come from.
        kubernetes: Kubernetes = Kubernetes::default(),
    }
    without effect {
        "labels are those that `docs/metrics.md` lists; what a process or its pod says of itself beyond them becomes none" => [extra_group_attributes],
        "no cloud is asked for metadata" => [metadata_retry],
    }
}

section! {
    /// One entry of `attributes.select`.
    SelectConfig {
        /// Globs over attributes that the metric shall have.
        include: Vec<String> = Vec::new(),
        /// Globs over attributes that it shall not have.
        exclude: Vec<String> = Vec::new(),
    }
    without effect {}
}

section! {
    /// `attributes.redact`: what of spans is secret.
    RedactConfig {
        /// Parameters of queries whose values are replaced by `REDACTED`, in `url.query` and `url.full`; those that
        /// OpenTelemetry's conventions name if not given.
        sensitive_query_params: Option<Vec<String>> = None,
    }
    without effect {}
}

section! {
    /// `metrics`: metrics by whatever way they are exported; also of one discovery entry.
    Features {
        /// Which there are.
        features: Option<Vec<Feature>> = None,
    }
    without effect {}
}

section! {
    /// `attributes.instance_id`: the host's part of `service.instance.id`.
    InstanceId {
        /// The host's name, instead of the one that the tape has.
        override_hostname: Option<String> = None,
    }
    without effect {
        "the host's name is the one on the tape" => [dns],
    }
}

section! {
    /// `attributes.host_id`: the host's id.
    HostId {
        /// `host.id` of all resources; none if not given.
        r#override: Option<String> = None,
    }
    without effect {
        "no cloud is asked for metadata" => [fetch_timeout],
    }
}

section! {
    /// One entry of `filter.application`: which values of an attribute pass.
    MatchConfig {
        /// A glob that they fit.
        r#match: Option<String> = None,
        /// A glob that they do not fit.
        not_match: Option<String> = None,
    }
    without effect {}
}

impl Feature {
    /// What it stands for; nothing for metrics that redtape does not have.
    pub(super) fn metrics(self) -> &'static [MetricFeature] {
        match self {
            Self::All => &[
                MetricFeature::Application,
                MetricFeature::ApplicationSpan,
                MetricFeature::ApplicationSpanSizes,
                MetricFeature::ApplicationServiceGraph,
            ],
            Self::Application => &[MetricFeature::Application],
            Self::ApplicationServiceGraph => &[MetricFeature::ApplicationServiceGraph],
            Self::ApplicationSpan => &[MetricFeature::ApplicationSpan],
            Self::ApplicationSpanOtel => &[MetricFeature::ApplicationSpanOtel],
            Self::ApplicationSpanSizes => &[MetricFeature::ApplicationSpanSizes],
            Self::ApplicationHost
            | Self::ApplicationProcess
            | Self::ApplicationRuntime
            | Self::Ebpf
            | Self::Network
            | Self::Stats => &[],
        }
    }
}

impl Config {
    fn unresolved(&self) -> Unresolved {
        let attributes = &self.attributes;
        let or_general = |name: &String| {
            let name = if name.is_empty() { &attributes.rename_unresolved_hosts } else { name };
            name.clone()
        };
        Unresolved {
            incoming: or_general(&attributes.rename_unresolved_hosts_incoming),
            outgoing: or_general(&attributes.rename_unresolved_hosts_outgoing),
            drop: attributes.drop_metric_unresolved_ips || self.otel_metrics_export.drop_unresolved_ips,
        }
    }

    /// What it says of metrics.
    ///
    /// # Errors
    ///
    /// The key that is at fault, and what is wrong with it. A configuration that was loaded has no such fault.
    pub fn metrics(&self) -> Result<MetricsConfig, Fault> {
        let sections = [
            ("otel_metrics_export", &self.otel_metrics_export.buckets, &self.otel_metrics_export.features),
            ("prometheus_export", &self.prometheus_export.buckets, &self.prometheus_export.features),
        ];
        let mut features: BTreeSet<_> =
            self.metrics.features.iter().flatten().flat_map(|feature| feature.metrics()).copied().collect();
        let mut bounds = [None, None, None];
        for (section, buckets, listed) in sections {
            features.extend(listed.iter().flatten().flat_map(|feature| feature.metrics()));
            let given = buckets.bounds().map_err(|key| {
                (
                    format!("{section}.buckets.{key}"),
                    "bounds are numbers from 0 on, and each is larger than the last".into(),
                )
            })?;
            for (bounds, given) in bounds.iter_mut().zip(given) {
                *bounds = given.or(bounds.take());
            }
        }
        if self.metrics.features.is_none() && sections.iter().all(|(.., listed)| listed.is_none()) {
            features.insert(MetricFeature::Application);
        }
        if features.is_superset(&[MetricFeature::ApplicationSpan, MetricFeature::ApplicationSpanOtel].into()) {
            let listed = sections.iter().rfind(|(.., listed)| listed.is_some());
            let path = listed.map_or("metrics", |(section, ..)| section);
            return Err((
                format!("{path}.features"),
                "`application_span` and `application_span_otel` are two forms of the same metrics; choose one".into(),
            ));
        }
        let [duration, request, response] = bounds;
        Ok(MetricsConfig {
            names: match self.redtape.metrics.names {
                Names::Default => MetricNames::Default,
                Names::Beyla10 => MetricNames::Beyla10,
            },
            rpc_call_duration: self.redtape.metrics.rpc_names == RpcNames::CallDuration,
            some_features: self.discovery()?.features(),
            protocols: Instrumentation::protocols(&[
                &self.otel_metrics_export.instrumentations,
                &self.prometheus_export.instrumentations,
            ]),
            features,
            duration_buckets: duration.unwrap_or_else(|| DEFAULT_DURATION_BUCKETS.into()),
            request_size_buckets: request.unwrap_or_else(|| DEFAULT_SIZE_BUCKETS.into()),
            response_size_buckets: response.unwrap_or_else(|| DEFAULT_SIZE_BUCKETS.into()),
            report_target: self.prometheus_export.report_target || self.otel_metrics_export.report_target,
            report_peer: self.prometheus_export.report_peer || self.otel_metrics_export.report_peer,
            self_references: self.prometheus_export.allow_service_graph_self_references
                || self.otel_metrics_export.allow_service_graph_self_references,
            unresolved: self.unresolved(),
            exponential: self.histogram_resolution()?,
            select: self.select()?,
            span_names_limit: self.attributes.metric_span_names_limit,
            ttl_nanos: self.prometheus_export.ttl.max(self.otel_metrics_export.ttl).nanos(),
            exemplars: match self.prometheus_export.exemplar_filter {
                super::ExemplarFilter::AlwaysOff => ExemplarFilter::AlwaysOff,
                super::ExemplarFilter::AlwaysOn => ExemplarFilter::AlwaysOn,
                super::ExemplarFilter::TraceBased => ExemplarFilter::TraceBased,
            },
            series_limit: self.redtape.metrics.series_limit,
        })
    }

    fn select(&self) -> Result<Select, Fault> {
        let sections = self.attributes.select.iter().filter(|(metric, _)| *metric != "traces");
        let sections: Vec<_> = sections
            .map(|(metric, config)| SelectSection {
                metric: metric.clone(),
                include: config.include.clone(),
                exclude: config.exclude.clone(),
            })
            .collect();
        Select::new(&sections).map_err(|error| ("attributes.select".into(), error.to_string()))
    }

    /// Protocols that are listed but that redtape does not read.
    pub(super) fn instrumentations_without_effect(&self) -> impl Iterator<Item = String> {
        let sections = [
            ("otel_metrics_export", &self.otel_metrics_export.instrumentations),
            ("otel_traces_export", &self.otel_traces_export.instrumentations),
            ("prometheus_export", &self.prometheus_export.instrumentations),
        ];
        sections.into_iter().flat_map(|(section, listed)| {
            let other = move |(at, protocol): (usize, &Instrumentation)| {
                (*protocol == Instrumentation::Other).then(|| format!("{section}.instrumentations[{at}]"))
            };
            listed.iter().flatten().enumerate().filter_map(other)
        })
    }

    /// Features that are listed but that redtape does not have.
    pub(super) fn features_without_effect(&self) -> impl Iterator<Item = String> {
        let sections = [
            ("metrics", &self.metrics.features),
            ("otel_metrics_export", &self.otel_metrics_export.features),
            ("prometheus_export", &self.prometheus_export.features),
        ];
        sections.into_iter().flat_map(|(section, listed)| {
            let without = move |(at, feature): (usize, &Feature)| {
                feature.metrics().is_empty().then(|| format!("{section}.features[{at}]"))
            };
            listed.iter().flatten().enumerate().filter_map(without)
        })
    }
}
