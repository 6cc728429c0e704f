//! Which spans come out, count and are sampled, by what the configuration says of signals.

use std::sync::Arc;

use crate::config::Config;
use crate::diagnostic::DiagnosticKind;
use crate::engine::{Output, Stage2};
use crate::event::{BodyBuf, DataFlags, EventBuf, Stamp};
use crate::exchange::{
    Exchange, Finding, Message, Outcome, Request, RequestHead, Response, Started, TraceContext, Version, What,
};
use crate::facts::{ConnInfo, ProcessInfo, Role};
use crate::ids::{ConnKey, Origin, ProcKey, Tgid, Tid};
use crate::metric::{Text, TextFormat, write_text};
use crate::route::Evidence;
use crate::time::MonoNanos;

/// A stage 2 that goes by a configuration, and requests one after the other.
struct World {
    stage: Stage2,
    now: u64,
}

impl World {
    fn new(yaml: &str) -> Self {
        let (config, _) = Config::from_yaml(yaml, "c.yml").unwrap();
        Self { stage: Stage2::new(config.engine(false, Evidence::Online).unwrap()), now: 1000 }
    }

    /// A process of this name and id.
    fn process(&mut self, exe: &str, tgid: u32) {
        let key = ProcKey::new(Origin::default(), tgid.into());
        let info = ProcessInfo { key, id: tgid.into(), tgid: Tgid(tgid), exe: exe.into(), ..ProcessInfo::default() };
        let at = MonoNanos::new(self.now);
        self.stage.fact(&EventBuf::new(at, BodyBuf::Process(Box::new(info))).as_event(), at);
    }

    fn next(&mut self) -> Stamp {
        self.now += 1;
        let at = MonoNanos::new(self.now);
        Stamp { tid: Tid(1), flags: DataFlags::default(), loop_turn: 0, entry: at, exit: at }
    }

    /// A request's head is complete; `end` ends it.
    fn begin(&mut self, role: Role, tgid: u64, context: Option<&str>) -> Started {
        let first = self.next();
        let context = context.map(|text| TraceContext::parse(text.as_bytes()).unwrap());
        let info = ConnInfo { role, ..ConnInfo::unknown(Origin::default(), self.now) };
        let process = ProcKey::new(Origin::default(), tgid);
        let started = Started { conn: Arc::new(info), role, process, pos: 0, first, head: first, alone: true, context };
        self.take(started.conn.key, What::Started(Box::new(started.clone())));
        started
    }

    fn end(&mut self, started: Started, target: &str) {
        let last = self.next();
        let message = |first| Message { pos: 0, first, last, arrival: None, body_len: Some(0), truncated: false };
        let head = RequestHead::new("GET", target, None, None, Version::Http11, started.context);
        let exchange = Exchange {
            role: started.role,
            process: started.process,
            accept_wait_nanos: None,
            request: Request { message: message(started.first), head },
            response: Some(Response { message: message(last), status: 200, grpc_status: None }),
            reset: None,
            outcome: Outcome::Complete,
            end: last.exit,
            conn: started.conn,
        };
        self.take(exchange.conn.key, What::Ended(Box::new(exchange)));
    }

    fn take(&mut self, conn: ConnKey, what: What) {
        self.stage.take(Finding { at: MonoNanos::new(self.now), conn, pos: 0, what });
    }

    fn request(&mut self, role: Role, tgid: u64, target: &str) {
        let started = self.begin(role, tgid, None);
        self.end(started, target);
    }

    /// The spans, as `SERVICE PATH`, with a `-` behind those that are not sampled.
    fn spans(&mut self) -> Vec<String> {
        self.stage.finish(MonoNanos::new(self.now));
        let spans = std::iter::from_fn(|| self.stage.poll_output()).filter_map(|output| match output {
            Output::Span(span) => Some(span),
            _ => None,
        });
        let shown = |span: Box<crate::Span>| {
            let sampled = if span.sampled { "" } else { " -" };
            format!("{} {}{sampled}", span.service.name, span.http.path())
        };
        spans.map(shown).collect()
    }

    /// Which of `names` there are series of, as `NAME SERVICE`.
    fn counted(&self, names: &[&str]) -> Vec<String> {
        let mut text = String::new();
        write_text(&mut text, &self.stage.metrics().snapshot(), &Text::plain(TextFormat::OpenMetrics)).unwrap();
        let line = |line: &str| {
            let name = names.iter().find(|name| line.starts_with(&format!("{name}_count{{")))?;
            let (_, service) = line.split_once("service_name=\"")?;
            Some(format!("{name} {}", service.split('"').next()?))
        };
        text.lines().filter_map(line).collect()
    }
}

