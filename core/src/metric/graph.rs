//! The service graph: who calls whom, from both ends' spans.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::histogram::Histogram;
use super::label::Label;
use super::settings::{MetricsConfig, Unresolved};
use super::snapshot::{Family, FamilyKind, Scale, Series, Value};
use super::table::{Row, Slot, Table, Values};
use crate::span::{Span, SpanKind, Status};

/// Collects edges.
///
/// A server knows its client by address alone. A client knows its server by the service that answers at the address it
/// called, if that is on the tape, else by the host that the request names, else by the address. A call counts once in
/// `_total`: at the server, and at the client only if the server is not on the tape. Which it is, is decided when it is
/// asked for, so that it does not matter which end was seen first. Where edges of ends without a name are left out, what servers
/// see of clients is, and all calls count at the client.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// The durations of an edge without calls.
    no_calls: Histogram,
    self_references: bool,
    unresolved: Unresolved,
    /// Calls received.
    received: Table<Edge>,
    /// Calls sent.
    sent: Table<Edge>,
    /// Which service answers at an address and port; the first that did.
    servers: Table<[String; 2]>,
    values: Values,
}

/// The calls of one edge, as one end saw them.
#[derive(Clone, Debug)]
struct Edge {
    /// `[client, its namespace, server, its namespace]`
    ends: [String; 4],
    failed: u64,
    duration: Histogram,
}

/// Both ends' views of an edge: of the server, and of the client.
type Views<'a> = [Seen<'a>; 2];

/// An edge as one end saw it, for a snapshot.
#[derive(Clone, Debug, Default)]
struct Seen<'a> {
    /// What makes it up. It can be more at the next look, or less: what calls went to is known once it is on the tape.
    rows: Vec<&'a Row<Edge>>,
    /// These calls count in `_total` and `_failed_total`. Rows of one edge agree: all of its calls went to a server that is
    /// on the tape, or none did.
    counts: bool,
}

const SERVER_SOCKET: [Label; 2] = [Label::SocketAddress, Label::SocketPort];

impl Graph {
    pub(super) fn new(bounds: Arc<[u64]>, config: &MetricsConfig, limit: usize) -> Self {
        Self {
            no_calls: Histogram::new(bounds).with_exponential(config.exponential, Scale::Seconds),
            self_references: config.self_references,
            unresolved: config.unresolved.clone(),
            received: Table::new(limit),
            sent: Table::new(limit),
            servers: Table::new(limit),
            values: Values::default(),
        }
    }

    /// Counts a finished span, the `ordinal`th; whether its edge is one too many.
    pub(super) fn observe(&mut self, span: &Span, ordinal: u64) -> bool {
        const RECEIVED: [Label; 3] = [Label::PeerAddress, Label::ServiceName, Label::ServiceNamespace];
        const SENT: [Label; 5] = [
            Label::ServerAddress,
            Label::ServiceName,
            Label::ServiceNamespace,
            Label::SocketAddress,
            Label::SocketPort,
        ];
        let own = || [span.service.name.to_string(), span.service.namespace.to_string()];
        let (table, labels): (_, &[Label]) = match span.kind {
            SpanKind::Server => {
                self.values.fill(&SERVER_SOCKET, span);
                self.servers.slot(&self.values, ordinal, own);
                (&mut self.received, &RECEIVED)
            }
            SpanKind::Client => (&mut self.sent, &SENT),
        };
        self.values.fill(labels, span);
        if span.kind == SpanKind::Server
            && self.unresolved.drops_clients()
            && self.values.iter().next().is_some_and(is_address)
        {
            return false;
        }
        let new = || {
            let [name, namespace] = own();
            let mut other = String::new();
            let ends = match span.kind {
                SpanKind::Server => {
                    Label::PeerAddress.write(span, &mut other);
                    rename(&mut other, &self.unresolved.incoming);
                    [other, String::new(), name, namespace]
                }
                SpanKind::Client => {
                    Label::ServerAddress.write(span, &mut other);
                    rename(&mut other, &self.unresolved.outgoing);
                    [name, namespace, other, String::new()]
                }
            };
            Edge { ends, failed: 0, duration: self.no_calls.clone() }
        };
        let slot = table.slot(&self.values, ordinal, new);
        if let Some(row) = table.get_mut(slot) {
            row.updated = row.updated.max(span.end);
            row.data.failed += u64::from(span.status == Status::Error);
            row.data.duration.record(span.duration_nanos());
        }
        slot == Slot::Overflow
    }

