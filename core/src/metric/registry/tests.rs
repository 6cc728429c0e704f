//! Tests of the registry and its text.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::exchange::{Outcome, RequestHead, Version};
use crate::metric::settings::MetricFeature;
use crate::metric::settings::Unresolved;
use crate::metric::spans::{MILLI, server as span};
use crate::metric::{Cardinality, History, MetricNames, Select, SelectSection, Text, TextFormat, write_text};
use crate::span::{HttpFields, Service, SpanKind, Status};
use crate::time::WallNanos;

fn client(route: &str) -> Span {
    Span { kind: SpanKind::Client, queue_nanos: None, ..span(route) }
}

fn few_buckets() -> MetricsConfig {
    MetricsConfig {
        duration_buckets: vec![0, 5 * MILLI, 1_000 * MILLI],
        request_size_buckets: vec![64],
        response_size_buckets: vec![64],
        ..MetricsConfig::default()
    }
}

fn observe(config: &MetricsConfig, spans: &[Span]) -> Registry {
    let mut registry = Registry::new(config, &Limits::default());
    spans.iter().for_each(|span| registry.observe(span));
    registry
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    write_text(&mut text, &registry.snapshot(), &Text::plain(TextFormat::OpenMetrics)).unwrap();
    text
}

/// The samples whose name begins with `prefix`.
fn samples(registry: &Registry, prefix: &str) -> String {
    text(registry).lines().filter(|line| line.starts_with(prefix)).fold(String::new(), |mut all, line| {
        writeln!(all, "{line}").unwrap();
        all
    })
}

#[test]
fn the_text_is_as_it_ever_was() {
    let mut failed = span("/greeting");
    failed.http.status_code = None;
    failed.outcome = Outcome::NoResponse;
    failed.http.head = RequestHead::new("BREW", "/greeting/1", Some("shop.example:80"), None, Version::Http11, None);
    let mut cut = span("/greeting");
    cut.outcome = Outcome::Incomplete;
    let mut ignored = span("/health");
    ignored.ignored.metrics = true;
    let spans = [span("/greeting"), client("/a\"\\\n"), span("/a"), failed, cut, ignored, span("/greeting")];
    let mut registry = observe(&few_buckets(), &spans);
    registry.diagnostic(DiagnosticKind::StreamGap, 3);
    registry.lost(LossCause::RingFull, 7);
    assert_eq!(text(&registry), include_str!("../testdata/golden.om"));
}

#[test]
fn the_older_format_has_the_same_samples_under_other_heads() {
    let registry = observe(&few_buckets(), &[span("/a"), client("/b")]);
    let write = |format| {
        let mut text = String::new();
        write_text(&mut text, &registry.snapshot(), &Text::plain(format)).unwrap();
        text
    };
    let (new, old) = (write(TextFormat::OpenMetrics), write(TextFormat::Prometheus));
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&new), samples(&old));
    assert!(
        old.contains("# HELP target_info The services there are.\n# TYPE target_info gauge\ntarget_info{"),
        "{old}"
    );
    assert!(!old.contains("# UNIT") && !old.contains("# EOF"));
}

#[test]
fn a_scrape_leaves_out_what_is_older_than_it_wants() {
    let late = |route: &str| Span { start: MonoNanos::new(70 * MILLI), end: MonoNanos::new(90 * MILLI), ..span(route) };
    let mut registry = observe(&few_buckets(), &[span("/a"), late("/b")]);
    registry.diagnostic(DiagnosticKind::StreamGap, 1);
    let mut text = String::new();
    write_text(
        &mut text,
        &registry.snapshot(),
        &Text { since: MonoNanos::new(80 * MILLI), ..Text::plain(TextFormat::OpenMetrics) },
    )
    .unwrap();
    assert!(!text.contains("\"/a\"") && text.contains("\"/b\""), "{text}");
    assert!(text.contains("redtape_diagnostics_total{") && text.contains("target_info{"), "{text}");
    text.clear();
    write_text(
        &mut text,
        &registry.snapshot(),
        &Text { since: MonoNanos::MAX, ..Text::plain(TextFormat::OpenMetrics) },
    )
    .unwrap();
    assert!(!text.contains("http_server"), "a family without series has no head: {text}");
}

