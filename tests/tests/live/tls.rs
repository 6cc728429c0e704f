//! TLS: every request over HTTPS is a span with its own connection's addresses, whatever the library and however the
//! program uses it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use libtest_mimic::Trial;
use redtape_tests::{Process, Recorder, Recording, Requirement, Result, Server, Signal, Span, trial};
use tempfile::TempDir;

pub(crate) const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/tls_client.py");
pub(crate) const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/tls_server.py");

const NODE: &str = "
const [https, fs] = [require('https'), require('fs')];
const options = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') };
const server = https.createServer(options, (request, response) => {
  response.statusCode = request.url.endsWith('/missing') ? 404 : 200;
  response.end('x'.repeat(700));
});
server.listen(0, '127.0.0.1', () => console.log('node listens on ' + server.address().port));
";

pub(crate) fn trials() -> Vec<Trial> {
    const PYTHON: &[Requirement] =
        &[Requirement::Uprobes, Requirement::Program("python3"), Requirement::Program("openssl")];
    const NGINX: &[Requirement] = &[
        Requirement::Uprobes,
        Requirement::Program("nginx"),
        Requirement::Program("curl"),
        Requirement::Program("openssl"),
    ];
    const NODE: &[Requirement] = &[
        Requirement::Uprobes,
        Requirement::Program("node"),
        Requirement::Program("python3"),
        Requirement::Program("openssl"),
    ];
    const GNUTLS: &[Requirement] = &[
        Requirement::Uprobes,
        Requirement::Program("gnutls-serv"),
        Requirement::Program("curl"),
        Requirement::Program("openssl"),
    ];
    vec![
        trial("tls::nginx_and_curl", NGINX, nginx),
        trial("tls::nginx_with_workers", NGINX, nginx_with_workers),
        trial("tls::python_threads", PYTHON, || python("threads")),
        trial("tls::python_asyncio", PYTHON, || python("asyncio")),
        trial("tls::node_with_32_connections_at_once", NODE, node),
        trial("tls::node_from_its_first_connection", &[NODE, NGINX].concat(), node_from_its_first_connection),
        trial("tls::gnutls", GNUTLS, gnutls),
        trial("tls::time_in_the_queue", PYTHON, queue),
        trial("tls::both_ends", PYTHON, both_ends),
        trial("tls::off", NGINX, off),
    ]
}

/// A folder with a new key and certificate for this machine.
pub(crate) fn with_certificate() -> Result<TempDir> {
    let folder = TempDir::new()?;
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    command.args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"]).current_dir(&folder);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(folder)
}

