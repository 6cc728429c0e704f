//! All keys of a configuration, with what each does: for warnings, `redtape config keys` and the documentation.

use std::fmt::Write as _;

use super::discovery::{DiscoveryConfig, ENTRY_KEYS};
use super::environment::variables;
use super::export::{
    Buckets, InternalMetrics, InternalPrometheus, OtelMetricsExport, OtelTracesExport, PrometheusExport, SamplerConfig,
};
use super::grafana::{Grafana, GrafanaOtlp};
use super::histograms::{ExponentialHistogram, NativeHistogram};
use super::kubernetes::{Kubernetes, MetaSourceLabels};
use super::metrics::{Attributes, Features, HostId, InstanceId, MatchConfig, RedactConfig, SelectConfig};
use super::own::{LimitsConfig, LinksConfig, OtlpConfig, OtlpSignal, OwnConfig, OwnMetrics, RemoteWriteConfig};
use super::root::{Config, EbpfConfig, FilterConfig, NameResolver};
use super::routes::{RoutesConfig, ServiceRoutes};
use super::section::Key;

/// The sections, each with its keys. A word in capitals stands for any name.
const SECTIONS: [(&str, &[Key]); 36] = [
    ("", Config::KEYS),
    ("discovery", DiscoveryConfig::KEYS),
    ("discovery.services[]", ENTRY_KEYS),
    ("discovery.services[].routes", ServiceRoutes::KEYS),
    ("routes", RoutesConfig::KEYS),
    ("prometheus_export", PrometheusExport::KEYS),
    ("prometheus_export.buckets", Buckets::KEYS),
    ("prometheus_export.native_histogram", NativeHistogram::KEYS),
    ("otel_metrics_export", OtelMetricsExport::KEYS),
    ("otel_metrics_export.exponential_histogram", ExponentialHistogram::KEYS),
    ("otel_traces_export", OtelTracesExport::KEYS),
    ("otel_traces_export.sampler", SamplerConfig::KEYS),
    ("grafana", Grafana::KEYS),
    ("grafana.otlp", GrafanaOtlp::KEYS),
    ("metrics", Features::KEYS),
    ("attributes", Attributes::KEYS),
    ("attributes.select.METRIC", SelectConfig::KEYS),
    ("attributes.instance_id", InstanceId::KEYS),
    ("attributes.host_id", HostId::KEYS),
    ("attributes.kubernetes", Kubernetes::KEYS),
    ("attributes.kubernetes.meta_source_labels", MetaSourceLabels::KEYS),
    ("attributes.redact", RedactConfig::KEYS),
    ("filter", FilterConfig::KEYS),
    ("filter.application.ATTRIBUTE", MatchConfig::KEYS),
    ("internal_metrics", InternalMetrics::KEYS),
    ("internal_metrics.prometheus", InternalPrometheus::KEYS),
    ("name_resolver", NameResolver::KEYS),
    ("ebpf", EbpfConfig::KEYS),
    ("redtape", OwnConfig::KEYS),
    ("redtape.links", LinksConfig::KEYS),
    ("redtape.metrics", OwnMetrics::KEYS),
    ("redtape.limits", LimitsConfig::KEYS),
    ("redtape.otlp", OtlpConfig::KEYS),
    ("redtape.otlp.traces", OtlpSignal::KEYS),
    ("redtape.otlp.metrics", OtlpSignal::KEYS),
    ("redtape.remote_write", RemoteWriteConfig::KEYS),
];

/// All keys as tables in Markdown, a section each.
pub fn keys_markdown() -> String {
    let mut text = String::new();
    for (section, keys) in SECTIONS {
        let title = if section.is_empty() { "Top level".into() } else { format!("`{section}`") };
        table(&mut text, &title, "Key", keys.iter().map(|key| (key.name, about(key))));
    }
    let stands_for =
        |path: &str| inert_reason(path).map_or_else(|| format!("`{}`", path.replace(", ", "`, `")), without);
    let variables = variables();
    let rows = variables.iter().map(|(name, path)| (name.as_str(), stands_for(path)));
    table(&mut text, "Environment variables", "Variable", rows);
    text
}

fn table<'a>(text: &mut String, title: &str, head: &str, rows: impl Iterator<Item = (&'a str, String)>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let infallible = "invariant: writing to a string does not fail";
    writeln!(text, "\n### {title}\n\n| {head} | What it does |\n|---|---|").expect(infallible);
    rows.for_each(|(name, about)| writeln!(text, "| `{name}` | {about} |").expect(infallible));
}

fn about(key: &Key) -> String {
    let about = key.about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    if key.works { about.replace('|', "\\|") } else { without(&about) }
}

fn without(reason: &str) -> String {
    format!("*without effect*: {reason}")
}

/// Why the key at `path` has no effect; `None` if it has one, or is none.
pub(super) fn inert_reason(path: &str) -> Option<&'static str> {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let (_, keys) = SECTIONS.iter().find(|(known, _)| *known == section)?;
    keys.iter().find(|key| key.name == name && !key.works)?.about.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_all_keys() {
        const PAGE: &str = include_str!("../../../docs/configuration.md");
        let (_, listed) = PAGE.split_once("<!-- redtape config keys -->\n").unwrap();
        assert_eq!(
            listed,
            keys_markdown(),
            "put what `redtape config keys` prints below the mark in docs/configuration.md"
        );
    }

    #[test]
    fn variables_stand_for_keys_that_there_are() {
        let exists = |path: &str| {
            let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
            SECTIONS.iter().any(|(known, keys)| *known == section && keys.iter().any(|key| key.name == name))
        };
        for (variable, path) in variables() {
            assert!(path.split(", ").all(exists), "{variable} stands for {path}");
        }
    }
}
