//! The configuration as a whole: Beyla's top-level keys, and ours under `redtape`.

use std::collections::BTreeMap;

use super::discovery::{DiscoveryConfig, Targets};
use super::engine::Fault;
use super::export::{InternalMetrics, OtelMetricsExport, OtelTracesExport, PrometheusExport};
use super::metrics::{Attributes, Features, MatchConfig};
use super::own::OwnConfig;
use super::pattern::{GlobPattern, Pattern, RegexPattern};
use super::ports::PortList;
use super::routes::RoutesConfig;
use super::section::{section, words};
use crate::route::Evidence;

section! {
    /// A configuration: the keys of Beyla 1.0 and of today's Beyla, and redtape's own under `redtape`.
    Config {
        /// Processes that listen on one of these ports.
        open_port: Option<PortList> = None,
        /// Processes whose executable's path contains this regular expression.
        executable_name: Option<RegexPattern> = None,
        /// Processes whose executable's path fits this glob.
        auto_target_exe: Option<GlobPattern> = None,
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
        /// How much to say of what happens.
        log_level: LogLevel = LogLevel::Info,
        /// What Beyla has no key for.
        redtape: OwnConfig = OwnConfig::default(),
        /// Beyla's own recorder, which redtape's takes the place of.
        ebpf: EbpfConfig = EbpfConfig::default(),
        /// Where names of addresses come from.
        name_resolver: NameResolver = NameResolver::default(),
    }
    without effect {
        channel_buffer_len,
        channel_send_timeout,
        channel_send_timeout_panic,
        enforce_sys_caps,
        grafana,
        injector,
        javaagent,
        log_config,
        log_format,
        meter_provider,
        network,
        nodejs,
        noop,
        processes,
        profile_port,
        shutdown_timeout,
        skip_go_specific_tracers,
        stats,
        system_wide,
        topology,
    }
}

section! {
    /// `filter`: which spans to keep.
    FilterConfig {
        /// By attribute.
        application: BTreeMap<String, MatchConfig> = BTreeMap::new(),
    }
    without effect { network, stats }
}

section! {
    /// `ebpf`: Beyla's own recorder. redtape's has other settings, so no key of it has an effect.
    EbpfConfig {}
    without effect {
        batch_length,
        batch_timeout,
        bpf_base_dir,
        bpf_debug,
        bpf_fs_path,
        buffer_sizes,
        context_propagation,
        couchbase_db_cache_size,
        disable_black_box_cp,
        dns_request_timeout,
        enable_context_propagation,
        force_bpf_map_reader,
        heuristic_sql_detect,
        high_request_volume,
        http_request_timeout,
        instrument_cuda,
        instrument_gpu,
        kafka_topic_uuid_cache_size,
        log_enricher,
        maps_config,
        max_transaction_time,
        mongo_requests_cache_size,
        mssql_prepared_statements_cache_size,
        mysql_prepared_statements_cache_size,
        override_bpfloop_enabled,
        payload_extraction,
        postgres_prepared_statements_cache_size,
        protocol_debug_print,
        redis_db_cache,
        stats_wakeup_data_bytes,
        track_request_headers,
        traffic_control_backend,
        use_tc_for_l7_cp,
        wakeup_len,
    }
}

section! {
    /// `name_resolver`: names for addresses.
    NameResolver {}
    without effect { cache_expiry, cache_len, sources }
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
        }
    }

    /// The first key whose value is well-formed and yet cannot be used, and what is wrong with it.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.engine(false, Evidence::Online).err()
    }

    /// What is set without an effect: the key, and why.
    pub(super) fn warnings(&self) -> Vec<(String, String)> {
        const INERT: &str = "has no effect in redtape";
        let sections = [
            ("", self.without_effect()),
            ("attributes.", self.attributes.without_effect()),
            ("attributes.instance_id.", self.attributes.instance_id.without_effect()),
            ("attributes.kubernetes.", self.attributes.kubernetes.without_effect()),
            ("ebpf.", self.ebpf.without_effect()),
            ("filter.", self.filter.without_effect()),
            ("internal_metrics.", self.internal_metrics.without_effect()),
            ("name_resolver.", self.name_resolver.without_effect()),
            ("otel_metrics_export.", self.otel_metrics_export.without_effect()),
            ("otel_traces_export.", self.otel_traces_export.without_effect()),
            ("prometheus_export.", self.prometheus_export.without_effect()),
        ];
        let inert = |(section, keys): (&str, Vec<&'static str>)| {
            keys.into_iter().map(|key| (format!("{section}{key}"), INERT.to_owned())).collect::<Vec<_>>()
        };
        let mut warnings: Vec<_> = sections.into_iter().flat_map(inert).collect();
        warnings.extend(self.features_without_effect().map(|path| (path, "redtape has no such metrics".into())));
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
