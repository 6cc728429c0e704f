//! Environment variables that stand for keys: Beyla's `BEYLA_*`, the same as `OTEL_EBPF_*`, and OpenTelemetry's own.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::keys::inert_reason;
use super::load::{ConfigError, Place, Warning};
use super::own::{OtlpConfig, OtlpSignal};
use super::root::Config;
use super::scalar::{Period, did_you_mean};
use crate::service::percent_decoded;

/// How a variable is taken.
type Take<T = Config> = fn(&mut T, &str) -> Result<(), String>;

/// What follows `BEYLA_` or `OTEL_EBPF_`, the keys that it stands for, and how it is taken.
const VARIABLES: &[(&str, &str, Take)] = &[
    (
        "ALLOW_SERVICE_GRAPH_SELF_REFERENCES",
        "otel_metrics_export.allow_service_graph_self_references",
        |config, text| switch(&mut config.otel_metrics_export.allow_service_graph_self_references, text),
    ),
    ("AUTO_TARGET_EXE", "auto_target_exe", |config, text| set(&mut config.auto_target_exe, text)),
    ("DISCOVERY_POLL_INTERVAL", "discovery.poll_interval", |config, text| {
        set(&mut config.discovery.poll_interval, text)
    }),
    ("DROP_METRIC_UNRESOLVED_IPS", "attributes.drop_metric_unresolved_ips", |config, text| {
        switch(&mut config.attributes.drop_metric_unresolved_ips, text)
    }),
    ("DROP_UNRESOLVED_IPS", "otel_metrics_export.drop_unresolved_ips", |config, text| {
        switch(&mut config.otel_metrics_export.drop_unresolved_ips, text)
    }),
    ("EXCLUDE_OTEL_INSTRUMENTED_SERVICES", "discovery.exclude_otel_instrumented_services", |config, text| {
        switch(&mut config.discovery.exclude_otel_instrumented_services, text)
    }),
    ("EXECUTABLE_NAME", "executable_name", |config, text| set(&mut config.executable_name, text)),
    ("EXECUTABLE_PATH", "executable_name", |config, text| set(&mut config.executable_name, text)),
    ("HOST_ID", "attributes.host_id.override", |config, text| set(&mut config.attributes.host_id.r#override, text)),
    ("HOSTNAME", "attributes.instance_id.override_hostname", |config, text| {
        set(&mut config.attributes.instance_id.override_hostname, text)
    }),
    ("INTERNAL_METRICS_PROMETHEUS_PATH", "internal_metrics.prometheus.path", |config, text| {
        parse(&mut config.internal_metrics.prometheus.path, text)
    }),
    ("INTERNAL_METRICS_PROMETHEUS_PORT", "internal_metrics.prometheus.port", |config, text| {
        port(&mut config.internal_metrics.prometheus.port, text)
    }),
    ("KUBE_CLUSTER_NAME", "attributes.kubernetes.cluster_name", |config, text| {
        set(&mut config.attributes.kubernetes.cluster_name, text)
    }),
    ("KUBE_METADATA_ENABLE", "attributes.kubernetes.enable", |config, text| {
        parse(&mut config.attributes.kubernetes.enable, text)
    }),
    ("KUBE_META_SOURCE_LABEL_SERVICE_NAME", "attributes.kubernetes.meta_source_labels.service_name", |config, text| {
        parse(&mut config.attributes.kubernetes.meta_source_labels.service_name, text)
    }),
    (
        "KUBE_META_SOURCE_LABEL_SERVICE_NAMESPACE",
        "attributes.kubernetes.meta_source_labels.service_namespace",
        |config, text| parse(&mut config.attributes.kubernetes.meta_source_labels.service_namespace, text),
    ),
    ("LOG_LEVEL", "log_level", |config, text| parse(&mut config.log_level, text)),
    ("METRICS_FEATURES", "metrics.features", |config, text| list(&mut config.metrics.features, text)),
    ("METRICS_INSTRUMENTATIONS", "otel_metrics_export.instrumentations", |config, text| {
        list(&mut config.otel_metrics_export.instrumentations, text)
    }),
    ("METRICS_INTERVAL", "otel_metrics_export.interval", |config, text| {
        parse(&mut config.otel_metrics_export.interval, text)
    }),
    ("METRICS_REPORT_PEER", "otel_metrics_export.report_peer, prometheus_export.report_peer", |config, text| {
        switch(&mut config.otel_metrics_export.report_peer, text)?;
        switch(&mut config.prometheus_export.report_peer, text)
    }),
    ("METRICS_REPORT_TARGET", "otel_metrics_export.report_target, prometheus_export.report_target", |config, text| {
        switch(&mut config.otel_metrics_export.report_target, text)?;
        switch(&mut config.prometheus_export.report_target, text)
    }),
    ("METRICS_TTL", "otel_metrics_export.ttl", |config, text| parse(&mut config.otel_metrics_export.ttl, text)),
    ("METRIC_SPAN_NAMES_LIMIT", "attributes.metric_span_names_limit", |config, text| {
        parse(&mut config.attributes.metric_span_names_limit, text)
    }),
    ("OPEN_PORT", "open_port", |config, text| set(&mut config.open_port, text)),
    (
        "OTEL_INSECURE_SKIP_VERIFY",
        "otel_metrics_export.insecure_skip_verify, otel_traces_export.insecure_skip_verify",
        |config, text| {
            switch(&mut config.otel_metrics_export.insecure_skip_verify, text)?;
            switch(&mut config.otel_traces_export.insecure_skip_verify, text)
        },
    ),
    ("OTEL_METRICS_INSTRUMENTATIONS", "otel_metrics_export.instrumentations", |config, text| {
        list(&mut config.otel_metrics_export.instrumentations, text)
    }),
    ("OTEL_METRICS_TTL", "otel_metrics_export.ttl", |config, text| parse(&mut config.otel_metrics_export.ttl, text)),
    ("OTEL_METRIC_FEATURES", "otel_metrics_export.features", |config, text| {
        list(&mut config.otel_metrics_export.features, text)
    }),
    ("OTEL_TRACES_INSTRUMENTATIONS", "otel_traces_export.instrumentations", |config, text| {
        list(&mut config.otel_traces_export.instrumentations, text)
    }),
    ("OTLP_TRACES_BATCH_TIMEOUT", "otel_traces_export.batch_timeout", |config, text| {
        parse(&mut config.otel_traces_export.batch_timeout, text)
    }),
    ("OTLP_TRACES_MAX_EXPORT_BATCH_SIZE", "otel_traces_export.batch_max_size", |config, text| {
        parse(&mut config.otel_traces_export.batch_max_size, text)
    }),
    ("OTLP_TRACES_MAX_QUEUE_SIZE", "otel_traces_export.max_queue_size", |config, text| {
        parse(&mut config.otel_traces_export.max_queue_size, text)
    }),
    ("PRINT_TRACES", "print_traces", |config, text| switch(&mut config.print_traces, text)),
    (
        "PROMETHEUS_ALLOW_SERVICE_GRAPH_SELF_REFERENCES",
        "prometheus_export.allow_service_graph_self_references",
        |config, text| switch(&mut config.prometheus_export.allow_service_graph_self_references, text),
    ),
    ("PROMETHEUS_EXEMPLAR_FILTER", "prometheus_export.exemplar_filter", |config, text| {
        parse(&mut config.prometheus_export.exemplar_filter, text)
    }),
    ("PROMETHEUS_FEATURES", "prometheus_export.features", |config, text| {
        list(&mut config.prometheus_export.features, text)
    }),
    ("PROMETHEUS_INSTRUMENTATIONS", "prometheus_export.instrumentations", |config, text| {
        list(&mut config.prometheus_export.instrumentations, text)
    }),
    ("PROMETHEUS_PATH", "prometheus_export.path", |config, text| parse(&mut config.prometheus_export.path, text)),
    ("PROMETHEUS_PORT", "prometheus_export.port", |config, text| port(&mut config.prometheus_export.port, text)),
    ("PROMETHEUS_TTL", "prometheus_export.ttl", |config, text| parse(&mut config.prometheus_export.ttl, text)),
    ("RENAME_UNRESOLVED_HOSTS", "attributes.rename_unresolved_hosts", |config, text| {
        parse(&mut config.attributes.rename_unresolved_hosts, text)
    }),
    ("RENAME_UNRESOLVED_HOSTS_INCOMING", "attributes.rename_unresolved_hosts_incoming", |config, text| {
        parse(&mut config.attributes.rename_unresolved_hosts_incoming, text)
    }),
    ("RENAME_UNRESOLVED_HOSTS_OUTGOING", "attributes.rename_unresolved_hosts_outgoing", |config, text| {
        parse(&mut config.attributes.rename_unresolved_hosts_outgoing, text)
    }),
    ("SERVICE_NAME", "service_name", |config, text| set(&mut config.service_name, text)),
    ("SERVICE_NAMESPACE", "service_namespace", |config, text| set(&mut config.service_namespace, text)),
    ("SERVICE_NAME_TEMPLATE", "attributes.kubernetes.service_name_template", |config, text| {
        set(&mut config.attributes.kubernetes.service_name_template, text)
    }),
    ("SHUTDOWN_TIMEOUT", "shutdown_timeout", |config, text| parse(&mut config.shutdown_timeout, text)),
    ("SYSTEM_WIDE", "system_wide", |config, text| switch(&mut config.system_wide, text)),
    ("TRACE_PRINTER", "trace_printer", |config, text| parse(&mut config.trace_printer, text)),
];

/// OpenTelemetry's own variables, the general before the special.
const OTEL: &[(&str, &str, Take)] = &[
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel_metrics_export.endpoint, otel_traces_export.endpoint", |config, text| {
        config.otel_metrics_export.endpoint = of_signal(text, "/v1/metrics");
        config.otel_traces_export.endpoint = of_signal(text, "/v1/traces");
        Ok(())
    }),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "otel_metrics_export.endpoint", |config, text| {
        parse(&mut config.otel_metrics_export.endpoint, text)
    }),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otel_traces_export.endpoint", |config, text| {
        parse(&mut config.otel_traces_export.endpoint, text)
    }),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "otel_metrics_export.protocol, otel_traces_export.protocol", |config, text| {
        parse(&mut config.otel_metrics_export.protocol, text)?;
        parse(&mut config.otel_traces_export.protocol, text)
    }),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "otel_metrics_export.protocol", |config, text| {
        parse(&mut config.otel_metrics_export.protocol, text)
    }),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "otel_traces_export.protocol", |config, text| {
        parse(&mut config.otel_traces_export.protocol, text)
    }),
    ("OTEL_EXPORTER_OTLP_HEADERS", "otel_metrics_export.headers, otel_traces_export.headers", |config, text| {
        pairs(&mut config.otel_metrics_export.headers, text)?;
        pairs(&mut config.otel_traces_export.headers, text)
    }),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "otel_metrics_export.headers", |config, text| {
        pairs(&mut config.otel_metrics_export.headers, text)
    }),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "otel_traces_export.headers", |config, text| {
        pairs(&mut config.otel_traces_export.headers, text)
    }),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "otel_metrics_export.histogram_aggregation",
        |config, text| parse(&mut config.otel_metrics_export.histogram_aggregation, text),
    ),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "redtape.otlp.temporality", |config, text| {
        parse(&mut config.redtape.otlp.temporality, text)
    }),
    ("OTEL_METRIC_EXPORT_INTERVAL", "otel_metrics_export.interval", |config, text| {
        config.otel_metrics_export.interval = millis(text)?;
        Ok(())
    }),
    ("OTEL_TRACES_SAMPLER", "otel_traces_export.sampler.name", |config, text| {
        set(&mut config.otel_traces_export.sampler.name, text)
    }),
    ("OTEL_TRACES_SAMPLER_ARG", "otel_traces_export.sampler.arg", |config, text| {
        set(&mut config.otel_traces_export.sampler.arg, text)
    }),
    ("GRAFANA_CLOUD_ZONE", "grafana.otlp.cloud_zone", |config, text| set(&mut config.grafana.otlp.cloud_zone, text)),
    ("GRAFANA_CLOUD_INSTANCE_ID", "grafana.otlp.cloud_instance_id", |config, text| {
        set(&mut config.grafana.otlp.cloud_instance_id, text)
    }),
    ("GRAFANA_CLOUD_API_KEY", "grafana.otlp.cloud_api_key", |config, text| {
        set(&mut config.grafana.otlp.cloud_api_key, text)
    }),
    ("GRAFANA_CLOUD_SUBMIT", "grafana.otlp.cloud_submit", |config, text| {
        let mut listed = None;
        list(&mut listed, text)?;
        config.grafana.otlp.cloud_submit = listed.unwrap_or_default();
        Ok(())
    }),
    // Not OTEL_SERVICE_NAME: it names redtape itself here, and each recorded process has its own.
];

