//! What Prometheus computes from a replay's metrics is what the replay itself says: by remote write, and from blocks made
//! of a file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use redtape_tests::{
    DeadPort, Finished, Process, Prometheus, Requirement, Result, Signal, Span, binary, info, replay, spans, trial,
};
use tempfile::TempDir;

use crate::backfill::{Extent, fine_buckets};

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
const SPANS: &str = "sum({__name__=~\"http_(client|server)_request_duration_seconds_count\"})";
const LIMIT: Duration = Duration::from_secs(60);
const PROMETHEUS: &[Requirement] = &[Requirement::Program("prometheus"), Requirement::Program("promtool")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("numbers::blocks_of_a_file_answer_like_the_replay", PROMETHEUS, blocks_of_a_file),
        trial("numbers::remote_write_answers_like_the_replay", PROMETHEUS, remote_write),
        trial("numbers::a_restart_loses_nothing", PROMETHEUS, a_restart_loses_nothing),
        trial("numbers::a_restart_in_the_middle_loses_nothing", PROMETHEUS, a_restart_in_the_middle),
        trial("numbers::live_writes_where_the_configuration_says", PROMETHEUS, live_writes),
        trial("numbers::what_does_not_arrive_is_told", &[], what_does_not_arrive_is_told),
        trial("numbers::a_receiver_that_never_answers_is_left", &[], a_receiver_that_never_answers),
        trial("numbers::what_was_read_before_the_input_failed_is_exported", &[], input_fails),
        trial("numbers::standard_output_has_one_result", &[], standard_output_has_one_result),
    ]
}

fn run(arguments: &[&str], code: i32) -> Result<Finished> {
    let mut command = Command::new(binary("redtape")?);
    Process::run(command.args(["replay", TAPE]).args(arguments), LIMIT)?.expect_code(code)
}

/// Asks Prometheus for rates, increases and quantiles of each service, and compares with the spans.
fn compare(prometheus: &Prometheus, extent: Extent) -> Result<()> {
    let mut durations: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for span in spans(Path::new(TAPE), &[])?.iter().filter(|span: &&Span| span.is_server()) {
        durations.entry(span.service.clone()).or_default().push(span.duration_ns as f64 / 1e9);
    }
    assert_eq!(durations.len(), 4);
    let range = extent.range();
    for (service, mut durations) in durations {
        durations.sort_by(f64::total_cmp);
        let count = durations.len() as f64;
        let ask = |expression: &str| {
            let chosen = format!("{{service_name=\"{service}\"}}[{range}]");
            prometheus.number(&expression.replace("$", &chosen), extent.end)
        };
        let near = |what: &str, found: f64, expected: f64| {
            let off = (found / expected - 1.0).abs();
            assert!(off < 0.01, "{what} of {service}: Prometheus says {found}, the replay {expected}");
        };
        near("increase", ask("sum(increase(http_server_request_duration_seconds_count$))")?, count);
        let sum: f64 = durations.iter().sum();
        near("sum", ask("sum(increase(http_server_request_duration_seconds_sum$))")?, sum);
        let seconds = info(Path::new(TAPE))?.duration_ns as f64 / 1e9;
        near("rate", ask("sum(rate(http_server_request_duration_seconds_count$))")?, count / seconds);
        for quantile in [0.5, 0.95, 0.99] {
            let found = ask(&format!(
                "histogram_quantile({quantile}, sum by (le) (rate(http_server_request_duration_seconds_bucket$)))"
            ))?;
            // Between two neighbours there are many quantiles; each is one.
            let rank = quantile * (count - 1.0);
            let [below, above] = [rank.floor() - 1.0, rank.ceil() + 1.0]
                .map(|at| durations[(at.max(0.0) as usize).min(durations.len() - 1)]);
            assert!(
                found > below * 0.99 && found < above * 1.01,
                "p{quantile} of {service}: {found} is not in {below} to {above}"
            );
        }
    }
    Ok(())
}

fn blocks_of_a_file() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("metrics.om");
    let (config, path) = (fine_buckets(folder.path())?, file.display().to_string());
    let arguments = ["--config", &config, "--openmetrics", &path, "--metrics-step", "100ms", "-q"];
    let finished = run(&arguments, 0)?;
    assert!(finished.stdout.contains("slowest server routes"), "the summary is there, too");
    let refused = run(&arguments, 2)?;
    assert!(refused.stderr.contains("metrics.om: exists already; --force overwrites it"), "{}", refused.stderr);
    let before = fs::read(&file)?;
    run(&[&arguments[..], &["--force"]].concat(), 0)?;
    assert!(fs::read(&file)? == before, "the same tape gives the same file");

    let mut prometheus = Prometheus::start(&[])?;
    prometheus.stop()?;
    prometheus.backfill(&file)?;
    prometheus.resume()?;
    compare(&prometheus, Extent::of(&prometheus, 0.1)?)
}

