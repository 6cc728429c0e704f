//! Go's crypto/tls: many connections at once, each request on the connection that its path names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Recorder, Requirement, Result, Signal, Span, tool, trial};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/go_tls.go");
const LIMIT: Duration = Duration::from_secs(60);
/// A first build of the standard library takes its time.
const BUILD: Duration = Duration::from_secs(300);
const CONNECTIONS: usize = 64;
const REQUESTS: usize = 30;

pub(crate) fn trials() -> Vec<Trial> {
    const GO: &[Requirement] = &[Requirement::Uprobes, Requirement::Tool("python/bin/go")];
    vec![
        trial("go_tls::with_symbols", GO, || every_request(&[])),
        trial("go_tls::stripped", GO, || every_request(&["-ldflags=-s -w"])),
        trial("go_tls::position_independent", GO, || every_request(&["-buildmode=pie", "-ldflags=-s -w"])),
    ]
}

/// Builds the program from Go's standard library alone, with nothing from the network.
fn build(folder: &Path, arguments: &[&str]) -> Result<PathBuf> {
    let program = folder.join("go_tls");
    let mut command = Command::new(tool("python/bin/go")?);
    command.arg("build").args(arguments).arg("-o").arg(&program).arg(SOURCE);
    command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"));
    command.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
    Process::run(&mut command, BUILD)?.expect_code(0)?;
    Ok(program)
}

fn every_request(arguments: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(build(folder.path(), arguments)?);
    let mut program = Process::start(command.args([CONNECTIONS.to_string(), REQUESTS.to_string()]))?;
    program.wait_for("the server", LIMIT, |stdout, _| stdout.contains("ready").then_some(()))?;
    let recorder = Recorder::start(["--pid", &program.id().to_string()])?;
    program.signal(Signal::USR1)?;
    let answered = program.finish(LIMIT)?.expect_code(0)?.stdout;
    let recording = recorder.stop()?;
    assert_eq!(answered, format!("ready\n{}\n", CONNECTIONS * REQUESTS));
    assert_eq!(recording.info()?.lost, 0);

    let spans = recording.spans()?;
    for span in spans.iter().filter(|span| span.kind != "internal") {
        assert!(!span.incomplete && span.status_code() == "200", "{span:?}");
        assert_eq!(span.attribute("url.scheme"), "https");
    }
    let served = by_id(&spans, Span::is_server);
    let asked = by_id(&spans, Span::is_client);
    for server in served.values() {
        let port = server.attribute("client.port");
        assert_eq!(server.path().split('/').nth(1), Some(port.as_str()), "on a wrong connection: {server:?}");
        // The two ends of a connection are found by its sequence numbers, so the client's end is on the right one, too.
        let client = server.parent_span_id.as_ref().and_then(|parent| asked.get(parent.as_str()));
        assert_eq!(client.map(|client| client.path()), Some(server.path()), "{server:?}");
    }
    let paths: BTreeSet<String> = served.values().map(|span| span.path()).collect();
    let all = CONNECTIONS * REQUESTS;
    assert_eq!((paths.len(), served.len(), asked.len()), (all, all, all));
    Ok(())
}

fn by_id(spans: &[Span], kind: fn(&Span) -> bool) -> BTreeMap<&str, &Span> {
    spans.iter().filter(|span| kind(span)).map(|span| (span.span_id.as_str(), span)).collect()
}
