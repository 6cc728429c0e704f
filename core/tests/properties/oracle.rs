//! Runs stage 1 and holds what it found against the truth.

use std::collections::BTreeMap;

use redtape_core::synth::{ExchangeId, Truth};
use redtape_core::{
    Body, DiagnosticKind, EventBuf, Exchange, Finding, Limits, MonoNanos, Outcome, Role, SHARDS, Shard, SpanKind, What,
    shard_of,
};

/// What stage 1 found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) exchanges: BTreeMap<ExchangeId, Exchange>,
    pub(crate) diagnostics: BTreeMap<DiagnosticKind, u64>,
    /// The most memory that one shard used at any time, in bytes.
    pub(crate) peak_bytes: usize,
}

impl Found {
    /// The exchanges as text, to compare and to show.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.exchanges.values().map(|exchange| format!("{exchange:?}")).collect()
    }
}

/// Runs stage 1 over `events`.
pub(crate) fn stage1(events: &[EventBuf], limits: &Limits) -> Found {
    let mut shards: Vec<Shard> = (0..SHARDS).map(|_| Shard::new(limits)).collect();
    let (mut now, mut findings, mut found) = (MonoNanos::ZERO, Vec::new(), Found::default());
    for event in events {
        now = now.max(event.time);
        if let Some(conn) = event.as_event().body.conn() {
            let shard = &mut shards[shard_of(conn)];
            shard.push(&event.as_event(), now, &mut findings);
            found.peak_bytes = found.peak_bytes.max(shard.cost_bytes());
        }
        if let Body::Loss(loss) = event.as_event().body {
            shards.iter_mut().for_each(|shard| shard.lose(&loss));
        }
        found.take(&mut findings);
    }
    for shard in &mut shards {
        shard.finish(now, &mut findings);
        found.take(&mut findings);
    }
    found
}

impl Found {
    fn take(&mut self, findings: &mut Vec<Finding>) {
        for finding in findings.drain(..) {
            match finding.what {
                What::Ended(exchange) => {
                    let id = ExchangeId { conn: exchange.conn.key, pos: exchange.request.message.pos };
                    assert!(self.exchanges.insert(id, *exchange).is_none(), "{id:?} was found twice");
                }
                What::Diagnostic(kind, count) => *self.diagnostics.entry(kind).or_default() += count,
                What::Opened(_) | What::Learned(_) | What::Started(_) | What::NotAlone | What::Closed => {}
            }
        }
    }
}

/// The truth by exchange.
pub(crate) fn by_id(truth: impl IntoIterator<Item = Truth>) -> BTreeMap<ExchangeId, Truth> {
    truth.into_iter().map(|truth| (truth.id, truth)).collect()
}

/// Holds an exchange against the truth: says what of it is wrong. What is unknown is not wrong.
pub(crate) fn wrong(truth: &Truth, exchange: &Exchange) -> Option<String> {
    let Exchange { request, response, .. } = exchange;
    let status = response.as_ref().map(|response| response.status);
    let size = response.as_ref().and_then(|response| response.message.body_len);
    let grpc_status = response.as_ref().and_then(|response| response.grpc_status);
    let complete = exchange.outcome == Outcome::Complete;
    let checks = [
        ("role", (exchange.role == Role::Client) == (truth.kind == SpanKind::Client)),
        ("process", exchange.process == truth.process),
        ("method", request.message.truncated || request.head.method() == truth.method),
        ("target", request.message.truncated || request.head.target() == truth.target),
        ("context", request.head.context.is_none() || request.head.context == truth.context),
        ("thread", request.message.first.tid == truth.tid),
        ("status", status.is_none() || status == truth.status),
        ("a response where there is none", response.is_none() || truth.response.is_some()),
        ("request size", agree(request.message.body_len, truth.request_size)),
        ("response size", agree(size, truth.response_size)),
        ("gRPC status", grpc_status.is_none() || grpc_status == truth.grpc_status),
        ("outcome", exchange.outcome == truth.outcome || exchange.outcome == Outcome::Incomplete),
        ("end", !complete || truth.end.is_none() || Some(exchange.end) == truth.end),
        ("end before start", exchange.end >= request.message.first.entry),
    ];
    let wrong: Vec<_> = checks.into_iter().filter(|(_, right)| !right).map(|(name, _)| name).collect();
    (!wrong.is_empty()).then(|| format!("{}: {exchange:?}\n{truth:?}", wrong.join(", ")))
}

