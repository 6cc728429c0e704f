//! Who calls whom, from the links of spans.

use std::collections::BTreeMap;

use redtape_core::metric::Quantiles;
use redtape_core::{Span, SpanId, SpanKind, Status};
use serde::Serialize;

/// Edges that are told apart; calls beyond are counted, and left out.
const EDGES_MAX: usize = 1_000;
/// Edges on the page, those with the most calls.
const EDGES_SHOWN: usize = 100;

/// Collects edges.
#[derive(Debug, Default)]
pub(super) struct Edges {
    edges: BTreeMap<(End, End), Calls>,
    left_out: u64,
}

/// An end of an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", content = "name", rename_all = "lowercase")]
enum End {
    /// Those who call without being on the tape, all of them.
    Outside,
    /// A service of the tape.
    Service(String),
    /// The host that a request names whose server is not on the tape.
    Host(String),
}

#[derive(Debug, Default)]
struct Calls {
    errors: u64,
    incomplete: u64,
    duration: Quantiles,
}

/// The same for the page.
#[derive(Debug, Serialize)]
pub(super) struct ServiceGraph {
    edges: Vec<Edge>,
    /// How many edges there are.
    edges_in_all: usize,
    /// Calls of edges that are not even counted there.
    calls_left_out: u64,
}

/// The calls of one edge: as the client saw them, or the server, if it was called from outside.
#[derive(Debug, Serialize)]
struct Edge {
    from: End,
    to: End,
    count: u64,
    errors: u64,
    incomplete: u64,
    p50: u64,
    p95: u64,
    max: u64,
}

impl Edges {
    /// Takes the spans of one trace.
    pub(super) fn observe(&mut self, trace: &[Span]) {
        let servers: BTreeMap<SpanId, &Span> = trace
            .iter()
            .filter(|span| span.kind == SpanKind::Server)
            .filter_map(|span| Some((span.parent_span_id?, span)))
            .collect();
        let clients: BTreeMap<SpanId, ()> =
            trace.iter().filter(|span| span.kind == SpanKind::Client).map(|span| (span.span_id, ())).collect();
        for span in trace {
            let own = || End::Service(span.service.name.to_string());
            let (from, to) = match span.kind {
                SpanKind::Client => match servers.get(&span.span_id) {
                    Some(server) => (own(), End::Service(server.service.name.to_string())),
                    None => (own(), End::Host(host(span))),
                },
                SpanKind::Server if span.parent_span_id.is_some_and(|parent| clients.contains_key(&parent)) => continue,
                SpanKind::Server => (End::Outside, own()),
            };
            self.count((from, to), span);
        }
    }

    fn count(&mut self, edge: (End, End), span: &Span) {
        if self.edges.len() >= EDGES_MAX && !self.edges.contains_key(&edge) {
            self.left_out += 1;
            return;
        }
        let calls = self.edges.entry(edge).or_default();
        if span.incomplete() {
            calls.incomplete += 1;
            return;
        }
        calls.errors += u64::from(span.status == Status::Error);
        calls.duration.record(span.duration_nanos());
    }

    /// What the page shows.
    pub(super) fn graph(&self) -> ServiceGraph {
        let edge = |((from, to), calls): (&(End, End), &Calls)| Edge {
            from: from.clone(),
            to: to.clone(),
            count: calls.duration.count(),
            errors: calls.errors,
            incomplete: calls.incomplete,
            p50: calls.duration.quantile(500),
            p95: calls.duration.quantile(950),
            max: calls.duration.max(),
        };
        let mut edges: Vec<_> = self.edges.iter().map(edge).collect();
        edges.sort_by(|a, b| (b.count, &a.from, &a.to).cmp(&(a.count, &b.from, &b.to)));
        edges.truncate(EDGES_SHOWN);
        ServiceGraph { edges, edges_in_all: self.edges.len(), calls_left_out: self.left_out }
    }
}

fn host(span: &Span) -> String {
    match (span.server_address(), span.server_port()) {
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.into_owned(),
        (None, _) => "unknown".into(),
    }
}
