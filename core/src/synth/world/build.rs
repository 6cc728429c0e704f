//! Makes a scenario ready, or says what of it is impossible.

use std::collections::BTreeSet;

use super::*;
use crate::config::hint;
use crate::synth::route::CallTo;
use crate::synth::scenario;
use crate::synth::template::Template;

/// What is impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::synth) struct Fault {
    /// The key, as in `services.web.routes[0].path`.
    pub(in crate::synth) path: String,
    /// Why, and what to write instead.
    pub(in crate::synth) message: String,
}

/// Services that a scenario may have.
const MOST_SERVICES: usize = 200;

pub(super) fn fault<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { path: path.into(), message: message.into() })
}

pub(super) fn world(scenario: &Scenario) -> Result<World, Fault> {
    if scenario.services.is_empty() {
        return fault("services", "there is no service; name one, as in `services: {web: {}}`");
    }
    if scenario.services.len() > MOST_SERVICES {
        return fault(
            "services",
            format!("there are {}, at most {MOST_SERVICES} are possible", scenario.services.len()),
        );
    }
    check::numbers(scenario)?;
    let hosts = hosts(scenario);
    let names: Vec<&str> = scenario.services.keys().map(String::as_str).collect();
    let mut services = Vec::new();
    for (number, (name, spec)) in (0..).zip(&scenario.services) {
        services.push(service(&hosts, number, name, spec)?);
    }
    for (at, spec) in scenario.services.values().enumerate() {
        for (route, written) in spec.routes.iter().enumerate() {
            let path = match &written.calls {
                Some(_) => format!("services.{}.routes[{route}].calls", names[at]),
                None => format!("services.{}.calls", names[at]),
            };
            let written = written.calls.as_ref().unwrap_or(&spec.calls);
            let steps = steps(&services, &names, written, &path)?;
            services[at].routes[route].calls = steps;
        }
    }
    services.push(client(&hosts, names.len()));
    let mut world = World { services, hosts, entrances: Vec::new() };
    let breadths = check::calls(&world)?;
    world.entrances = entrances(scenario, &world.services, &names)?;
    check::ports(scenario, &world, &breadths)?;
    Ok(world)
}

fn hosts(scenario: &Scenario) -> Vec<HostClock> {
    let nowhere = scenario::Skew::default();
    let named = scenario.services.values().map(|service| (service.host.as_str(), nowhere));
    let mut hosts: BTreeMap<&str, scenario::Skew> = named.collect();
    // Whose clock is not said to differ is as good as the same host: one recording can be of both.
    hosts.retain(|name, _| scenario.hosts.contains_key(*name));
    hosts.extend(scenario.hosts.iter().map(|(name, host)| (name.as_str(), host.skew)));
    hosts.insert("", nowhere);
    let behind = hosts.values().map(|skew| skew.0).min().unwrap_or(0);
    let clock = |(number, (name, skew)): (u64, (&str, scenario::Skew))| {
        let text = scenario.fingerprint;
        let mut rng =
            Rng::stream(scenario.seed ^ (text >> 64) as u64 ^ (text as u64).rotate_left(1), u64::MAX - number);
        let mut origin = [0; 16];
        origin[..8].copy_from_slice(&rng.bits().to_le_bytes());
        origin[8..].copy_from_slice(&rng.bits().to_le_bytes());
        // Version 8, variant 1 (RFC 9562, section 5.8): a UUID of one's own making.
        origin[6] = origin[6] & 0x0f | 0x80;
        origin[8] = origin[8] & 0x3f | 0x80;
        let ahead = skew.0.abs_diff(behind);
        let mono = START.plus(ahead);
        let wall = WallNanos::new(START_WALL.saturating_add_signed(skew.0));
        let anchor = ClockAnchor { mono, boot_nanos: mono.nanos(), wall, uncertainty_nanos: 100 };
        HostClock { name: name.to_owned(), origin: Origin(origin), ahead, anchor }
    };
    (0..).zip(hosts).map(clock).collect()
}

