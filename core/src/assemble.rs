//! Makes a span of a finished exchange: names its parts, its times and its status.

use std::sync::Arc;

use crate::exchange::{Exchange, Outcome, Request};
use crate::facts::{ConnInfo, Role};
use crate::link::Linked;
use crate::shown::ShownAttributes;
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
pub(crate) fn span(
    linked: Linked,
    service: Arc<Service>,
    shown: Arc<ShownAttributes>,
    clock: &ClockMap,
    phases: Phases,
) -> Span {
    let Linked { exchange, trace_id, flag: _, span_id, parent } = linked;
    let kind = if exchange.role == Role::Client { SpanKind::Client } else { SpanKind::Server };
    let start = start(&exchange, kind);
    let queue_nanos = match (kind, exchange.request.message.arrival) {
        (SpanKind::Server, Some(arrival)) => Some(exchange.request.message.first.exit.since(arrival)),
        _ => None,
    };
    let Exchange { outcome, end, accept_wait_nanos, .. } = *exchange;
    let (conn, pos) = (exchange.conn.key, exchange.request.message.pos);
    let http = http_fields(*exchange);
    Span {
        trace_id,
        span_id,
        parent_span_id: parent.map(|(span_id, _)| span_id),
        link: parent.map(|(_, link)| link),
        kind,
        conn,
        pos,
        service,
        start,
        end: end.max(start),
        start_wall: clock.wall(start),
        queue_nanos,
        phases: match phases {
            Phases::Auto => queue_nanos.is_some_and(|nanos| nanos >= PHASES_FROM_NANOS),
            Phases::Always => queue_nanos.is_some(),
            Phases::Never => false,
        },
        accept_wait_nanos,
        status: status(kind, outcome, &http),
        outcome,
        route: Arc::default(),
        ignored: Ignored::default(),
        sampled: true,
        shown,
        http,
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

fn status(kind: SpanKind, outcome: Outcome, http: &HttpFields) -> Status {
    let failed = if http.head.is_grpc() && http.grpc_status.is_some() {
        http.grpc_status.is_some_and(|status| grpc_failed(kind, status))
    } else {
        let failed_from = if kind == SpanKind::Server { 500 } else { 400 };
        let broken_off = matches!(outcome, Outcome::NoResponse | Outcome::CutResponse | Outcome::Reset);
        broken_off || http.status_code.is_some_and(|code| code >= failed_from)
    };
    if failed { Status::Error } else { Status::Unset }
}

/// Whether a status of gRPC is a failure: for a client all but OK, for a server those that say that it is at fault (semantic
/// conventions for gRPC): UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
const fn grpc_failed(kind: SpanKind, status: u16) -> bool {
    match kind {
        SpanKind::Server => matches!(status, 2 | 4 | 12 | 13 | 14 | 15),
        SpanKind::Client => status != 0,
    }
}

/// What gRPC takes a reset of the stream for ("gRPC over HTTP2", section "Errors").
const fn grpc_status_of_reset(code: u32) -> Option<u16> {
    Some(match code {
        0..=6 | 9 | 10 => 13,
        7 => 14,
        8 => 1,
        11 => 8,
        12 => 7,
        _ => return None,
    })
}

fn http_fields(exchange: Exchange) -> HttpFields {
    let Exchange { conn, outcome, reset, request: Request { message, head }, response, .. } = exchange;
    let reset = reset.filter(|_| outcome == Outcome::Reset);
    let grpc_status = response.as_ref().and_then(|response| response.grpc_status);
    HttpFields {
        grpc_status: grpc_status.or_else(|| grpc_status_of_reset(reset?)).filter(|_| head.is_grpc()),
        head,
        scheme: scheme(&conn),
        untied: conn.is_untied(),
        status_code: response.as_ref().map(|response| response.status),
        reset,
        request_size: message.body_len,
        response_size: response.and_then(|response| response.message.body_len),
        local: conn.endpoint.map(|endpoint| endpoint.local),
        remote: conn.endpoint.map(|endpoint| endpoint.remote),
        truncated: message.truncated,
    }
}

/// `url.scheme`
const fn scheme(conn: &ConnInfo) -> &'static str {
    if conn.tls.is_some() { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{RequestHead, Version};
    use crate::metric::spans::server;

    fn status_of(kind: SpanKind, outcome: Outcome, head: RequestHead, code: Option<u16>, grpc: Option<u16>) -> Status {
        status(kind, outcome, &HttpFields { head, status_code: code, grpc_status: grpc, ..server("/a").http })
    }

    #[test]
    fn what_counts_as_an_error() {
        use Outcome::{Complete, CutResponse, Incomplete, NoResponse, Reset};
        for (kind, outcome, code, status_is) in [
            (SpanKind::Server, Complete, Some(404), Status::Unset),
            (SpanKind::Client, Complete, Some(404), Status::Error),
            (SpanKind::Server, Complete, Some(500), Status::Error),
            (SpanKind::Client, Complete, Some(399), Status::Unset),
            (SpanKind::Server, NoResponse, None, Status::Error),
            (SpanKind::Server, CutResponse, Some(200), Status::Error),
            (SpanKind::Server, Reset, Some(200), Status::Error),
            (SpanKind::Client, Incomplete, None, Status::Unset),
        ] {
            let head = RequestHead::new("GET", "/a", None, None, Version::Http11, None);
            assert_eq!(status_of(kind, outcome, head, code, None), status_is, "{kind:?} {outcome:?} {code:?}");
        }
    }

    #[test]
    fn what_counts_as_an_error_of_grpc() {
        for grpc in 0..=17 {
            let head = RequestHead::new("POST", "/p.S/M", None, None, Version::Http2, None).with_grpc();
            let server = status_of(SpanKind::Server, Outcome::Complete, head.clone(), Some(200), Some(grpc));
            assert_eq!(server == Status::Error, [2, 4, 12, 13, 14, 15].contains(&grpc), "{grpc}");
            let client = status_of(SpanKind::Client, Outcome::Complete, head, Some(200), Some(grpc));
            assert_eq!(client == Status::Error, grpc != 0, "{grpc}");
        }
        // A call that the client cancels is none of the server's fault.
        let head = RequestHead::new("POST", "/p.S/M", None, None, Version::Http2, None).with_grpc();
        assert_eq!(grpc_status_of_reset(8), Some(1));
        assert_eq!(status_of(SpanKind::Server, Outcome::Reset, head, Some(200), Some(1)), Status::Unset);
    }
}