#[test]
fn a_bucket_has_its_latest_exemplar() {
    let made = |filter, spans: &[Span]| {
        let registry = observe(&MetricsConfig { exemplars: filter, ..few_buckets() }, spans);
        let mut text = String::new();
        let moved = |exemplar: &Exemplar| Exemplar { at: WallNanos::new(1_500_000_000), ..*exemplar };
        let how = Text { exemplars: Some(&moved), ..Text::plain(TextFormat::OpenMetrics) };
        write_text(&mut text, &registry.snapshot(), &how).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("http_server_request_duration_seconds"));
        lines.filter_map(|line| Some(line.split_once(" # ")?.1.to_owned())).collect::<Vec<_>>()
    };
    let (first, second) = (span("/a"), Span { span_id: crate::ids::SpanId([2; 8]), ..span("/a") });
    let unsampled = Span { sampled: false, ..first.clone() };
    let hidden = Span { ignored: crate::span::Ignored { traces: true, metrics: false }, ..first.clone() };
    let trace = "01".repeat(16);
    let of = |id: &str| vec![format!("{{traceID=\"{trace}\",spanID=\"{}\"}} 0.003 1.5", id.repeat(8))];
    assert_eq!(made(ExemplarFilter::AlwaysOn, &[first.clone(), second.clone(), hidden]), of("02"));
    assert_eq!(made(ExemplarFilter::TraceBased, &[first.clone(), unsampled.clone()]), of("01"));
    assert_eq!(made(ExemplarFilter::AlwaysOn, &[second, unsampled]), of("01"));
    assert!(made(ExemplarFilter::AlwaysOff, &[first]).is_empty());
}

#[test]
fn promtool_accepts_the_text() {
    let promtool = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if promtool.is_err() {
        println!("skipped: promtool is not installed (Debian's package prometheus has it)");
        return;
    }
    let config = MetricsConfig {
        features: [MetricFeature::Application, MetricFeature::ApplicationSpan].into(),
        ..MetricsConfig::default()
    };
    let registry = observe(&config, &[span("/a"), span("/b \"quoted\" \\ é"), client("")]);
    let mut history = History::new(15_000 * MILLI, Some(("run", "x\"y")));
    history.add(WallNanos::new(1_700_000_000_000_000_000), &registry.snapshot());
    let folder = std::env::temp_dir().join(format!("redtape-openmetrics-{}", std::process::id()));
    let mut text = String::new();
    history.write(&mut text).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    #[expect(clippy::disallowed_methods, reason = "promtool reads files")]
    std::fs::write(folder.join("metrics.om"), text).unwrap();
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "metrics.om", "blocks"])
        .current_dir(&folder)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_is_labelled_follows_the_configuration() {
    let line = |config: &MetricsConfig, span: Span, name: &str| {
        samples(&observe(config, &[span]), &format!("{name}_count")).trim_end().to_owned()
    };
    let config = MetricsConfig { report_peer: true, report_target: true, ..few_buckets() };
    assert_eq!(
        line(&config, span("/a"), "http_server_request_duration_seconds"),
        "http_server_request_duration_seconds_count{client_address=\"10.0.0.9\",http_request_method=\"GET\",\
         http_response_status_code=\"200\",http_route=\"/a\",instance=\"host:42\",job=\"shop/frontend\",\
         server_address=\"10.0.0.1\",server_port=\"8080\",service_name=\"frontend\",service_namespace=\"shop\",\
         url_path=\"/a/1\",url_scheme=\"http\"} 1"
    );
    assert_eq!(
        line(&config, client("/a"), "http_client_request_duration_seconds"),
        "http_client_request_duration_seconds_count{http_request_method=\"GET\",\
         http_response_status_code=\"200\",http_route=\"/a\",instance=\"host:42\",job=\"shop/frontend\",\
         server_address=\"shop.example\",server_port=\"80\",service_name=\"frontend\",service_namespace=\"shop\",\
         url_scheme=\"http\"} 1"
    );
    let old = MetricsConfig { names: MetricNames::Beyla10, ..config };
    assert_eq!(
        line(&old, span("/a"), "http_server_duration_seconds"),
        "http_server_duration_seconds_count{client_address=\"10.0.0.9\",http_request_method=\"GET\",\
         http_response_status_code=\"200\",http_route=\"/a\",service_name=\"frontend\",service_namespace=\"shop\",\
         target_instance=\"host:42\",url_path=\"/a/1\"} 1"
    );
    assert_eq!(
        line(&old, client("/a"), "http_client_duration_seconds"),
        "http_client_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"200\",\
         server_address=\"shop.example\",server_port=\"80\",service_name=\"frontend\",service_namespace=\"shop\",\
         target_instance=\"host:42\"} 1"
    );
    let section = SelectSection {
        metric: "http.server.request.duration".into(),
        include: vec!["http.route".into()],
        ..SelectSection::default()
    };
    let select = MetricsConfig { select: Select::new(&[section]).unwrap(), ..few_buckets() };
    assert_eq!(
        line(&select, span("/a"), "http_server_request_duration_seconds"),
        "http_server_request_duration_seconds_count{http_route=\"/a\"} 1"
    );
}