/// OpenTelemetry's variables of both signals of OTLP: what follows `OTEL_EXPORTER_OTLP_`, and `TRACES_` or `METRICS_` where
/// it is for one of them.
const OTLP: &[(&str, Take<OtlpSignal>)] = &[
    ("CERTIFICATE", |otlp, text| set(&mut otlp.certificate, text)),
    ("CLIENT_CERTIFICATE", |otlp, text| set(&mut otlp.client_certificate, text)),
    ("CLIENT_KEY", |otlp, text| set(&mut otlp.client_key, text)),
    ("COMPRESSION", |otlp, text| parse(&mut otlp.compression, text)),
    ("INSECURE", |otlp, text| set(&mut otlp.insecure, text)),
    ("TIMEOUT", |otlp, text| {
        otlp.timeout = millis(text)?;
        Ok(())
    }),
];

/// Variables that Beyla knows and that have no effect here, with the key that says why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("BPF_BATCH_LENGTH", "ebpf.batch_length"),
    ("BPF_BATCH_TIMEOUT", "ebpf.batch_timeout"),
    ("BPF_BUFFER_SIZE_HTTP", "ebpf.buffer_sizes"),
    ("BPF_CONTEXT_PROPAGATION", "ebpf.context_propagation"),
    ("BPF_DEBUG", "ebpf.bpf_debug"),
    ("BPF_HIGH_REQUEST_VOLUME", "ebpf.high_request_volume"),
    ("BPF_HTTP_REQUEST_TIMEOUT", "ebpf.http_request_timeout"),
    ("BPF_MAX_TRANSACTION_TIME", "ebpf.max_transaction_time"),
    ("BPF_TC_BACKEND", "ebpf.traffic_control_backend"),
    ("BPF_TRACK_REQUEST_HEADERS", "ebpf.track_request_headers"),
    ("BPF_WAKEUP_LEN", "ebpf.wakeup_len"),
    ("CHANNEL_BUFFER_LEN", "channel_buffer_len"),
    ("ENFORCE_SYS_CAPS", "enforce_sys_caps"),
    ("HOSTNAME_DNS_RESOLUTION", "attributes.instance_id.dns"),
    ("INTERNAL_METRICS_EXPORTER", "internal_metrics.exporter"),
    ("LOG_CONFIG", "log_config"),
    ("LOG_FORMAT", "log_format"),
    ("MIN_PROCESS_AGE", "discovery.min_process_age"),
    ("NOOP_TRACES", "noop"),
    ("PROFILE_PORT", "profile_port"),
    ("SKIP_GO_SPECIFIC_TRACERS", "discovery.skip_go_specific_tracers"),
];

