//! Random scenarios: everything that can be asked for, in any combination.

use proptest::prelude::*;
use redtape_core::config::Period;
use redtape_core::synth::{
    Amount, Call, CapturePolicy, Clients, Distribution, Host, Lognormal, Nanos, Network, PerMille, Protocol, Recorder,
    Rng, Route, Scenario, Service, Skew, Threads, Weights,
};

use crate::generate::EVERYTHING;

/// Random scenarios. Requests, services and seed shrink; all else is drawn from `shape`.
pub(crate) fn worlds() -> impl Strategy<Value = Scenario> {
    (any::<u64>(), any::<u64>(), 1_u64..40, 1_usize..6).prop_map(|(seed, shape, requests, services)| {
        let scenario = world(&mut Rng::new(shape), seed, requests, services);
        assert_eq!(scenario.fault(), None, "{scenario:?}");
        scenario
    })
}

fn world(rng: &mut Rng, seed: u64, requests: u64, count: usize) -> Scenario {
    let names: Vec<String> = (0..count).map(|n| format!("service-{n}")).collect();
    let services = (0..count).map(|n| (names[n].clone(), service(rng, &names[n + 1..]))).collect();
    let hosts = if rng.chance(300) {
        let skew = rng.between(0, 20_000_000) as i64 - 10_000_000;
        [("left".to_owned(), Host { skew: Skew(skew) })].into()
    } else {
        [].into()
    };
    // What is captured in part is known for certain only where no head can stand behind a long body.
    let whole = rng.chance(500);
    let per_mille = if rng.chance(400) { PerMille { lures: 0, ..often(rng, whole) } } else { PerMille::NOTHING };
    let keep_alive = rng.between(1, 12);
    Scenario {
        seed,
        requests: Some(requests),
        clients: Clients {
            connections: rng.between(1, 8) as u32,
            interval: rng.chance(500).then(|| nanos(rng, 4_000_000)),
            keep_alive: Distribution::uniform(1, keep_alive),
            pause: nanos(rng, 3_000_000),
            streams: Distribution::uniform(1, rng.between(1, 12)),
            to: Weights::default(),
        },
        services,
        hosts,
        network: Network {
            latency: nanos(rng, 100_000),
            writes: Distribution::uniform(1, rng.between(1, 6)),
            ..Network::default()
        },
        recorder: Recorder {
            arrivals: rng.chance(700),
            loss: 0,
            capture: if whole { EVERYTHING } else { CapturePolicy::default() },
        },
        per_mille,
        ..Scenario::default()
    }
}

fn often(rng: &mut Rng, pipelined: bool) -> PerMille {
    let mut some = |most| if rng.chance(500) { rng.below(most) as u32 } else { 0 };
    PerMille {
        recorded_clients: some(1001),
        pipelined: if pipelined { some(500) } else { 0 },
        traceparent: some(1001),
        chunked: some(1001),
        interim: some(300),
        bare_line_feeds: some(300),
        tunnels: some(200),
        closing: some(400),
        unanswered: some(200),
        cut: some(200),
        abandoned: some(200),
        lures: 0,
    }
}

fn nanos(rng: &mut Rng, most: u64) -> Distribution<Nanos> {
    let number = rng.between(1, most);
    match rng.below(5) {
        0 => Distribution::constant(number),
        1 => Distribution::uniform(0, number),
        2 => Distribution::Exponential(Amount::new(number)),
        3 => Distribution::Lognormal(Lognormal {
            median: Amount::new(number),
            p99: Amount::new(number * rng.between(1, 30)),
        }),
        _ => Distribution::constant(0),
    }
}

fn service(rng: &mut Rng, behind: &[String]) -> Service {
    let protocols = match rng.below(4) {
        0 => Weights([(Protocol::Http1, 1), (Protocol::Http2, 1)].into()),
        1 => Weights::only(Protocol::Http2),
        _ => Weights::only(Protocol::Http1),
    };
    let http1 = protocols.0.contains_key(&Protocol::Http1);
    let mut routes: Vec<Route> = (0..rng.between(1, 4)).map(|_| route(rng, behind, !http1)).collect();
    if http1 {
        // Of gRPC routes alone none can be asked for in HTTP/1.
        routes.push(Route { path: Some("/".to_owned()), ..Route::default() });
        if protocols.0.contains_key(&Protocol::Http2) {
            routes.push(route(rng, behind, true));
        }
    }
    Service {
        routes,
        calls: calls(rng, behind),
        protocols,
        tls: rng.chance(300),
        foreign: rng.chance(100),
        threads: if rng.chance(500) { Threads::EventLoop } else { Threads::Blocking },
        host: if rng.chance(500) { "left".to_owned() } else { String::new() },
        accept_wait: nanos(rng, 5_000_000),
        restart_every: rng
            .chance(200)
            .then(|| Period(std::time::Duration::from_nanos(rng.between(1_000_000, 100_000_000)))),
    }
}

fn route(rng: &mut Rng, behind: &[String], http2: bool) -> Route {
    let grpc = http2 && rng.chance(500);
    let path = *rng.pick(&[
        "/",
        "/users/{int}",
        "/a/{uuid}/b",
        "/s/{slug}?q={word}",
        "/h/{hex:24}/{ulid}",
        "/u/{email}",
        "/d/{date}/{base64:8}",
    ]);
    let methods = Weights(
        rng.pick(&[
            vec!["GET"],
            vec!["POST", "PUT"],
            vec!["GET", "HEAD"],
            vec!["DELETE", "PATCH"],
            vec!["OPTIONS", "PURGE"],
        ])
        .iter()
        .map(|method| ((*method).to_owned(), 1))
        .collect(),
    );
    let codes: &[&str] = if grpc {
        &["OK", "OK", "NOT_FOUND", "13", "UNAVAILABLE"]
    } else {
        &["200", "201", "204", "302", "304", "404", "429", "500", "503"]
    };
    Route {
        path: (!grpc).then(|| path.to_owned()),
        grpc: grpc.then(|| format!("shop.v1.Store/Method{}", rng.below(3))),
        methods: if grpc { Weights::default() } else { methods },
        weight: rng.between(1, 3) as u32,
        status: Weights([((*rng.pick(codes)).to_owned(), 1), ((*rng.pick(codes)).to_owned(), 2)].into()),
        latency: nanos(rng, 3_000_000),
        queue: nanos(rng, 2_000_000),
        request_body: rng.chance(300).then(|| Distribution::uniform(0, rng.between(0, 1_500))),
        response_body: Distribution::uniform(0, rng.between(0, 3_000)),
        calls: rng.chance(300).then(|| calls(rng, behind)),
    }
}

fn calls(rng: &mut Rng, behind: &[String]) -> Vec<Call> {
    if behind.is_empty() {
        return Vec::new();
    }
    let to = |rng: &mut Rng| Call {
        to: Some(rng.pick(behind).clone()),
        chance: rng.between(200, 1000) as u32,
        ..Call::default()
    };
    let some = |rng: &mut Rng| match rng.below(3) {
        0 => Call { parallel: (0..rng.between(2, 3)).map(|_| to(rng)).collect(), ..Call::default() },
        _ => Call { times: rng.between(1, 2) as u32, ..to(rng) },
    };
    (0..rng.below(3)).map(|_| some(rng)).collect()
}
