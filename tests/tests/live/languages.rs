//! Languages: a server and a client of each, with the same conversation, seen whole from both ends.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{
    Conversation, Process, Program, Requirement, Result, Source, Span, binary, conversation, replay, trial,
};
use tempfile::TempDir;

const BPF: Requirement = Requirement::Bpf;
const LIMIT: Duration = Duration::from_secs(20);

const fn program(name: &'static str, needs: &'static [Requirement], source: Source) -> Program {
    Program { name, needs, source }
}

const fn needs(program: &'static str) -> Requirement {
    Requirement::Program(program)
}

const C: Program = program("c", &[BPF, needs("nginx"), needs("curl"), needs("python3")], Source::Script("c/program"));
const CPP: Program = program(
    "cpp",
    &[BPF, needs("c++"), Requirement::File("/usr/include/httplib.h")],
    Source::Cpp("cpp/program.cpp", &["-lcpp-httplib", "-lssl", "-lcrypto", "-pthread"]),
);
const DOTNET: Program = program(
    "dotnet",
    &[BPF, needs("mcs"), Requirement::Tool("dotnet/dotnet")],
    Source::DotNet(
        "dotnet/Program.cs",
        &[
            "System.Console",
            "System.Net.Primitives",
            "System.Net.Sockets",
            "System.Private.CoreLib",
            "System.Private.Uri",
            "System.Runtime",
            "System.Runtime.Extensions",
        ],
    ),
);
const GO: Program = program("go", &[BPF, Requirement::Tool("python/bin/go")], Source::Go("go"));
const JAVA: Program = program("java", &[BPF, needs("javac")], Source::Java("java/Program.java"));
const NODE: Program = program("node", &[BPF, needs("node")], Source::Interpreted("node", "node/program.js"));
const PHP: Program = program("php", &[BPF, needs("php")], Source::Php("php/program.php"));
const PYTHON: Program =
    program("python", &[BPF, needs("python3")], Source::Interpreted("python3", "python/threads.py"));
const ASYNCIO: Program = program(
    "python_asyncio",
    &[BPF, Requirement::Tool("python/bin/uvicorn")],
    Source::Interpreted("python/bin/python", "python/loop.py"),
);
const WEBSOCKET: Program =
    program("websocket", ASYNCIO.needs, Source::Interpreted("python/bin/python", "python/websocket_talk.py"));
const RUBY: Program = program(
    "ruby",
    &[BPF, needs("ruby"), Requirement::File("/var/lib/dpkg/info/ruby-webrick.list")],
    Source::Interpreted("ruby", "ruby/program.rb"),
);
const RUST: Program = program("rust", &[BPF], Source::Rust("conversation"));

/// How often a conversation over TLS is recorded until it is seen from its start.
const ATTEMPTS: usize = 5;

pub(crate) fn trials() -> Vec<Trial> {
    let http = [C, CPP, DOTNET, GO, JAVA, NODE, PHP, PYTHON, ASYNCIO, RUBY, RUST].map(|own| talk(own, own, "http"));
    let websocket = trial("languages::python_websocket", WEBSOCKET.needs, upgrades);
    let h2c = [(C, C), (GO, GO), (NODE, NODE), (RUST, RUST), (NODE, ASYNCIO)];
    let h2c = h2c.map(|(server, client)| talk(server, client, "h2c"));
    let https = [C, CPP, GO, NODE, PYTHON, ASYNCIO, RUBY].map(|own| talk(own, own, "https"));
    let h2 = [(C, C), (GO, GO), (NODE, NODE), (NODE, ASYNCIO)].map(|(server, client)| talk(server, client, "h2"));
    let opaque = [(JAVA, "java"), (RUST, "conversation")].map(|(own, comm)| {
        trial(format!("languages::{}_https_is_not_seen", own.name), &with_tls(&own), move || {
            not_seen_into(&own, "https", comm)
        })
    });
    let doctor = trial("languages::java_https_doctor", &[JAVA.needs, &[needs("openssl")]].concat(), doctor_names_java);
    http.into_iter().chain([websocket]).chain(h2c).chain(https).chain(h2).chain(opaque).chain([doctor]).collect()
}

/// What a program with TLS needs.
pub(crate) fn with_tls(program: &Program) -> Vec<Requirement> {
    [program.needs, &[needs("openssl"), Requirement::Uprobes]].concat()
}

/// A program whose TLS is its own: nothing is seen, and the recorder, the tape and its replay say so of both ends.
pub(crate) fn not_seen_into(own: &Program, protocol: &str, comm: &str) -> Result<()> {
    let recording = own.record_calls_of(own, protocol)?;
    assert!(recording.spans()?.is_empty());
    let named = recording.info()?.opaque_tls;
    assert_eq!(named.iter().filter(|name| name.starts_with(comm)).count(), 2, "{named:?}");
    let said = format!("warning: {comm} uses TLS of a library that is not seen into");
    assert!(recording.recorder.stderr.contains(&said), "{}", recording.recorder.stderr);
    let replayed = replay(&recording.tape(), &[])?;
    assert!(replayed.contains(&format!("not seen: TLS of {comm}\n")), "{replayed}");
    Ok(())
}

