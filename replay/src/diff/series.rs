//! Series from OpenMetrics or Prometheus' text, as far as they are compared.

use std::collections::{BTreeMap, BTreeSet};

use super::side::MetricSeries;
use crate::openmetrics::Sample;

/// Labels that are about one process, pod or container, so that series are told apart by nothing else than a restart.
const OF_INSTANCES: [&str; 6] =
    ["container_id", "host_id", "instance", "k8s_pod_name", "k8s_pod_start_time", "k8s_pod_uid"];

/// The same as a set, to which more may be added.
pub(crate) fn of_instances() -> BTreeSet<String> {
    OF_INSTANCES.iter().map(ToString::to_string).collect()
}

/// The series of an exposition, by metric.
///
/// # Errors
///
/// The number of a line that is no sample, and why.
pub(super) fn series<'a>(
    lines: impl Iterator<Item = &'a str>,
    ignored: &BTreeSet<String>,
) -> Result<BTreeMap<String, MetricSeries>, (usize, String)> {
    let mut metrics: BTreeMap<String, MetricSeries> = BTreeMap::new();
    let mut family = String::new();
    for (number, line) in (1..).zip(lines) {
        let line = line.trim_end();
        if let Some(comment) = line.strip_prefix('#') {
            let mut words = comment.split_whitespace();
            if words.next() == Some("TYPE") {
                family = words.next().unwrap_or_default().to_owned();
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let sample = Sample::parse(line).map_err(|fault| (number, fault.to_owned()))?;
        let value: f64 = sample.value.parse().map_err(|_| (number, "a sample's value is a number".to_owned()))?;
        // A family's samples have its name, and a suffix for what they are.
        let (metric, suffix) = match sample.name.strip_prefix(family.as_str()).filter(|_| !family.is_empty()) {
            Some(suffix) if suffix.is_empty() || suffix.starts_with('_') => (&*family, suffix),
            _ => (sample.name, ""),
        };
        if suffix == "_created" {
            continue;
        }
        let labels = sample.labels.iter().filter(|(name, _)| *name != "le" && !ignored.contains(*name));
        let labels: BTreeSet<_> = labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = labels.into_iter().collect::<Vec<_>>().join(",");
        let values = metrics.entry(metric.to_owned()).or_default().entry(labels).or_default();
        if suffix != "_bucket" {
            *values.entry(suffix.trim_start_matches('_').to_owned()).or_default() += value;
        }
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_instances_are_no_series_of_their_own() {
        let text = "# TYPE a histogram\na_bucket{le=\"1\",instance=\"h:1\",r=\"x\"} 1\na_count{r=\"x\",instance=\"h:2\"} 2\n\
                    a_sum{r=\"x\"} 3\n# TYPE b counter\nb_total 1\n# EOF\n";
        let ignored = BTreeSet::from(["instance".to_owned()]);
        let metrics = series(text.lines(), &ignored).unwrap();
        assert_eq!(metrics.keys().collect::<Vec<_>>(), ["a", "b"]);
        let values = BTreeMap::from([("count".to_owned(), 2.0), ("sum".to_owned(), 3.0)]);
        assert_eq!(metrics["a"], BTreeMap::from([("r=\"x\"".to_owned(), values)]));
        for wrong in ["a 1\nb", "a 1\nb one"] {
            assert_eq!(series(wrong.lines(), &ignored).unwrap_err().0, 2);
        }
    }
}
