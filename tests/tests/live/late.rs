//! Processes that are chosen by a port which they open after the recording has begun.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Recorder, Recording, Requirement, Result, Span, free_port, trial};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/late.py");
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Program("python3")];
    vec![
        trial("late::a_server_is_recorded_from_its_first_request_on", PYTHON, first_request),
        trial("late::a_program_that_the_rules_exclude_stays_excluded", PYTHON, excluded),
    ]
}

/// Starts to record, and only then the server; it has ended long before the first look at all processes.
fn record(port: u16, rules: &[&str]) -> Result<Recording> {
    let recorder = Recorder::start(rules)?;
    let mut server = Command::new("python3");
    Process::run(server.arg(SCRIPT).arg(port.to_string()), LIMIT)?.expect_code(0)?;
    recorder.stop()
}

fn first_request() -> Result<()> {
    let port = free_port()?;
    // Its one process is both ends of each connection.
    let recording = record(port, &["--port", &format!("{port}-{port}"), "--exe", "python"])?;
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    let paths = |of: fn(&Span) -> bool| -> Vec<_> {
        let mut paths: Vec<_> = spans.iter().filter(|span| of(span)).map(Span::path).collect();
        paths.sort_unstable();
        paths
    };
    let all = ["/0", "/1", "/2", "/3", "/4"];
    assert_eq!(
        (paths(Span::is_server), paths(Span::is_client)),
        (all.map(String::from).into(), all.map(String::from).into())
    );
    for server in spans.iter().filter(|span| span.is_server()) {
        assert!(!server.incomplete && server.queue_ns.is_some(), "{server:?}");
    }
    Ok(())
}

fn excluded() -> Result<()> {
    let port = free_port()?;
    let recording = record(port, &["--port", &port.to_string(), "--exe", "no such program"])?;
    assert_eq!(recording.spans()?.len(), 0);
    Ok(())
}
