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
    /// Spans whose parent is not known, though it is recorded. The truth says of which nobody can know it.
    pub unlinked: u64,
    /// Spans of exchanges that have not happened, or that claim what is not true: another request's response, method, target, status
    /// or service; another parent. None is ever to be.
    pub wrong: u64,
    /// Spans that are right in this, but have other times, sizes or another outcome. Where nothing is lost, none is to be.
    pub different: u64,
    /// Spans that are right, but leave something out: what was not captured, or is lost.
    pub untold: u64,
    /// What has happened and has no span.
    pub missing: u64,
    /// The same where nobody could know of it: too little of the request was captured.
    pub uncaptured: u64,
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
                self.example(|| format!("wrong: two spans of one exchange: {}; {}", said(&other), said(&span)));
            }
            None => drop(self.waiting.insert(span.span_id, Waiting::Span(Box::new(span)))),
        }
    }

    /// All was told.
    pub fn finish(&mut self) {
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            match waiting {
                Waiting::Truth(truth) if !truth.captured => self.uncaptured += 1,
                Waiting::Truth(truth) => {
                    self.missing += 1;
                    self.example(|| format!("missing: {}", happened(&truth)));
                }
                Waiting::Span(span) => {
                    self.wrong += 1;
                    self.example(|| format!("wrong: nothing of it has happened: {}", said(&span)));
                }
            }
        }
    }

    /// Whether the spans say all that has happened and can be known, and nothing else.
    pub const fn is_equal(&self) -> bool {
        self.is_true() && self.untold == 0 && self.missing == 0
    }

    /// Whether all that the spans say is true, to the nanosecond and the byte.
    pub const fn is_true(&self) -> bool {
        self.wrong == 0 && self.different == 0
    }

    fn compare(&mut self, truth: &Truth, span: &Span) {
        self.incomplete += u64::from(span.incomplete());
        self.unlinked += u64::from(span.parent_span_id.is_none() && truth.parent_span_id.is_some());
        let (kind, count, what) = match (wrong(truth, span), different(truth, span), untold(truth, span)) {
            (wrong, _, _) if !wrong.is_empty() => ("wrong", &mut self.wrong, wrong),
            (_, different, _) if !different.is_empty() => ("different", &mut self.different, different),
            (_, _, untold) if !untold.is_empty() => ("not told", &mut self.untold, untold),
            _ => return,
        };
        *count += 1;
        self.example(|| format!("{kind}: {}: {}; {}", what.join(", "), said(span), happened(truth)));
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
            return;
        }
        // What is left out is the least of it: it makes room.
        let text = text();
        if !text.starts_with("not told")
            && let Some(at) = self.examples.iter().rposition(|example| example.starts_with("not told"))
        {
            self.examples.remove(at);
            self.examples.push(text);
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

/// What a span says otherwise. Of what is incomplete, the end is that of what is known.
fn different(truth: &Truth, span: &Span) -> Vec<&'static str> {
    let http = &span.http;
    let known = |truth: Option<u64>, said: Option<u64>| truth.is_none() || said.is_none() || truth == said;
    let whole = !span.incomplete();
    failing([
        ("outcome", !whole || span.outcome == truth.outcome),
        ("status", !whole || truth.span_status().is_none_or(|status| status == span.status)),
        ("start", !whole || span.start == truth.start && span.start_wall == truth.start_wall),
        ("end", !whole || truth.outcome != Outcome::Complete || Some(span.end) == truth.end),
        ("queue", !whole || span.queue_nanos.is_none() || span.queue_nanos == truth.queue_nanos),
        (
            "accept wait",
            !whole || span.accept_wait_nanos.is_none() || span.accept_wait_nanos == truth.accept_wait_nanos,
        ),
        ("request size", known(truth.request_size, http.request_size)),
        ("response size", known(truth.response_size, http.response_size)),
        ("scheme", http.scheme == truth.scheme()),
        // Right by chance is not known.
        ("parent that nobody can know", truth.known_parent().is_some() || span.parent_span_id.is_none()),
        ("link", span.parent_span_id != truth.known_parent() || span.link.map(|link| link.rule) == truth.link),
    ])
}