fn doctor_names_java() -> Result<()> {
    let folder = TempDir::new()?;
    let server = JAVA.start("https", folder.path())?;
    let said = Process::run(Command::new(binary("redtape-capture")?).arg("doctor"), LIMIT)?.stdout;
    let line = said.lines().find(|line| line.contains("Java's own TLS is not seen"));
    let named = format!("java ({})", server.process().id());
    assert!(line.is_some_and(|line| line.contains(&named)), "{named}: {said}");
    Ok(())
}

fn talk(server: Program, client: Program, protocol: &'static str) -> Trial {
    let ends =
        if server.name == client.name { client.name.into() } else { format!("{}_to_{}", client.name, server.name) };
    let mut needs = [server.needs, client.needs].concat();
    let tls = matches!(protocol, "https" | "h2");
    if tls {
        needs.extend(with_tls(&client));
    }
    trial(format!("languages::{ends}_{protocol}"), &needs, move || {
        let (mut spans, mut opaque) = recorded(&server, &client, protocol)?;
        // On a busy machine, programs that have just begun are ahead of the probes at times, and not each time: some of
        // what they said is missing then, or all of it.
        for _ in 1..if tls { ATTEMPTS } else { 1 } {
            if opaque.is_empty() && is_seen_from_the_start(&spans) {
                break;
            }
            (spans, opaque) = recorded(&server, &client, protocol)?;
        }
        assert_eq!(opaque, Vec::<String>::new(), "not seen into");
        // Of asyncio's clients not each read of a socket tells which of their connections it was for.
        let untied = if client.name == ASYNCIO.name { spans.iter().filter(|span| is_untied(span)).count() } else { 0 };
        check(&spans, protocol, untied)
    })
}

/// The spans, and whose TLS was not seen into.
fn recorded(server: &Program, client: &Program, protocol: &str) -> Result<(Vec<Span>, Vec<String>)> {
    let recording = server.record_calls_of(client, protocol)?;
    let info = recording.info()?;
    assert_eq!(info.lost, 0);
    Ok((recording.spans()?, info.opaque_tls))
}

/// Whether the client's plaintext is there from its first byte on: each connection that is known is linked.
fn is_seen_from_the_start(spans: &[Span]) -> bool {
    let asked = spans.iter().filter(|span| span.is_client() && !span.incomplete).count();
    let linked = spans.iter().filter(|span| span.is_server() && span.parent_span_id.is_some()).count();
    let untied = spans.iter().filter(|span| is_untied(span)).count();
    asked == conversation().into_values().sum::<usize>() && linked + untied >= asked
}

/// Four upgrades. The messages after them look like requests, and are none.
fn upgrades() -> Result<()> {
    let recording = WEBSOCKET.record_calls_of(&WEBSOCKET, "http")?;
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    let mut found: Vec<_> = spans.iter().map(|span| (span.kind.as_str(), span.path(), span.status_code())).collect();
    found.sort();
    let ends = ["client", "server"].into_iter();
    let expected = ends.flat_map(|kind| (0..4).map(move |number| (kind, format!("/talk/{number}"), "101".to_owned())));
    found.retain(|(kind, ..)| *kind != "internal");
    assert_eq!(found, expected.collect::<Vec<_>>());
    Ok(())
}

/// Of a client over TLS, whose connection is not known.
fn is_untied(span: &Span) -> bool {
    span.is_client() && span.attribute("redtape.tls.tie") == "unknown"
}

/// Each request is a server span and a client span, whole, and the two are one trace but for so many.
fn check(spans: &[Span], protocol: &str, untied: usize) -> Result<()> {
    let kind = |kind: fn(&Span) -> bool| -> Vec<&Span> { spans.iter().filter(|span| kind(span)).collect() };
    let (servers, clients) = (kind(Span::is_server), kind(Span::is_client));
    assert_eq!(counts(&servers), conversation(), "served");
    assert_eq!(counts(&clients), conversation(), "asked");
    let by_id: BTreeMap<_, _> = clients.iter().map(|span| (&span.span_id, *span)).collect();
    let mut alone = 0;
    for server in servers {
        let caller = server.parent_span_id.as_ref().and_then(|id| by_id.get(id));
        let Some(caller) = caller else {
            alone += 1;
            assert!(alone <= untied, "no caller: {server:?}");
            continue;
        };
        assert_eq!((&caller.trace_id, caller.path()), (&server.trace_id, server.path()));
        whole(server, protocol);
        whole(caller, protocol);
    }
    Ok(())
}

fn whole(span: &Span, protocol: &str) {
    let version = if protocol.starts_with("http") { "1.1" } else { "2" };
    let scheme = if matches!(protocol, "https" | "h2") { "https" } else { "http" };
    assert!(!span.incomplete, "{span:?}");
    assert_eq!(span.attribute("network.protocol.version"), version, "{span:?}");
    let told = if span.is_server() { span.attribute("url.scheme") } else { span.attribute("url.full") };
    assert_eq!(told.split(':').next(), Some(scheme), "{span:?}");
    if span.path() == "/echo" {
        assert_eq!(span.attribute("http.request.body.size"), "20000", "{span:?}");
        assert_eq!(span.attribute("http.response.body.size"), "20000", "{span:?}");
    }
}

fn counts(spans: &[&Span]) -> Conversation {
    let mut counts = Conversation::new();
    for span in spans {
        *counts.entry((span.attribute("http.request.method"), span.path(), span.status_code())).or_default() += 1;
    }
    counts
}
