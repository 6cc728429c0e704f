//! Checks spans of synthetic traffic against what really happened.

use std::collections::{BTreeMap, BTreeSet};

use redtape_core::synth::{ExchangeId, Scenario, Truth};
use redtape_core::{Outcome, Span};

use super::fault::{Checks, Fault};
use super::spans::span_text;
use crate::harness::observe::Observed;
use crate::harness::spec::{Count, SpansExpect};

/// How many are told.
const LISTED: usize = 3;

/// What happened, by exchange.
#[derive(Debug)]
pub(crate) struct Truths(BTreeMap<ExchangeId, Truth>);

impl Truths {
    /// Of all exchanges of a scenario.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        Self(scenario.truth().map(|truth| (truth.id, truth)).collect())
    }
}

/// Counts the spans that say something that is not so, and the exchanges without a span. The input was moved in time by
/// `shift` nanoseconds.
pub(crate) fn check_truth(
    checks: &mut Checks,
    key: &str,
    expect: &SpansExpect,
    seen: &Observed,
    (truths, shift): (&Truths, u64),
) {
    if expect.wrong.is_some() {
        let spans = seen.spans.iter().enumerate();
        let wrong: Vec<_> = spans.filter_map(|(at, span)| Some((at, span, wrong(span, truths, shift)?))).collect();
        if checks.condition(format!("{key}.wrong"), expect.wrong.as_ref(), &Count::of(wrong.len() as u64))
            && let Some(fault) = checks.last_fault()
        {
            told(fault, &wrong);
        }
    }
    if expect.missing.is_some() {
        let told: BTreeSet<_> = seen.spans.iter().map(id).collect();
        let missing: Vec<_> = truths.0.values().filter(|truth| !told.contains(&truth.id)).collect();
        if checks.condition(format!("{key}.missing"), expect.missing.as_ref(), &Count::of(missing.len() as u64))
            && let Some(fault) = checks.last_fault()
        {
            let some = missing.iter().take(LISTED);
            fault.details = some.map(|truth| format!("no span: {}", describe(truth))).collect();
        }
    }
}

fn told(fault: &mut Fault, wrong: &[(usize, &Span, String)]) {
    for (at, span, why) in wrong.iter().take(LISTED) {
        fault.details.push(span_text(span));
        fault.details.push(format!("  {why}"));
        fault.span = fault.span.or(Some(*at));
    }
}

const fn id(span: &Span) -> ExchangeId {
    ExchangeId { conn: span.conn, pos: span.pos }
}

/// What of a span is not so, if anything. What is not known is not wrong.
fn wrong(span: &Span, truths: &Truths, shift: u64) -> Option<String> {
    let Some(truth) = truths.0.get(&id(span)) else { return Some("there was no such exchange".into()) };
    let http = &span.http;
    let complete = span.outcome == Outcome::Complete;
    let agree = |known: Option<u64>, truth: Option<u64>| known.is_none() || truth.is_none() || known == truth;
    let facts = [
        ("kind", span.kind == truth.kind),
        ("service", span.service.name.is_empty() || *span.service.name == *truth.service),
        ("method", http.truncated || http.method() == truth.method),
        ("target", http.truncated || http.head.target() == truth.target),
        ("status", http.status_code.is_none() || http.status_code == truth.status),
        (
            "gRPC status",
            span.outcome == Outcome::Reset || http.grpc_status.is_none() || http.grpc_status == truth.grpc_status,
        ),
        ("request size", agree(http.request_size, truth.request_size)),
        ("response size", agree(http.response_size, truth.response_size)),
        ("outcome", span.incomplete() || span.outcome == truth.outcome),
        ("end", !complete || truth.end.is_none_or(|end| end.plus(shift) == span.end)),
    ];
    let wrong: Vec<_> = facts.into_iter().filter(|(_, right)| !right).map(|(name, _)| name).collect();
    (!wrong.is_empty()).then(|| format!("wrong: {}; it was {}", wrong.join(", "), describe(truth)))
}

fn describe(truth: &Truth) -> String {
    let Truth { kind, service, method, target, status, outcome, .. } = truth;
    let status = status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    format!("{} {service} {status} {method} {target}, {outcome:?}", kind.as_str())
}
