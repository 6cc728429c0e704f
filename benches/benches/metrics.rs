//! How long it takes to count a span, over twenty routes.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redtape_core::metric::{MetricsConfig, Registry};
use redtape_core::{
    HttpFields, Ignored, Limits, MonoNanos, Outcome, ProcessInfo, RequestHead, Service, Span, SpanId, SpanKind, Status,
    TraceId, Version, WallNanos,
};

fn spans() -> Vec<Span> {
    let service = Arc::new(Service::new(Arc::new(ProcessInfo::default()), None, "host", None));
    let span = |number: u64| {
        let route = format!("/api/v1/resource-{}/{{id}}", number % 20);
        let start = number * 1_000_000;
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent_span_id: None,
            link: None,
            kind: SpanKind::Server,
            service: service.clone(),
            start: MonoNanos::new(start),
            end: MonoNanos::new(start + 1_000 * (number * 7_919 % 10_007)),
            start_wall: WallNanos::new(start),
            queue_nanos: Some(number * 31 % 1_009),
            phases: false,
            accept_wait_nanos: None,
            status: Status::Unset,
            outcome: Outcome::Complete,
            route: route.into(),
            ignored: Ignored::default(),
            sampled: true,
            shown: Arc::default(),
            http: HttpFields {
                head: RequestHead::new(
                    "GET",
                    &format!("/api/v1/resource/{number}"),
                    Some("shop.example"),
                    None,
                    Version::Http11,
                    None,
                ),
                scheme: "http",
                untied: false,
                grpc_status: None,
                reset: None,
                status_code: Some(200),
                request_size: Some(0),
                response_size: Some(number),
                local: Some(([10, 0, 0, 1], 8080).into()),
                remote: Some(([10, 0, 0, 2], 50_000).into()),
                truncated: false,
            },
        }
    };
    (0..1_000).map(span).collect()
}

fn observe(criterion: &mut Criterion) {
    let spans = spans();
    let mut registry = Registry::new(&MetricsConfig::default(), &Limits::default());
    let mut group = criterion.benchmark_group("metrics");
    group.throughput(Throughput::Elements(spans.len() as u64));
    group.bench_function("observe, 20 routes", |bencher| {
        bencher.iter(|| spans.iter().for_each(|span| registry.observe(black_box(span))));
    });
    group.bench_function("snapshot, 20 routes", |bencher| bencher.iter(|| black_box(registry.snapshot())));
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
