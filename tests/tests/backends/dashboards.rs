//! The queries of dashboards, run against a real Prometheus: each equals what the replay itself says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Prometheus, Requirement, Result, Span, Vector, binary, replay, spans, trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::backfill::{Extent, fine_buckets};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn trials() -> Vec<Trial> {
    let prometheus = [Requirement::Program("prometheus")];
    let tape = |name: &str| Path::new(ROOT).join("fixtures").join(name);
    let http = move || check(&tape("greetings-demo/greetings.tape"));
    let grpc = move || check(&tape("protocols/grpc-unary.tape"));
    vec![
        trial("dashboards::of_http_are_what_the_replay_says", &prometheus, http),
        trial("dashboards::of_grpc_are_what_the_replay_says", &prometheus, grpc),
        trial("dashboards::of_a_damaged_tape_tell_of_losses", &prometheus, damaged),
        trial("dashboards::two_runs_are_told_apart", &prometheus, two_runs),
    ]
}

fn damaged() -> Result<()> {
    let folder = TempDir::new()?;
    let whole = fs::read(Path::new(ROOT).join("fixtures/greetings-demo/greetings.tape"))?;
    let tape = folder.path().join("damaged.tape");
    fs::write(&tape, &whole[..whole.len() * 2 / 3])?;
    let facts = Facts::of(&tape, "")?;
    assert!(facts.spans.iter().any(|span| span.incomplete), "a cut tape has spans without an end");
    check(&tape)
}

/// What the replay says.
#[derive(Clone)]
struct Facts {
    spans: Vec<Span>,
    metrics: Value,
    seconds: f64,
}

impl Facts {
    fn of(tape: &Path, config: &str) -> Result<Self> {
        let config = if config.is_empty() { vec![] } else { vec!["--config", config] };
        let metrics = replay(tape, &[&["-q", "--metrics", "json"], &config[..]].concat())?;
        let spans = spans(tape, &["-q"])?.into_iter().filter(|span| span.kind != "internal").collect();
        Ok(Self { spans, metrics: serde_json::from_str(&metrics)?, seconds: 0.0 })
    }

    /// Durations in seconds of the finished spans of a kind, by labels.
    fn durations(&self, kind: &str, grpc: bool, labels: impl Fn(&Span) -> String) -> BTreeMap<String, Vec<f64>> {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for span in self.finished(kind, grpc) {
            all.entry(labels(span)).or_default().push(span.duration_ns as f64 / 1e9);
        }
        all
    }

    fn finished<'a>(&'a self, kind: &'a str, grpc: bool) -> impl Iterator<Item = &'a Span> {
        let is_grpc = |span: &Span| !span.attribute("rpc.system").is_empty();
        self.spans.iter().filter(move |span| span.kind == kind && !span.incomplete && is_grpc(span) == grpc)
    }

    /// Requests a second, by service.
    fn rate(&self, kind: &str, grpc: bool, counts: impl Fn(&Span) -> bool) -> Vector {
        let mut all = Vector::new();
        for span in self.finished(kind, grpc).filter(|span| counts(span)) {
            *all.entry(service(span)).or_default() += 1.0 / self.seconds;
        }
        all
    }

    /// How long each request waited, by service.
    fn queue(&self) -> BTreeMap<String, Vec<f64>> {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| !span.incomplete) {
            if let Some(queue) = span.queue_ns {
                all.entry(service(span)).or_default().push(queue as f64 / 1e9);
            }
        }
        all
    }

    /// Series of each histogram and of `target_info`.
    fn series(&self) -> Vector {
        let metrics = self.metrics["metrics"].as_array().into_iter().flatten();
        let count = |metric: &Value| metric["series"].as_array().map_or(0, Vec::len) as f64;
        let named = metrics.filter_map(|metric| {
            let name = match (metric["name"].as_str()?, metric["type"].as_str()?) {
                (name, "histogram") => format!("{name}_count"),
                (name, "info") => format!("{name}_info"),
                _ => return None,
            };
            Some((format!("__name__={name}"), count(metric)))
        });
        named.collect()
    }

    /// What a counter of redtape's own says, by one label.
    fn counter(&self, name: &str, label: &str) -> Vector {
        let mut all = Vector::new();
        let metrics = self.metrics["metrics"].as_array().into_iter().flatten();
        for series in
            metrics.filter(|metric| metric["name"] == name).flat_map(|metric| metric["series"].as_array()).flatten()
        {
            let value = series["labels"][label].as_str().unwrap_or_default();
            *all.entry(format!("{label}={value}")).or_default() += series["value"].as_f64().unwrap_or(f64::NAN);
        }
        all
    }

    /// What a query of the dashboard has to be, by its panel's title and place in it.
    fn expected(&self, title: &str, at: usize) -> Option<Expected> {
        let grpc = |boundary: usize| at >= boundary;
        let kind = if title.starts_with("Inbound") { "server" } else { "client" };
        let quantile = |at: usize| if at.is_multiple_of(2) { 0.5 } else { 0.95 };
        Some(match title {
            "Slowest HTTP routes" => Expected::quantile(0.95, self.durations("server", false, route)),
            "Slowest gRPC methods" => Expected::quantile(0.95, self.durations("server", true, method)),
            "Inbound rate" | "Outbound rate" => Expected::Exactly(self.rate(kind, grpc(1), |_| true)),
            "Inbound errors" | "Outbound errors" => {
                Expected::Exactly(self.rate(kind, grpc(1), |span| span.status == "error"))
            }
            "Inbound duration" | "Outbound duration" => {
                Expected::quantile(quantile(at), self.durations(kind, grpc(2), service))
            }
            "Queue time" => Expected::quantile(0.95, self.queue()),
            "Mean queue time" => Expected::Exactly(
                self.queue().into_iter().map(|(of, all)| (of, all.iter().sum::<f64>() / all.len() as f64)).collect(),
            ),
            "Series by metric" => Expected::Exactly(self.series()),
            "Losses" if at == 0 => Expected::Exactly(self.counter("redtape_lost_records", "cause")),
            "Losses" => Expected::Exactly(self.counter("redtape_incomplete_spans", "service_name")),
            "Diagnostics" => Expected::Exactly(self.counter("redtape_diagnostics", "kind")),
            _ => return None,
        })
    }
}

