//! Makes a span of a finished exchange: names its parts, its times and its status.

use std::sync::Arc;

use crate::exchange::{Exchange, Outcome, Request, RequestHead};
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
        http: http_fields(&exchange),
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

fn http_fields(exchange: &Exchange) -> HttpFields {
    let Request { message, head } = &exchange.request;
    let target = Target::parse(head);
    let host = target.authority.or(head.host()).filter(|host| !host.is_empty()).map(split_port);
    let response = exchange.response.as_ref();
    let endpoint = exchange.conn.endpoint;
    HttpFields {
        method: head.method().into(),
        path: target.path.into(),
        query: target.query.map(Into::into),
        scheme: "http",
        host: host.map(|(name, port)| (name.into(), port)),
        user_agent: head.user_agent().map(Into::into),
        version: head.version,
        status_code: response.map(|response| response.status),
        request_size: message.body_len,
        response_size: response.and_then(|response| response.message.body_len),
        local: endpoint.map(|endpoint| endpoint.local),
        remote: endpoint.map(|endpoint| endpoint.remote),
        truncated: message.truncated,
    }
}

/// A request target taken apart (RFC 9112, section 3.2).
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(head: &'a RequestHead) -> Self {
        let target = head.target();
        if head.method() == "CONNECT" {
            return Self { authority: Some(target), path: "", query: None };
        }
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        let (authority, rest) = match target.split_once("://") {
            Some((scheme, rest))
                if !target.starts_with('/') && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(&rest[..at]), &rest[at..])
            }
            _ => (None, target),
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() && authority.is_some() { "/" } else { path };
        Self { authority, path, query }
    }
}

/// Splits `host:port`, `[v6]:port` or `user@host:port`; a port that is none stays with the name.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && (!name.contains(':') || name.ends_with(']')) => {
            match port.parse() {
                Ok(port) => (unbracket(name), Some(port)),
                Err(_) if port.is_empty() => (unbracket(name), None),
                Err(_) => (authority, None),
            }
        }
        _ => (unbracket(authority), None),
    }
}

fn unbracket(name: &str) -> &str {
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Version;

    #[test]
    fn targets_of_all_forms() {
        for (method, target, authority, path, query) in [
            ("GET", "/a/b?x=1&y", None, "/a/b", Some("x=1&y")),
            ("GET", "/a#f?x", None, "/a", None),
            ("GET", "/?", None, "/", Some("")),
            ("GET", "/r?u=http://h/", None, "/r", Some("u=http://h/")),
            ("GET", "/r://h", None, "/r://h", None),
            ("GET", "http://h:8080/a?b", Some("h:8080"), "/a", Some("b")),
            ("GET", "http://h", Some("h"), "/", None),
            ("GET", "http://h?q", Some("h"), "/", Some("q")),
            ("OPTIONS", "*", None, "*", None),
            ("CONNECT", "h:443", Some("h:443"), "", None),
            ("GET", "", None, "", None),
        ] {
            let head = RequestHead::new(method, target, None, None, Version::Http11, None);
            assert_eq!(Target::parse(&head), Target { authority, path, query }, "{method} {target}");
        }
    }

    #[test]
    fn authorities_and_their_ports() {
        for (authority, name, port) in [
            ("h", "h", None),
            ("h:80", "h", Some(80)),
            ("h:", "h", None),
            ("h:99999", "h:99999", None),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("u:p@h:80", "h", Some(80)),
            (":80", "", Some(80)),
        ] {
            assert_eq!(split_port(authority), (name, port), "{authority}");
        }
    }

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
