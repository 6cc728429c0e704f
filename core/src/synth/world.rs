//! The services of the synthetic world, and the processes that run them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::facts::ProcessInfo;
use crate::ids::{Origin, ProcKey, Tgid, Tid};

use super::rng::Rng;

/// A program that serves requests, sends them, or both.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// `OTEL_SERVICE_NAME`
    pub(super) name: Arc<str>,
    /// Its process.
    pub(super) process: ProcessInfo,
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// The address that callers use: it is translated to `listen` on the way, as a Kubernetes Service does.
    pub(super) published: SocketAddr,
    /// One thread waits for the events of all connections; otherwise each connection has a thread, and calls block.
    pub(super) evented: bool,
    /// It runs where nothing is recorded.
    pub(super) foreign: bool,
}

impl Service {
    pub(super) fn key(&self) -> ProcKey {
        self.process.key
    }

    /// The thread that accepts, and, if `evented`, does everything else.
    pub(super) fn main_thread(&self) -> Tid {
        Tid(self.process.tgid.0)
    }
}

/// All services: the first sends requests to the second, and each of those may call the ones behind it.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) origin: Origin,
    pub(super) services: Vec<Service>,
}

/// The service that only sends requests.
pub(super) const CLIENT: usize = 0;
/// The service that it sends them to.
pub(super) const ENTRANCE: usize = 1;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::stream(seed, u64::MAX);
        let mut origin = [0; 16];
        origin[..8].copy_from_slice(&rng.bits().to_le_bytes());
        origin[8..].copy_from_slice(&rng.bits().to_le_bytes());
        let origin = Origin(origin);
        let names = [
            ("loadgen", false, false),
            ("frontend", false, false),
            ("orders", false, false),
            ("users", true, false),
            ("stock", false, false),
            ("payments.example.test", true, true),
        ];
        let services =
            (0u8..).zip(names).map(|(n, (name, evented, foreign))| service(origin, n, name, evented, foreign));
        Self { origin, services: services.collect() }
    }

    pub(super) fn service(&self, index: usize) -> &Service {
        &self.services[index]
    }
}

fn service(origin: Origin, number: u8, name: &str, evented: bool, foreign: bool) -> Service {
    let id = u64::from(number) + 1;
    let port = 8000 + u16::from(number);
    let process = ProcessInfo {
        key: ProcKey::new(origin, id),
        origin,
        id,
        tgid: Tgid(1000 + u32::from(number)),
        parent: Tgid(1),
        comm: name.chars().take(15).collect(),
        exe: format!("/usr/bin/{name}"),
        cmdline: vec![name.to_owned(), "--port".to_owned(), port.to_string()],
        netns: 4_026_531_840 + u32::from(number),
        pidns: 4_026_531_836,
        mntns: 4_026_531_841,
        env: vec![("OTEL_SERVICE_NAME".to_owned(), name.to_owned())],
        listening: vec![port],
        ..ProcessInfo::default()
    };
    Service {
        name: name.into(),
        process,
        listen: SocketAddr::from((Ipv4Addr::new(10, 0, 0, number + 1), port)),
        published: SocketAddr::from((Ipv4Addr::new(10, 96, 0, number + 1), 80)),
        evented,
        foreign,
    }
}
