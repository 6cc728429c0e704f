//! The truth as JSON lines: the keys of `replay --spans json` as far as a perfect observer of the traffic can know them.

use std::io::{self, Write};

use redtape_core::synth::{Truth, Unknowable};
use redtape_core::{LinkRule, Outcome, SpanKind, Status};
use serde::Serialize;

/// The keys of a line, in their order. They are part of the contract with scripts; `docs/synth.md` says what they mean.
#[derive(Serialize)]
struct Line<'a> {
    trace_id: Option<String>,
    span_id: String,
    parent_span_id: Option<String>,
    link: Option<&'static str>,
    unknowable: Option<&'static str>,
    kind: &'static str,
    service: &'a str,
    start_time_unix_nano: String,
    end_time_unix_nano: Option<String>,
    duration_ns: Option<u64>,
    queue_ns: Option<u64>,
    status: Option<&'static str>,
    attributes: Attributes<'a>,
    captured: bool,
    outcome: &'static str,
    route: &'a str,
    target: &'a str,
}

#[derive(Serialize)]
struct Attributes<'a> {
    #[serde(rename = "http.request.body.size", skip_serializing_if = "Option::is_none")]
    request_size: Option<u64>,
    #[serde(rename = "http.request.method")]
    method: &'a str,
    #[serde(rename = "http.request.method_original", skip_serializing_if = "Option::is_none")]
    original: Option<&'a str>,
    #[serde(rename = "http.response.body.size", skip_serializing_if = "Option::is_none")]
    response_size: Option<u64>,
    #[serde(rename = "http.response.status_code", skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(rename = "redtape.accept_wait_ns", skip_serializing_if = "Option::is_none")]
    accept_wait: Option<u64>,
    #[serde(rename = "rpc.grpc.status_code", skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    #[serde(rename = "url.scheme")]
    scheme: &'static str,
}

/// Writes what has happened, on one side of one exchange.
pub(super) fn write_truth(out: &mut impl Write, truth: &Truth) -> io::Result<()> {
    let start = truth.start_wall.unix_nanos();
    let named = truth.context.filter(|_| truth.parent_span_id.is_none());
    // Where there is no whole response, the end depends on when its absence was noticed.
    let end = truth.end.filter(|_| truth.outcome == Outcome::Complete);
    let duration = end.map(|end| end.since(truth.start));
    let line = Line {
        trace_id: truth.context.map(|context| context.trace_id.to_string()),
        span_id: truth.span_id.to_string(),
        parent_span_id: truth.parent_span_id.or(named.map(|context| context.parent_id)).map(|id| id.to_string()),
        link: truth.link.map(LinkRule::as_str),
        unknowable: truth.unknowable.map(Unknowable::as_str),
        kind: truth.kind.as_str(),
        service: &truth.service,
        start_time_unix_nano: start.to_string(),
        end_time_unix_nano: duration.map(|nanos| start.saturating_add(nanos).to_string()),
        duration_ns: duration,
        queue_ns: truth.queue_nanos,
        status: truth.span_status().map(Status::as_str),
        attributes: Attributes {
            request_size: truth.request_size,
            method: truth.known_method(),
            original: Some(&*truth.method).filter(|method| *method != truth.known_method()),
            response_size: truth.response_size,
            status_code: truth.status,
            accept_wait: truth.accept_wait_nanos.filter(|_| truth.kind == SpanKind::Server),
            grpc_status: truth.grpc_status,
            scheme: truth.scheme(),
        },
        captured: truth.captured,
        outcome: match truth.outcome {
            Outcome::Complete => "complete",
            Outcome::CutResponse => "cut_response",
            Outcome::NoResponse => "no_response",
            Outcome::Reset => "reset",
            Outcome::Incomplete => "incomplete",
        },
        route: &truth.route,
        target: &truth.target,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
