//! Makes a span of a finished exchange: names its parts, its times and its status.

use std::sync::Arc;

use crate::exchange::{Exchange, Outcome, Request};
use crate::facts::Role;
use crate::link::Linked;
use crate::span::{HttpFields, Ignored, Service, Span, SpanKind, Status};
use crate::time::{ClockMap, MonoNanos};

/// When the children `in queue` and `processing` are exported with a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phases {
    /// From 100 microseconds of queue time on.
    #[default]
    Auto,
    /// Wherever the queue time is known.
    Always,
    /// Never.
    Never,
}

/// The queue time from which on `auto` exports phases, in nanoseconds.
const PHASES_FROM_NANOS: u64 = 100_000;

/// The span of `linked`, without its route.
pub(crate) fn span(linked: Linked, service: Arc<Service>, clock: &ClockMap, phases: Phases) -> Span {
    let Linked { exchange, trace_id, span_id, parent } = linked;
    let kind = if exchange.role == Role::Client { SpanKind::Client } else { SpanKind::Server };
    let start = start(&exchange, kind);
    let queue_nanos = match (kind, exchange.request.message.arrival) {
        (SpanKind::Server, Some(arrival)) => Some(exchange.request.message.first.exit.since(arrival)),
        _ => None,
    };
    let status_code = exchange.response.as_ref().map(|response| response.status);
    Span {
        trace_id,
        span_id,
        parent_span_id: parent.map(|(span_id, _)| span_id),
        link: parent.map(|(_, link)| link),
        kind,
        service,
        start,
        end: exchange.end.max(start),
        start_wall: clock.wall(start),
        queue_nanos,
        phases: match phases {
            Phases::Auto => queue_nanos.is_some_and(|nanos| nanos >= PHASES_FROM_NANOS),
            Phases::Always => queue_nanos.is_some(),
            Phases::Never => false,
        },
        accept_wait_nanos: exchange.accept_wait_nanos,
        status: status(kind, exchange.outcome, status_code),
        outcome: exchange.outcome,
        route: Arc::default(),
        ignored: Ignored::default(),
        http: http_fields(*exchange),
    }
}

/// A server's span begins when the request's first byte could be read, a client's when it was written.
fn start(exchange: &Exchange, kind: SpanKind) -> MonoNanos {
    let message = &exchange.request.message;
    match (kind, message.arrival) {
        (SpanKind::Server, Some(arrival)) => arrival.min(message.first.exit),
        // A blocking read may have been entered long before the request came.
        (SpanKind::Server, None) => message.first.exit,
        (SpanKind::Client, _) => message.first.entry,
    }
}

fn status(kind: SpanKind, outcome: Outcome, status_code: Option<u16>) -> Status {
    let failed_from = if kind == SpanKind::Server { 500 } else { 400 };
    match outcome {
        Outcome::NoResponse | Outcome::CutResponse => Status::Error,
        Outcome::Complete | Outcome::Incomplete if status_code.is_some_and(|code| code >= failed_from) => Status::Error,
        Outcome::Complete | Outcome::Incomplete => Status::Unset,
    }
}

fn http_fields(exchange: Exchange) -> HttpFields {
    let Request { message, head } = exchange.request;
    let endpoint = exchange.conn.endpoint;
    HttpFields {
        head,
        scheme: "http",
        status_code: exchange.response.as_ref().map(|response| response.status),
        request_size: message.body_len,
        response_size: exchange.response.and_then(|response| response.message.body_len),
        local: endpoint.map(|endpoint| endpoint.local),
        remote: endpoint.map(|endpoint| endpoint.remote),
        truncated: message.truncated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_an_error() {
        use Outcome::{Complete, CutResponse, Incomplete, NoResponse};
        for (kind, outcome, code, status_is) in [
            (SpanKind::Server, Complete, Some(404), Status::Unset),
            (SpanKind::Client, Complete, Some(404), Status::Error),
            (SpanKind::Server, Complete, Some(500), Status::Error),
            (SpanKind::Client, Complete, Some(399), Status::Unset),
            (SpanKind::Server, NoResponse, None, Status::Error),
            (SpanKind::Server, CutResponse, Some(200), Status::Error),
            (SpanKind::Client, Incomplete, None, Status::Unset),
        ] {
            assert_eq!(status(kind, outcome, code), status_is, "{kind:?} {outcome:?} {code:?}");
        }
    }
}