/// What a query has to be.
enum Expected {
    /// These numbers, but for what arithmetic costs.
    Exactly(Vector),
    /// Numbers from the first to the second, within a percent.
    Between(BTreeMap<String, (f64, f64)>),
}

impl Expected {
    /// The quantile of each: the value that so many are at or below. Where that is between two of them, as is the middle of
    /// an even number, either is as good.
    fn quantile(quantile: f64, all: BTreeMap<String, Vec<f64>>) -> Self {
        let of = |(labels, mut values): (String, Vec<f64>)| {
            values.sort_by(f64::total_cmp);
            let rank = quantile * values.len() as f64;
            let low = values[rank.ceil().max(1.0) as usize - 1];
            (labels, (low, values[(rank.floor() as usize).min(values.len() - 1)].max(low)))
        };
        Self::Between(all.into_iter().map(of).collect())
    }

    fn compare(&self, query: &str, found: &Vector) {
        let (expected, tolerance) = match self {
            Self::Exactly(expected) => {
                (expected.iter().map(|(labels, &number)| (labels.clone(), (number, number))).collect(), 0.003)
            }
            Self::Between(expected) => (expected.clone(), 0.01),
        };
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{query}");
        for (labels, number) in found {
            let (low, high) = expected[labels];
            let off = if *number < low { 1.0 - number / low } else { (number / high - 1.0).max(0.0) };
            assert!(off <= tolerance, "{query}: of {labels:?} it is {number}, not from {low} to {high}");
        }
    }
}

fn service(span: &Span) -> String {
    format!("service_name={}", span.service)
}

fn route(span: &Span) -> String {
    let labels = [("http_request_method", "http.request.method"), ("http_route", "http.route")];
    let labels = labels.map(|(label, key)| (label, span.attribute(key)));
    let shown = labels.iter().filter(|(_, value)| !value.is_empty()).map(|(label, value)| format!("{label}={value},"));
    format!("{}{}", shown.collect::<String>(), service(span))
}

fn method(span: &Span) -> String {
    format!("rpc_method=/{}/{},{}", span.attribute("rpc.service"), span.attribute("rpc.method"), service(span))
}

/// Replays a tape into a Prometheus and runs all queries.
fn check(tape: &Path) -> Result<()> {
    let folder = TempDir::new()?;
    let prometheus = Prometheus::start(&[])?;
    let config = fine_buckets(folder.path())?;
    let mut command = Command::new(binary("redtape")?);
    command.arg("replay").arg(tape).args(["-q", "--config", &config, "--metrics-step", "200ms"]);
    Process::run(command.args(["--remote-write", &prometheus.write_url()]), LIMIT)?.expect_code(0)?;
    let extent = Extent::of(&prometheus, 0.2)?;
    let facts = Facts { seconds: extent.end - extent.start, ..Facts::of(tape, &config)? };
    own_dashboard(&prometheus, extent, &facts)?;
    public_dashboard(&prometheus, extent, &facts)
}

