//! Tests of configuration files: those that work, and what is said of those that do not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::config::{
    Compression, Feature, HistogramAggregation, LinksMode, LogLevel, Names, OtlpConfig, OtlpSignal, Period,
    Temporality, TracePrinter, Unmatched,
};
use crate::facts::ProcessInfo;
use crate::metric::MetricFeature;

fn load(text: &str) -> (Config, Vec<String>) {
    let (config, warnings) = Config::from_yaml(text, "c.yml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    (config, warnings.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let error = Config::from_yaml(text, "c.yml").expect_err(text);
    assert_eq!(error.to_string(), expected, "\n{text}");
}

/// Files as they are found in tutorials.
const EVERYTHING: &str = include_str!("../../../../fixtures/beyla-configs/everything.yml");
const SERVICES: &str = include_str!("../../../../fixtures/beyla-configs/services.yml");
const PORTS: &str = include_str!("../../../../fixtures/beyla-configs/ports.yml");

#[test]
fn files_of_tutorials_work_unchanged() {
    let (config, warnings) = load(EVERYTHING);
    assert_eq!(warnings, Vec::<String>::new());
    assert!(config.print_traces);
    assert_eq!(config.log_level, LogLevel::Debug);
    assert!(config.open_port.unwrap().contains(8080));
    assert_eq!(config.otel_traces_export.endpoint, "http://tempo-distributor.tracing:4317");
    assert_eq!((config.prometheus_export.port, config.internal_metrics.prometheus.port), (8999, 8990));
    assert_eq!(config.routes.ignored_patterns, ["/metrics", "/health"]);

    let (config, warnings) = load(SERVICES);
    assert_eq!(warnings, Vec::<String>::new());
    let entry = &config.discovery.services[0];
    assert_eq!((entry.name.as_deref(), entry.namespace.as_deref()), (Some("MyApplication"), Some("MyNamespace")));
    assert_eq!(config.routes.unmatched, Unmatched::Wildcard);

    let (config, warnings) = load(PORTS);
    assert_eq!(warnings, Vec::<String>::new());
    let discovery = crate::config::Discovery::new(&config.discovery, &config.targets()).unwrap();
    let process = |exe: &str, port| ProcessInfo { exe: exe.into(), listening: vec![port], ..ProcessInfo::default() };
    assert_eq!(discovery.select(&process("/usr/bin/http-server", 8080)), Some(0));
    assert_eq!(discovery.select(&process("/usr/bin/http-server", 81)), None);
    assert_eq!(discovery.select(&process("/usr/bin/nginx", 80)), None);
}

#[test]
fn nothing_at_all_is_the_default() {
    for text in ["", "# nothing\n", "---\n"] {
        assert_eq!(load(text), (Config::default(), Vec::new()), "{text:?}");
    }
}

#[test]
fn own_keys_have_an_effect() {
    let (config, warnings) = load(
        "redtape:
  links: {mode: all, horizon: 2s}
  phases: always
  limits: {held_spans: 7}
  metrics: {names: beyla-1.0, rpc_names: call-duration, series_limit: 5}
prometheus_export:
  features: [application, application_span]
  buckets:
    duration_histogram: [0.001, 0.25, 1, .inf]
attributes:
  select:
    http_server_*:
      include: [http.route]
    traces:
      include: [\"*\"]
",
    );
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.redtape.links.mode, LinksMode::All);
    assert_eq!(config.redtape.metrics.names, Names::Beyla10);
    assert!(config.metrics().unwrap().rpc_call_duration);
    assert_eq!(config.redtape.limits.limits().held_spans, 7);
    let metrics = config.metrics().unwrap();
    assert_eq!(metrics.duration_buckets, [1_000_000, 250_000_000, 1_000_000_000]);
    assert_eq!(metrics.features, [MetricFeature::Application, MetricFeature::ApplicationSpan].into());
    assert_eq!(metrics.series_limit, Some(5));
}

#[test]
fn the_engine_does_what_the_configuration_says() {
    use crate::{Evidence, Horizon, LinkMode, Phases};
    let (config, _) = load("redtape: {links: {mode: all, horizon: 2s}, phases: never, limits: {processes: 3}}\n");
    let options = config.engine(true, Evidence::Online).unwrap();
    assert_eq!((options.links.mode, options.links.horizon), (LinkMode::All, Horizon::Nanos(2_000_000_000)));
    assert_eq!((options.phases, options.limits.processes), (Phases::Never, 3));
    let horizon = |live| Config::default().links(live).horizon;
    assert_eq!((horizon(true), horizon(false)), (Horizon::Nanos(1_000_000_000), Horizon::End));
}

#[test]
fn known_keys_without_effect_are_warnings() {
    let (_, warnings) = load(
        "ebpf:
  wakeup_len: 100
  batch_timeout: 1s
network:
  enable: true
prometheus_export:
  features:
    - application
    - network
  instrumentations: [http, sql]
discovery:
  min_process_age: 5s
  services:
    - exe_path: x
      sampler: {name: always_on}
",
    );
    assert_eq!(
        warnings,
        [
            "c.yml:4:1: network: has no effect: redtape has no metrics of packets, TCP, processes or hosts",
            "c.yml:12:3: discovery.min_process_age: has no effect: a process is followed from its first request on, however \
             young it is",
            "c.yml:3:3: ebpf.batch_timeout: has no effect: redtape's recorder has a ring buffer of its own: `record \
             --ring-size`",
            "c.yml:2:3: ebpf.wakeup_len: has no effect: redtape's recorder has a ring buffer of its own: `record \
             --ring-size`",
            "c.yml:9:7: prometheus_export.features[1]: redtape has no such metrics",
            "c.yml:10:28: prometheus_export.instrumentations[1]: has no effect: redtape reads HTTP and gRPC alone",
        ]
    );
}

#[test]
fn unknown_keys_say_where_and_what_was_meant() {
    fails("rutes:\n  patterns: []\n", "c.yml:1:1: rutes: unknown key; did you mean `routes`?");
    fails("routes:\n  unmached: heuristic\n", "c.yml:2:3: routes.unmached: unknown key; did you mean `unmatched`?");
    fails(
        "discovery:\n  services:\n    - exe_path: a\n    - exe_pth: b\n",
        "c.yml:4:7: discovery.services[1].exe_pth: unknown key; did you mean `exe_path`?",
    );
    fails(
        "redtape:\n  links:\n    zzz: 1\n",
        "c.yml:3:5: redtape.links.zzz: unknown key; expected one of `mode`, `horizon`",
    );
}

#[test]
fn values_that_cannot_be_used_say_what_can() {
    fails(
        "redtape:\n  phases: sometimes\n",
        "c.yml:2:11: redtape.phases: `sometimes` is not possible here; expected one of `auto`, `always`, `never`",
    );
    fails(
        "redtape: {otlp: {traces: {compression: lz4}}}\n",
        "c.yml:1:40: redtape.otlp.traces.compression: `lz4` is not possible here; expected one of `none`, `gzip`",
    );
    fails("log_level: debgu\n", "c.yml:1:12: log_level: `debgu` is not possible here; did you mean `debug`?");
    fails(
        "prometheus_export:\n  ttl: 5\n",
        "c.yml:2:8: prometheus_export.ttl: `5` is no duration: write a number and a unit, as in `500ms`, `5s` or \
         `1m30s`",
    );
    fails(
        "redtape: {links: {horizon: ever}}\n",
        "c.yml:1:28: redtape.links.horizon: `ever` is no duration: write a number and a unit, as in `500ms`, `5s` or \
         `1m30s`, or `end`",
    );
    fails(
        "open_port: 80-\n",
        "c.yml:1:12: open_port: invalid port list: \"80-\" is neither a port nor a range; write ports from 1 to 65535 and ranges separated by commas, as in 80,443,8000-8999",
    );
    fails("executable_name: '('\n", "c.yml:1:18: executable_name: invalid regular expression \"(\": unclosed group");
    fails(
        "prometheus_export:\n  port: many\n",
        "c.yml:2:9: prometheus_export.port: expected a whole number from 0 to 65535",
    );
    fails(
        "prometheus_export:\n  port: 70000\n",
        "c.yml:2:9: prometheus_export.port: expected a whole number from 0 to 65535",
    );
    fails("prometheus_export: 8080\n", "c.yml:1:20: prometheus_export: expected keys and values, as in `key: value`");
    fails("print_traces: maybe\n", "c.yml:1:15: print_traces: expected `true` or `false`");
}

#[test]
fn what_is_no_yaml_is_said_to_be_none() {
    fails("routes:\n\tpatterns:\n", "c.yml:2:1: a tab is used as indentation, which YAML does not allow; use spaces");
    fails(
        "routes:\n  patterns:\n  \t- /a\n",
        "c.yml:3:3: a tab is used as indentation, which YAML does not allow; use spaces",
    );
    fails("routes: [\n", "c.yml:1:9: expected keys and values, as in `key: value`");
    fails("routes: {}\nroutes: {}\n", "c.yml:2:1: this key was set before; keep one of the two");
    fails("routes: {patterns: /a}\n", "c.yml:1:20: routes.patterns: expected a list, as in `[a, b]`");
    fails("{}\n---\nb: 2\n", "c.yml:3:1: a second document begins here; a configuration is one document");
}

#[test]
fn a_wrong_indentation_is_told_with_the_right_ones() {
    fails(
        "routes:\n  patterns:\n    - /a\n   unmatched: path\n",
        "c.yml:4:4: this line is indented by 3, the lines above that it may stand beside by 0, 2 or 4: indent it as one of \
         them (while parsing a block mapping, did not find expected key)",
    );
    fails(
        "# first\nroutes:\n  unmatched: path\n\n patterns: []\n",
        "c.yml:5:2: this line is indented by 1, the lines above that it may stand beside by 0 or 2: indent it as one of \
         them (while parsing a block mapping, did not find expected key)",
    );
    fails(
        "discovery:\n    services:\n    - exe_path: a\n     open_ports: 80\n",
        "c.yml:4:6: this line is indented by 5, the lines above that it may stand beside by 0, 4 or 6: indent it as one of \
         them (while parsing a block mapping, did not find expected key)",
    );
    fails(
        "routes:\n  patterns: [/a\nopen_port: 1\n",
        "c.yml:3:10: this is no YAML from here on: illegal placement of ':' indicator. Look for a quote or bracket that is \
         not closed, a missing `: `, and values that need quotes",
    );
}

#[test]
fn keys_that_contradict_each_other_are_errors() {
    fails(
        "discovery:\n  services:\n    - name: a\n",
        "c.yml:3:7: discovery.services[0]: selects nothing; give it one of open_ports, exe_path, target_pids, cmd_args, \
         languages, containers_only, k8s_*",
    );
    fails(
        "filter:\n  application:\n    http_route: {match: a, not_match: b}\n",
        "c.yml:3:5: filter.application.http_route: give it exactly one of `match` and `not_match`",
    );
    fails(
        "prometheus_export:\n  buckets:\n    duration_histogram: [2, 1]\n",
        "c.yml:3:5: prometheus_export.buckets.duration_histogram: bounds are numbers from 0 on, and each is larger than \
         the last",
    );
    fails(
        "prometheus_export:\n  features: [application_span, application_span_otel]\n",
        "c.yml:2:3: prometheus_export.features: `application_span` and `application_span_otel` are two forms of the same \
         metrics; choose one",
    );
    fails(
        "routes:\n  patterns:\n    - /a\n    - /{a\n",
        "c.yml:4:7: routes.patterns[1]: `/{a`: `{` without `}` in one of its segments",
    );
    fails(
        "attributes: {select: {'': {}}}\n",
        "c.yml:1:14: attributes.select: `` is no usable pattern: use a name with `*` and `?`",
    );
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_environment_goes_over_the_file() {
    let (mut config, _) = load("open_port: 80\nprometheus_export: {port: 1}\n");
    let warnings = config
        .apply_env(&environment(&[
            ("BEYLA_OPEN_PORT", "8443"),
            ("BEYLA_EXECUTABLE_NAME", "server"),
            ("BEYLA_PRINT_TRACES", "1"),
            ("BEYLA_PROMETHEUS_PORT", "9090"),
            ("OTEL_EBPF_PROMETHEUS_PORT", "9091"),
            ("OTEL_EBPF_TRACE_PRINTER", "json"),
            ("OTEL_EBPF_PROMETHEUS_TTL", "1m"),
            ("OTEL_EBPF_METRICS_FEATURES", "application, application_span"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://here:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://there:4317"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1, b=x%2C%20y"),
            ("OTEL_EBPF_RENAME_UNRESOLVED_HOSTS", "unresolved"),
            ("OTEL_EBPF_RENAME_UNRESOLVED_HOSTS_INCOMING", "incoming"),
            ("OTEL_EBPF_DROP_UNRESOLVED_IPS", "true"),
            ("OTEL_EBPF_HOST_ID", "i-1"),
            ("OTEL_EBPF_KUBE_META_SOURCE_LABEL_SERVICE_NAME", "app"),
            ("OTEL_EBPF_SERVICE_NAME_TEMPLATE", "{{ .Meta.Name }}"),
            ("BEYLA_BPF_DEBUG", "true"),
            ("BEYLA_OPEN_PROT", "1"),
            ("BEYLA_SOMETHING_ELSE", "1"),
            ("BEYLA_CONFIG_PATH", "x"),
            ("HOME", "/root"),
        ]))
        .unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "BEYLA_BPF_DEBUG: has no effect: `redtape-capture doctor` tells what the probes say",
            "BEYLA_OPEN_PROT: unknown variable; did you mean `BEYLA_OPEN_PORT`?",
            "BEYLA_SOMETHING_ELSE: unknown variable; `redtape config keys` lists those that there are",
        ]
    );
    let unresolved = config.metrics().unwrap().unresolved;
    assert_eq!((&*unresolved.incoming, &*unresolved.outgoing, unresolved.drop), ("incoming", "unresolved", true));
    let discovery = config.discovery().unwrap();
    assert_eq!((discovery.host_id(), &*discovery.pod_names().name_labels[0]), (Some("i-1"), "app"));
    assert_eq!(discovery.pod_names().template, "{{ .Meta.Name }}".parse().ok());
    assert_eq!(config.open_port.unwrap().to_string(), "8443");
    assert!(config.print_traces);
    assert_eq!(config.prometheus_export.port, 9090);
    assert_eq!(config.prometheus_export.ttl, Period::seconds(60));
    assert_eq!(config.trace_printer, TracePrinter::Json);
    assert_eq!(config.metrics.features, Some(vec![Feature::Application, Feature::ApplicationSpan]));
    assert_eq!(config.otel_metrics_export.endpoint, "http://here:4318/v1/metrics");
    assert_eq!(config.otel_traces_export.endpoint, "http://there:4317");
    assert_eq!(config.otel_traces_export.headers, environment(&[("a", "1"), ("b", "x, y")]));
}

#[test]
fn variables_of_opentelemetry_are_of_all_signals_or_of_one() {
    let mut config = Config::default();
    let warnings = config
        .apply_env(&environment(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://here/base/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ""),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "100"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "me.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "me.key"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
        ]))
        .unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.redtape.otlp.temporality, Temporality::Delta);
    assert_eq!(config.otel_metrics_export.histogram_aggregation, HistogramAggregation::Exponential);
    assert_eq!(config.otel_traces_export.endpoint, "https://here/base/v1/traces");
    assert_eq!(config.otel_metrics_export.endpoint, "https://here/base/v1/metrics");
    let both = OtlpSignal { certificate: Some("ca.pem".into()), insecure: Some(true), ..OtlpSignal::default() };
    let OtlpConfig { traces, metrics, .. } = config.redtape.otlp;
    assert_eq!(
        traces,
        OtlpSignal {
            timeout: Period(Duration::from_millis(100)),
            client_certificate: Some("me.pem".into()),
            client_key: Some("me.key".into()),
            ..both.clone()
        }
    );
    assert_eq!(
        metrics,
        OtlpSignal { timeout: Period(Duration::from_millis(2_500)), compression: Compression::Gzip, ..both }
    );
}

