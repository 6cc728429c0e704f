//! Series from OpenMetrics or Prometheus' text, as far as they are compared.

use std::collections::{BTreeMap, BTreeSet};

use super::side::MetricSeries;

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
            *values.entry(suffix.trim_start_matches('_').to_owned()).or_default() += sample.value;
        }
    }
    Ok(metrics)
}

/// A line of an exposition.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    /// Values are as they are written, with their escapes.
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Result<Self, &'static str> {
        let end = line.find(['{', ' ']).ok_or("a sample has a name and a value")?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() {
            return Err("a sample begins with its name");
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next().ok_or("a sample has a value")?;
        let value = value.parse().map_err(|_| "a sample's value is a number")?;
        Ok(Self { name, labels, value })
    }
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"").ok_or("a label is written name=\"value\"")?;
        let mut escaped = false;
        let end = quoted.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let (value, behind) = quoted.split_at(end.ok_or("a label's value ends with a quotation mark")?);
        labels.push((name.trim(), value));
        rest = behind.strip_prefix('"').unwrap_or(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let sample = Sample::parse(r#"a_total{b="x, \"y}\\",c=""} 4.5 1700000000 # {trace_id="1"} 1"#).unwrap();
        assert_eq!(sample, Sample { name: "a_total", labels: vec![("b", r#"x, \"y}\\"#), ("c", "")], value: 4.5 });
        assert_eq!(Sample::parse("up 1").unwrap(), Sample { name: "up", labels: vec![], value: 1.0 });
        for wrong in ["up", "up one", "{} 1", "a{b=c} 1", "a{b=\"c} 1", "a{b=\"c\"", "a{b=\"c\"}"] {
            assert!(Sample::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn buckets_and_instances_are_no_series_of_their_own() {
        let text = "# TYPE a histogram\na_bucket{le=\"1\",instance=\"h:1\",r=\"x\"} 1\na_count{r=\"x\",instance=\"h:2\"} 2\n\
                    a_sum{r=\"x\"} 3\n# TYPE b counter\nb_total 1\n# EOF\n";
        let ignored = BTreeSet::from(["instance".to_owned()]);
        let metrics = series(text.lines(), &ignored).unwrap();
        assert_eq!(metrics.keys().collect::<Vec<_>>(), ["a", "b"]);
        let values = BTreeMap::from([("count".to_owned(), 2.0), ("sum".to_owned(), 3.0)]);
        assert_eq!(metrics["a"], BTreeMap::from([("r=\"x\"".to_owned(), values)]));
        assert_eq!(series("a 1\nb".lines(), &ignored).unwrap_err().0, 2);
    }
}