#[test]
fn what_is_beyond_the_limit_goes_to_the_overflow_series() {
    let config = MetricsConfig { series_limit: Some(2), ..few_buckets() };
    let registry = observe(&config, &["/b", "/a", "/c", "/d", "/b"].map(span));
    let counts = samples(&registry, "http_server_request_duration_seconds_count");
    let routes: Vec<_> = counts
        .lines()
        .map(|line| (line.contains("/a\""), line.contains("/b\""), line.contains("otel_metric_overflow=\"true\"")))
        .collect();
    assert_eq!(routes, [(true, false, false), (false, true, false), (false, false, true)]);
    assert!(counts.ends_with("{otel_metric_overflow=\"true\"} 2\n"), "{counts}");
    assert_eq!(
        samples(&registry, "redtape_diagnostics_total"),
        "redtape_diagnostics_total{kind=\"series_overflow\"} 4\n"
    );
}

#[test]
fn the_red_table_has_a_row_for_each_service_kind_method_and_route() {
    let slow = |route: &str, millis: u64| {
        let span = span(route);
        Span { end: span.start.plus(millis * MILLI), ..span }
    };
    let mut failed = client("/b");
    failed.status = Status::Error;
    let mut cut = client("/b");
    cut.outcome = Outcome::Incomplete;
    let limits = Limits { red_rows: 3, ..Limits::default() };
    let mut registry = Registry::new(&few_buckets(), &limits);
    let mut spans: Vec<_> = (1..=100).map(|millis| slow("/b", millis)).collect();
    spans.extend([failed, cut, slow("/a", 200), slow("/late", 1), slow("/later", 1)]);
    spans.iter().for_each(|span| registry.observe(span));
    let table = registry.red();
    let rows: Vec<_> = table
        .rows
        .iter()
        .map(|row| {
            let key = row.key.as_ref().map(|key| (key.kind.as_str(), key.route.as_str(), key.method.as_str()));
            (key, row.count, row.errors, row.incomplete, row.duration.max() / MILLI, row.queue.count())
        })
        .collect();
    assert_eq!(
        rows,
        [
            (Some(("server", "/a", "GET")), 1, 0, 0, 200, 1),
            (Some(("server", "/b", "GET")), 100, 0, 0, 100, 100),
            (Some(("client", "/b", "GET")), 1, 1, 1, 3, 0),
            (None, 2, 0, 0, 1, 2),
        ]
    );
    let median = table.rows[1].duration.quantile(500);
    assert!(median.abs_diff(50 * MILLI) < MILLI / 2, "{median}");
    assert_eq!(table.rows[1].per_kilosecond(4_000_000_000), 25_000);
    assert_eq!(table.rows[1].per_kilosecond(0), 0);
    let slowest: Vec<_> =
        table.slowest(SpanKind::Server, 5).iter().map(|row| &*row.key.as_ref().unwrap().route).collect();
    assert_eq!(slowest, ["/a", "/b"]);
}

