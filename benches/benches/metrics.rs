//! How long it takes to count a span, over twenty routes; and to copy and write all series, which a scrape does.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redtape_core::config::PodNames;
use redtape_core::metric::{ExemplarFilter, MetricsConfig, Registry, Text, TextFormat, write_text};
use redtape_core::{
    ConnKey, HttpFields, Ignored, Limits, MonoNanos, Outcome, ProcessInfo, RequestHead, Service, Span, SpanId,
    SpanKind, Status, TraceId, Version, WallNanos,
};

fn spans(count: u64, routes: u64) -> Vec<Span> {
    let service = Arc::new(Service::new(Arc::new(ProcessInfo::default()), None, "host", None, &PodNames::default()));
    let span = |number: u64| {
        let route = format!("/api/v1/resource-{}/{{id}}", number % routes);
        let start = number * 1_000_000;
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent_span_id: None,
            link: None,
            kind: SpanKind::Server,
            conn: ConnKey::default(),
            pos: 0,
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
    (0..count).map(span).collect()
}

fn observe(criterion: &mut Criterion) {
    let spans = spans(1_000, 20);
    let mut registry = Registry::new(&MetricsConfig::default(), &Limits::default());
    let mut group = criterion.benchmark_group("metrics");
    group.throughput(Throughput::Elements(spans.len() as u64));
    group.bench_function("observe, 20 routes", |bencher| {
        bencher.iter(|| spans.iter().for_each(|span| registry.observe(black_box(span))));
    });
    let config = MetricsConfig { exemplars: ExemplarFilter::AlwaysOn, ..MetricsConfig::default() };
    let mut remembering = Registry::new(&config, &Limits::default());
    group.bench_function("observe with exemplars, 20 routes", |bencher| {
        bencher.iter(|| spans.iter().for_each(|span| remembering.observe(black_box(span))));
    });
    group.bench_function("snapshot, 20 routes", |bencher| bencher.iter(|| black_box(registry.snapshot())));
    group.finish();
}

/// A scrape: the snapshot is what the engine's thread does for it.
fn scrape(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrape");
    group.sample_size(10);
    for series in [10_000, 100_000] {
        // Each route has four histograms.
        let routes = series / 4;
        let limits = Limits { series_per_metric: 1 << 20, ..Limits::default() };
        let mut registry = Registry::new(&MetricsConfig::default(), &limits);
        spans(routes, routes).iter().for_each(|span| registry.observe(span));
        group.throughput(Throughput::Elements(series));
        group.bench_function(format!("snapshot, {series} series"), |bencher| {
            bencher.iter(|| black_box(registry.snapshot()));
        });
        let snapshot = registry.snapshot();
        let mut text = String::new();
        group.bench_function(format!("write_text, {series} series"), |bencher| {
            bencher.iter(|| {
                text.clear();
                write_text(&mut text, black_box(&snapshot), &Text::plain(TextFormat::OpenMetrics))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, observe, scrape);
criterion_main!(benches);
