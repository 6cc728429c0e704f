//! The services of a capture: a packet tells an address and a port, and no process.

use std::io;
use std::net::SocketAddr;

use redtape_core::{Body, ProcKey, ProcessInfo};
use rustc_hash::FxHashMap;

use crate::import::limits::SERVICES;
use crate::import::transcript::Transcript;

/// What stands for the processes: one for each address that connections were accepted at.
#[derive(Default)]
pub(super) struct Services {
    known: FxHashMap<SocketAddr, ProcKey>,
}

impl Services {
    /// The process that stands for what listens at `address`. It is called like that, and listens on that port, so that
    /// `open_ports` of the configuration's rules choose and name it.
    pub(super) fn of(&mut self, address: SocketAddr, time: u64, transcript: &mut Transcript) -> io::Result<ProcKey> {
        if let Some(key) = self.known.get(&address) {
            return Ok(*key);
        }
        if self.known.len() >= SERVICES {
            return Ok(ProcKey::default());
        }
        let (origin, id) = (transcript.origin(), self.known.len() as u64 + 1);
        let process = ProcessInfo {
            key: ProcKey::new(origin, id),
            origin,
            id,
            comm: address.to_string(),
            listening: vec![address.port()],
            ..ProcessInfo::default()
        };
        self.known.insert(address, process.key);
        transcript.push(time, Body::Process(&process))?;
        Ok(process.key)
    }
}
