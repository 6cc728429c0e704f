//! What tests of numbers share: buckets fine enough for a percent, and when a tape was.

use std::fs;
use std::path::Path;

use redtape_tests::{Prometheus, Result, percent_encoded};

/// A configuration whose buckets are so fine that interpolating within one costs less than a percent.
pub(crate) fn fine_buckets(folder: &Path) -> Result<String> {
    // From a microsecond to a quarter of a second, each 0.9 % above the last.
    let bounds: Vec<_> = (0..1_390).map(|at| format!("{:.9}", 0.000_001 * 1.009_f64.powi(at))).collect();
    let file = folder.join("fine.yml");
    let bounds = bounds.iter().fold(Vec::<String>::new(), |mut all, bound| {
        // The first ones are the same, to the nanosecond.
        if all.last() != Some(bound) {
            all.push(bound.clone());
        }
        all
    });
    fs::write(&file, format!("prometheus_export:\n  buckets:\n    duration_histogram: [{}]\n", bounds.join(", ")))?;
    Ok(file.display().to_string())
}

/// A tape's first and last moment, in seconds since the epoch, as exported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// The replay's run, as a pattern.
    pub(crate) run: &'static str,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Extent {
    /// As the samples tell: the first is a zero at the start, the last the last value once more, a step after the end.
    pub(crate) fn of(prometheus: &Prometheus, step: f64) -> Result<Self> {
        Self::of_run(prometheus, step, ".*")
    }

    /// The same, of one run among several.
    pub(crate) fn of_run(prometheus: &Prometheus, step: f64, run: &'static str) -> Result<Self> {
        let all = format!("{{__name__=~\".+_duration_seconds_count\",replay_run=~\"{run}\"}}[200y]");
        let data = prometheus.api(&format!("query?query={}", percent_encoded(&all)))?;
        let (mut start, mut end) = (f64::INFINITY, 0.0_f64);
        for series in data["result"].as_array().into_iter().flatten() {
            let values = series["values"].as_array().ok_or("a matrix has values")?;
            assert_eq!(values.first().ok_or("no samples")?[1], "0", "a series begins with zero");
            let times = values.iter().filter_map(|value| value[0].as_f64());
            (start, end) = times.fold((start, end), |(start, end), time| (start.min(time), end.max(time)));
        }
        assert!(start < end, "there are samples");
        Ok(Self { run, start, end: end - step })
    }

    /// From start to end, as Prometheus writes a duration.
    pub(crate) fn range(self) -> String {
        format!("{}ms", ((self.end - self.start) * 1e3).round())
    }
}
