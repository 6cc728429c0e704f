//! Native histograms, as a real Prometheus gets them: scraped, and written to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use redtape_tests::{Process, Prometheus, Requirement, Result, spans, trial};
use tempfile::TempDir;

use crate::otlp::redtape;
use crate::scrape::lingering;

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
const LIMIT: Duration = Duration::from_secs(60);
/// How far apart the bounds of a bucket are: the eighth root of 2, which is not above the default `bucket_factor` of 1.1.
const GROWTH: f64 = 1.090_507_732_7;
const PROMETHEUS: &[Requirement] = &[Requirement::Program("prometheus")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("native::scraped_in_protobuf", PROMETHEUS, scraped_in_protobuf),
        trial("native::written_remotely", PROMETHEUS, written_remotely),
    ]
}

/// A file that asks for native histograms.
fn config(folder: &TempDir) -> Result<String> {
    let path = folder.path().join("native.yml");
    fs::write(&path, "prometheus_export:\n  native_histogram: {}\n")?;
    Ok(path.display().to_string())
}

fn scraped_in_protobuf() -> Result<()> {
    let folder = TempDir::new()?;
    let (_process, port) = lingering(&["--config", &config(&folder)?])?;
    let prometheus = Prometheus::start(&[format!("{port}/metrics")])?;
    prometheus.wait_for("count(histogram_count(http_server_request_duration_seconds))", 8.0)?;
    same_quantiles(&prometheus)?;
    // Counters and facts come in the same way.
    prometheus.wait_for("count(target_info)", 1.0).map(drop)
}

fn written_remotely() -> Result<()> {
    let folder = TempDir::new()?;
    let prometheus = Prometheus::start(&[])?;
    let mut command = redtape(&["--config", &config(&folder)?, "--remote-write", &prometheus.write_url()])?;
    Process::run(&mut command, LIMIT)?.expect_code(0)?;
    prometheus.wait_for("count(histogram_count(http_server_request_duration_seconds))", 8.0)?;
    same_quantiles(&prometheus)?;
    // The classic buckets are there as well.
    prometheus.wait_for("sum(http_server_request_duration_seconds_count)", 1.0).map(drop)
}

/// Whether what Prometheus finds of each route is what the spans are, but for the width of a bucket.
fn same_quantiles(prometheus: &Prometheus) -> Result<()> {
    let mut exact: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for span in spans(Path::new(TAPE), &[])?.iter().filter(|span| span.kind == "server" && !span.incomplete) {
        let Some(route) = span.attributes.get("http.route").and_then(|route| route.as_str()) else { continue };
        exact.entry(format!("http_route={route}")).or_default().push(span.duration_ns);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let ask = |function: &str| {
        prometheus.query(&format!("{function}(sum by (http_route) (http_server_request_duration_seconds))"), now)
    };
    let (counts, sums) = (ask("histogram_count")?, ask("histogram_sum")?);
    assert_eq!(counts.len(), exact.len(), "{counts:?}");
    for quantile in [0.5, 0.95, 0.99] {
        let found = prometheus.query(
            &format!("histogram_quantile({quantile}, sum by (http_route) (http_server_request_duration_seconds))"),
            now,
        )?;
        for (route, exact) in &mut exact {
            exact.sort_unstable();
            assert_eq!(counts[route], exact.len() as f64);
            let sum = exact.iter().sum::<u64>() as f64 / 1e9;
            assert!((sums[route] / sum - 1.0).abs() < 1e-9, "{route}: {} for {sum}", sums[route]);
            let rank = (exact.len() as f64 * quantile).ceil() as usize;
            let (found, exact) = (found[route], exact[rank - 1] as f64 / 1e9);
            assert!((1.0 / GROWTH..GROWTH).contains(&(found / exact)), "{route}, {quantile}: {found} for {exact}");
        }
    }
    Ok(())
}
