//! Languages: a server and a client of each, with the same conversation, seen whole from both ends.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use redtape_tests::{Conversation, Program, Recorder, Requirement, Result, Server, Source, Span, conversation, trial};

const BPF: Requirement = Requirement::Bpf;

const fn program(name: &'static str, needs: &'static [Requirement], source: Source) -> Program {
    Program { name, needs, source }
}

const fn needs(program: &'static str) -> Requirement {
    Requirement::Program(program)
}

const PROGRAMS: &[Program] = &[
    program("c", &[BPF, needs("nginx"), needs("curl"), needs("python3")], Source::Script("c/program")),
    program(
        "cpp",
        &[BPF, needs("c++"), Requirement::File("/usr/include/httplib.h")],
        Source::Cpp("cpp/program.cpp", &["-lcpp-httplib", "-lssl", "-lcrypto", "-pthread"]),
    ),
    program("go", &[BPF, Requirement::Tool("python/bin/go")], Source::Go("go")),
    program("java", &[BPF, needs("javac")], Source::Java("java/Program.java")),
    program("node", &[BPF, needs("node")], Source::Interpreted("node", "node/program.js")),
    program("php", &[BPF, needs("php")], Source::Php("php/program.php")),
    program("python", &[BPF, needs("python3")], Source::Interpreted("python3", "python/threads.py")),
    program(
        "python_asyncio",
        &[BPF, Requirement::Tool("python/bin/uvicorn")],
        Source::Interpreted("python/bin/python", "python/loop.py"),
    ),
    program(
        "ruby",
        &[BPF, needs("ruby"), Requirement::File("/var/lib/dpkg/info/ruby-webrick.list")],
        Source::Interpreted("ruby", "ruby/program.rb"),
    ),
    program("rust", &[BPF], Source::Rust("conversation")),
];

pub(crate) fn trials() -> Vec<Trial> {
    PROGRAMS
        .iter()
        .map(|program| trial(format!("languages::{}", program.name), program.needs, || http(program)))
        .collect()
}

fn http(program: &Program) -> Result<()> {
    let server = Server::start(&mut program.serve("http")?, program.marker())?;
    let mut arguments = ["--port", &server.port().to_string(), "--"].map(Into::into).to_vec();
    arguments.extend(program.call("http", &server.url())?);
    let recording = Recorder::start(arguments)?.wait()?;
    let recorder = &recording.recorder;
    assert_eq!(recorder.status.code(), Some(0), "{}{}", recorder.stdout, recorder.stderr);
    assert_eq!(recording.info()?.lost, 0);
    check(&recording.spans()?, "1.1")
}

/// Each request is a server span and a client span, whole, and the two are one trace.
fn check(spans: &[Span], version: &str) -> Result<()> {
    let kind = |kind: fn(&Span) -> bool| -> Vec<&Span> { spans.iter().filter(|span| kind(span)).collect() };
    let (servers, clients) = (kind(Span::is_server), kind(Span::is_client));
    assert_eq!(counts(&servers), conversation(), "served");
    assert_eq!(counts(&clients), conversation(), "asked");
    let by_id: BTreeMap<_, _> = clients.iter().map(|span| (&span.span_id, *span)).collect();
    for server in servers {
        let caller = server.parent_span_id.as_ref().and_then(|id| by_id.get(id));
        let caller = caller.ok_or_else(|| format!("no caller: {server:?}"))?;
        assert_eq!((&caller.trace_id, caller.path()), (&server.trace_id, server.path()));
        for span in [server, caller] {
            assert!(!span.incomplete, "{span:?}");
            assert_eq!(span.attribute("network.protocol.version"), version, "{span:?}");
            if span.path() == "/echo" {
                assert_eq!(span.attribute("http.request.body.size"), "20000", "{span:?}");
                assert_eq!(span.attribute("http.response.body.size"), "20000", "{span:?}");
            }
        }
    }
    Ok(())
}

fn counts(spans: &[&Span]) -> Conversation {
    let mut counts = Conversation::new();
    for span in spans {
        *counts.entry((span.attribute("http.request.method"), span.path(), span.status_code())).or_default() += 1;
    }
    counts
}
