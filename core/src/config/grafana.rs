//! `grafana`: Grafana Cloud as a receiver of OTLP, in the short form of its own.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::export::Signal;
use super::root::Config;
use super::section::section;

section! {
    /// `grafana`: Grafana Cloud.
    Grafana {
        /// Its receiver of OTLP.
        otlp: GrafanaOtlp = GrafanaOtlp::default(),
    }
    without effect {}
}

section! {
    /// `grafana.otlp`: the receiver, in place of an `endpoint` and its `headers`.
    GrafanaOtlp {
        /// The zone, as in `prod-eu-west-0`.
        cloud_zone: Option<String> = None,
        /// The user of the receiver.
        cloud_instance_id: Option<String> = None,
        /// The user's key. It never gets on a tape.
        cloud_api_key: Option<String> = None,
        /// What to send there: `traces` and `metrics`.
        cloud_submit: Vec<Signal> = vec![Signal::Traces],
    }
    without effect {}
}

impl Config {
    /// Points the exporters to Grafana Cloud, where they have no endpoint of their own.
    pub(super) fn resolve_grafana(&mut self) {
        let GrafanaOtlp { cloud_zone, cloud_instance_id, cloud_api_key, cloud_submit } = &self.grafana.otlp;
        let Some(zone) = cloud_zone.as_deref().filter(|zone| !zone.is_empty()) else { return };
        let endpoint = format!("https://otlp-gateway-{zone}.grafana.net/otlp");
        let user = cloud_instance_id.as_deref().unwrap_or_default();
        let credentials = BASE64_STANDARD.encode(format!("{user}:{}", cloud_api_key.as_deref().unwrap_or_default()));
        let submits = |signal| cloud_submit.contains(&signal);
        let (traces, metrics) = (submits(Signal::Traces), submits(Signal::Metrics));
        let point = |to: &mut String, headers: &mut BTreeMap<String, String>| {
            if to.is_empty() {
                *to = endpoint.clone();
                headers.insert("Authorization".into(), format!("Basic {credentials}"));
            }
        };
        if traces {
            point(&mut self.otel_traces_export.endpoint, &mut self.otel_traces_export.headers);
        }
        if metrics {
            point(&mut self.otel_metrics_export.endpoint, &mut self.otel_metrics_export.headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_and_a_key_are_an_endpoint_and_a_header() {
        let yaml = "grafana: {otlp: {cloud_zone: prod-eu-west-0, cloud_instance_id: '1234', cloud_api_key: k}}";
        let (config, warnings) = Config::from_yaml(yaml, "c.yml").unwrap();
        assert!(warnings.is_empty());
        let traces = &config.otel_traces_export;
        assert_eq!(traces.endpoint, "https://otlp-gateway-prod-eu-west-0.grafana.net/otlp");
        assert_eq!(traces.headers["Authorization"], "Basic MTIzNDpr");
        assert_eq!(config.otel_metrics_export.endpoint, "");

        let yaml = format!("otel_traces_export: {{endpoint: 'http://t'}}\n{yaml}");
        let (config, _) = Config::from_yaml(&yaml, "c.yml").unwrap();
        assert_eq!(config.otel_traces_export.endpoint, "http://t");
    }
}