#[test]
fn the_service_graph_counts_a_call_once() {
    let config = MetricsConfig { features: [MetricFeature::ApplicationServiceGraph].into(), ..few_buckets() };
    let named = |span: Span, name: &str| {
        let service = Service { name: name.into(), namespace: "".into(), ..(*span.service).clone() };
        Span { service: Arc::new(service), ..span }
    };
    let call = |client: &Span, remote: &str, status| {
        let http = HttpFields { remote: Some(remote.parse().unwrap()), ..client.http.clone() };
        Span { http, status, ..client.clone() }
    };
    let received = named(span("/a"), "back");
    let sent = named(client("/a"), "front");
    let spans = [
        call(&sent, "10.0.0.1:8080", Status::Unset),
        received,
        call(&sent, "10.0.0.77:80", Status::Error),
        call(&sent, "10.0.0.78:80", Status::Unset),
        call(&named(sent.clone(), "back"), "10.0.0.1:8080", Status::Unset),
    ];
    let expected = "\
traces_service_graph_request_total{client=\"10.0.0.9\",server=\"back\",source=\"redtape\"} 1
traces_service_graph_request_total{client=\"front\",server=\"shop.example\",source=\"redtape\"} 2
traces_service_graph_request_client_seconds_count{client=\"front\",server=\"back\",source=\"redtape\"} 1
traces_service_graph_request_client_seconds_count{client=\"front\",server=\"shop.example\",source=\"redtape\"} 2
traces_service_graph_request_failed_total{client=\"10.0.0.9\",server=\"back\",source=\"redtape\"} 0
traces_service_graph_request_failed_total{client=\"front\",server=\"shop.example\",source=\"redtape\"} 1
traces_service_graph_request_server_seconds_count{client=\"10.0.0.9\",server=\"back\",source=\"redtape\"} 1
";
    let counts = |spans: &[Span]| {
        let all = samples(&observe(&config, spans), "traces_service_graph_");
        all.lines().filter(|line| line.contains("_count{") || line.contains("_total{")).fold(
            String::new(),
            |mut text, line| {
                writeln!(text, "{line}").unwrap();
                text
            },
        )
    };
    assert_eq!(counts(&spans), expected);
    let backwards: Vec<_> = spans.iter().rev().cloned().collect();
    assert_eq!(counts(&backwards), expected);
}

#[test]
fn the_parts_of_an_edge_are_the_same_under_each_of_its_names() {
    let config = MetricsConfig { features: [MetricFeature::ApplicationServiceGraph].into(), ..few_buckets() };
    let call = |remote: &str| {
        let mut span = client("/a");
        span.http.head = RequestHead::new("GET", "/a", Some("host"), None, Version::Http11, None);
        span.http.remote = Some(remote.parse().unwrap());
        span
    };
    let mut received = span("/a");
    received.service = Arc::new(Service { name: "back".into(), ..(*received.service).clone() });
    let spans = [call("10.0.0.1:8080"), call("10.0.0.77:80"), call("10.0.0.77:80"), received];
    let edges = |spans: &[Span]| -> Vec<_> {
        let families = observe(&config, spans).snapshot().families;
        let calls = families.into_iter().find(|family| family.name == "traces_service_graph_request_client_seconds");
        let count = |value: &Value| match value {
            Value::Histogram(histogram) => histogram.count(),
            _ => panic!("{value:?}"),
        };
        let edge = |series: &Series| {
            let parts: Vec<_> = series.parts.iter().map(|(born, part)| (*born, count(part))).collect();
            (series.values[3].clone(), series.born, count(&series.value), parts)
        };
        calls.unwrap().series.iter().map(edge).collect()
    };
    assert_eq!(edges(&spans[..3]), [("host".into(), 1, 3, vec![(1, 1), (2, 2)])]);
    assert_eq!(edges(&spans), [("back".into(), 1, 1, vec![]), ("host".into(), 2, 2, vec![])]);
}

#[test]
fn ends_of_the_service_graph_without_a_name_can_be_given_one() {
    let unresolved = Unresolved { incoming: "incoming".into(), outgoing: "outgoing".into(), drop: true };
    let config =
        MetricsConfig { features: [MetricFeature::ApplicationServiceGraph].into(), unresolved, ..few_buckets() };
    let mut nameless = client("/a");
    nameless.http.head = RequestHead::new("GET", "/a", None, None, Version::Http11, None);
    nameless.http.remote = Some("10.0.0.77:80".parse().unwrap());
    let text = text(&observe(&config, &[span("/a"), nameless, client("/b")]));
    for line in [
        "traces_service_graph_request_total{client=\"incoming\",",
        "traces_service_graph_request_total{client=\"frontend\",client_service_namespace=\"shop\",server=\"outgoing\",",
        "traces_service_graph_request_total{client=\"frontend\",client_service_namespace=\"shop\",server=\"shop.example\",",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn edges_of_ends_without_a_name_can_be_left_out() {
    let unresolved = Unresolved { drop: true, ..Unresolved::default() };
    let features = [MetricFeature::ApplicationServiceGraph].into();
    let config = MetricsConfig { features, unresolved, ..few_buckets() };
    let call = |remote: &str, host: Option<&str>| {
        let mut span = client("/a");
        span.http.head = RequestHead::new("GET", "/a", host, None, Version::Http11, None);
        span.http.remote = Some(remote.parse().unwrap());
        span
    };
    let mut received = span("/a");
    received.service = Arc::new(Service { name: "back".into(), ..(*received.service).clone() });
    let spans =
        [received, call("10.0.0.1:8080", None), call("10.0.0.77:80", None), call("10.0.0.78:80", Some("named"))];
    let registry = observe(&config, &spans);
    // A call to a server on the tape, which knows an address alone, counts at the client then.
    let ends = "client=\"frontend\",client_service_namespace=\"shop\"";
    assert_eq!(
        samples(&registry, "traces_service_graph_request_total"),
        format!(
            "traces_service_graph_request_total{{{ends},server=\"back\",server_service_namespace=\"shop\",source=\"redtape\"}} 1\n\
             traces_service_graph_request_total{{{ends},server=\"named\",source=\"redtape\"}} 1\n"
        )
    );
    assert!(!text(&registry).contains("10.0.0."));
}

#[test]
fn spans_that_share_a_series_but_not_their_labels_count_all_the_same() {
    let section = SelectSection { metric: "*".into(), include: vec!["service_name".into()], ..Default::default() };
    let config = MetricsConfig { select: Select::new(&[section]).unwrap(), ..few_buckets() };
    let mut registry = Registry::new(&config, &Limits { series_per_metric: 2, ..Limits::default() });
    (0..9).for_each(|number| registry.observe(&span(&format!("/{}", number % 5))));
    assert_eq!(
        samples(&registry, "http_server_request_duration_seconds_count"),
        "http_server_request_duration_seconds_count{service_name=\"frontend\"} 9\n"
    );
    assert_eq!(registry.red().rows.iter().map(|row| row.count).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
}

#[test]
fn cardinality_tells_where_series_come_from() {
    let config =
        MetricsConfig { series_limit: Some(3), features: [MetricFeature::Application].into(), ..few_buckets() };
    let registry = observe(&config, &["/a", "/a", "/b", "/b", "/c", "/c", "/d", "/a"].map(span));
    let cardinality = Cardinality::new(&registry.snapshot(), 4, 2);
    assert_eq!(cardinality.metrics[0].name, "http_server_request_body_size_bytes");
    let metric = cardinality.metrics.iter().find(|metric| metric.name.ends_with("duration_seconds")).unwrap();
    assert_eq!((metric.series, metric.samples, metric.overflow), (4, 4 * 6, true));
    assert_eq!(metric.growth, [1, 2, 3, 4]);
    let route = &metric.labels[0];
    assert_eq!((route.name, route.values), ("http_route", 3));
    assert_eq!(
        route.worst.iter().map(|worst| (&*worst.value, worst.series)).collect::<Vec<_>>(),
        [("/a", 1), ("/b", 1)]
    );
    let text = cardinality.to_string();
    assert!(text.contains("\nhttp_server_request_duration_seconds: 4 series, 24 samples, over the limit\n"), "{text}");
    assert!(text.contains("\n  growth: 1 2 3 4\n  http_route 3: \"/a\" 1, \"/b\" 1, ...\n"), "{text}");
}

#[test]
fn json_has_integers() {
    let registry = observe(&few_buckets(), &[span("/a")]);
    let json: serde_json::Value = serde_json::to_value(registry.snapshot()).unwrap();
    let metric =
        json["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "redtape_queue_seconds").unwrap();
    assert_eq!(
        *metric,
        serde_json::json!({
            "name": "redtape_queue_seconds",
            "type": "histogram",
            "unit": "nanoseconds",
            "help": "How long requests waited between their arrival and the application's first read.",
            "series": [{
                "labels": {
                    "http_route": "/a",
                    "instance": "host:42",
                    "job": "shop/frontend",
                    "service_name": "frontend",
                    "service_namespace": "shop",
                },
                "overflow": false,
                "count": 1,
                "sum": 40_000,
                "buckets": [[0, 0], [5_000_000, 1], [1_000_000_000, 1]],
            }],
        })
    );
}

#[test]
fn calls_of_grpc_count_in_their_own_family() {
    let mut call = span("");
    call.http.head = RequestHead::new("POST", "/p.S/M", None, None, Version::Http2, None).with_grpc();
    call.http.grpc_status = Some(5);
    let text_with = |rpc_call_duration| {
        text(&observe(&MetricsConfig { rpc_call_duration, ..few_buckets() }, &[span("/a"), call.clone()]))
    };
    let found = text_with(false);
    let line = found.lines().find(|line| line.starts_with("rpc_server_duration_seconds_count")).unwrap();
    for label in ["rpc_grpc_status_code=\"5\"", "rpc_method=\"/p.S/M\"", "rpc_system=\"grpc\""] {
        assert!(line.contains(label), "{line}");
    }
    let http = found.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    assert_eq!(http.map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(), ["1"]);
    let newer = text_with(true);
    assert!(newer.contains("\nrpc_server_call_duration_seconds_count{") && !newer.contains("rpc_server_duration"));
}

proptest! {
    #[test]
    fn each_span_is_in_exactly_one_series(
        routes in proptest::collection::vec(0..40_u32, 0..200),
        limit in 0..50_usize,
    ) {
        let config = MetricsConfig { series_limit: Some(limit), ..few_buckets() };
        let spans: Vec<_> = routes.iter().map(|route| span(&format!("/{route}"))).collect();
        let registry = observe(&config, &spans);
        for family in registry.snapshot().families.iter().filter(|family| family.kind == FamilyKind::Histogram) {
            if family.name.starts_with("http_client") || family.name.starts_with("rpc_") {
                prop_assert!(family.series.is_empty());
                continue;
            }
            prop_assert!(family.series.len() <= limit + 1);
            let total: u64 = family.series.iter().map(|series| match &series.value {
                Value::Histogram(histogram) => histogram.count(),
                _ => 0,
            }).sum();
            prop_assert_eq!(total, spans.len() as u64);
            prop_assert!(family.series.is_sorted_by_key(|series| (series.overflow, series.values.clone())));
        }
        prop_assert_eq!(text(&registry), text(&observe(&config, &spans)));
    }
}
