//! Tells which requests are exports by OTLP: a process that makes them is instrumented already.

use crate::span::{Span, SpanKind, Status};

/// What a process exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// The signal that `span` is an export of: a call that worked, to a path of OTLP (OpenTelemetry Protocol, "OTLP/HTTP" and
/// "OTLP/gRPC").
pub(super) fn signal(span: &Span) -> Option<Signal> {
    if span.kind != SpanKind::Client || span.status != Status::Unset || span.incomplete() {
        return None;
    }
    let path = span.http.path();
    if span.is_grpc() {
        match path {
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
            _ => None,
        }
    } else if path.ends_with("/v1/traces") {
        Some(Signal::Traces)
    } else if path.ends_with("/v1/metrics") {
        Some(Signal::Metrics)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{Outcome, RequestHead, Version};
    use crate::metric::spans::server;

    #[test]
    fn exports_are_told_by_path_and_success() {
        let call = |target: &str| {
            let head = RequestHead::new("POST", target, None, None, Version::Http11, None);
            let mut span = server("");
            (span.kind, span.http.head) = (SpanKind::Client, head);
            span
        };
        let grpc = |target: &str| {
            let mut span = call(target);
            span.http.head = span.http.head.clone().with_grpc();
            span
        };
        assert_eq!(signal(&call("/v1/traces")), Some(Signal::Traces));
        assert_eq!(signal(&call("/otlp/v1/metrics?x=1")), Some(Signal::Metrics));
        assert_eq!(signal(&call("/v1/logs")), None);
        let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!((signal(&grpc(method)), signal(&call(method))), (Some(Signal::Traces), None));
        let mut refused = call("/v1/traces");
        refused.status = Status::Error;
        let mut cut = call("/v1/traces");
        cut.outcome = Outcome::Incomplete;
        let mut received = call("/v1/traces");
        received.kind = SpanKind::Server;
        assert_eq!([refused, cut, received].map(|span| signal(&span)), [None; 3]);
    }
}
