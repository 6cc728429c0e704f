//! The configuration as a whole: Beyla's top-level keys, and ours under `redtape`.

use std::collections::BTreeMap;

use super::discovery::{DiscoveryConfig, Targets};
use super::engine::Fault;
use super::export::{InternalMetrics, OtelMetricsExport, OtelTracesExport, PrometheusExport};
use super::grafana::Grafana;
use super::histograms::NativeHistogram;
use super::metrics::{Attributes, Features, MatchConfig};
use super::own::OwnConfig;
use super::pattern::{GlobPattern, Pattern, RegexPattern};
use super::ports::PortList;
use super::routes::RoutesConfig;
use super::scalar::Period;
use super::section::{Inert, section, words};
use crate::route::Evidence;

section! {
    /// A configuration: the keys of Beyla 1.0 and of today's Beyla, and redtape's own under `redtape`.
    Config {
        /// Processes that listen on one of these ports.
        open_port: Option<PortList> = None,
        /// Processes whose executable's path contains this regular expression.
        #[serde(alias = "executable_path")]
        executable_name: Option<RegexPattern> = None,
        /// Processes whose executable's path fits this glob.
        auto_target_exe: Option<GlobPattern> = None,
        /// All processes, on its own; also as `discovery.system_wide`.
        system_wide: bool = false,
        /// The name of what `open_port` and `executable_name` choose.
        service_name: Option<String> = None,
        /// The namespace of what `open_port` and `executable_name` choose.
        service_namespace: Option<String> = None,
        /// Which processes to record, and what to call them.
        discovery: DiscoveryConfig = DiscoveryConfig::default(),
        /// How paths become routes.
        routes: RoutesConfig = RoutesConfig::default(),
        /// An endpoint for Prometheus.
        prometheus_export: PrometheusExport = PrometheusExport::default(),
        /// Metrics by OTLP.
        otel_metrics_export: OtelMetricsExport = OtelMetricsExport::default(),
        /// Spans by OTLP.
        otel_traces_export: OtelTracesExport = OtelTracesExport::default(),
        /// Which metrics there are, by whatever way they are exported.
        metrics: Features = Features::default(),
        /// What spans and metrics carry.
        attributes: Attributes = Attributes::default(),
        /// Which spans to keep.
        filter: FilterConfig = FilterConfig::default(),
        /// What redtape says of itself.
        internal_metrics: InternalMetrics = InternalMetrics::default(),
        /// Prints spans; what Beyla 1 had instead of `trace_printer`.
        print_traces: bool = false,
        /// How to print spans.
        trace_printer: TracePrinter = TracePrinter::Disabled,
        /// What redtape says of itself: with `error`, errors alone. All other levels say the same.
        log_level: LogLevel = LogLevel::Info,
        /// How long `redtape live` may take to end: the recorder closes its tape, what is under way is sent.
        shutdown_timeout: Period = Period::seconds(10),
        /// What Beyla has no key for.
        redtape: OwnConfig = OwnConfig::default(),
        /// Beyla's own recorder, which redtape's takes the place of.
        ebpf: EbpfConfig = EbpfConfig::default(),
        /// Grafana Cloud, as a receiver of OTLP.
        grafana: Grafana = Grafana::default(),
        /// Where names of addresses come from.
        name_resolver: NameResolver = NameResolver::default(),
    }
    without effect {
        "redtape has no such channels: its bounds are `redtape.limits`" => [channel_buffer_len, channel_send_timeout, channel_send_timeout_panic],
        "the recorder never runs without the capabilities it needs; `redtape-capture doctor` names them" => [enforce_sys_caps],
        "redtape changes nothing in the programs that it records" => [injector, javaagent, nodejs],
        "`redtape config show` prints the effective configuration" => [log_config],
        "what redtape says of itself is text" => [log_format],
        "redtape's telemetry does not come from an SDK" => [meter_provider],
        "redtape has no metrics of packets, TCP, processes or hosts" => [network, processes, stats, topology],
        "nothing is exported that is not asked for" => [noop],
        "redtape has no profiling endpoint" => [profile_port],
        "Go programs are recorded at their sockets, as all others; `record --tls off` does without probes on functions" => [skip_go_specific_tracers],
    }
}

section! {
    /// `filter`: which spans to keep.
    FilterConfig {
        /// By attribute.
        application: BTreeMap<String, MatchConfig> = BTreeMap::new(),
    }
    without effect {
        "redtape has no metrics of packets, TCP, processes or hosts" => [network, stats],
    }
}

