//! What a scenario asks for that nobody can do.

use super::build::{Fault, fault};
use super::*;
use crate::synth::distribution::{Count, Unit};
use crate::synth::scenario;

/// Ports that a host has for the connections that it opens: Linux's `ip_local_port_range`.
pub(in crate::synth) const PORTS: u32 = 28_232;
/// Bytes of bodies that may be under way on one connection, at most.
const MOST_MEMORY: u64 = 1 << 30;
/// Calls that one request may cause, at most.
const MOST_CALLS: u64 = 10_000;

/// Checks all that can be told from numbers alone.
pub(super) fn numbers(scenario: &Scenario) -> Result<(), Fault> {
    if scenario.requests == Some(0) {
        return fault("requests", "0 requests make no tape; ask for one at least");
    }
    if scenario.duration.is_some_and(|duration| duration.nanos() == 0) {
        return fault("duration", "nothing happens in no time; ask for a longer one");
    }
    if scenario.duration.is_some_and(|duration| duration.nanos() > 366 * 86_400_000_000_000) {
        return fault("duration", "a year is the longest");
    }
    if let Some(name) = scenario.per_mille.fault() {
        return fault(format!("per_mille.{name}"), "1000 parts of a thousand are the most: that is always");
    }
    let clients = &scenario.clients;
    if clients.connections == 0 {
        return fault("clients.connections", "without a connection there are no requests; ask for one at least");
    }
    distribution(clients.interval.as_ref(), "clients.interval")?;
    distribution(Some(&clients.pause), "clients.pause")?;
    distribution(Some(&scenario.network.latency), "network.latency")?;
    counts(&clients.keep_alive, "clients.keep_alive")?;
    counts(&clients.streams, "clients.streams")?;
    counts(&scenario.network.writes, "network.writes")?;
    distribution(Some(&scenario.network.read_buffer), "network.read_buffer")?;
    let streams = clients.streams.most();
    for (name, service) in &scenario.services {
        let body = |route: &scenario::Route| {
            route.request_body.as_ref().map_or(0, Distribution::most) + route.response_body.most()
        };
        let body = service.routes.iter().map(body).max().unwrap_or(0);
        if streams.saturating_mul(body) > MOST_MEMORY {
            let message =
                format!("{streams} streams at one time, with {body} bytes of bodies each, are more than 1 GiB");
            return fault("clients.streams", message);
        }
        self::service(service, &format!("services.{name}"))?;
    }
    Ok(())
}

fn service(service: &scenario::Service, at: &str) -> Result<(), Fault> {
    distribution(Some(&service.accept_wait), &format!("{at}.accept_wait"))?;
    if service.restart_every.is_some_and(|every| every.nanos() < 1_000_000) {
        return fault(format!("{at}.restart_every"), "a process lives for a millisecond at least");
    }
    for (n, route) in service.routes.iter().enumerate() {
        let at = format!("{at}.routes[{n}]");
        distribution(Some(&route.latency), &format!("{at}.latency"))?;
        distribution(Some(&route.queue), &format!("{at}.queue"))?;
        distribution(route.request_body.as_ref(), &format!("{at}.request_body"))?;
        distribution(Some(&route.response_body), &format!("{at}.response_body"))?;
    }
    Ok(())
}

fn distribution<U: Unit>(distribution: Option<&Distribution<U>>, at: &str) -> Result<(), Fault> {
    distribution.and_then(Distribution::fault).map_or(Ok(()), |message| fault(at, message))
}

fn counts(counts: &Distribution<Count>, at: &str) -> Result<(), Fault> {
    distribution(Some(counts), at)?;
    if counts.most() == 0 {
        return fault(at, "0 is too few; 1 is the least");
    }
    Ok(())
}

/// Follows all calls. Returns how many connections a request to each service has open at one time, its own among them, at most.
pub(super) fn calls(world: &World) -> Result<BTreeMap<usize, u64>, Fault> {
    let mut walk = Walk { world, on_the_way: Vec::new(), known: BTreeMap::new() };
    for service in 0..world.client() {
        walk.visit(service)?;
    }
    Ok(walk.known.into_iter().map(|(service, cost)| (service, cost.connections)).collect())
}

/// Checks that there are ports for all connections that may be open at one time.
pub(super) fn ports(scenario: &Scenario, world: &World, breadths: &BTreeMap<usize, u64>) -> Result<(), Fault> {
    let breadths = world.entrances.iter().filter_map(|(service, _)| breadths.get(service));
    let breadth = breadths.copied().max().unwrap_or(1);
    let connections = scenario.clients.connections;
    if u64::from(connections).saturating_mul(breadth) <= u64::from(PORTS) {
        return Ok(());
    }
    let each =
        if breadth > 1 { format!(", each of which may open {} more for calls", breadth - 1) } else { String::new() };
    let message = format!("{connections} connections at one time{each}, are more than the {PORTS} ports of a host");
    fault("clients.connections", message)
}

/// What one request to a service costs at most.
#[derive(Clone, Copy)]
struct Cost {
    /// Connections open at one time, its own among them.
    connections: u64,
    /// Requests, itself among them.
    requests: u64,
}

struct Walk<'a> {
    world: &'a World,
    on_the_way: Vec<usize>,
    known: BTreeMap<usize, Cost>,
}

impl Walk<'_> {
    fn visit(&mut self, service: usize) -> Result<Cost, Fault> {
        if let Some(cost) = self.known.get(&service) {
            return Ok(*cost);
        }
        let name = |at: usize| &self.world.service(at).name;
        if let Some(from) = self.on_the_way.iter().position(|&other| other == service) {
            let circle = self.on_the_way[from..].iter().chain([&service]);
            let circle = circle.map(|&at| name(at).to_string()).collect::<Vec<_>>().join(" → ");
            return fault(format!("services.{}", name(service)), format!("calls in a circle never end: {circle}"));
        }
        self.on_the_way.push(service);
        let mut cost = Cost { connections: 1, requests: 1 };
        let mut channels: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for route in &self.world.service(service).routes {
            let mut requests = 1_u64;
            for step in &route.calls {
                for (n, call) in step.calls.iter().enumerate() {
                    let called = self.visit(call.service)?;
                    requests = requests.saturating_add(called.requests.saturating_mul(u64::from(step.times)));
                    channels.insert((call.service, if step.calls.len() > 1 { n + 1 } else { 0 }), called.connections);
                }
            }
            cost.requests = cost.requests.max(requests);
        }
        cost.connections = channels.values().fold(1_u64, |sum, connections| sum.saturating_add(*connections));
        self.on_the_way.pop();
        let at = format!("services.{}", self.world.service(service).name);
        if cost.requests > MOST_CALLS {
            return fault(at, format!("a request may cause {} others, {MOST_CALLS} are the most", cost.requests - 1));
        }
        self.known.insert(service, cost);
        Ok(cost)
    }
}