/// All variables, those of Beyla without their prefix, each with the keys that it stands for.
pub(super) fn variables() -> Vec<(String, String)> {
    let own = |(name, path): (&str, &str)| (name.to_owned(), path.to_owned());
    let of_otlp = |(key, _): &(&str, _)| {
        let key: &str = key;
        let (name, path) = (format!("OTEL_EXPORTER_OTLP_{key}"), key.to_lowercase());
        let of = |signal: &str| format!("redtape.otlp.{signal}.{path}");
        [
            (name.replace("OTLP_", "OTLP_METRICS_"), of("metrics")),
            (name.replace("OTLP_", "OTLP_TRACES_"), of("traces")),
            (name, format!("{}, {}", of("metrics"), of("traces"))),
        ]
    };
    let beyla = VARIABLES.iter().map(|(name, path, _)| (*name, *path)).chain(WITHOUT_EFFECT.iter().copied());
    let mut variables: Vec<_> = beyla.map(|(name, path)| own((&format!("BEYLA_{name}"), path))).collect();
    variables.extend(OTEL.iter().map(|(name, path, _)| own((name, path))));
    variables.extend(OTLP.iter().flat_map(of_otlp));
    variables.sort();
    variables
}

/// The keys that a variable stands for, by its whole name.
pub fn variable_keys(name: &str) -> Option<String> {
    let name = name.strip_prefix("OTEL_EBPF_").map_or_else(|| name.to_owned(), |key| format!("BEYLA_{key}"));
    variables().into_iter().find(|(known, _)| *known == name).map(|(_, path)| path)
}

