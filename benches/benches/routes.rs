//! The time to decide the route of one request: known paths, paths never seen before, patterns.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use redtape_core::config::{RoutesConfig, Unmatched};
use redtape_core::{Decorator, Evidence, Limits, SpanKind};

/// Paths of four segments, as many as one likes.
fn paths(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/api/customers/{n}/{}", ["orders", "invoices", "settings"][n % 3])).collect()
}

fn decorator(config: &RoutesConfig) -> Decorator {
    Decorator::new(config, [], Evidence::Online, &Limits::default()).expect("the patterns are good")
}

fn decide(decorator: &mut Decorator, path: &str) {
    black_box(decorator.decorate("shop", SpanKind::Server, "GET", path));
}

fn benches(criterion: &mut Criterion) {
    let patterns: Vec<String> = (0..100)
        .flat_map(|n| [format!("/api/thing{n}/{{id}}"), format!("/api/thing{n}/{{id}}/parts")])
        .chain(["/api/customers/{id}/{what}".into()])
        .collect();
    let configs = [
        ("heuristic", RoutesConfig::default()),
        ("low-cardinality", RoutesConfig { unmatched: Unmatched::LowCardinality, ..RoutesConfig::default() }),
        ("201 patterns", RoutesConfig { patterns, ..RoutesConfig::default() }),
    ];
    for (name, config) in configs {
        for (kind, count) in [("known", 1_000), ("new", 1_000_000)] {
            let paths = paths(count);
            let mut decorator = decorator(&config);
            let mut next = paths.iter().cycle();
            criterion.bench_function(&format!("routes/{name}/{kind} path"), |bencher| {
                bencher.iter(|| next.next().map(|path| decide(&mut decorator, path)));
            });
        }
    }
}

criterion_group!(routes, benches);
criterion_main!(routes);