const SERVER: &str = "http_server_request_duration_seconds";
const SPANS: &str = "traces_spanmetrics_latency";

#[test]
fn entries_say_what_is_exported_of_their_service() {
    let mut world = World::new(
        "discovery:
  services:
    - {exe_path: all}
    - {exe_path: traced, exports: [traces]}
    - {exe_path: counted, exports: [metrics], metrics: {features: [application_span]}}
    - {exe_path: none, exports: []}
",
    );
    for (exe, tgid) in [("/all", 1), ("/traced", 2), ("/counted", 3), ("/none", 4)] {
        world.process(exe, tgid);
        world.request(Role::Server, tgid.into(), "/a");
    }
    assert_eq!(world.spans(), ["all /a", "traced /a"]);
    assert_eq!(world.counted(&[SERVER, SPANS]), [format!("{SERVER} all"), format!("{SPANS} counted")]);
}

#[test]
fn what_a_process_exports_by_itself_is_left_out() {
    let calls = |yaml: &str| {
        let mut world = World::new(yaml);
        world.process("/sdk", 1);
        world.process("/plain", 2);
        for path in ["/a", "/v1/logs"] {
            world.request(Role::Client, 1, path);
        }
        world.request(Role::Client, 1, "/v1/traces");
        world.request(Role::Server, 1, "/b");
        world.request(Role::Server, 2, "/c");
        // Another program takes its place.
        world.process("/other", 1);
        world.request(Role::Server, 1, "/d");
        let spans = world.spans();
        (spans, world)
    };
    let (spans, world) = calls("");
    assert_eq!(spans, ["sdk /a", "sdk /v1/logs", "plain /c", "other /d"]);
    assert_eq!(world.counted(&[SERVER]), ["sdk", "plain", "other"].map(|service| format!("{SERVER} {service}")));
    assert_eq!(world.stage.totals().diagnostics.get(&DiagnosticKind::OtelInstrumented), Some(&2));

    let (spans, world) = calls("discovery: {exclude_otel_instrumented_services: false}");
    assert_eq!((spans.len(), world.stage.totals().diagnostics.len()), (6, 0));
}

#[test]
fn a_trace_is_sampled_as_a_whole() {
    const KEPT: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    const DROPPED: &str = "00-0123456789abcdef0123456789abcdee-0123456789abcdef-00";
    let spans = |yaml: &str| {
        let mut world = World::new(yaml);
        world.process("/shop", 1);
        world.process("/back", 2);
        for context in [KEPT, DROPPED] {
            let incoming = world.begin(Role::Server, 1, Some(context));
            let call = world.begin(Role::Client, 1, None);
            world.end(call, "/call");
            world.end(incoming, "/in");
        }
        world.request(Role::Server, 2, "/own");
        world.spans()
    };
    let sampler = |name: &str| format!("otel_traces_export: {{sampler: {{name: {name}, arg: '0'}}}}");
    assert_eq!(spans(""), ["shop /call", "shop /in", "shop /call -", "shop /in -", "back /own"]);
    let ratio = spans(&sampler("parentbased_traceidratio"));
    assert_eq!(ratio, ["shop /call", "shop /in", "shop /call -", "shop /in -", "back /own -"]);
    assert!(spans(&sampler("always_on")).iter().all(|span| !span.ends_with('-')));
    assert!(spans("otel_traces_export: {instrumentations: [grpc]}").iter().all(|span| span.ends_with('-')));
    let by_service = "discovery: {services: [{exe_path: back, sampler: {name: always_off}}]}";
    assert_eq!(spans(by_service).last().map(String::as_str), Some("back /own -"));
}

#[test]
fn the_host_is_called_what_the_configuration_says() {
    let mut world = World::new("attributes: {instance_id: {override_hostname: web-9}, host_id: {override: i-123}}\n");
    world.process("/shop", 7);
    world.request(Role::Server, 7, "/a");
    world.stage.finish(MonoNanos::new(world.now));
    let Some(Output::Span(span)) = world.stage.poll_output() else { panic!("no span") };
    assert_eq!(&*span.service.instance, "web-9:7");
    assert!(span.service.resource().contains(&("host.id", crate::AttributeValue::Text("i-123".into()))));
}

#[test]
fn protocols_choose_metrics() {
    for (yaml, counted) in [
        ("prometheus_export: {instrumentations: ['*']}", true),
        ("prometheus_export: {instrumentations: [http, sql]}", true),
        ("prometheus_export: {instrumentations: [grpc]}", false),
    ] {
        let mut world = World::new(yaml);
        world.request(Role::Server, 1, "/a");
        assert_eq!((world.spans().len(), world.counted(&[SERVER]).len()), (1, usize::from(counted)), "{yaml}");
    }
}