impl Config {
    /// Takes the variables that stand for keys, over what is set already. `BEYLA_*` goes before `OTEL_EBPF_*`.
    ///
    /// `CONFIG_PATH` is left to whoever reads the file.
    ///
    /// # Errors
    ///
    /// The variable whose value cannot be used.
    pub fn apply_env(&mut self, variables: &BTreeMap<String, String>) -> Result<Vec<Warning>, ConfigError> {
        let mut warnings = Vec::new();
        let place = |name: &str| Place { source: name.into(), ..Place::default() };
        // To OpenTelemetry an empty variable is the same as none.
        let given = |name: &str| variables.get(name).filter(|text| !text.trim().is_empty());
        for (name, _, take) in OTEL {
            if let Some(text) = given(name) {
                take(self, text).map_err(|message| ConfigError { place: place(name), message })?;
            }
        }
        for signal in ["", "METRICS_", "TRACES_"] {
            for (key, take) in OTLP {
                let name = format!("OTEL_EXPORTER_OTLP_{signal}{key}");
                let Some(text) = given(&name) else { continue };
                let OtlpConfig { traces, metrics, .. } = &mut self.redtape.otlp;
                let all = [(traces, "TRACES_"), (metrics, "METRICS_")];
                let mut concerned = all.into_iter().filter(|(_, own)| signal.is_empty() || signal == *own);
                concerned
                    .try_for_each(|(otlp, _)| take(otlp, text))
                    .map_err(|message| ConfigError { place: place(&name), message })?;
            }
        }
        for prefix in ["OTEL_EBPF_", "BEYLA_"] {
            for (name, text) in variables {
                let Some(key) = name.strip_prefix(prefix) else { continue };
                if let Some((.., take)) = VARIABLES.iter().find(|(known, ..)| *known == key) {
                    take(self, text).map_err(|message| ConfigError { place: place(name), message })?;
                } else if let Some((_, path)) = WITHOUT_EFFECT.iter().find(|(known, _)| *known == key) {
                    let reason = inert_reason(path).unwrap_or_default();
                    warnings.push(Warning { place: place(name), message: format!("has no effect: {reason}") });
                } else if key != "CONFIG_PATH" {
                    let known = VARIABLES.iter().map(|(known, ..)| known);
                    let known: Vec<_> = known.chain(WITHOUT_EFFECT.iter().map(|(known, _)| known)).copied().collect();
                    // Of so many a few tell nothing.
                    let hint = match did_you_mean(key, &known) {
                        Some(near) => format!("did you mean `{prefix}{near}`?"),
                        None => "`redtape config keys` lists those that there are".into(),
                    };
                    warnings.push(Warning { place: place(name), message: format!("unknown variable; {hint}") });
                }
            }
        }
        self.resolve_grafana();
        match self.fault() {
            Some((path, message)) => {
                // The variable that says it, if one does by itself.
                let says =
                    |name: &&String| given(name).and_then(|_| variable_keys(name)).is_some_and(|key| key == path);
                let place = match variables.keys().find(says) {
                    Some(name) => place(name),
                    None => Place { source: "environment".into(), position: None, path },
                };
                Err(ConfigError { place, message })
            }
            None => Ok(warnings),
        }
    }
}