/// Sends requests over `connections` at once, `requests` on each, with the client's port as the path's first segment.
pub(crate) fn send(port: u16, connections: usize, requests: usize) -> Result<()> {
    let numbers = [usize::from(port), connections, requests].map(|number| number.to_string());
    let output = Command::new("python3").arg(CLIENT).args(numbers).output()?;
    if !output.status.success() {
        return Err(format!("the client failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// Each request is a server span of scheme https, with the status that was sent.
pub(crate) fn check_spans(spans: &[Span], connections: usize, requests: usize) {
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    assert_eq!(servers.len(), connections * requests);
    let mut paths = BTreeMap::new();
    for span in servers {
        assert_eq!(span.attribute("url.scheme"), "https");
        assert!(!span.incomplete);
        let status = if span.path().ends_with("/missing") { "404" } else { "200" };
        assert_eq!(span.attribute("http.response.status_code"), status);
        *paths.entry(span.path()).or_insert(0) += 1;
    }
    assert!(paths.values().all(|&count| count == 1), "{paths:?}");
}

/// How many spans have no address. None has another connection's.
pub(crate) fn untied(spans: &[Span]) -> usize {
    let mut untied = 0;
    for span in spans.iter().filter(|span| span.is_server()) {
        let port = span.attribute("client.port");
        if port.is_empty() {
            assert_eq!(span.attribute("redtape.tls.tie"), "unknown");
            untied += 1;
        } else {
            let path = span.path();
            assert_eq!(path.split('/').nth(1), Some(port.as_str()), "on another's connection");
        }
    }
    untied
}

fn recorded(port: u16, work: impl FnOnce() -> Result<()>) -> Result<Recording> {
    let recorder = Recorder::start(["--port", &port.to_string()])?;
    work()?;
    let recording = recorder.stop()?;
    assert_eq!(recording.info()?.lost, 0);
    Ok(recording)
}

fn nginx() -> Result<()> {
    let folder = with_certificate()?;
    let server = Server::nginx_with_tls(folder, 0)?;
    let recording = recorded(server.port(), || curl(server.port(), 20))?;
    check_curl(&recording.spans()?, 20);
    Ok(())
}

fn nginx_with_workers() -> Result<()> {
    let folder = with_certificate()?;
    let server = Server::nginx_with_tls(folder, 2)?;
    let recording = recorded(server.port(), || curl(server.port(), 20));
    server.process().signal(Signal::TERM)?;
    check_curl(&recording?.spans()?, 20);
    Ok(())
}

fn curl(port: u16, requests: usize) -> Result<()> {
    for n in 0..requests {
        let status = Command::new("curl")
            .args(["--silent", "--insecure", "--http1.1", "--output", "/dev/null"])
            .arg(format!("https://127.0.0.1:{port}/{}", if n == 0 { "missing" } else { "" }))
            .status()?;
        assert!(status.success());
    }
    Ok(())
}

fn check_curl(spans: &[Span], requests: usize) {
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    assert_eq!(servers.len(), requests);
    let missing = servers.iter().filter(|span| span.attribute("http.response.status_code") == "404").count();
    assert_eq!(missing, 1);
    for span in servers {
        assert_eq!(span.attribute("url.scheme"), "https");
        assert!(!span.attribute("client.port").is_empty() && span.queue_ns.is_some() && !span.incomplete, "{span:?}");
    }
}

fn python(kind: &str) -> Result<()> {
    let folder = with_certificate()?;
    let server = Server::start(Command::new("python3").args(["-u", SERVER, kind]).current_dir(&folder), "listens on")?;
    let spans = recorded(server.port(), || send(server.port(), 8, 5))?.spans()?;
    check_spans(&spans, 8, 5);
    assert_eq!(untied(&spans), 0);
    Ok(())
}

fn node() -> Result<()> {
    let folder = with_certificate()?;
    let server = Server::start(Command::new("node").args(["-e", NODE]).current_dir(&folder), "node listens on")?;
    let spans = recorded(server.port(), || send(server.port(), 32, 5))?.spans()?;
    check_spans(&spans, 32, 5);
    let untied = untied(&spans);
    assert!(untied <= 16, "{untied} of 160 have no address");
    Ok(())
}

/// The first connection that a server has is tied like later ones, although its first record is read before the library is called.
fn node_from_its_first_connection() -> Result<()> {
    for _ in 0..6 {
        let folder = with_certificate()?;
        let server = Server::start(Command::new("node").args(["-e", NODE]).current_dir(&folder), "node listens on")?;
        let spans = recorded(server.port(), || curl(server.port(), 1))?.spans()?;
        let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
        assert_eq!(servers.len(), 1);
        assert_ne!(servers[0].attribute("client.port"), "", "{servers:?}");
    }
    Ok(())
}

/// A server of GnuTLS, which answers with what it knows of the connection.
fn gnutls() -> Result<()> {
    let folder = with_certificate()?;
    let port = redtape_tests::free_port()?;
    let mut command = Command::new("gnutls-serv");
    command.args(["--http", "--quiet", "--x509keyfile", "key.pem", "--x509certfile", "cert.pem", "--port"]);
    let server = Process::start(command.arg(port.to_string()).current_dir(&folder))?;
    redtape_tests::wait_until_it_accepts(port)?;
    let spans = recorded(port, || curl_1_0(port, 10))?.spans()?;
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    assert_eq!(servers.len(), 10);
    for span in servers {
        assert_eq!(span.attribute("url.scheme"), "https");
        assert_eq!(span.attribute("http.response.status_code"), "200");
        assert!(!span.attribute("client.port").is_empty());
    }
    drop(server);
    Ok(())
}

fn curl_1_0(port: u16, requests: usize) -> Result<()> {
    for _ in 0..requests {
        let mut command = Command::new("curl");
        command.args(["--silent", "--insecure", "--http1.0", "--output", "/dev/null"]);
        assert!(command.arg(format!("https://127.0.0.1:{port}/")).status()?.success());
    }
    Ok(())
}

/// The server waits before it reads, so requests wait in the socket, encrypted.
fn queue() -> Result<()> {
    let folder = with_certificate()?;
    let server =
        Server::start(Command::new("python3").args(["-u", SERVER, "slow"]).current_dir(&folder), "listens on")?;
    let spans = recorded(server.port(), || send(server.port(), 1, 5))?.spans()?;
    check_spans(&spans, 1, 5);
    for span in spans.iter().filter(|span| span.is_server()) {
        let queue = span.queue_ns.ok_or("the queue time is not known")?;
        assert!((80_000_000..5_000_000_000).contains(&queue), "{queue}");
    }
    // The first request of the connection has waited for the accept, too.
    let waited = spans.iter().filter(|span| !span.attribute("redtape.accept_wait_ns").is_empty());
    assert_eq!(waited.count(), 1);
    Ok(())
}

/// A client and a server that are both recorded: each request is one trace of two spans.
fn both_ends() -> Result<()> {
    let folder = with_certificate()?;
    let server =
        Server::start(Command::new("python3").args(["-u", SERVER, "threads"]).current_dir(&folder), "listens on")?;
    let port = server.port().to_string();
    let spans = Recorder::start(["--port", &port, "--", "python3", CLIENT, &port, "4", "5"])?.wait()?.spans()?;
    check_spans(&spans, 4, 5);
    let clients: BTreeMap<_, _> =
        spans.iter().filter(|span| span.kind == "client").map(|span| (&span.span_id, span)).collect();
    assert_eq!(clients.len(), 20);
    for span in spans.iter().filter(|span| span.is_server()) {
        let parent = span.parent_span_id.as_ref().and_then(|id| clients.get(id)).ok_or("no client")?;
        assert_eq!((parent.path(), span.attribute("redtape.link")), (span.path(), "connection".to_owned()));
        assert!(parent.attribute("url.full").starts_with("https://"));
    }
    Ok(())
}

/// Without it, nothing is read of TLS, and nothing is made of it.
fn off() -> Result<()> {
    let folder = with_certificate()?;
    let server = Server::nginx_with_tls(folder, 0)?;
    let recorder = Recorder::start(["--port", &server.port().to_string(), "--tls", "off"])?;
    curl(server.port(), 3)?;
    let recording = recorder.stop()?;
    assert!(recording.spans()?.is_empty());
    let tape = fs::read(recording.tape())?;
    assert!(!tape.is_empty());
    Ok(())
}