fn service(hosts: &[HostClock], number: u32, name: &str, spec: &scenario::Service) -> Result<Service, Fault> {
    let at = format!("services.{name}");
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return fault(at, "a service needs a name without spaces");
    }
    if spec.routes.is_empty() {
        return fault(format!("{at}.routes"), "there is no route; write one, or leave `routes` out for `GET /`");
    }
    let mut routes = Vec::new();
    for (n, route) in spec.routes.iter().enumerate() {
        routes.push(self::route(route, &format!("{at}.routes[{n}]"))?);
    }
    let only_grpc = routes.iter().all(|route| route.grpc);
    let default = Weights::only(if only_grpc { Protocol::Http2 } else { Protocol::Http1 });
    let protocols = if spec.protocols.0.is_empty() { &default } else { &spec.protocols };
    let protocols = weights(protocols, &format!("{at}.protocols"))?;
    for &(protocol, _) in &protocols {
        if !routes.iter().any(|route| route.fits(protocol) && route.weight > 0) {
            let name = if protocol == Protocol::Http1 { "HTTP/1" } else { "HTTP/2" };
            return fault(format!("{at}.routes"), format!("no route with a weight above 0 can be asked for in {name}"));
        }
    }
    let host = hosts
        .iter()
        .position(|host| host.name == spec.host)
        .or_else(|| hosts.iter().position(|host| host.name.is_empty()));
    let host = host.unwrap_or(0);
    let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let port = 8000 + u16::from(low);
    Ok(Service {
        number,
        name: name.into(),
        host,
        origin: hosts[host].origin,
        listen: SocketAddr::from((Ipv4Addr::new(10, 1, high, low + 1), port)),
        published: SocketAddr::from((Ipv4Addr::new(10, 96, high, low + 1), 80)),
        netns: 4_026_531_840 + number,
        evented: spec.threads == Threads::EventLoop,
        foreign: spec.foreign,
        tls: spec.tls,
        accept_wait: spec.accept_wait.clone(),
        protocols,
        routes,
        lifetime: spec.restart_every.map(crate::config::Period::nanos),
    })
}

/// Those who send requests from outside, as a service that has no routes.
fn client(hosts: &[HostClock], number: usize) -> Service {
    let host = hosts.iter().position(|host| host.name.is_empty()).unwrap_or(0);
    Service {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        name: "clients".into(),
        host,
        origin: hosts[host].origin,
        listen: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 7999)),
        published: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 7999)),
        netns: 4_026_531_839,
        evented: false,
        foreign: false,
        tls: false,
        accept_wait: Distribution::constant(0),
        protocols: Vec::new(),
        routes: Vec::new(),
        lifetime: None,
    }
}

fn weights<K: Clone>(weights: &Weights<K>, path: &str) -> Result<Vec<(K, u32)>, Fault> {
    let weights: Vec<(K, u32)> = weights.0.iter().map(|(key, weight)| (key.clone(), *weight)).collect();
    if weights.iter().all(|(_, weight)| *weight == 0) {
        return fault(path, "all weights are 0, so none can be drawn; give one a weight above 0");
    }
    Ok(weights.into_iter().filter(|(_, weight)| *weight > 0).collect())
}

fn route(spec: &scenario::Route, at: &str) -> Result<Route, Fault> {
    let (text, target, grpc) = match (&spec.path, &spec.grpc) {
        (Some(path), None) => (path, path.clone(), false),
        (None, Some(method)) => {
            if method.split('/').filter(|part| !part.is_empty()).count() != 2 || method.starts_with('/') {
                return fault(
                    format!("{at}.grpc"),
                    format!("`{method}` is no gRPC method: write `package.Service/Method`"),
                );
            }
            (method, format!("/{method}"), true)
        }
        (None, None) => return fault(at, "a route needs a `path` (or `grpc: package.Service/Method`)"),
        (Some(_), Some(_)) => return fault(format!("{at}.grpc"), "a route has a `path` or is `grpc`, not both"),
    };
    let key = if grpc { "grpc" } else { "path" };
    let target: Template = target.parse().or_else(|error: String| fault(format!("{at}.{key}"), error))?;
    if !(grpc || text.starts_with('/') || text.starts_with("http://") || text == "*") {
        return fault(format!("{at}.path"), format!("`{text}`: a path begins with `/`"));
    }
    let methods = if spec.methods.0.is_empty() { Weights::only("GET".to_owned()) } else { spec.methods.clone() };
    let mut drawn = Vec::new();
    for (method, weight) in weights(&methods, &format!("{at}.methods"))? {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if method.is_empty() || !method.chars().all(token) {
            return fault(format!("{at}.methods"), format!("`{method}` is no method"));
        }
        if method == "CONNECT" {
            return fault(format!("{at}.methods"), "CONNECT has no path; `per_mille.tunnels` makes such requests");
        }
        drawn.push((Arc::from(method), weight));
    }
    if grpc && !spec.methods.0.is_empty() {
        return fault(format!("{at}.methods"), "gRPC always sends POST; leave `methods` out");
    }
    let methods = if grpc { vec![(Arc::from("POST"), 1)] } else { drawn };
    Ok(Route {
        text: text.as_str().into(),
        target,
        grpc,
        methods,
        weight: spec.weight,
        status: statuses(spec, grpc, at)?,
        latency: spec.latency.clone(),
        queue: spec.queue.clone(),
        request_body: spec.request_body.clone(),
        response_body: spec.response_body.clone(),
        calls: Vec::new(),
    })
}

