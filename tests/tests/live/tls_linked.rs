//! TLS libraries as a C program gets them: BoringSSL as a shared library, and OpenSSL linked into the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Recorder, Requirement, Result, Server, Span, trial};

use crate::tls::{check_spans, untied, with_certificate};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/tls_linked.c");
/// Where Debian puts BoringSSL, which it calls Android's.
const BORINGSSL: &str = "-I/usr/include/android -L/usr/lib/x86_64-linux-gnu/android \
                         -Wl,-rpath,/usr/lib/x86_64-linux-gnu/android -lssl -lcrypto";
const STATIC_OPENSSL: &str = "-Wl,-Bstatic -lssl -lcrypto -Wl,-Bdynamic";
const BUILD: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 16;
const REQUESTS: usize = 10;

pub(crate) fn trials() -> Vec<Trial> {
    const BOTH: [Requirement; 3] = [Requirement::Uprobes, Requirement::Program("cc"), Requirement::Program("openssl")];
    let library = |name: &str, file: &'static str, options: &'static str| {
        let needs = [&BOTH[..], &[Requirement::File(file)]].concat();
        trial(format!("tls_linked::{name}"), &needs, move || every_request(options))
    };
    vec![
        library("boringssl", "/usr/lib/x86_64-linux-gnu/android/libssl.so", BORINGSSL),
        library("openssl_in_the_program", "/usr/lib/x86_64-linux-gnu/libssl.a", STATIC_OPENSSL),
    ]
}

fn build(folder: &Path, options: &str) -> Result<PathBuf> {
    let program = folder.join("tls_linked");
    let mut command = Command::new("cc");
    command.args(["-O1", "-D_GNU_SOURCE", "-pthread", "-o"]).arg(&program).arg(SOURCE).args(options.split_whitespace());
    Process::run(&mut command, BUILD)?.expect_code(0)?;
    Ok(program)
}

/// Every request is a server span and a client span of the connection that its path names.
fn every_request(options: &str) -> Result<()> {
    let folder = with_certificate()?;
    let program = build(folder.path(), options)?;
    let server = Server::start(Command::new(&program).arg("serve").arg(folder.path()), "listening on")?;
    let numbers = [usize::from(server.port()), CONNECTIONS, REQUESTS].map(|number| number.to_string());
    let [port, connections, requests] = numbers.each_ref().map(String::as_str);
    let program = program.to_str().ok_or("a folder's name is text")?;
    let recorder = Recorder::start(["--port", port, "--", program, "call", port, connections, requests])?;
    let recording = recorder.wait()?;
    assert!(recording.recorder.status.success(), "{}", recording.recorder.stderr);
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    check_spans(&spans, CONNECTIONS, REQUESTS);
    assert_eq!(untied(&spans), 0);

    let clients: BTreeMap<_, _> =
        spans.iter().filter(|span| span.is_client()).map(|span| (&span.span_id, span)).collect();
    assert_eq!(clients.len(), CONNECTIONS * REQUESTS);
    for server in spans.iter().filter(|span| span.is_server()) {
        let client: &Span = server.parent_span_id.as_ref().and_then(|id| clients.get(id)).ok_or("no client")?;
        assert_eq!((client.path(), client.status_code()), (server.path(), server.status_code()));
        assert!(!client.incomplete && client.attribute("url.full").starts_with("https://"), "{client:?}");
    }
    Ok(())
}
