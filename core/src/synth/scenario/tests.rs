//! What is read from YAML, and what is refused.

use super::*;
use crate::synth::SCENARIOS;

fn error(yaml: &str) -> String {
    Scenario::from_yaml(yaml, "s.yaml").unwrap_err().to_string()
}

#[test]
fn the_included_scenarios_are_read() {
    for (name, _) in SCENARIOS {
        let scenario = Scenario::named(name).unwrap();
        let few = Scenario { requests: Some(20), ..scenario };
        assert!(!few.description.is_empty(), "{name}");
        assert!(few.events().count() > 100 && few.truth().count() >= 20, "{name}");
    }
    assert!(SCENARIOS.is_sorted());
    assert_eq!(Scenario::named("greetins"), None);
}

#[test]
fn little_need_be_said() {
    let scenario = Scenario::from_yaml("services: {web: {}}", "s.yaml").unwrap();
    let truth: Vec<_> = scenario.truth().collect();
    assert_eq!(truth.len(), 1000);
    assert!(truth.iter().all(|truth| (&*truth.method, &*truth.target, truth.status) == ("GET", "/", Some(200))));
    assert!(truth.iter().all(|truth| truth.context.is_none() && !truth.pipelined));
}

#[test]
fn all_of_a_scenario_counts() {
    let yaml = "
seed: 3
duration: 200ms
clients: {to: {a: 1}, connections: 2, keep_alive: {uniform: [1, 5]}, pause: {exponential: 1ms}}
hosts: {left: {skew: -3ms}}
recorder: {arrivals: false, loss: 10, capture: {whole: 100}}
network: {latency: 20us, writes: 1, read_buffer: 64KiB}
per_mille: {traceparent: 1000}
services:
  a:
    host: left
    tls: true
    restart_every: 50ms
    routes:
      - {path: '/a/{uuid}', methods: {GET: 1, POST: 2}, status: {200: 1, 503: 1}, request_body: 1KiB, latency: {lognormal: {median: 1ms, p99: 4ms}}}
    calls: [{to: b, route: b.B/Do, times: 2}]
  b: {routes: [{grpc: b.B/Do, status: {OK: 1, 14: 1}}], threads: event_loop}
";
    let scenario = Scenario::from_yaml(yaml, "s.yaml").unwrap();
    let truth: Vec<_> = scenario.truth().collect();
    let start = truth.iter().map(|truth| truth.start).min().unwrap();
    let end = truth.iter().map(|truth| truth.start).max().unwrap();
    assert!((100_000_000..220_000_000).contains(&end.since(start)));
    assert!(truth.iter().all(|truth| truth.context.is_some() && truth.queue_nanos.is_none()));
    assert!(truth.iter().filter(|truth| &*truth.service == "a").any(|truth| truth.tls && truth.status == Some(503)));
    assert!(truth.iter().any(|truth| truth.grpc_status == Some(14)));
    let processes: std::collections::BTreeSet<_> =
        truth.iter().filter(|truth| &*truth.service == "a").map(|truth| truth.process).collect();
    assert!(processes.len() >= 4, "a process is replaced every 50 ms: {}", processes.len());
}

#[test]
fn what_is_no_scenario_is_refused_with_its_place() {
    for (yaml, expected) in [
        ("service: {}", "s.yaml:1:1: service: unknown key; did you mean `services`?"),
        ("services:\n  web:\n    route: []", "s.yaml:3:5: services.web.route: unknown key; did you mean `routes`?"),
        (
            "services: {web: {routes: [{path: /, latency: -5ms}]}}",
            "s.yaml:1:46: services.web.routes[0].latency: `-5ms` is negative; time only goes forward",
        ),
        (
            "services: {web: {routes: [{path: /, latency: 5}]}}",
            "s.yaml:1:46: services.web.routes[0].latency: `5` is no duration: write a number and a unit, as in `500ms`, `5s` or \
             `1m30s`",
        ),
        (
            "services: {web: {routes: [{path: /, latency: {lognorml: {median: 1ms, p99: 2ms}}}]}}",
            "s.yaml:1:47: services.web.routes[0].latency.lognorml: `lognorml` is not possible here; did you mean `lognormal`?",
        ),
        (
            "recorder:\n  loss: 1001\nservices: {web: {}}",
            "s.yaml:2:9: recorder.loss: 1001 is more than 1000 parts of a thousand: 1000 is always",
        ),
        (
            "per_mille: {chunked: 2000}",
            "s.yaml:1:22: per_mille.chunked: 2000 is more than 1000 parts of a thousand: 1000 is always",
        ),
    ] {
        assert_eq!(error(yaml), expected, "{yaml}");
    }
}

