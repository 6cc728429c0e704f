//! A replay that is scraped, by hand and by a real Prometheus.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Prometheus, Requirement, Result, Signal, binary, free_port, get, request, trial};

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("scrape::the_format_is_the_clients_choice", &[], the_format_is_the_clients_choice),
        trial("scrape::a_scrape_of_a_paced_replay_moves", &[], a_paced_replay),
        trial("scrape::exemplars_lead_to_spans", &[Requirement::Program("prometheus")], exemplars_lead_to_spans),
        trial("scrape::a_port_in_use_is_told_before_anything", &[], a_port_in_use),
        trial(
            "scrape::a_lingering_replay_is_scraped",
            &[Requirement::Program("prometheus")],
            a_lingering_replay_is_scraped,
        ),
    ]
}

/// A replay that lingers, and the port that it is served at.
pub(crate) fn lingering(more: &[&str]) -> Result<(Process, u16)> {
    let port = free_port()?;
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--linger", "forever", "--prometheus", &format!("127.0.0.1:{port}")]).args(more);
    let mut process = Process::start(&mut command)?;
    process.wait_for("the summary", LIMIT, |stdout, _| stdout.contains("series").then_some(()))?;
    Ok((process, port))
}

fn the_format_is_the_clients_choice() -> Result<()> {
    let internal = format!("127.0.0.1:{}", free_port()?);
    let (process, port) = lingering(&["--internal-metrics", &internal])?;
    assert!(process.stderr().contains(&format!("http://127.0.0.1:{port}/metrics")), "{}", process.stderr());

    let openmetrics = get(port, "/metrics", &["Accept: application/openmetrics-text; version=1.0.0"])?;
    assert!(openmetrics.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    // Nothing is lost or gained on the way: it is what the replay itself prints.
    assert_eq!(openmetrics.body, redtape_tests::metrics(Path::new(TAPE))?);

    let text = get(port, "/metrics", &[])?;
    assert!(text.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", text.head);
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&text.body), samples(&openmetrics.body));
    assert!(text.body.contains("\n# TYPE target_info gauge\n"), "{}", text.body);

    let gzip = get(port, "/metrics", &["Accept-Encoding: gzip"])?;
    assert!(gzip.head.contains("content-encoding: gzip") && gzip.body.len() < text.body.len() / 4);

    for (path, status, says) in [
        ("/healthz", 200, "ok"),
        ("/livez", 200, "ok"),
        ("/", 404, "/metrics"),
        ("/metrics/", 404, "/metrics"),
        ("/metrics?x=1", 200, "# HELP"),
    ] {
        let answer = get(port, path, &[])?;
        assert!(answer.status == status && answer.body.contains(says), "{path}: {answer:?}");
    }
    assert_eq!(request(port, "POST", "/metrics", &["Content-Length: 0"])?.status, 405);
    let port = internal.rsplit(':').next().unwrap().parse()?;
    let own = get(port, "/internal/metrics", &[])?.body;
    assert!(own.contains("\nredtape_spans_total 2520.0\n") && own.contains(",path=\"/metrics\"} 4.0\n"), "{own}");

    process.signal(Signal::INT)?;
    process.finish(LIMIT)?.expect_code(0).map(drop)
}

/// The tape lasts for 0.87 s: at a fifth of its speed, there is time to look several times.
fn a_paced_replay() -> Result<()> {
    let port = free_port()?;
    let mut command = Command::new(binary("redtape")?);
    let address = format!("127.0.0.1:{port}");
    let mut process = Process::start(command.args(["replay", TAPE, "--speed", "0.2x", "--prometheus", &address]))?;
    process.wait_for("the address", LIMIT, |_, stderr| stderr.contains("serving").then_some(()))?;
    let mut counts = Vec::new();
    while let Ok(answer) = get(port, "/metrics", &[]) {
        assert!(get(port, "/healthz", &[]).is_ok_and(|health| health.status == 200) || !counts.is_empty());
        let samples =
            answer.body.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count{"));
        let numbers = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.push(numbers.sum::<u64>());
        std::thread::sleep(Duration::from_millis(300));
    }
    process.finish(LIMIT)?.expect_code(0)?;
    assert!(counts.is_sorted(), "counters only grow: {counts:?}");
    counts.dedup();
    assert!(counts.len() > 3, "they move while the tape does: {counts:?}");
    Ok(())
}

fn exemplars_lead_to_spans() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let config = folder.path().join("exemplars.yml");
    std::fs::write(&config, "prometheus_export:\n  exemplar_filter: always_on\n")?;
    let (_process, port) = lingering(&["--rebase", "none", "--config", &config.display().to_string()])?;
    let spans = redtape_tests::spans(Path::new(TAPE), &[])?;
    let known = |trace: &str, span: &str| spans.iter().any(|known| known.trace_id == trace && known.span_id == span);
    let text = get(port, "/metrics", &["Accept: application/openmetrics-text"])?.body;
    let exemplars: Vec<_> = text.lines().filter_map(|line| line.split_once(" # {")).collect();
    assert!(exemplars.len() > 20, "{}", exemplars.len());
    for (_, exemplar) in &exemplars {
        let parts: Vec<_> = exemplar.split('"').collect();
        assert_eq!((parts[0], parts[2]), ("traceID=", ",spanID="));
        assert!(known(parts[1], parts[3]), "{exemplar}");
    }
    assert!(!get(port, "/metrics", &[])?.body.contains("traceID"), "the older format has none");
    // Prometheus takes them.
    let prometheus = Prometheus::start(&[format!("{port}/metrics")])?;
    prometheus.wait_for("count(http_server_request_duration_seconds_count)", 8.0)?;
    let stored =
        prometheus.api("query_exemplars?query=http_server_request_duration_seconds_bucket&start=0&end=9999999999")?;
    assert!(stored.as_array().is_some_and(|series| !series.is_empty()), "{stored}");
    Ok(())
}

fn a_port_in_use() -> Result<()> {
    let (_process, port) = lingering(&[])?;
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--prometheus", &format!("127.0.0.1:{port}")]);
    let finished = Process::run(&mut command, LIMIT)?.expect_code(5)?;
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains(&format!("127.0.0.1:{port}: Address already in use")), "{}", finished.stderr);
    Ok(())
}

fn a_lingering_replay_is_scraped() -> Result<()> {
    let (process, port) = lingering(&[])?;
    let prometheus = Prometheus::start(&[format!("{port}/metrics")])?;
    let spans = "sum(http_server_request_duration_seconds_count) + sum(http_client_request_duration_seconds_count)";
    assert_eq!(prometheus.wait_for(spans, 1.0)?, 2520.0);
    // What public dashboards do.
    let joined = "count(http_server_request_duration_seconds_count + on(instance) group_left(job) 0 * target_info)";
    assert_eq!(prometheus.wait_for(joined, 1.0)?, 8.0);
    assert_eq!(prometheus.wait_for("min(up)", 1.0)?, 1.0);
    process.signal(Signal::TERM)?;
    process.finish(LIMIT)?.expect_code(0).map(drop)
}
