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
        trial("scrape::a_port_in_use_is_told_before_anything", &[], a_port_in_use),
        trial(
            "scrape::a_lingering_replay_is_scraped",
            &[Requirement::Program("prometheus")],
            a_lingering_replay_is_scraped,
        ),
    ]
}

/// A replay that lingers, and the port that it is served at.
fn lingering(more: &[&str]) -> Result<(Process, u16)> {
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
