//! Tests that `docs/metrics.md` has all metrics, as they are.

use std::collections::BTreeMap;

use super::{MetricFeature, MetricNames, MetricsConfig, Registry, Scale};
use crate::limits::Limits;

const PAGE: &str = include_str!("../../../docs/metrics.md");

/// A line of the page's table for each metric there can be.
fn lines() -> BTreeMap<String, String> {
    use MetricFeature::{
        Application, ApplicationServiceGraph, ApplicationSpan, ApplicationSpanOtel, ApplicationSpanSizes,
    };
    let all = [Application, ApplicationServiceGraph, ApplicationSpan, ApplicationSpanSizes];
    let usual = MetricsConfig { features: all.into(), ..MetricsConfig::default() };
    let configs = [
        usual.clone(),
        MetricsConfig { features: [ApplicationSpanOtel].into(), ..usual.clone() },
        MetricsConfig { names: MetricNames::Beyla10, ..usual.clone() },
        MetricsConfig { rpc_call_duration: true, ..usual },
    ];
    let mut lines = BTreeMap::new();
    for config in configs {
        for family in Registry::new(&config, &Limits::default()).snapshot().families {
            let (name, kind) = (family.exposed_name(), family.kind.as_str());
            let unit = match family.scale {
                Scale::Bytes => "bytes",
                Scale::None => "",
                Scale::Seconds => "seconds",
            };
            let labels: Vec<_> = family.labels.iter().filter(|label| !label.starts_with("k8s_")).copied().collect();
            let line = format!("| `{name}` | {kind} | {unit} | {} | {} |", labels.join(", "), family.help);
            // The first configuration is the usual one.
            lines.entry(name).or_insert(line);
        }
    }
    lines
}

#[test]
fn the_page_has_all_metrics() {
    let expected: Vec<_> = lines().into_values().collect();
    let (_, table) = PAGE.split_once("## Metrics of a tape\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let found: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, expected, "what docs/metrics.md should have:\n{}", expected.join("\n"));
}