#[test]
fn wrong_variables_are_errors() {
    let error =
        |name: &str, value: &str| Config::default().apply_env(&environment(&[(name, value)])).unwrap_err().to_string();
    assert_eq!(
        error("BEYLA_OPEN_PORT", "9-1"),
        "BEYLA_OPEN_PORT: invalid port list: \"9-1\" ends below its start; write ports from 1 to 65535 and ranges \
         separated by commas, as in 80,443,8000-8999"
    );
    assert_eq!(
        error("OTEL_EBPF_PROMETHEUS_PORT", "http"),
        "OTEL_EBPF_PROMETHEUS_PORT: `http` is no whole number from 0 to 65535"
    );
    assert_eq!(
        error("BEYLA_INTERNAL_METRICS_PROMETHEUS_PORT", "99999"),
        "BEYLA_INTERNAL_METRICS_PROMETHEUS_PORT: `99999` is no whole number from 0 to 65535"
    );
    // What shows only once all is put together is told by the variable, too.
    for (name, value) in [("OTEL_TRACES_SAMPLER", "nope"), ("OTEL_EBPF_SHUTDOWN_TIMEOUT", "0s")] {
        assert!(error(name, value).starts_with(&format!("{name}: ")), "{}", error(name, value));
    }
    assert_eq!(
        error("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        "OTEL_EXPORTER_OTLP_TIMEOUT: `10s` is no number of milliseconds"
    );
    assert_eq!(
        error("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=1, Bearer s3cret"),
        "OTEL_EXPORTER_OTLP_HEADERS: entry 2 of those between commas is no `key=value` pair"
    );
    assert_eq!(error("BEYLA_PRINT_TRACES", "yes"), "BEYLA_PRINT_TRACES: `yes` is neither `true` nor `false`");
    assert_eq!(
        error("BEYLA_TRACE_PRINTER", "xml"),
        "BEYLA_TRACE_PRINTER: `xml`: `xml` is not possible here; expected one of `disabled`, `text`, `json`, \
         `json_indent`, `counter`"
    );
}

#[test]
fn a_run_needs_some_time_to_end() {
    fails(
        "shutdown_timeout: 0s\n",
        "c.yml:1:1: shutdown_timeout: without any time nothing can end as it should: leave it out for 10s, or give more than 0s",
    );
    assert_eq!(load("shutdown_timeout: 1ms\n").0.shutdown_timeout.0, Duration::from_millis(1));
}