#[test]
fn the_impossible_is_refused_with_its_place() {
    for (yaml, expected) in [
        ("seed: 1", "s.yaml: services: there is no service; name one, as in `services: {web: {}}`"),
        ("requests: 0\nservices: {web: {}}", "s.yaml:1:1: requests: 0 requests make no tape; ask for one at least"),
        (
            "services:\n  a: {calls: [{to: b}]}\n  b: {calls: [{to: c}]}\n  c: {calls: [{to: b}]}",
            "s.yaml:3:3: services.b: calls in a circle never end: b → c → b",
        ),
        (
            "services:\n  web:\n    calls:\n      - to: usres\n  users: {}",
            "s.yaml:4:9: services.web.calls[0].to: there is no service `usres`; did you mean `users`?",
        ),
        (
            "services: {web: {calls: [{to: db, route: /x}]}, db: {}}",
            "s.yaml:1:35: services.web.calls[0].route: `db` has no route `/x`; did you mean `/`?",
        ),
        (
            "services:\n  web:\n    routes:\n      - path: /\n        status: {200: 0}",
            "s.yaml:5:9: services.web.routes[0].status: all weights are 0, so none can be drawn; give one a weight above 0",
        ),
        (
            "services: {web: {routes: [{path: /, weight: 0}]}}",
            "s.yaml:1:18: services.web.routes: no route with a weight above 0 can be asked for in HTTP/1",
        ),
        (
            "clients: {connections: 20000}\nservices: {a: {calls: [{to: b}]}, b: {}}",
            "s.yaml:1:11: clients.connections: 20000 connections at one time, each of which may open 1 more for calls, are more \
             than the 28232 ports of a host",
        ),
        (
            "clients: {connections: 0}\nservices: {a: {}}",
            "s.yaml:1:11: clients.connections: without a connection there are no requests; ask for one at least",
        ),
        (
            "services: {web: {routes: [{path: /, queue: 2h}]}}",
            "s.yaml:1:37: services.web.routes[0].queue: an hour is the most that is possible",
        ),
        (
            "services: {web: {routes: [{path: /, status: 99}]}}",
            "s.yaml:1:37: services.web.routes[0].status: `99` is no status of a final response: write a number from 200 to 599",
        ),
        (
            "services: {web: {routes: [{grpc: a.B/C, status: UNAVAILABEL}]}}",
            "s.yaml:1:41: services.web.routes[0].status: `UNAVAILABEL` is no status of gRPC; did you mean `UNAVAILABLE`?",
        ),
        (
            "services: {web: {routes: [{path: '/{itn}'}]}}",
            "s.yaml:1:28: services.web.routes[0].path: `{itn}` is no shape of an id; did you mean `int`?",
        ),
        (
            "services: {a: {calls: [{to: b, times: 100}]}, b: {calls: [{to: c, times: 100}]}, c: {calls: [{to: d, times: 2}]}, d: {}}",
            "s.yaml:1:12: services.a: a request may cause 30100 others, 10000 are the most",
        ),
        (
            "services: {web: {routes: [{weight: 2}]}}",
            "s.yaml:1:27: services.web.routes[0]: a route needs a `path` (or `grpc: package.Service/Method`)",
        ),
    ] {
        assert_eq!(error(yaml), expected, "{yaml}");
    }
}
