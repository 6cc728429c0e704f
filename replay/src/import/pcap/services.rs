//! The services of a capture: a packet tells an address and a port, and no process.

use std::io;
use std::net::SocketAddr;

use redtape_core::{Body, ProcKey, ProcessInfo};

use crate::import::found::Found;
use crate::import::limits::SERVICES;
use crate::import::oldest::{Oldest, Replaced};
use crate::import::transcript::Transcript;

/// What stands for the processes: one for each address that connections were accepted at.
#[derive(Default)]
pub(super) struct Services {
    known: Oldest<SocketAddr, ProcKey, SERVICES>,
    told: u64,
}

impl Services {
    /// The process that stands for what listens at `address`. It is called like that, and listens on that port, so that
    /// `open_ports` of the configuration's rules choose and name it. One that was forgotten is told once more.
    pub(super) fn of(
        &mut self,
        address: SocketAddr,
        time: u64,
        transcript: &mut Transcript,
        found: &mut Found,
    ) -> io::Result<ProcKey> {
        if let Some(key) = self.known.get(address) {
            return Ok(*key);
        }
        self.told += 1;
        let (origin, id) = (transcript.origin(), self.told);
        let process = ProcessInfo {
            key: ProcKey::new(origin, id),
            origin,
            id,
            comm: address.to_string(),
            listening: vec![address.port()],
            ..ProcessInfo::default()
        };
        if let Replaced::Oldest(..) = self.known.insert(address, process.key) {
            found.forget("service", 1);
        }
        transcript.push(time, Body::Process(&process))?;
        Ok(process.key)
    }
}

#[cfg(test)]
mod tests {
    use redtape_core::tape::{Meta, WriterOptions};

    use super::*;
    use crate::import::transcript::TapeBytes;

    #[test]
    fn the_service_told_first_makes_room_and_comes_back() {
        let (mut services, mut found) = (Services::default(), Found::default());
        let mut transcript = Transcript::new(Meta::default(), TapeBytes::default(), WriterOptions::PIPE);
        let mut of = |port: usize, found: &mut Found| {
            let address = SocketAddr::from(([10, 0, 0, 1], u16::try_from(port).unwrap()));
            services.of(address, 1, &mut transcript, found).unwrap()
        };
        let keys: Vec<_> = (0..SERVICES).map(|port| of(port, &mut found)).collect();
        assert_eq!((of(0, &mut found), found.forgotten.len()), (keys[0], 0));
        let more = of(SERVICES, &mut found);
        assert!(!keys.contains(&more) && found.forgotten["service"] == 1);
        assert_ne!(of(0, &mut found), keys[0]);
        assert_eq!(of(2, &mut found), keys[2]);
        assert_eq!(found.warnings("packet")[1], "too many at once, forgotten: 2 services");
    }
}