/// Says what of an exchange is wrong or unknown, where all can be known.
pub(crate) fn inexact(truth: &Truth, exchange: &Exchange) -> Option<String> {
    let request = &exchange.request;
    let size = exchange.response.as_ref().and_then(|response| response.message.body_len);
    let checks = [
        ("method", request.head.method() == truth.method),
        ("target", request.head.target() == truth.target),
        ("context", request.head.context == truth.context),
        ("status", exchange.response.as_ref().map(|response| response.status) == truth.status),
        ("gRPC status", exchange.response.as_ref().and_then(|response| response.grpc_status) == truth.grpc_status),
        ("outcome", exchange.outcome == truth.outcome),
        ("truncated", !request.message.truncated),
        ("request size", truth.request_size.is_none() || request.message.body_len == truth.request_size),
        ("response size", truth.response_size.is_none() || size == truth.response_size),
    ];
    let inexact: Vec<_> = checks.into_iter().filter(|(_, right)| !right).map(|(name, _)| name).collect();
    let inexact = (!inexact.is_empty()).then(|| format!("{}: {exchange:?}\n{truth:?}", inexact.join(", ")));
    inexact.or_else(|| untimely(truth, exchange)).or_else(|| wrong(truth, exchange))
}

/// Says which times of an exchange are wrong or unknown.
pub(crate) fn untimely(truth: &Truth, exchange: &Exchange) -> Option<String> {
    let message = &exchange.request.message;
    let (start, queue) = match truth.kind {
        SpanKind::Client => (message.first.entry, None),
        SpanKind::Server => {
            (message.arrival.unwrap_or(message.first.exit), message.arrival.map(|at| message.first.exit.since(at)))
        }
    };
    let checks = [
        ("start", start == truth.start),
        ("queue", queue == truth.queue_nanos),
        ("accept wait", exchange.accept_wait_nanos == truth.accept_wait_nanos),
        ("end", truth.outcome != Outcome::Complete || Some(exchange.end) == truth.end),
    ];
    let untimely: Vec<_> = checks.into_iter().filter(|(_, right)| !right).map(|(name, _)| name).collect();
    (!untimely.is_empty()).then(|| format!("{}: {exchange:?}\n{truth:?}", untimely.join(", ")))
}

/// Whether what is known is true.
fn agree(known: Option<u64>, truth: Option<u64>) -> bool {
    known.is_none() || truth.is_none() || known == truth
}

/// Every exchange found is a true one, and nothing that is known of it is wrong.
pub(crate) fn assert_sound(found: &Found, truth: &BTreeMap<ExchangeId, Truth>) {
    for (id, exchange) in &found.exchanges {
        let Some(truth) = truth.get(id) else { panic!("a phantom: {exchange:?}") };
        if let Some(wrong) = wrong(truth, exchange) {
            panic!("{wrong}");
        }
    }
}

/// All of `truth` is found, exactly, and nothing else.
pub(crate) fn assert_exact(found: &Found, truth: &BTreeMap<ExchangeId, Truth>) {
    assert_sound(found, truth);
    for (id, truth) in truth {
        let Some(exchange) = found.exchanges.get(id) else { panic!("not found: {truth:?} {:?}", found.diagnostics) };
        if let Some(inexact) = inexact(truth, exchange) {
            panic!("{inexact}");
        }
    }
}
