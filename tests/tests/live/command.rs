//! `-- COMMAND`: recorded from its first instruction to its end, with what it starts.

use std::collections::BTreeSet;
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use redtape_tests::{Recorder, Recording, Requirement, Result, Server, Signal, Span, binary, trial};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

const WAYS: [&str; 10] = [
    "/dup",
    "/http2/1",
    "/http2/2",
    "/read-write",
    "/readv-writev",
    "/recv-send",
    "/recvmsg-sendmsg",
    "/sendfile",
    "/shutdown",
    "/splice",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("command::every_way_to_read_and_write", &[Requirement::Bpf], every_way),
        trial("command::children_are_recorded_too", &[Requirement::Bpf], children),
        trial(
            "command::a_program_that_ended_unseen_has_its_name",
            &[Requirement::Bpf, Requirement::Program("python3")],
            unseen,
        ),
        trial("command::its_exit_status_is_told", &[Requirement::Bpf], exit_status),
    ]
}

fn every_way() -> Result<()> {
    let exchange = binary("exchange")?;
    check_exchange(&Recorder::start(["--".as_ref(), exchange.as_os_str()])?.wait()?)
}

fn children() -> Result<()> {
    let script = format!("{} & wait", binary("exchange")?.display());
    check_exchange(&Recorder::start(["--", "sh", "-c", &script])?.wait()?)
}

/// The recorder stands still while a program begins, makes a request and ends.
fn unseen() -> Result<()> {
    let server = Server::python()?;
    let folder = TempDir::new()?;
    let [go, done] = ["go", "done"].map(|name| folder.path().join(name));
    let client = format!("import urllib.request as r; r.urlopen('{}/').read()", server.url());
    let script = format!(
        "until [ -e {} ]; do sleep 0.05; done; python3 -c \"{client}\"; touch {}; exec sleep 0.2",
        go.display(),
        done.display()
    );
    let mut recorder = Recorder::start(["--", "sh", "-c", &script])?;
    recorder.process().signal(Signal::STOP)?;
    File::create(go)?;
    let end = Instant::now() + LIMIT;
    while !done.exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    recorder.process().signal(Signal::CONT)?;
    let spans = recorder.wait()?.spans()?;
    let [span] = spans.as_slice() else { return Err(format!("one request was made: {spans:?}").into()) };
    assert!(span.is_client() && span.service.starts_with("python3"), "{span:?}");
    Ok(())
}

fn exit_status() -> Result<()> {
    let recording = Recorder::start(["--", "sh", "-c", "exit 3"])?.wait()?;
    assert!(recording.recorder.stderr.contains('3'), "{}", recording.recorder.stderr);
    Ok(())
}

/// One exchange for each way, seen from both ends, with both ends in one trace.
fn check_exchange(recording: &Recording) -> Result<()> {
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    let paths =
        |kind: fn(&Span) -> bool| -> BTreeSet<_> { spans.iter().filter(|span| kind(span)).map(Span::path).collect() };
    assert_eq!(paths(Span::is_server), WAYS.map(String::from).into());
    assert_eq!(paths(Span::is_client), WAYS.map(String::from).into());
    for server in spans.iter().filter(|span| span.is_server()) {
        assert_eq!((server.incomplete, server.status_code().as_str()), (false, "200"), "{server:?}");
        let size = if server.path().starts_with("/http2/") { "20000" } else { "6000" };
        assert_eq!(server.attribute("http.response.body.size"), size, "{server:?}");
        let parent = spans.iter().find(|span| Some(&span.span_id) == server.parent_span_id.as_ref());
        let parent = parent.ok_or_else(|| format!("{} is not linked to its caller", server.path()))?;
        assert_eq!((parent.is_client(), parent.path()), (true, server.path()));
        assert_eq!(parent.trace_id, server.trace_id);
    }
    Ok(())
}
