//! gRPC by tonic, grpcio and grpc-go, as servers and as clients of each other: every call of both ends, with its status.

use std::collections::BTreeMap;

use crate::languages::{not_seen_into, with_tls};
use libtest_mimic::Trial;
use redtape_tests::{Program, Requirement, Result, Source, Span, trial};

const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Tool("python/bin/uvicorn")];
const GRPCIO: Program =
    Program { name: "grpcio", needs: PYTHON, source: Source::Interpreted("python/bin/python", "python/grpc_talk.py") };
const GO: Program = Program {
    name: "go",
    needs: &[
        Requirement::Bpf,
        Requirement::Tool("python/bin/go"),
        Requirement::File("/usr/share/gocode/src/google.golang.org/grpc/server.go"),
    ],
    source: Source::GoOfDebian("go_grpc"),
};
const TONIC: Program = Program { name: "tonic", needs: &[Requirement::Bpf], source: Source::Rust("grpc") };

/// The calls of the two workers whose status is certain, by method and status.
const CERTAIN: [(&str, &str, usize); 5] =
    [("Both", "0", 2), ("Fail", "5", 4), ("Gather", "0", 2), ("Spread", "0", 2), ("Unary", "0", 14)];

pub(crate) fn trials() -> Vec<Trial> {
    let both = [(TONIC, TONIC), (GRPCIO, GRPCIO), (GO, GO)];
    let mixed = [(TONIC, GRPCIO), (GRPCIO, TONIC), (GO, TONIC), (GRPCIO, GO)];
    let plain = both.into_iter().chain(mixed).map(|(server, client)| {
        let needs = [server.needs, client.needs].concat();
        trial(format!("grpc::{}_to_{}", client.name, server.name), &needs, move || calls(&server, &client, "grpc"))
    });
    let tls = [
        trial("grpc::go_tls", &with_tls(&GO), || calls(&GO, &GO, "grpcs")),
        trial("grpc::grpcio_tls_is_not_seen", &with_tls(&GRPCIO), || not_seen_into(&GRPCIO, "grpcs", "python")),
    ];
    plain.chain(tls).collect()
}

fn calls(server: &Program, client: &Program, protocol: &str) -> Result<()> {
    let recording = server.record_calls_of(client, protocol)?;
    assert_eq!(recording.info()?.lost, 0);
    let spans = recording.spans()?;
    let clients: BTreeMap<_, _> =
        spans.iter().filter(|span| span.is_client()).map(|span| (&span.span_id, span)).collect();
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    check(&servers)?;
    check(&clients.values().copied().collect::<Vec<_>>())?;
    let scheme = if protocol == "grpcs" { "https" } else { "http" };
    for server in servers {
        let caller = server.parent_span_id.as_ref().and_then(|id| clients.get(id));
        let caller = caller.ok_or_else(|| format!("no caller: {server:?}"))?;
        assert_eq!((&caller.trace_id, &caller.name), (&server.trace_id, &server.name));
        assert_eq!(server.attribute("url.scheme"), scheme, "{server:?}");
    }
    Ok(())
}

/// One end's spans: 14 calls of each of two workers.
fn check(spans: &[&Span]) -> Result<()> {
    let mut counts = BTreeMap::<_, usize>::new();
    for span in spans {
        assert!(!span.incomplete, "{span:?}");
        assert_eq!(span.name, format!("redtape.Talk/{}", span.attribute("rpc.method")));
        let fixed = ["rpc.system", "rpc.service", "network.protocol.version"].map(|key| span.attribute(key));
        assert_eq!(fixed, ["grpc", "redtape.Talk", "2"], "{span:?}");
        let method = span.attribute("rpc.method");
        if method == "Unary" {
            // A message is 5,000 bytes behind a head of five (gRPC over HTTP/2, Length-Prefixed-Message). tonic ends a
            // request by a frame of its own, and grpcio may have answered before it reads that: no size is known then.
            assert_eq!(span.attribute("http.response.body.size"), "5005", "{span:?}");
            assert!(matches!(&*span.attribute("http.request.body.size"), "5005" | ""), "{span:?}");
        }
        *counts.entry((method, span.attribute("rpc.grpc.status_code"))).or_default() += 1;
    }
    for (method, status, count) in CERTAIN {
        assert_eq!(counts.remove(&(method.to_owned(), status.to_owned())), Some(count), "{method}");
    }
    // Either end may be the first to give up: by a reset, or by trailers with one of these two.
    let uncertain: Vec<_> = counts.keys().map(|(method, status)| (method.as_str(), status.as_str())).collect();
    assert!(uncertain.iter().all(|call| matches!(call, ("Wait", "1" | "4") | ("Hold", "1"))), "{counts:?}");
    assert_eq!((spans.len(), counts.values().sum()), (28, 4), "{counts:?}");
    Ok(())
}
