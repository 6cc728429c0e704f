//! Spans for tests.

use std::sync::Arc;

use crate::exchange::{Outcome, RequestHead, Version};
use crate::facts::ProcessInfo;
use crate::ids::{ConnKey, SpanId, TraceId};
use crate::signals::Signals;
use crate::span::{HttpFields, Ignored, Service, Span, SpanKind, Status};
use crate::time::{MonoNanos, WallNanos};

pub(crate) const MILLI: u64 = 1_000_000;

/// A server span of 3 ms, answered with 200.
pub(crate) fn server(route: &str) -> Span {
    let service = Service {
        name: "frontend".into(),
        namespace: "shop".into(),
        instance: "host:42".into(),
        host_id: None,
        signals: Signals::default(),
        host: "".into(),
        process: Arc::new(ProcessInfo::default()),
        container: None,
    };
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        parent_span_id: None,
        link: None,
        kind: SpanKind::Server,
        conn: ConnKey::default(),
        pos: 0,
        service: Arc::new(service),
        start: MonoNanos::new(1_000),
        end: MonoNanos::new(1_000 + 3 * MILLI),
        start_wall: WallNanos::new(1_000),
        queue_nanos: Some(40_000),
        phases: false,
        accept_wait_nanos: None,
        status: Status::Unset,
        outcome: Outcome::Complete,
        route: route.into(),
        ignored: Ignored::default(),
        sampled: true,
        shown: Arc::default(),
        http: HttpFields {
            head: RequestHead::new("GET", &format!("{route}/1"), Some("shop.example:80"), None, Version::Http11, None),
            scheme: "http",
            untied: false,
            status_code: Some(200),
            grpc_status: None,
            reset: None,
            request_size: None,
            response_size: Some(100),
            local: Some("10.0.0.1:8080".parse().unwrap()),
            remote: Some("[::ffff:10.0.0.9]:50000".parse().unwrap()),
            truncated: false,
        },
    }
}