/// What a span leaves out.
fn untold(truth: &Truth, span: &Span) -> Vec<&'static str> {
    let http = &span.http;
    failing([
        ("outcome", !span.incomplete()),
        ("head", !http.truncated),
        ("status code", http.status_code == truth.status),
        ("gRPC status", truth.grpc_status.is_none() || http.grpc_status.is_some()),
        ("queue", span.queue_nanos == truth.queue_nanos),
        ("accept wait", span.accept_wait_nanos == truth.accept_wait_nanos),
        ("request size", truth.request_size.is_none() || http.request_size.is_some()),
        ("response size", truth.response_size.is_none() || http.response_size.is_some()),
        ("context", http.head.context == truth.context),
        ("parent", truth.known_parent().is_none() || span.parent_span_id == truth.known_parent()),
    ])
}

/// A span in a few words.
fn said(span: &Span) -> String {
    let Span { span_id, kind, service, http, outcome, start, end, .. } = span;
    let parent = parent(span.parent_span_id, span.link.map(|link| link.rule));
    let (method, target, name) = (http.method(), http.head.target(), &service.name);
    let sizes = sizes(http.request_size, http.response_size);
    let status = http.status_code;
    format!(
        "span {span_id}: {} {name} {method} {target} {status:?} {outcome:?} {sizes} {start} to {end}, {parent}",
        kind.as_str()
    )
}

/// What has happened, in a few words.
fn happened(truth: &Truth) -> String {
    let Truth { span_id, kind, service, method, target, status, outcome, start, end, .. } = truth;
    let sizes = sizes(truth.request_size, truth.response_size);
    let end = end.map_or("?".to_owned(), |end| end.to_string());
    let parent = parent(truth.known_parent(), truth.link);
    format!(
        "truth {span_id}: {} {service} {method} {target} {status:?} {outcome:?} {sizes} {start} to {end}, {parent}",
        kind.as_str()
    )
}

/// A parent, and by what it is known.
fn parent(span_id: Option<SpanId>, rule: Option<LinkRule>) -> String {
    let by = rule.map_or(String::new(), |rule| format!(" by {}", rule.as_str()));
    span_id.map_or("no parent known".to_owned(), |id| format!("child of {id}{by}"))
}

/// The sizes of both bodies.
fn sizes(request: Option<u64>, response: Option<u64>) -> String {
    let [request, response] = [request, response].map(|size| size.map_or("?".to_owned(), |size| size.to_string()));
    format!("{request}/{response} bytes")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::Scenario;
    use crate::{Engine, EngineOptions, Output};

    /// A verdict on the spans of a small scenario whose truth is bent.
    fn bent(bend: impl Fn(usize, Truth) -> Option<Truth>) -> Verdict {
        let scenario = Scenario { requests: Some(5), ..Scenario::named("greetings").unwrap() };
        let (mut engine, mut verdict) = (Engine::new(EngineOptions::default()), Verdict::default());
        scenario.events().for_each(|event| engine.push(&event.as_event()));
        engine.finish();
        scenario.truth().enumerate().filter_map(|(n, truth)| bend(n, truth)).for_each(|truth| verdict.truth(truth));
        while let Some(output) = engine.poll_output() {
            if let Output::Span(span) = output {
                verdict.span(*span);
            }
        }
        verdict.finish();
        verdict
    }

    #[test]
    fn what_is_not_so_is_found() {
        let first = |n, truth, bent| Some(if n == 0 { bent } else { truth });
        assert!(bent(|_, truth| Some(truth)).is_equal());
        let otherwise = bent(|n, truth| first(n, truth.clone(), Truth { status: Some(299), ..truth }));
        assert_eq!((otherwise.wrong, otherwise.is_true()), (1, false), "{:?}", otherwise.examples);
        let later = bent(|n, truth| first(n, truth.clone(), Truth { start: truth.start.plus(1), ..truth }));
        assert_eq!((later.wrong, later.different), (0, 1), "{:?}", later.examples);
        let phantom = bent(|n, truth| (n > 0).then_some(truth));
        assert_eq!((phantom.wrong, phantom.missing), (1, 0), "{:?}", phantom.examples);
        let unseen = bent(|n, truth| first(n, truth.clone(), Truth { span_id: SpanId([9; 8]), ..truth }));
        assert_eq!((unseen.wrong, unseen.missing), (1, 1), "{:?}", unseen.examples);
    }
}