/// The names of gRPC's status codes, by number.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn statuses(spec: &scenario::Route, grpc: bool, at: &str) -> Result<Vec<(u16, u32)>, Fault> {
    let at = format!("{at}.status");
    if spec.status.0.is_empty() {
        return Ok(vec![(if grpc { 0 } else { 200 }, 1)]);
    }
    let mut statuses = Vec::new();
    for (text, weight) in weights(&spec.status, &at)? {
        let number = text.parse().ok();
        let code = match (grpc, number) {
            (false, Some(code @ 200..=599)) => code,
            (false, _) => {
                return fault(at, format!("`{text}` is no status of a final response: write a number from 200 to 599"));
            }
            (true, Some(code @ 0..=16)) => code,
            (true, _) => match (0..).zip(GRPC).find(|(_, name)| *name == text) {
                Some((code, _)) => code,
                None => return fault(at, format!("`{text}` is no status of gRPC; {}", hint(&text, &GRPC))),
            },
        };
        statuses.push((code, weight));
    }
    Ok(statuses)
}

fn steps(services: &[Service], names: &[&str], calls: &[scenario::Call], path: &str) -> Result<Vec<Step>, Fault> {
    let mut steps = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let at = format!("{path}[{n}]");
        if call.times == 0 || call.times > 100 {
            return fault(format!("{at}.times"), format!("a call is made 1 to 100 times, not {}", call.times));
        }
        let step = |calls, chance| Step { calls, chance, times: call.times };
        if call.parallel.is_empty() {
            steps.push(step(vec![call_to(services, names, call, &at)?], call.chance));
            continue;
        }
        if call.to.is_some() || call.route.is_some() {
            return fault(at, "a call names a service with `to`, or has several in `parallel`, not both");
        }
        if call.parallel.len() > 60 {
            return fault(
                format!("{at}.parallel"),
                format!("{} calls at one time; at most 60 are possible", call.parallel.len()),
            );
        }
        let mut together = Vec::new();
        for (m, call) in call.parallel.iter().enumerate() {
            let at = format!("{at}.parallel[{m}]");
            if !call.parallel.is_empty() || call.times != 1 {
                return fault(at, "calls in `parallel` are single calls: no `parallel` and no `times` in them");
            }
            together.push(CallTo { chance: call.chance, ..call_to(services, names, call, &at)? });
        }
        steps.push(step(together, call.chance));
    }
    Ok(steps)
}

fn call_to(services: &[Service], names: &[&str], call: &scenario::Call, at: &str) -> Result<CallTo, Fault> {
    let Some(to) = &call.to else {
        return fault(at, "a call needs the name of a service: `to: NAME` (or `parallel`)");
    };
    let Some(service) = names.iter().position(|name| name == to) else {
        return fault(format!("{at}.to"), format!("there is no service `{to}`; {}", hint(to, names)));
    };
    let Some(route) = &call.route else { return Ok(CallTo { service, route: None, chance: 1000 }) };
    let routes = &services[service].routes;
    let Some(found) = routes.iter().position(|other| *other.text == **route) else {
        let texts: Vec<&str> = routes.iter().map(|route| &*route.text).collect();
        return fault(format!("{at}.route"), format!("`{to}` has no route `{route}`; {}", hint(route, &texts)));
    };
    // What is asked for by name must be possible on any connection.
    if let Some((protocol, _)) = services[service].protocols.iter().find(|(protocol, _)| !routes[found].fits(*protocol))
    {
        let name = if *protocol == Protocol::Http1 { "HTTP/1" } else { "HTTP/2" };
        return fault(format!("{at}.route"), format!("`{to}` is called in {name}, too, which cannot carry `{route}`"));
    }
    Ok(CallTo { service, route: Some(found), chance: 1000 })
}

fn entrances(scenario: &Scenario, services: &[Service], names: &[&str]) -> Result<Vec<(usize, u32)>, Fault> {
    if !scenario.clients.to.0.is_empty() {
        let mut entrances = Vec::new();
        for (name, weight) in weights(&scenario.clients.to, "clients.to")? {
            match names.iter().position(|other| *other == name) {
                Some(service) => entrances.push((service, weight)),
                None => return fault("clients.to", format!("there is no service `{name}`; {}", hint(&name, names))),
            }
        }
        return Ok(entrances);
    }
    let called = |route: &Route| {
        route.calls.iter().flat_map(|step| step.calls.iter().map(|call| call.service)).collect::<Vec<_>>()
    };
    let called: BTreeSet<usize> = services.iter().flat_map(|service| service.routes.iter().flat_map(called)).collect();
    let entrances: Vec<_> = (0..names.len()).filter(|at| !called.contains(at)).map(|at| (at, 1)).collect();
    if entrances.is_empty() {
        return fault(
            "services",
            "each service is called by another, so nothing begins: name the first in `clients.to`",
        );
    }
    Ok(entrances)
}