fn remote_write() -> Result<()> {
    let folder = TempDir::new()?;
    let prometheus = Prometheus::start(&[])?;
    let config = fine_buckets(folder.path())?;
    run(&["--config", &config, "--remote-write", &prometheus.write_url(), "--metrics-step", "100ms", "-q"], 0)?;
    let extent = Extent::of(&prometheus, 0.1)?;
    compare(&prometheus, extent)?;
    // The series are the same as a scrape's: what is written by hand for the one finds the other.
    let joined = "count(http_server_request_duration_seconds_count + on(instance) group_left(job) 0 * target_info)";
    assert_eq!(prometheus.number(joined, extent.end)?, 8.0);
    assert_eq!(prometheus.number("count(http_server_request_duration_seconds_bucket{le=\"+Inf\"})", extent.end)?, 8.0);

    // Without `--remote-write-stale` the series are still there a while later.
    assert!(!prometheus.query("target_info", extent.end + 60.0)?.is_empty());
    let other = Prometheus::start(&[])?;
    run(&["--remote-write", &other.write_url(), "--metrics-step", "100ms", "--remote-write-stale"], 0)?;
    let end = Extent::of(&other, 0.2).unwrap_or(extent).end;
    assert!(other.query("target_info", end + 60.0)?.is_empty(), "they have ended");
    Ok(())
}

fn a_restart_loses_nothing() -> Result<()> {
    let mut prometheus = Prometheus::start(&[])?;
    prometheus.stop()?;
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--remote-write", &prometheus.write_url(), "--metrics-step", "1ms"]);
    let mut process = Process::start(&mut command)?;
    // It cannot end before somebody takes what it has.
    assert!(process.wait_for("an end", Duration::from_secs(1), |_, _| None::<()>).is_err());
    prometheus.resume()?;
    let finished = process.finish(LIMIT)?.expect_code(0)?;
    assert!(finished.stdout.contains("2520 spans"), "{}", finished.stdout);
    let end = Extent::of(&prometheus, 0.001)?.end;
    assert_eq!(prometheus.number(SPANS, end)?, 2520.0);
    Ok(())
}

fn a_restart_in_the_middle() -> Result<()> {
    let mut prometheus = Prometheus::start(&[])?;
    let length = info(Path::new(TAPE))?.duration_ns as f64 / 1e9;
    let speed = format!("{:.3}x", length / 6.0);
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--speed", &speed, "--remote-write", &prometheus.write_url()]);
    let mut process = Process::start(command.args(["--rebase", "end=now-5s", "--metrics-step", "10ms"]))?;
    prometheus.wait_for(SPANS, 1.0)?;
    prometheus.stop()?;
    // Until one more try, at least, has found nobody.
    process.wait_for("trouble", LIMIT, |_, error| error.contains("trying again").then_some(()))?;
    prometheus.resume()?;
    let end = Extent::of(&prometheus, 0.01)?.end;
    assert!(prometheus.number(SPANS, end)? < 2520.0, "it was the middle");
    process.finish(LIMIT)?.expect_code(0)?;
    let Extent { start, end, .. } = Extent::of(&prometheus, 0.01)?;
    assert_eq!(prometheus.number(SPANS, end)?, 2520.0);
    // A step that was lost would leave a hole: redtape's own series have a sample at each.
    let steps = format!("max(count_over_time(target_info[{}ms]))", ((end - start) * 1e3).round());
    let found = prometheus.number(&steps, end)?;
    assert!(found >= ((end - start) / 0.01).floor() - 1.0, "{found} of {} steps", (end - start) / 0.01);
    Ok(())
}

fn live_writes() -> Result<()> {
    let folder = TempDir::new()?;
    let prometheus = Prometheus::start(&[])?;
    let config = folder.path().join("c.yml").display().to_string();
    fs::write(&config, format!("redtape: {{remote_write: {{url: '{}', interval: 100ms}}}}\n", prometheus.write_url()))?;
    let mut live = Command::new("sh");
    let line = format!("cat {TAPE} | {} live --from - --config {config}", binary("redtape")?.display());
    let said = Process::run(live.args(["-c", &line]), LIMIT)?.expect_code(0)?.stderr;
    assert!(said.contains(" samples to http://127.0.0.1:") && said.contains(" arrived\n"), "{said}");
    let Extent { start, end, .. } = Extent::of(&prometheus, 0.0)?;
    assert_eq!(prometheus.number(SPANS, end)?, 2520.0);
    // What is over has ended, and before it began there was nothing.
    assert!(prometheus.query(SPANS, end + 0.1)?.is_empty() && prometheus.query(SPANS, start - 0.1)?.is_empty());
    assert!(end - start < 1.0, "the tape is of 0.87 s: {start} to {end}");
    // A replay goes there, too, and as often as the flag says.
    let finished = run(&["--config", &config, "--remote-write", "--metrics-step", "1s"], 0)?;
    assert!(finished.stderr.contains(" samples to http://127.0.0.1:"), "{}", finished.stderr);
    let error = run(&["--remote-write"], 2)?.stderr;
    assert!(error.contains("redtape.remote_write.url is not set"), "{error}");
    Ok(())
}