/// Two replays that Prometheus has as fresh at once: each alone is what it is, and joins tell them apart.
fn two_runs() -> Result<()> {
    let folder = TempDir::new()?;
    let prometheus = Prometheus::start(&[])?;
    let config = fine_buckets(folder.path())?;
    let tape = Path::new(ROOT).join("fixtures/greetings-demo/greetings.tape");
    for (run, rebase) in [("first", "end=now-60s"), ("second", "end=now-5s")] {
        let mut command = Command::new(binary("redtape")?);
        command.arg("replay").arg(&tape).args(["-q", "--config", &config, "--metrics-step", "200ms", "--run-id", run]);
        command.args(["--rebase", rebase, "--remote-write", &prometheus.write_url()]);
        Process::run(&mut command, LIMIT)?.expect_code(0)?;
    }
    let facts = Facts::of(&tape, &config)?;
    for run in ["first", "second"] {
        let extent = Extent::of_run(&prometheus, 0.2, run)?;
        own_dashboard(&prometheus, extent, &Facts { seconds: extent.end - extent.start, ..facts.clone() })?;
    }
    let Extent { end, .. } = Extent::of_run(&prometheus, 0.2, "second")?;
    let joined = |on: &str| {
        format!(
            "sum by (replay_run) (http_server_request_duration_seconds_count + on({on}) group_left(job) 0 * target_info)"
        )
    };
    let told_apart = prometheus.query(&joined("instance,replay_run"), end)?;
    assert!(
        told_apart.len() == 2 && told_apart["replay_run=first"] == told_apart["replay_run=second"],
        "{told_apart:?}"
    );
    assert!(prometheus.query(&joined("instance"), end).is_err(), "two of one name on the one side");
    Ok(())
}

fn own_dashboard(prometheus: &Prometheus, extent: Extent, facts: &Facts) -> Result<()> {
    let file = PathBuf::from(ROOT).join("capture/deploy/grafana/redtape.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().ok_or("a dashboard has panels")? {
        let title = panel["title"].as_str().ok_or("a panel has a title")?;
        for (at, target) in panel["targets"].as_array().into_iter().flatten().enumerate() {
            let mut query = target["expr"].as_str().ok_or("a target has a query")?.to_owned();
            for (variable, value) in [
                ("$__rate_interval", extent.range().as_str()),
                ("$__range", &extent.range()),
                ("$service", ".*"),
                ("$instance", ".*"),
                ("$job", ".*"),
                ("$replay_run", extent.run),
            ] {
                query = query.replace(variable, value);
            }
            assert!(!query.contains('$'), "a variable without a value: {query}");
            let expected = facts.expected(title, at).ok_or_else(|| format!("nobody knows what {title:?} has to be"))?;
            expected.compare(&query, &prometheus.query(&query, extent.end)?);
            queries += 1;
        }
    }
    assert!(queries > 15, "{queries}");
    Ok(())
}

/// What Beyla's public dashboard (19923 of Grafana) asks for: everything is joined with `target_info`.
fn public_dashboard(prometheus: &Prometheus, extent: Extent, facts: &Facts) -> Result<()> {
    const JOIN: &str = "+ on(instance) group_left(job) (0 * target_info{instance=~\".*\",job=~\".*\"})";
    let ask = |query: &str| prometheus.query(query, extent.end);
    let range = extent.range();
    for kind in ["server", "client"] {
        for (grpc, metric) in
            [(false, format!("http_{kind}_request_duration_seconds")), (true, format!("rpc_{kind}_duration_seconds"))]
        {
            let query = format!("sum by (service_name) (rate({metric}_count[{range}]) {JOIN})");
            Expected::Exactly(facts.rate(kind, grpc, |_| true)).compare(&query, &ask(&query)?);
            let (label, of): (_, fn(&Span) -> String) =
                if grpc { ("rpc_method", method) } else { ("http_request_method, http_route", route) };
            let query = format!(
                "histogram_quantile(0.95, sum by (le, service_name, {label}) (rate({metric}_bucket[{range}]) {JOIN}))"
            );
            Expected::quantile(0.95, facts.durations(kind, grpc, of)).compare(&query, &ask(&query)?);
            let query = format!(
                "sum by (service_name) (rate({metric}_sum[{range}]) {JOIN}) / sum by (service_name) (rate({metric}_count[{range}]) {JOIN})"
            );
            let means = facts.durations(kind, grpc, service).into_iter();
            let means = means.map(|(of, all)| (of, all.iter().sum::<f64>() / all.len() as f64)).collect();
            Expected::Exactly(means).compare(&query, &ask(&query)?);
            let (label, key) = match grpc {
                true => ("rpc_grpc_status_code", "rpc.grpc.status_code"),
                false => ("http_response_status_code", "http.response.status_code"),
            };
            let query = format!("sum by ({label}) (increase({metric}_count[{range}]) {JOIN})");
            let mut counts = Vector::new();
            for span in facts.finished(kind, grpc) {
                let value = span.attribute(key);
                let labels = if value.is_empty() { String::new() } else { format!("{label}={value}") };
                *counts.entry(labels).or_default() += 1.0;
            }
            Expected::Exactly(counts).compare(&query, &ask(&query)?);
        }
    }
    Ok(())
}
