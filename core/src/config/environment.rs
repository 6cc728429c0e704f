//! Environment variables that stand for keys: Beyla's `BEYLA_*`, the same as `OTEL_EBPF_*`, and OpenTelemetry's own.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::load::{ConfigError, Place, Warning};
use super::own::{OtlpConfig, OtlpSignal};
use super::root::Config;
use super::scalar::{Period, hint};
use crate::service::percent_decoded;

/// How a variable is taken.
type Take<T = Config> = fn(&mut T, &str) -> Result<(), String>;

/// What follows `BEYLA_` or `OTEL_EBPF_`, and what it sets.
const VARIABLES: &[(&str, Take)] = &[
    ("AUTO_TARGET_EXE", |config, text| set(&mut config.auto_target_exe, text)),
    ("EXECUTABLE_NAME", |config, text| set(&mut config.executable_name, text)),
    ("INTERNAL_METRICS_PROMETHEUS_PATH", |config, text| parse(&mut config.internal_metrics.prometheus.path, text)),
    ("INTERNAL_METRICS_PROMETHEUS_PORT", |config, text| parse(&mut config.internal_metrics.prometheus.port, text)),
    ("KUBE_CLUSTER_NAME", |config, text| set(&mut config.attributes.kubernetes.cluster_name, text)),
    ("KUBE_METADATA_ENABLE", |config, text| parse(&mut config.attributes.kubernetes.enable, text)),
    ("LOG_LEVEL", |config, text| parse(&mut config.log_level, text)),
    ("METRICS_FEATURES", |config, text| list(&mut config.otel_metrics_export.features, text)),
    ("METRICS_INTERVAL", |config, text| parse(&mut config.otel_metrics_export.interval, text)),
    ("METRICS_REPORT_PEER", |config, text| {
        parse(&mut config.otel_metrics_export.report_peer, text)?;
        parse(&mut config.prometheus_export.report_peer, text)
    }),
    ("METRICS_REPORT_TARGET", |config, text| {
        parse(&mut config.otel_metrics_export.report_target, text)?;
        parse(&mut config.prometheus_export.report_target, text)
    }),
    ("METRICS_TTL", |config, text| parse(&mut config.otel_metrics_export.ttl, text)),
    ("OPEN_PORT", |config, text| set(&mut config.open_port, text)),
    ("OTEL_INSECURE_SKIP_VERIFY", |config, text| {
        parse(&mut config.otel_metrics_export.insecure_skip_verify, text)?;
        parse(&mut config.otel_traces_export.insecure_skip_verify, text)
    }),
    ("PRINT_TRACES", |config, text| parse(&mut config.print_traces, text)),
    ("PROMETHEUS_EXEMPLAR_FILTER", |config, text| parse(&mut config.prometheus_export.exemplar_filter, text)),
    ("PROMETHEUS_FEATURES", |config, text| list(&mut config.prometheus_export.features, text)),
    ("PROMETHEUS_PATH", |config, text| parse(&mut config.prometheus_export.path, text)),
    ("PROMETHEUS_PORT", |config, text| parse(&mut config.prometheus_export.port, text)),
    ("PROMETHEUS_TTL", |config, text| parse(&mut config.prometheus_export.ttl, text)),
    ("SERVICE_NAME", |config, text| set(&mut config.service_name, text)),
    ("SERVICE_NAMESPACE", |config, text| set(&mut config.service_namespace, text)),
    ("TRACE_PRINTER", |config, text| parse(&mut config.trace_printer, text)),
];