fn what_does_not_arrive_is_told() -> Result<()> {
    let dead = DeadPort::new()?;
    let nobody = format!("http://user:secret@127.0.0.1:{}/api/v1/write", dead.number()?);
    let finished = run(&["--remote-write", &nobody, "--remote-write-retry", "300ms"], 5)?;
    assert!(finished.stdout.contains("2520 spans"), "what was found is told all the same");
    let said = &finished.stderr;
    assert!(said.contains(" samples to http://127.0.0.1:") && said.contains(" did not arrive: "), "{said}");
    assert!(said.contains("Connection refused") && !said.contains("secret"), "{said}");

    // As to all back ends, times that are ahead of the clock are told of.
    let ahead = run(&["--remote-write", &nobody, "--remote-write-retry", "0s", "--speed", "100x"], 5)?.stderr;
    assert!(ahead.contains("run ahead of the clock") && ahead.contains("--rebase end=now-5s"), "{ahead}");
    let without = run(&["--run-id", "a"], 0)?.stderr;
    assert!(without.contains("warning: --run-id has no effect"), "{without}");

    // A server that is none of Prometheus' refuses at once, which is not tried again.
    let server = redtape_tests::Server::python()?;
    let refused = run(&["--remote-write", &format!("{}/api/v1/write", server.url())], 5)?;
    assert!(refused.stderr.contains("did not arrive: it answered 501 Not Implemented"), "{}", refused.stderr);
    for (arguments, part) in [
        (["--remote-write", "localhost:9090"], "neither http:// nor https://"),
        (["--metrics-step", "0s"], "--metrics-step"),
        (["--linger", "forever"], "add --prometheus"),
        (["--linger", "long"], "or `forever`"),
        (["--prometheus", "9090"], ":9090"),
    ] {
        let finished = run(&arguments, 2)?;
        assert!(finished.stderr.contains(part), "{arguments:?}: {}", finished.stderr);
    }
    Ok(())
}

fn a_receiver_that_never_answers() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE, "--metrics-step", "10ms", "--remote-write", &url, "--remote-write-timeout", "1h"]);
    let process = Process::start(&mut command)?;
    let _connection = listener.accept()?;
    let asked = Instant::now();
    process.signal(Signal::INT)?;
    let error = process.finish(LIMIT)?.expect_code(130)?.stderr;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(error.contains("interrupted; ") && error.contains("given up before it was answered"), "{error}");
    Ok(())
}

fn input_fails() -> Result<()> {
    let tape = fs::read(TAPE)?;
    let folder = TempDir::new()?;
    for jobs in ["1", "2"] {
        let file = folder.path().join(format!("{jobs}.om"));
        let (mut ours, theirs) = UnixStream::pair()?;
        // Whoever hangs up without having read everything resets the connection.
        (&theirs).write_all(&[0])?;
        let mut command = Command::new(binary("redtape")?);
        command.args(["replay", "-", "--jobs", jobs, "--openmetrics"]).arg(&file);
        let process = Process::start_between(&mut command, OwnedFd::from(theirs), Stdio::null())?;
        ours.write_all(&tape[..tape.len() / 2])?;
        drop(ours);
        let finished = process.finish(LIMIT)?.expect_code(3)?;
        assert!(finished.stderr.contains("the tape cannot be read on from byte"), "{}", finished.stderr);
        let metrics = fs::read_to_string(&file)?;
        assert!(metrics.contains("http_server_request_duration_seconds_count") && metrics.ends_with("# EOF\n"));
    }
    Ok(())
}

fn standard_output_has_one_result() -> Result<()> {
    let finished = run(&["--openmetrics", "-", "--spans", "json"], 2)?;
    assert!(finished.stdout.is_empty() && finished.stderr.contains("give a file"), "{}", finished.stderr);
    let text = replay(Path::new(TAPE), &["--openmetrics", "-", "-q"])?;
    assert!(text.starts_with("# TYPE") && text.ends_with("\n# EOF\n"));
    Ok(())
}
