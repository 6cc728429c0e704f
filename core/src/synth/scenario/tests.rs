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
    ] {
        assert_eq!(error(yaml), expected, "{yaml}");
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_their_place() {
    for (yaml, expected) in [
        (
            "services: {web: {routes: [{path: /, latency: {uniform: [5ms, 1ms]}}]}}",
            "s.yaml:1:37: services.web.routes[0].latency: the range ends before it begins; write the smaller number first",
        ),
        (
            "clients: {keep_alive: 0}\nservices: {web: {}}",
            "s.yaml:1:11: clients.keep_alive: 0 is too few; 1 is the least",
        ),
        (
            "clients: {streams: 10000}\nservices: {web: {routes: [{path: /, response_body: 64MiB}]}}",
            "s.yaml:1:11: clients.streams: 10000 streams at one time, with 67108864 bytes of bodies each, are more than 1 GiB",
        ),
        ("services: {a: {calls: [{to: a}]}}", "s.yaml:1:12: services.a: calls in a circle never end: a → a"),
        (
            "services:\n  web:\n    routes: []",
            "s.yaml:3:5: services.web.routes: there is no route; write one, or leave `routes` out for `GET /`",
        ),
        (
            "services: {web: {protocols: http1, routes: [{grpc: a.B/C}]}}",
            "s.yaml:1:36: services.web.routes: no route with a weight above 0 can be asked for in HTTP/1",
        ),
        (
            "services: {a: {calls: [{to: b, times: 0}]}, b: {}}",
            "s.yaml:1:32: services.a.calls[0].times: a call is made 1 to 100 times, not 0",
        ),
        ("duration: 9000h\nservices: {web: {}}", "s.yaml:1:1: duration: a year is the longest"),
        (
            "services: {web: {routes: [{weight: 2}]}}",
            "s.yaml:1:27: services.web.routes[0]: a route needs a `path` (or `grpc: package.Service/Method`)",
        ),
    ] {
        assert_eq!(error(yaml), expected, "{yaml}");
    }
}

/// What a name, an amount or a form is taken for that is none.
#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let latency = |yaml: &str| format!("services: {{web: {{routes: [{{path: /, latency: {yaml}}}]}}}}");
    for (yaml, expected) in [
        ("- a\n- b\n".to_owned(), "s.yaml:1:1: expected keys and values, as in `key: value`"),
        ("services: [a, b]".to_owned(), "s.yaml:1:11: services: expected keys and values, as in `key: value`"),
        (
            "services:\n\tweb: {}".to_owned(),
            "s.yaml:2:1: a tab is used as indentation, which YAML does not allow; use spaces",
        ),
        ("services:\n  web: {}\n  web: {}".to_owned(), "s.yaml:3:3: this key was set before; keep one of the two"),
        (
            "services: {web: {}}\n---\na: 1".to_owned(),
            "s.yaml:3:1: a second document begins here; a configuration is one document",
        ),
        ("services: {web: *nothing}".to_owned(), "nothing before this has the name behind `*`; give it one with `&`"),
        (
            "services: {~: {}}".to_owned(),
            "s.yaml:1:12: null is not possible here; if it is to be a word, write it in quotes",
        ),
        (
            "seed: 99999999999999999999".to_owned(),
            "s.yaml:1:7: seed: expected a whole number from 0 to 18446744073709551615",
        ),
        ("requests: -5".to_owned(), "s.yaml:1:11: requests: expected a whole number from 0 to 18446744073709551615"),
        ("duration: 99999999999999999999h".to_owned(), "s.yaml:1:11: duration: `99999999999999999999h` is no duration"),
        (
            "recorder: {loss: 100%}".to_owned(),
            "s.yaml:1:12: recorder.loss: expected parts of a thousand, a whole number from 0 to 1000",
        ),
        (
            "recorder: {loss: -1}".to_owned(),
            "s.yaml:1:18: recorder.loss: -1 is negative; 0 parts of a thousand are never",
        ),
        ("services: {web: {protocols: http3}}".to_owned(), "`http3` is no protocol; did you mean `http1`?"),
        (latency(".nan"), "s.yaml:1:46: this is no finite number; write one in digits"),
        (
            latency("{}"),
            "s.yaml:1:46: services.web.routes[0].latency: a form lacks: one of `uniform`, `exponential`, `lognormal`, `mixed`",
        ),
        (latency("{uniform: [5ms]}"), "expected an array of length 2, found 1"),
        (latency("{uniform: [5ms, 6ms, 7ms]}"), "expected a tuple of size 2, found 3"),
        (
            latency("{exponential: 1ms, uniform: [1ms, 2ms]}"),
            "one form is all that a distribution has; `mixed` makes one of several",
        ),
    ] {
        let error = error(&yaml);
        assert!(error.starts_with("s.yaml:1:") || error.starts_with(expected), "{error}");
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}