fn parse<T: FromStr<Err: ToString>>(value: &mut T, text: &str) -> Result<(), String> {
    *value = text.trim().parse().map_err(|error: T::Err| format!("`{text}`: {}", error.to_string()))?;
    Ok(())
}

/// A port, or 0 for none.
fn port(value: &mut u16, text: &str) -> Result<(), String> {
    *value = text.trim().parse().map_err(|_| format!("`{text}` is no whole number from 0 to 65535"))?;
    Ok(())
}

/// Yes or no, in the words of Go, which Beyla is written in.
fn switch(value: &mut bool, text: &str) -> Result<(), String> {
    *value = match text.trim() {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => true,
        "0" | "f" | "F" | "false" | "False" | "FALSE" => false,
        _ => return Err(format!("`{text}` is neither `true` nor `false`")),
    };
    Ok(())
}

fn set<T: FromStr<Err: ToString>>(value: &mut Option<T>, text: &str) -> Result<(), String> {
    *value = Some(text.trim().parse().map_err(|error: T::Err| error.to_string())?);
    Ok(())
}

/// OpenTelemetry's variables have milliseconds.
fn millis(text: &str) -> Result<Period, String> {
    let millis = text.trim().parse().map_err(|_| format!("`{text}` is no number of milliseconds"))?;
    Ok(Period(Duration::from_millis(millis)))
}

fn list<T: FromStr<Err: ToString>>(values: &mut Option<Vec<T>>, text: &str) -> Result<(), String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    *values = Some(words.map(str::parse).collect::<Result<_, T::Err>>().map_err(|error| error.to_string())?);
    Ok(())
}

/// `key=value` pairs separated by commas, as OpenTelemetry writes headers: percent-encoded like W3C baggage (OTLP exporter,
/// "Specifying headers via environment variables"). What is none is named by its place: it may be a secret.
fn pairs(values: &mut BTreeMap<String, String>, text: &str) -> Result<(), String> {
    for (at, pair) in text.split(',').map(str::trim).enumerate().filter(|(_, pair)| !pair.is_empty()) {
        let wrong = || format!("entry {} of those between commas is no `key=value` pair", at + 1);
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        values.insert(percent_decoded(key.trim()).into_owned(), percent_decoded(value.trim()).into_owned());
    }
    Ok(())
}

/// The endpoint of one signal below the endpoint of all (OTLP exporter, "Endpoint URLs for OTLP/HTTP").
fn of_signal(base: &str, path: &str) -> String {
    let base = base.trim().trim_end_matches('/');
    if base.is_empty() { String::new() } else { format!("{base}{path}") }
}
