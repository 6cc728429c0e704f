//! .NET 10: Kestrel, as it comes in the Azure MCP server of PyPI, which is no more than a server with answers here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Recorder, Requirement, Result, Server, Span, tool, trial};
use tempfile::TempDir;

use crate::tls::{send, untied, with_certificate};

const LIMIT: Duration = Duration::from_secs(20);
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 5;
/// Rounds of requests, each over a connection of its own.
const ROUNDS: usize = 5;
/// What the server answers with a body of unknown length.
const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":
    {"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}"#;

pub(crate) fn trials() -> Vec<Trial> {
    const PLAIN: &[Requirement] = &[Requirement::Bpf, Requirement::Tool("azmcp/azmcp"), Requirement::Program("curl")];
    const TLS: &[Requirement] = &[
        Requirement::Uprobes,
        Requirement::Tool("azmcp/azmcp"),
        Requirement::Program("curl"),
        Requirement::Program("openssl"),
        Requirement::Program("python3"),
    ];
    vec![
        trial("dotnet::kestrel_http", PLAIN, || rounds("http", "1.1", &["--http1.1"])),
        trial("dotnet::kestrel_h2", TLS, || rounds("https", "2", &["--http2"])),
        trial("dotnet::kestrel_connections_at_once", TLS, at_once),
    ]
}

/// Starts Kestrel, with the certificate of `folder` if the scheme is https.
fn kestrel(scheme: &str, folder: &Path) -> Result<Server> {
    let mut command = Command::new(tool("azmcp/azmcp")?);
    command.args(["server", "start", "--transport", "http", "--dangerously-disable-http-incoming-auth"]);
    // It unpacks its libraries, calls nobody, and needs no tables of languages.
    command.env("HOME", folder).env("DOTNET_BUNDLE_EXTRACT_BASE_DIR", folder);
    command.env("AZURE_MCP_COLLECT_TELEMETRY", "false").env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    command.env("ASPNETCORE_URLS", format!("{scheme}://127.0.0.1:0"));
    if scheme == "https" {
        command.env("Kestrel__Certificates__Default__Path", folder.join("cert.pem"));
        command.env("Kestrel__Certificates__Default__KeyPath", folder.join("key.pem"));
    }
    Server::start(&mut command, "Now listening on")
}

/// Three kinds of requests over one connection, some times: each is a span, whole.
fn rounds(scheme: &str, version: &str, options: &[&str]) -> Result<()> {
    let folder = if scheme == "https" { with_certificate()? } else { TempDir::new()? };
    let server = kestrel(scheme, folder.path())?;
    let recorder = Recorder::start(["--port", &server.port().to_string()])?;
    let url = format!("{scheme}://127.0.0.1:{}", server.port());
    for _ in 0..ROUNDS {
        let mut curl = Command::new("curl");
        let common = |curl: &mut Command| {
            curl.args(["--silent", "--insecure", "--max-time", "10", "--output", "/dev/null"]).args(options);
        };
        common(&mut curl);
        curl.arg(format!("{url}/missing")).args(["--output", "/dev/null"]).arg(format!("{url}/")).arg("--next");
        common(&mut curl);
        curl.args(["--header", "accept: application/json, text/event-stream"]);
        curl.args(["--header", "content-type: application/json", "--data", HELLO]).arg(format!("{url}/"));
        Process::run(&mut curl, LIMIT)?.expect_code(0)?;
    }
    let recording = recorder.stop()?;
    assert_eq!(recording.info()?.lost, 0);
    let mut counts = BTreeMap::new();
    for span in recording.spans()?.iter().filter(|span| span.is_server()) {
        let facts = ["url.scheme", "network.protocol.version"].map(|key| span.attribute(key));
        assert_eq!((facts, span.incomplete), ([scheme, version].map(str::to_owned), false), "{span:?}");
        let key = (span.attribute("http.request.method"), span.path(), span.status_code());
        *counts.entry(key).or_insert(0) += 1;
    }
    let expected = [("GET", "/", "405"), ("GET", "/missing", "404"), ("POST", "/", "200")];
    let expected = expected.map(|(method, path, status)| ((method.into(), path.into(), status.into()), ROUNDS));
    assert_eq!(counts, BTreeMap::from(expected));
    Ok(())
}

/// Its threads pass connections on to each other, so that of none it is known which socket it has; and none has a wrong one.
fn at_once() -> Result<()> {
    let folder = with_certificate()?;
    let server = kestrel("https", folder.path())?;
    let recorder = Recorder::start(["--port", &server.port().to_string()])?;
    send(server.port(), CONNECTIONS, REQUESTS)?;
    let recording = recorder.stop()?;
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    let servers: Vec<&Span> = spans.iter().filter(|span| span.is_server()).collect();
    assert_eq!(servers.len(), CONNECTIONS * REQUESTS);
    assert!(servers.iter().all(|span| !span.incomplete && span.status_code() == "404"), "{servers:?}");
    untied(&spans);
    Ok(())
}
