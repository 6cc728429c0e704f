//! Metrics by OTLP in their other forms: exponential histograms, and what is new since the last export.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Otlp, Point, Process, Requirement, Result, points, replay, trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::otlp::redtape;

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
const LIMIT: Duration = Duration::from_secs(60);
const RECEIVER: &[Requirement] = &[Requirement::Program("node"), Requirement::Tool("npm/node_modules")];
const EXPONENTIAL: (&str, &str) =
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram");
const DELTA: [(&str, &str); 2] =
    [("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"), ("OTEL_METRIC_EXPORT_INTERVAL", "100")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("otlp_forms::exponential_histograms_tell_quantiles", RECEIVER, exponential_histograms_tell_quantiles),
        trial("otlp_forms::what_is_new_adds_up", &[], what_is_new_adds_up),
    ]
}

/// Numbers as text, as numbers, or as the receiver's two halves of 32 bits.
fn count(value: &Value) -> u64 {
    let half = |half: &Value| half.as_i64().map_or(0, |half| u64::from(half as u32));
    let halves = || Some(half(value.get("high")?) << 32 | half(value.get("low")?));
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).or_else(halves).unwrap_or_default()
}

fn exponential_histograms_tell_quantiles() -> Result<()> {
    let otlp = Otlp::start()?;
    let mut command = redtape(&["--rebase", "none", "--otlp-metrics", &otlp.http])?;
    Process::run(command.env(EXPONENTIAL.0, EXPONENTIAL.1), LIMIT)?.expect_code(0)?;
    // What each server span took, by where it counts.
    let mut durations: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in replay(Path::new(TAPE), &["--spans", "json"])?.lines() {
        let span: Value = serde_json::from_str(line)?;
        let of = &span["attributes"];
        if span["kind"] == "server" && span["incomplete"] == false && of.get("rpc.system").is_none() {
            let keys =
                ["http.request.method", "http.response.status_code", "http.route"].map(|key| of[key].to_string());
            let key = format!("{} {}", span["resource"]["service.instance.id"], keys.join(" "));
            durations.entry(key).or_default().push(span["duration_ns"].as_u64().unwrap());
        }
    }
    let points = otlp.points()?;
    let points: Vec<_> = points.iter().filter(|point| point.metric == "http.server.request.duration").collect();
    assert_eq!(points.len(), durations.len());
    for Point { resource, attributes, point, .. } in points {
        let keys =
            ["http.request.method", "http.response.status_code", "http.route"].map(|key| attributes[key].to_string());
        let mut exact = durations.remove(&format!("{} {}", resource["service.instance.id"], keys.join(" "))).unwrap();
        exact.sort_unstable();
        assert_eq!((count(&point["count"]), count(&point["zeroCount"])), (exact.len() as u64, 0), "{point}");
        let sum: u64 = exact.iter().sum();
        assert_eq!((point["sum"].as_f64().unwrap() * 1e9).round() as u64, sum);
        let scale = point["scale"].as_i64().unwrap() as i32;
        let growth = f64::from(-scale).exp2().exp2();
        let buckets = point["positive"]["bucketCounts"].as_array().unwrap();
        assert!(buckets.len() <= 160 && (scale == 20 || buckets.len() > 80), "as fine as there is room for: {point}");
        let mut below = 0;
        for (bucket, index) in buckets.iter().zip(point["positive"]["offset"].as_i64().unwrap()..) {
            let upper = growth.powf((index + 1) as f64) * 1e9;
            below += count(bucket);
            let expected = |factor: f64| exact.iter().filter(|nanos| **nanos as f64 <= upper * factor).count() as u64;
            // A value that is as near to a bound as a float can be is on either side.
            assert!((expected(1.0 - 1e-9)..=expected(1.0 + 1e-9)).contains(&below), "bucket {index} of {point}");
        }
        assert_eq!(below, exact.len() as u64);
    }
    Ok(())
}

/// All points of a series added up, as text.
fn sums(points: &[Point]) -> BTreeMap<String, Vec<u64>> {
    let mut sums: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for Point { metric, resource, attributes, point, .. } in points {
        let key = format!("{metric} {} {}", Value::from(resource.clone()), Value::from(attributes.clone()));
        let mut counts: Vec<u64> = point["bucketCounts"].as_array().into_iter().flatten().map(count).collect();
        counts.extend([count(&point["count"]), count(&point["asInt"])]);
        counts.push((point["sum"].as_f64().unwrap_or_default() * 1e9).round() as u64);
        let sum = sums.entry(key).or_insert_with(|| vec![0; counts.len()]);
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sums
}

fn what_is_new_adds_up() -> Result<()> {
    let folder = TempDir::new()?;
    let written = |name: &str, variables: &[(&str, &str)]| -> Result<Vec<Point>> {
        let file = folder.path().join(name);
        let mut command = redtape(&["--otlp-file", file.to_str().unwrap()])?;
        Process::run(command.envs(variables.iter().copied()), LIMIT)?.expect_code(0)?;
        points(&fs::read_to_string(&file)?)
    };
    let (new, all) = (written("delta.jsonl", &DELTA)?, written("all.jsonl", &[])?);
    assert!(new.len() > all.len(), "{} points at more than one time, {} at the end", new.len(), all.len());
    assert_eq!(sums(&new), sums(&all));
    // Each begins where all before it have ended, and none of them is empty.
    let mut starts: Vec<_> = new.iter().map(|point| count(&point.point["startTimeUnixNano"])).collect();
    let mut ends: Vec<_> = new.iter().map(|point| count(&point.point["timeUnixNano"])).collect();
    for times in [&mut starts, &mut ends] {
        times.sort_unstable();
        times.dedup();
    }
    assert!(starts.len() >= 8 && starts[1..] == ends[..ends.len() - 1], "{starts:?} {ends:?}");
    assert!(new.iter().all(|point| count(&point.point["count"]) + count(&point.point["asInt"]) > 0));
    Ok(())
}
