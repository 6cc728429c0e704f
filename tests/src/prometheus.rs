//! A real Prometheus (Debian's package `prometheus`), alone on a port of loopback, with a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{get, percent_encoded};
use crate::{Process, Result, Signal, free_port};

const READY: Duration = Duration::from_secs(30);

/// What a query gave: a number for each set of labels, written as `a=b,c=d`.
pub type Vector = BTreeMap<String, f64>;

/// A Prometheus that runs.
#[derive(Debug)]
pub struct Prometheus {
    process: Option<Process>,
    port: u16,
    folder: TempDir,
}

impl Prometheus {
    /// Starts it: it takes remote write, and scrapes each port of loopback of `targets` (`PORT/PATH`) every second.
    pub fn start(targets: &[String]) -> Result<Self> {
        let mut prometheus = Self { process: None, port: free_port()?, folder: TempDir::new()? };
        let jobs = targets.iter().enumerate().map(|(at, target)| {
            let (port, path) = target.split_once('/').unwrap_or((target, "metrics"));
            format!(
                "  - job_name: scraped-{at}\n    honor_labels: true\n    metrics_path: /{path}\n    static_configs:\n      - targets: \
                 ['127.0.0.1:{port}']\n"
            )
        });
        let jobs: String = jobs.collect();
        let scrapes = if jobs.is_empty() { String::new() } else { format!("scrape_configs:\n{jobs}") };
        let configuration = format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n{scrapes}");
        fs::write(prometheus.folder.path().join("prometheus.yml"), configuration)?;
        prometheus.resume()?;
        Ok(prometheus)
    }

    /// One that runs already, at this port, once it is ready.
    pub fn at(port: u16) -> Result<Self> {
        let prometheus = Self { process: None, port, folder: TempDir::new()? };
        prometheus.ready()?;
        Ok(prometheus)
    }

    /// The folder of its data, where blocks may be put before [`Prometheus::resume`].
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where samples are to be written to.
    pub fn write_url(&self) -> String {
        format!("http://127.0.0.1:{}/api/v1/write", self.port)
    }

    /// Ends it; what it has stored stays.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.signal(Signal::TERM)?;
            process.finish(READY)?.expect_code(0)?;
        }
        Ok(())
    }

    /// Starts it again.
    pub fn resume(&mut self) -> Result<()> {
        let data = self.data();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", self.folder.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        // A tape may be older than what Prometheus keeps by default.
        command.args(["--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage,native-histograms"]);
        command.args(["--storage.tsdb.retention.time=100y", "--log.level=warn"]);
        self.process = Some(Process::start(&mut command)?);
        self.ready()
    }

    fn ready(&self) -> Result<()> {
        let end = Instant::now() + READY;
        while !get(self.port, "/-/ready", &[]).is_ok_and(|answer| answer.status == 200) {
            if Instant::now() > end {
                let said = self.process.as_ref().map(Process::stderr).unwrap_or_default();
                return Err(format!("Prometheus is not ready within {READY:?}: {said}").into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What it says.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// Asks its API for `path`, and gives what it calls `data`.
    pub fn api(&self, path: &str) -> Result<Value> {
        let answer = get(self.port, &format!("/api/v1/{path}"), &[])?;
        let mut value: Value =
            serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
        if answer.status != 200 {
            return Err(format!("{path}: {}: {value}", answer.status).into());
        }
        Ok(value["data"].take())
    }

    /// What `expression` is at a moment, in seconds since the epoch.
    pub fn query(&self, expression: &str, at: f64) -> Result<Vector> {
        let data = self.api(&format!("query?query={}&time={at:.3}", percent_encoded(expression)))?;
        let results = data["result"].as_array().ok_or_else(|| format!("{expression}: no vector: {data}"))?;
        if data["resultType"] == "scalar" {
            return Ok([(String::new(), number(&data["result"][1])?)].into());
        }
        results.iter().map(|result| Ok((labels(&result["metric"]), number(&result["value"][1])?))).collect()
    }

    /// The one number that `expression` is at a moment.
    pub fn number(&self, expression: &str, at: f64) -> Result<f64> {
        let vector = self.query(expression, at)?;
        match vector.values().collect::<Vec<_>>()[..] {
            [number] => Ok(*number),
            _ => Err(format!("{expression} is not one number at {at}: {vector:?}").into()),
        }
    }

    /// Waits until `expression` is at least `least` now.
    pub fn wait_for(&self, expression: &str, least: f64) -> Result<f64> {
        let end = Instant::now() + READY;
        loop {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
            let found = self.query(expression, now)?.into_values().reduce(f64::max);
            match found {
                Some(found) if found >= least => return Ok(found),
                _ if Instant::now() > end => {
                    return Err(
                        format!("{expression} is {found:?}, not {least}, after {READY:?}: {}", self.log()).into()
                    );
                }
                _ => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Puts blocks that `promtool` makes of an OpenMetrics file among its data. It has to be stopped.
    pub fn backfill(&self, file: &Path) -> Result<()> {
        let mut command = Command::new("promtool");
        command.args(["tsdb", "create-blocks-from", "openmetrics"]).arg(file).arg(self.data());
        Process::run(&mut command, READY)?.expect_code(0).map(drop)
    }
}

fn number(value: &Value) -> Result<f64> {
    Ok(value.as_str().ok_or_else(|| format!("no number: {value}"))?.parse()?)
}

fn labels(metric: &Value) -> String {
    let labels = metric.as_object().into_iter().flatten();
    let mut labels: Vec<_> =
        labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    labels.sort();
    labels.join(",")
}
