//! The greetings demo, live: traces at a receiver, metrics in Prometheus, and all counts are the client's.
//!
//! `ci/live-demo` runs it for a minute; among the other tests it takes some seconds.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use libtest_mimic::Trial;
use redtape_tests::{
    Greetings, Live, Load, Otlp, Process, Prometheus, Requirement, Result, Truth, binary, free_port, get, trial,
};
use tempfile::TempDir;

const BPF: Requirement = Requirement::Bpf;
const RECEIVER: Requirement = Requirement::Tool("npm/node_modules");
const RATE: u64 = 50;
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    const NEEDED: &[Requirement] = &[BPF, Requirement::Program("prometheus"), Requirement::Program("node"), RECEIVER];
    vec![trial("demo::traces_and_metrics_arrive_while_it_runs", NEEDED, demo)]
}

fn demo() -> Result<()> {
    let seconds: u64 = std::env::var("REDTAPE_DEMO_SECONDS").map_or(Ok(5), |text| text.parse())?;
    let services = Greetings::start(&["--max-delay-us", "2000"])?;
    let (receiver, port, internal) = (Otlp::start()?, free_port()?, free_port()?);
    let folder = TempDir::new()?;
    let file = folder.path().join("config.yml");
    let (ports, endpoint) = (services.ports(), &receiver.http);
    fs::write(
        &file,
        format!(
            "open_port: {ports}\notel_traces_export: {{ endpoint: {endpoint} }}\n\
             prometheus_export: {{ port: {port}, path: /metrics }}\n\
             internal_metrics: {{ prometheus: {{ port: {internal}, path: /internal }} }}\n\
             routes: {{ unmatched: heuristic }}\n"
        ),
    )?;
    let mut command = Command::new(binary("redtape")?);
    command.arg("live").arg("--recorder").arg(binary("redtape-capture")?).arg("--config").arg(&file);
    let live = Live::start_command(&mut command)?.ready()?;
    let prometheus = Prometheus::start(&[format!("{port}/metrics")])?;

    let load = Load::new(services.frontend(), seconds * RATE, &["/greeting=9", "/missing=1"]);
    let load = Process::start(load.command()?.args(["--rate", &RATE.to_string()]))?;
    // It moves while the load runs.
    let frontend = r#"sum(http_server_request_duration_seconds_count{service_name="frontend"})"#;
    prometheus.wait_for(frontend, 1.0)?;
    let finished = load.finish(LIMIT + Duration::from_secs(seconds))?.expect_code(0)?;
    let truth: Truth = serde_json::from_str(&finished.stdout)?;
    assert_eq!(truth.sent, seconds * RATE);

    prometheus.wait_for(frontend, truth.answered as f64)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let counted = prometheus.query(
        "sum by (http_route, http_response_status_code) (http_server_request_duration_seconds_count{service_name=\"frontend\"})",
        now,
    )?;
    let sent: BTreeMap<_, _> = truth
        .counts()
        .into_iter()
        .map(|((path, status), count)| {
            (format!("http_response_status_code=\"{status}\",http_route=\"{path}\"").replace('"', ""), count as f64)
        })
        .collect();
    assert_eq!(counted.into_iter().map(|(key, count)| (key.replace('"', ""), count)).collect::<BTreeMap<_, _>>(), sent);
    let own = get(internal, "/internal", &[])?.body;
    assert!(own.contains("redtape_"), "{own}");

    let good = truth.count("/greeting", 200);
    arrived(&receiver, truth.answered, good)?;
    live.stop()?.expect_code(0)?;
    if std::env::var_os("REDTAPE_DEMO_SECONDS").is_some() {
        let answered = truth.answered;
        println!(
            "\n{answered} requests in {seconds} s: {answered} spans of the frontend and {good} whole traces at the"
        );
        println!("receiver of OTLP, and the client's count of each route and status in Prometheus");
    }
    Ok(())
}

/// Waits until the receiver has a server span of each request, and a whole trace of each good greeting; then there must be no
/// more than that.
fn arrived(receiver: &Otlp, requests: u64, good: u64) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        let spans = receiver.spans(0)?;
        let of = |service: &str, kind: &str| {
            let fits = |span: &&serde_json::Value| span["service"] == service && span["kind"] == kind;
            spans.iter().filter(fits).count() as u64
        };
        let mut traces: BTreeMap<&str, u64> = BTreeMap::new();
        for span in spans.iter().filter(|span| span["kind"] != "internal") {
            *traces.entry(span["trace_id"].as_str().unwrap_or_default()).or_default() += 1;
        }
        // Four servers and three clients.
        let whole = traces.values().filter(|count| **count == 7).count() as u64;
        let found = (of("frontend", "server"), of("message", "server"), whole);
        let expected = (requests, good, good);
        if found == expected {
            return Ok(());
        }
        if Instant::now() > end || found.0 > requests {
            return Err(format!("{found:?} instead of {expected:?} have arrived").into());
        }
        thread::sleep(Duration::from_millis(200));
    }
}