    /// The families of the graph.
    pub(super) fn families(&self) -> Vec<Family> {
        // `None` is the overflow series.
        let mut edges: BTreeMap<(bool, Option<[String; 4]>), Views<'_>> = BTreeMap::new();
        for row in self.received.rows() {
            let ends = row.values.as_ref().map(|_| row.data.ends.clone());
            edges.entry((ends.is_none(), ends)).or_default()[0].add(row, true);
        }
        for row in self.sent.rows() {
            let server = row.values.as_ref().and_then(|values| self.server_of(values));
            if self.unresolved.drop && server.is_none() && is_address(&row.data.ends[2]) {
                continue;
            }
            let ends = row.values.as_ref().map(|_| {
                let [client, client_namespace, host, _] = row.data.ends.clone();
                let [name, namespace] = server.cloned().unwrap_or([host, String::new()]);
                [client, client_namespace, name, namespace]
            });
            let counts = server.is_none() || self.unresolved.drops_clients();
            edges.entry((ends.is_none(), ends)).or_default()[1].add(row, counts);
        }
        let itself = |ends: &[String; 4]| ends[..2] == ends[2..];
        edges.retain(|(_, ends), _| self.self_references || !ends.as_ref().is_some_and(itself));
        families(&edges)
    }

    /// The service that answers where a call went.
    fn server_of(&self, sent: &Values) -> Option<&[String; 2]> {
        let mut socket = Values::default();
        socket.fill_with(sent.iter().skip(3));
        self.servers.find(&socket).map(|row| &row.data)
    }
}

/// Gives an end a name of which only an address is known.
fn rename(end: &mut String, name: &str) {
    if !name.is_empty() && is_address(end) {
        *end = name.to_owned();
    }
}

fn is_address(end: &str) -> bool {
    end.parse::<IpAddr>().is_ok()
}

impl<'a> Seen<'a> {
    fn add(&mut self, row: &'a Row<Edge>, counts: bool) {
        self.counts = counts && (self.counts || self.rows.is_empty());
        self.rows.push(row);
    }
}

/// The series of one edge: of its `rows`, what `value` says.
fn series<'a>(
    (overflow, ends): &(bool, Option<[String; 4]>),
    rows: impl Iterator<Item = &'a Row<Edge>> + Clone,
    value: impl Fn(&Edge) -> Value,
) -> Option<Series> {
    let values = ends.as_ref().map_or_else(Vec::new, |[client, client_namespace, server, server_namespace]| {
        let values: [&str; 6] = [client, client_namespace, "", server, server_namespace, "redtape"];
        values.map(str::to_owned).to_vec()
    });
    let born = rows.clone().map(|row| row.born).min()?;
    let updated = rows.clone().map(|row| row.updated).max()?;
    let mut parts: Vec<_> = rows.map(|row| (row.born, value(&row.data))).collect();
    let mut value = parts.first()?.1.clone();
    parts.iter().skip(1).for_each(|(_, part)| value.merge(part));
    if parts.len() == 1 {
        parts.clear();
    }
    Some(Series { values, overflow: *overflow, born, updated, value, parts })
}

fn families(edges: &BTreeMap<(bool, Option<[String; 4]>), Views<'_>>) -> Vec<Family> {
    const LABELS: [&str; 6] =
        ["client", "client_service_namespace", "connection_type", "server", "server_service_namespace", "source"];
    let family = |name, help, kind, scale, series| {
        let labels = LABELS.to_vec();
        Family { name, otel_name: name, help, kind, scale, labels, series }
    };
    let seconds = |end: usize| {
        let duration = |edge: &Edge| Value::Histogram(edge.duration.clone());
        let all = edges.iter().filter_map(|(ends, views)| series(ends, views.get(end)?.rows.iter().copied(), duration));
        all.collect()
    };
    let count = |of: fn(&Edge) -> u64| {
        let count = |edge: &Edge| Value::Counter(of(edge).into());
        let all = edges.iter().filter_map(|(ends, views)| {
            let counts = views.iter().filter(|seen| seen.counts);
            series(ends, counts.flat_map(|seen| &seen.rows).copied(), count)
        });
        all.collect()
    };
    vec![
        family(
            "traces_service_graph_request",
            "Calls between services.",
            FamilyKind::Counter,
            Scale::None,
            count(|edge| edge.duration.count()),
        ),
        family(
            "traces_service_graph_request_client_seconds",
            "Duration of calls, as the client saw them.",
            FamilyKind::Histogram,
            Scale::Seconds,
            seconds(1),
        ),
        family(
            "traces_service_graph_request_failed",
            "Calls between services that failed.",
            FamilyKind::Counter,
            Scale::None,
            count(|edge| edge.failed),
        ),
        family(
            "traces_service_graph_request_server_seconds",
            "Duration of calls, as the server saw them.",
            FamilyKind::Histogram,
            Scale::Seconds,
            seconds(0),
        ),
    ]
}
