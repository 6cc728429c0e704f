//! Holds spans against the truth: the oracle of `redtape synth --check` and of the properties.

use std::collections::BTreeMap;

use crate::exchange::Outcome;
use crate::ids::SpanId;
use crate::span::{Link, LinkRule, Span, SpanKind, Status};
use crate::track::is_usual_method;

use super::truth::Truth;

/// How spans and truth differ. Both come in any order; of each, as much is kept as the other has not told of yet.
#[derive(Debug, Default)]
pub struct Verdict {
    waiting: BTreeMap<SpanId, Waiting>,
    /// Sides of exchanges that have happened and were recorded.
    pub happened: u64,
    /// Spans that there are.
    pub spans: u64,
    /// Spans that say of themselves that they are incomplete.
    pub incomplete: u64,
    /// Spans whose parent is not known, though it is recorded.
    pub unlinked: u64,
    /// Spans of exchanges that have not happened, or that claim what is not true: another request's response, method, target, status
    /// or service; another parent. None is ever to be.
    pub wrong: u64,
    /// Spans that are right in this, but leave something out or have other times, sizes or another outcome. Where nothing is lost,
    /// none is to be.
    pub inexact: u64,
    /// What has happened and has no span.
    pub missing: u64,
    /// The first differences, in words.
    pub examples: Vec<String>,
}

#[derive(Debug)]
enum Waiting {
    Truth(Box<Truth>),
    Span(Box<Span>),
}

/// Differences that are told of.
const EXAMPLES: usize = 5;

impl Verdict {
    /// Takes what has happened.
    pub fn truth(&mut self, truth: Truth) {
        self.happened += 1;
        match self.waiting.remove(&truth.span_id) {
            Some(Waiting::Span(span)) => self.compare(&truth, &span),
            _ => drop(self.waiting.insert(truth.span_id, Waiting::Truth(Box::new(truth)))),
        }
    }

    /// Takes a span.
    pub fn span(&mut self, span: Span) {
        self.spans += 1;
        match self.waiting.remove(&span.span_id) {
            Some(Waiting::Truth(truth)) => self.compare(&truth, &span),
            Some(Waiting::Span(other)) => {
                self.wrong += 1;
                self.example(|| format!("two spans with one id: {other:?}\n{span:?}"));
            }
            None => drop(self.waiting.insert(span.span_id, Waiting::Span(Box::new(span)))),
        }
    }

    /// All was told.
    pub fn finish(&mut self) {
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            match waiting {
                Waiting::Truth(truth) => {
                    self.missing += 1;
                    self.example(|| format!("no span: {truth:?}"));
                }
                Waiting::Span(span) => {
                    self.wrong += 1;
                    self.example(|| format!("nothing of it has happened: {span:?}"));
                }
            }
        }
    }

    /// Whether the spans say all that has happened, and nothing else. Parents may be unknown: no bytes tell them.
    pub const fn is_equal(&self) -> bool {
        self.wrong == 0 && self.inexact == 0 && self.missing == 0
    }

    fn compare(&mut self, truth: &Truth, span: &Span) {
        self.incomplete += u64::from(span.incomplete());
        self.unlinked += u64::from(span.parent_span_id.is_none() && truth.parent_span_id.is_some());
        let wrong = wrong(truth, span);
        let inexact = if wrong.is_empty() { inexact(truth, span) } else { Vec::new() };
        self.wrong += u64::from(!wrong.is_empty());
        self.inexact += u64::from(!inexact.is_empty());
        if !(wrong.is_empty() && inexact.is_empty()) {
            self.example(|| format!("{}: {span:?}\n{truth:?}", [wrong, inexact].concat().join(", ")));
        }
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }
}

fn failing(checks: impl IntoIterator<Item = (&'static str, bool)>) -> Vec<&'static str> {
    checks.into_iter().filter(|(_, right)| !right).map(|(name, _)| name).collect()
}

/// What a span claims that is not so. What it does not say is not wrong.
fn wrong(truth: &Truth, span: &Span) -> Vec<&'static str> {
    let http = &span.http;
    failing([
        ("kind", span.kind == truth.kind),
        ("service", *span.service.name == *truth.service),
        ("process", span.service.process.key == truth.process),
        ("method", http.truncated || http.method() == truth.method),
        ("target", http.truncated || http.head.target() == truth.target),
        ("status code", http.status_code.is_none() || http.status_code == truth.status),
        (
            "gRPC status",
            http.grpc_status.is_none() || truth.grpc_status.is_none() || http.grpc_status == truth.grpc_status,
        ),
        ("parent", span.parent_span_id.is_none_or(|parent| is_parent(truth, parent, span.link))),
        ("trace", truth.context.is_none() || http.head.context.is_none() || http.head.context == truth.context),
    ])
}

/// Whether a parent is the right one: the recorded one, or whom the request itself names.
fn is_parent(truth: &Truth, parent: SpanId, link: Option<Link>) -> bool {
    let named = truth.context.map(|context| context.parent_id);
    truth.parent_span_id == Some(parent)
        || link.is_some_and(|link| link.rule == LinkRule::Wire) && named == Some(parent)
}

/// What a span leaves out, or says otherwise.
fn inexact(truth: &Truth, span: &Span) -> Vec<&'static str> {
    let http = &span.http;
    let known = |truth: Option<u64>, said: Option<u64>| truth.is_none() || truth == said;
    failing([
        ("outcome", span.outcome == truth.outcome),
        ("cut off", !http.truncated),
        ("no status code", http.status_code == truth.status),
        ("no gRPC status", truth.grpc_status.is_none() || http.grpc_status == truth.grpc_status),
        ("status", truth.span_status().is_none_or(|status| status == span.status)),
        ("start", span.start == truth.start && span.start_wall == truth.start_wall),
        ("end", truth.outcome != Outcome::Complete || Some(span.end) == truth.end),
        ("queue", span.queue_nanos == truth.queue_nanos),
        ("accept wait", span.accept_wait_nanos == truth.accept_wait_nanos),
        ("request size", known(truth.request_size, http.request_size)),
        ("response size", known(truth.response_size, http.response_size)),
        ("scheme", http.scheme == truth.scheme()),
        ("context", truth.context.is_none() || http.head.context == truth.context),
    ])
}

impl Truth {
    /// The status that its span has by OpenTelemetry's conventions; `None` of a stream that was reset, where it depends on why.
    pub fn span_status(&self) -> Option<Status> {
        let server = self.kind == SpanKind::Server;
        let failed = match (self.outcome, self.grpc_status) {
            (Outcome::Reset, _) => return None,
            (Outcome::NoResponse | Outcome::CutResponse, _) => true,
            // UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: a server's own failures.
            (_, Some(code)) if server => matches!(code, 2 | 4 | 12..=15),
            (_, Some(code)) => code != 0,
            (_, None) => self.status.is_none_or(|status| status >= if server { 500 } else { 400 }),
        };
        Some(if failed { Status::Error } else { Status::Unset })
    }

    /// `url.scheme`
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// `http.request.method`: `_OTHER` unless semantic conventions know the method.
    pub fn known_method(&self) -> &str {
        if is_usual_method(self.method.as_bytes()) { &self.method } else { "_OTHER" }
    }
}