/// OpenTelemetry's own variables, the general before the special.
const OTEL: &[(&str, Take)] = &[
    ("OTEL_EXPORTER_OTLP_ENDPOINT", |config, text| {
        config.otel_metrics_export.endpoint = of_signal(text, "/v1/metrics");
        config.otel_traces_export.endpoint = of_signal(text, "/v1/traces");
        Ok(())
    }),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", |config, text| parse(&mut config.otel_metrics_export.endpoint, text)),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", |config, text| parse(&mut config.otel_traces_export.endpoint, text)),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", |config, text| {
        parse(&mut config.otel_metrics_export.protocol, text)?;
        parse(&mut config.otel_traces_export.protocol, text)
    }),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", |config, text| parse(&mut config.otel_metrics_export.protocol, text)),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", |config, text| parse(&mut config.otel_traces_export.protocol, text)),
    ("OTEL_EXPORTER_OTLP_HEADERS", |config, text| {
        pairs(&mut config.otel_metrics_export.headers, text)?;
        pairs(&mut config.otel_traces_export.headers, text)
    }),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", |config, text| pairs(&mut config.otel_metrics_export.headers, text)),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", |config, text| pairs(&mut config.otel_traces_export.headers, text)),
    ("OTEL_METRIC_EXPORT_INTERVAL", |config, text| {
        config.otel_metrics_export.interval = millis(text)?;
        Ok(())
    }),
    ("OTEL_TRACES_SAMPLER", |config, text| set(&mut config.otel_traces_export.sampler.name, text)),
    ("OTEL_TRACES_SAMPLER_ARG", |config, text| set(&mut config.otel_traces_export.sampler.arg, text)),
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

/// Which values a metric's points have: of all since the start, or since the last export.
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

/// Variables that Beyla knows and that have no effect here.
const WITHOUT_EFFECT: &[&str] = &[
    "BPF_BATCH_LENGTH",
    "BPF_BATCH_TIMEOUT",
    "BPF_BUFFER_SIZE_HTTP",
    "BPF_CONTEXT_PROPAGATION",
    "BPF_DEBUG",
    "BPF_HIGH_REQUEST_VOLUME",
    "BPF_HTTP_REQUEST_TIMEOUT",
    "BPF_TC_BACKEND",
    "BPF_TRACK_REQUEST_HEADERS",
    "BPF_WAKEUP_LEN",
    "CHANNEL_BUFFER_LEN",
    "ENFORCE_SYS_CAPS",
    "INTERNAL_METRICS_EXPORTER",
    "LOG_FORMAT",
    "PROFILE_PORT",
    "SHUTDOWN_TIMEOUT",
    "SYSTEM_WIDE",
];

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
        for (name, take) in OTEL {
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
        if let Some(text) = given(TEMPORALITY).filter(|text| !text.eq_ignore_ascii_case("cumulative")) {
            let message =
                format!("`{text}` has no effect: redtape exports values since the start alone (`cumulative`)");
            warnings.push(Warning { place: place(TEMPORALITY), message });
        }
        for prefix in ["OTEL_EBPF_", "BEYLA_"] {
            for (name, text) in variables {
                let Some(key) = name.strip_prefix(prefix) else { continue };
                if let Some((_, take)) = VARIABLES.iter().find(|(known, _)| *known == key) {
                    take(self, text).map_err(|message| ConfigError { place: place(name), message })?;
                } else if WITHOUT_EFFECT.contains(&key) {
                    warnings.push(Warning { place: place(name), message: "has no effect in redtape".into() });
                } else if key != "CONFIG_PATH" {
                    let known: Vec<_> = VARIABLES.iter().map(|(known, _)| format!("{prefix}{known}")).collect();
                    let known: Vec<_> = known.iter().map(String::as_str).collect();
                    let message = format!("unknown variable; {}", hint(name, &known));
                    warnings.push(Warning { place: place(name), message });
                }
            }
        }
        match self.fault() {
            Some((path, message)) => {
                Err(ConfigError { place: Place { source: "environment".into(), position: None, path }, message })
            }
            None => Ok(warnings),
        }
    }
}

fn parse<T: FromStr<Err: ToString>>(value: &mut T, text: &str) -> Result<(), String> {
    *value = text.trim().parse().map_err(|error: T::Err| format!("`{text}`: {}", error.to_string()))?;
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
/// "Specifying headers via environment variables").
fn pairs(values: &mut BTreeMap<String, String>, text: &str) -> Result<(), String> {
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is no `key=value` pair"))?;
        values.insert(percent_decoded(key.trim()).into_owned(), percent_decoded(value.trim()).into_owned());
    }
    Ok(())
}

/// The endpoint of one signal below the endpoint of all (OTLP exporter, "Endpoint URLs for OTLP/HTTP").
fn of_signal(base: &str, path: &str) -> String {
    let base = base.trim().trim_end_matches('/');
    if base.is_empty() { String::new() } else { format!("{base}{path}") }
}