section! {
    /// `ebpf`: Beyla's own recorder. redtape's has other settings, so no key of it has an effect.
    EbpfConfig {}
    without effect {
        "redtape's recorder has a ring buffer of its own: `record --ring-size`" => [batch_length, batch_timeout, wakeup_len, stats_wakeup_data_bytes],
        "redtape's recorder keeps no files of BPF" => [bpf_base_dir, bpf_fs_path],
        "`redtape-capture doctor` tells what the probes say" => [bpf_debug, protocol_debug_print],
        "how much of each message is kept is said by `record --payload`" => [buffer_sizes],
        "redtape changes no traffic; the trace contexts that requests carry are always read" => [context_propagation, disable_black_box_cp, enable_context_propagation, track_request_headers, traffic_control_backend, use_tc_for_l7_cp],
        "redtape reads HTTP and gRPC alone" => [couchbase_db_cache_size, dns_request_timeout, heuristic_sql_detect, instrument_cuda, instrument_gpu, kafka_topic_uuid_cache_size, log_enricher, mongo_requests_cache_size, mssql_prepared_statements_cache_size, mysql_prepared_statements_cache_size, payload_extraction, postgres_prepared_statements_cache_size, redis_db_cache],
        "what each message took is known from the tape, also at a high volume" => [high_request_volume],
        "a request without a response becomes a span when its connection ends, with `error.type` `no_response`" => [http_request_timeout],
        "redtape's recorder has maps of its own, sized by the kernel's limits" => [force_bpf_map_reader, maps_config, override_bpfloop_enabled],
        "how long a request may take is not bounded: memory is, by `redtape.limits`" => [max_transaction_time],
    }
}

section! {
    /// `name_resolver`: names for addresses.
    NameResolver {}
    without effect {
        "peers are named by what is on the tape" => [cache_expiry, cache_len, sources],
    }
}

words! {
    /// How to print spans.
    TracePrinter {
        /// Not at all.
        Disabled = "disabled",
        /// A line each, for people.
        Text = "text",
        /// A JSON object a line.
        Json = "json",
        /// JSON over several lines.
        JsonIndent = "json_indent",
        /// How many there were.
        Counter = "counter",
    }
}

words! {
    /// How much to say of what happens.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// What an operator wants to know.
        Info = "info",
        /// What may be wrong.
        Warn = "warn" | "warning",
        /// What is wrong.
        Error = "error",
    }
}

impl Config {
    /// The keys beside `discovery` that choose processes.
    pub fn targets(&self) -> Targets {
        let regex = self.executable_name.clone().map(Pattern::Regex);
        Targets {
            target_pids: Vec::new(),
            open_port: self.open_port.clone(),
            executable: self.auto_target_exe.clone().map(Pattern::Glob).or(regex),
            service_name: self.service_name.clone(),
            service_namespace: self.service_namespace.clone(),
            system_wide: self.system_wide || self.discovery.system_wide,
        }
    }

    /// How spans are printed: by `trace_printer`, else as text if `print_traces` is set.
    pub const fn printer(&self) -> TracePrinter {
        match self.trace_printer {
            TracePrinter::Disabled if self.print_traces => TracePrinter::Text,
            printer => printer,
        }
    }

    /// The first key whose value is well-formed and yet cannot be used, and what is wrong with it.
    pub(super) fn fault(&self) -> Option<Fault> {
        let no_time = || {
            let message = "without any time nothing can end as it should: leave it out for 10s, or give more than 0s";
            ("shutdown_timeout".to_owned(), message.to_owned())
        };
        self.engine(false, Evidence::Online).err().or_else(|| self.shutdown_timeout.0.is_zero().then(no_time))
    }

    /// What is set without an effect: the key, and why.
    pub(super) fn warnings(&self) -> Vec<(String, String)> {
        let sections = [
            ("", self.without_effect()),
            ("attributes.", self.attributes.without_effect()),
            ("attributes.host_id.", self.attributes.host_id.without_effect()),
            ("attributes.instance_id.", self.attributes.instance_id.without_effect()),
            ("attributes.kubernetes.", self.attributes.kubernetes.without_effect()),
            ("discovery.", self.discovery.without_effect()),
            ("ebpf.", self.ebpf.without_effect()),
            ("filter.", self.filter.without_effect()),
            ("internal_metrics.", self.internal_metrics.without_effect()),
            ("name_resolver.", self.name_resolver.without_effect()),
            ("otel_metrics_export.", self.otel_metrics_export.without_effect()),
            ("otel_traces_export.", self.otel_traces_export.without_effect()),
            ("prometheus_export.", self.prometheus_export.without_effect()),
            (
                "prometheus_export.native_histogram.",
                self.prometheus_export.native_histogram.iter().flat_map(NativeHistogram::without_effect).collect(),
            ),
        ];
        let inert = |(section, keys): (&str, Vec<Inert>)| {
            let warning = |(key, reason)| (format!("{section}{key}"), format!("has no effect: {reason}"));
            keys.into_iter().map(warning).collect::<Vec<_>>()
        };
        let mut warnings: Vec<_> = sections.into_iter().flat_map(inert).collect();
        warnings.extend(self.features_without_effect().map(|path| (path, "redtape has no such metrics".into())));
        let unread = self.instrumentations_without_effect();
        warnings.extend(unread.map(|path| (path, "has no effect: redtape reads HTTP and gRPC alone".into())));
        warnings.extend(self.attributes.kubernetes.labels_without_effect());
        if let Ok(discovery) = self.discovery() {
            let split = |warning: &String| match warning.split_once(' ') {
                Some((path, message)) => (path.to_owned(), message.to_owned()),
                None => (String::new(), warning.clone()),
            };
            warnings.extend(discovery.warnings().iter().map(split));
        }
        warnings
    }
}
