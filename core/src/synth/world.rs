//! A scenario made ready: services with their processes and addresses, routes with their calls, hosts with their clocks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::facts::ProcessInfo;
use crate::ids::{Origin, ProcKey, Tgid, Tid};
use crate::time::{ClockAnchor, MonoNanos, WallNanos};

use super::distribution::{Distribution, Nanos};
use super::rng::Rng;
use super::route::{Route, Step};
use super::scenario::{Protocol, Scenario, Threads, Weights};

mod build;
mod check;

pub(super) use build::Fault;
pub(super) use check::PORTS;

/// When the first connection begins.
pub(super) const START: MonoNanos = MonoNanos::new(1_000_000_000_000);
/// What the wall clocks say then, those that are not ahead or behind: 14 November 2023, 22:13:20 UTC.
const START_WALL: u64 = 1_700_000_000_000_000_000;

/// All that a scenario says, by number.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// The services by name, and behind them those who send requests from outside.
    services: Vec<Service>,
    pub(super) hosts: Vec<HostClock>,
    /// Where requests from outside go, by weight.
    entrances: Vec<(usize, u32)>,
}

/// A host, and what the tape's times are on it.
#[derive(Clone, Debug)]
pub(super) struct HostClock {
    name: String,
    pub(super) origin: Origin,
    /// How much later things happen by this clock than by the one that is furthest behind, in nanoseconds.
    pub(super) ahead: u64,
    anchor: ClockAnchor,
}

/// A program that serves requests, sends them, or both.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// Its number among the services.
    number: u32,
    /// `OTEL_SERVICE_NAME`
    pub(super) name: Arc<str>,
    pub(super) host: usize,
    pub(super) origin: Origin,
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// The address that callers use: it is translated to `listen` on the way, as a Kubernetes Service does.
    pub(super) published: SocketAddr,
    pub(super) netns: u32,
    /// One thread waits for the events of all connections; otherwise each connection has a thread, and calls block.
    pub(super) evented: bool,
    /// It runs where nothing is recorded.
    pub(super) foreign: bool,
    pub(super) tls: bool,
    pub(super) accept_wait: Distribution<Nanos>,
    protocols: Vec<(Protocol, u32)>,
    pub(super) routes: Vec<Route>,
    /// Nanoseconds that a process lives.
    pub(super) lifetime: Option<u64>,
}

impl HostClock {
    /// The clocks as they were read at the start.
    pub(super) const fn anchor(&self) -> ClockAnchor {
        self.anchor
    }

    /// What the host's wall clock says at a moment of its tape.
    pub(super) const fn wall(&self, time: MonoNanos) -> WallNanos {
        WallNanos::new(self.anchor.wall.unix_nanos().saturating_add(time.since(self.anchor.mono)))
    }
}

impl World {
    /// Makes a scenario ready.
    pub(super) fn new(scenario: &Scenario) -> Result<Self, Fault> {
        build::world(scenario)
    }

    pub(super) fn service(&self, index: usize) -> &Service {
        &self.services[index]
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter()
    }

    /// The number of those who send requests from outside.
    pub(super) fn client(&self) -> usize {
        self.services.len() - 1
    }

    /// Chooses a service to send requests to from outside.
    pub(super) fn entrance(&self, rng: &mut Rng) -> usize {
        draw(&self.entrances, rng)
    }

    /// Whether hosts have clocks that differ.
    pub(super) fn is_skewed(&self) -> bool {
        self.hosts.iter().any(|host| host.ahead > 0)
    }

    pub(super) fn origin(&self) -> Origin {
        self.hosts[0].origin
    }
}

/// One of several things, by weight. There must be one.
fn draw<T: Copy>(choices: &[(T, u32)], rng: &mut Rng) -> T {
    choices[rng.weighted(choices.iter().map(|(_, weight)| *weight))].0
}

impl Service {
    /// How many processes have been replaced at a moment.
    pub(super) fn generation(&self, time: MonoNanos) -> u32 {
        let passed = self.lifetime.map_or(0, |lifetime| time.since(START) / lifetime);
        u32::try_from(passed).unwrap_or(u32::MAX)
    }

    /// When the process begins that so many have preceded.
    pub(super) fn begins(&self, generation: u32) -> MonoNanos {
        START.plus(self.lifetime.unwrap_or(0).saturating_mul(u64::from(generation)))
    }

    pub(super) fn key(&self, generation: u32) -> ProcKey {
        ProcKey::new(self.origin, self.id(generation))
    }

    fn id(&self, generation: u32) -> u64 {
        u64::from(self.number) + 1 + (u64::from(generation) << 16)
    }

    fn tgid(&self, generation: u32) -> Tgid {
        Tgid(1000 + self.number + generation.wrapping_mul(0x400) % 4_000_000)
    }

    /// The thread that accepts, and, if `evented`, does everything else.
    pub(super) fn main_thread(&self, generation: u32) -> Tid {
        Tid(self.tgid(generation).0)
    }

    pub(super) fn protocol(&self, rng: &mut Rng) -> Protocol {
        if let [(protocol, _)] = self.protocols[..] { protocol } else { draw(&self.protocols, rng) }
    }

    /// Chooses a route of those that this protocol can carry.
    pub(super) fn route(&self, protocol: Protocol, rng: &mut Rng) -> usize {
        rng.weighted(self.routes.iter().map(|route| if route.fits(protocol) { route.weight } else { 0 }))
    }

    /// The process that so many have preceded.
    pub(super) fn process(&self, generation: u32) -> ProcessInfo {
        let port = self.listen.port();
        ProcessInfo {
            key: self.key(generation),
            origin: self.origin,
            id: self.id(generation),
            tgid: self.tgid(generation),
            parent: Tgid(1),
            started: self.begins(generation),
            comm: self.name.chars().take(15).collect(),
            exe: format!("/usr/bin/{}", self.name.replace('/', "-")),
            cmdline: vec![self.name.to_string(), "--port".to_owned(), port.to_string()],
            netns: self.netns,
            pidns: 4_026_531_836,
            mntns: 4_026_531_841,
            env: vec![("OTEL_SERVICE_NAME".to_owned(), self.name.to_string())],
            listening: vec![port],
            ..ProcessInfo::default()
        }
    }
}
