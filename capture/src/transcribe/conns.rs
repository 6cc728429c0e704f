//! What is known of connections, and what of it is on the tape already.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use redtape_abi::{Conn, conn_flags, limits, role};
use redtape_core::{ConnInfo, ConnKey, Endpoint, EntryExt, MonoNanos, Origin, ProcKey, Role, TlsLibrary};
use rustc_hash::FxHashMap;

/// Connections remembered: twice what the programs follow, as ends may be lost.
const CONNS_MAX: usize = 2 * limits::SOCKETS_MAX as usize;
const AF_INET6: u16 = 10;

/// The connections that were seen and have not ended.
#[derive(Debug)]
pub(crate) struct Conns {
    origin: Origin,
    known: FxHashMap<ConnKey, Known>,
    /// Keys in the order in which they were looked at for being forgotten, with those of connections that have ended.
    order: VecDeque<ConnKey>,
    /// Ids of connections that were forgotten since this was asked last.
    forgotten: Vec<u64>,
    max: usize,
}

#[derive(Debug)]
struct Known {
    info: ConnInfo,
    /// The tape has `info` as it is.
    written: bool,
    /// Its end is on its way to the tape.
    ended: bool,
    /// Something has happened on it since it was last looked at for being forgotten.
    active: bool,
}

impl Conns {
    pub(crate) fn new(origin: Origin) -> Self {
        Self { origin, known: FxHashMap::default(), order: VecDeque::new(), forgotten: Vec::new(), max: CONNS_MAX }
    }

    /// The key of a socket, which from now on is known, if only by its key: the tape names no connection without an
    /// entry for it.
    pub(crate) fn seen(&mut self, cookie: u64) -> ConnKey {
        let key = ConnKey::new(self.origin, cookie);
        self.entry(key, cookie);
        key
    }

    /// Takes in facts from elsewhere: a socket dump. The programs know better where they say anything.
    pub(crate) fn describe(&mut self, info: ConnInfo) {
        let known = self.entry(info.key, info.id);
        if known.info.endpoint.is_none() {
            *known = Known { info, written: false, ended: false, active: true };
        } else if known.info.role == Role::Unknown && info.role != Role::Unknown {
            known.info.role = info.role;
            known.written = false;
        }
    }

    /// Takes in the programs' facts.
    pub(crate) fn record(&mut self, conn: &Conn, process: Option<ProcKey>) {
        let (origin, key) = (self.origin, ConnKey::new(self.origin, conn.cookie));
        let known = self.entry(key, conn.cookie);
        let isn = |number| (conn.flags & conn_flags::ISN_KNOWN != 0).then_some(number);
        let established = (conn.established != 0).then_some(MonoNanos::new(conn.established));
        let told = match conn.role {
            role::CLIENT => Role::Client,
            role::SERVER => Role::Server,
            _ => Role::Unknown,
        };
        known.info = ConnInfo {
            key,
            origin,
            id: conn.cookie,
            process: process.unwrap_or(known.info.process),
            role: if told == Role::Unknown { known.info.role } else { told },
            endpoint: Some(endpoint(conn)),
            netns: conn.netns,
            isn_local: isn(conn.isn_local),
            isn_remote: isn(conn.isn_remote),
            established: established.or(known.info.established),
            preexisting: conn.flags & conn_flags::PREEXISTING != 0,
            first_in: conn.first_in,
            first_out: conn.first_out,
            tls: None,
            ext: EntryExt::default(),
        };
        known.written = false;
    }

    /// A process used the socket: it is the connection's owner, if no other was before.
    pub(crate) fn used(&mut self, cookie: u64, process: ProcKey) -> ConnKey {
        let key = ConnKey::new(self.origin, cookie);
        let known = self.entry(key, cookie);
        if known.info.process == ProcKey::default() {
            known.info.process = process;
            known.written = false;
        }
        key
    }

    /// The plaintext of a TLS object, which from now on is a connection.
    pub(crate) fn plaintext(&mut self, object: u64, library: TlsLibrary, joined: bool, process: ProcKey) -> ConnKey {
        let key = ConnKey::new(self.origin, object);
        let known = self.entry(key, object);
        if known.info.tls.is_none() {
            known.info.tls = Some(library);
            known.info.preexisting = joined;
            known.info.process = process;
            known.written = false;
        }
        key
    }

    /// What carries a TLS object is known, or is not known any more.
    pub(crate) fn tie(&mut self, object: u64, carrier: Option<u64>) {
        let facts = match carrier {
            None => None,
            Some(carrier) => match self.known.get(&ConnKey::new(self.origin, carrier)) {
                Some(known) => Some(known.info.clone()),
                None => return,
            },
        };
        let (origin, key) = (self.origin, ConnKey::new(self.origin, object));
        let facts = facts.unwrap_or_else(|| ConnInfo::unknown(origin, object));
        let Some(known) = self.known.get_mut(&key) else { return };
        let ConnInfo { process, tls, preexisting, .. } = known.info;
        let info = ConnInfo { key, id: object, process, tls, preexisting, first_in: 0, first_out: 0, ..facts };
        known.written &= known.info == info;
        known.info = info;
    }

    /// A TLS object is no more, or its carrier is: the key of its connection, if that is known and was open.
    pub(crate) fn end_plaintext(&mut self, object: u64) -> Option<ConnKey> {
        let key = ConnKey::new(self.origin, object);
        let known = self.known.get_mut(&key)?;
        (!std::mem::replace(&mut known.ended, true)).then_some(key)
    }

    /// The connection's facts, if the tape does not have them as they are.
    pub(crate) fn take_unwritten(&mut self, key: ConnKey) -> Option<ConnInfo> {
        let known = self.known.get_mut(&key)?;
        let news = (!known.written).then(|| known.info.clone());
        known.written = true;
        news
    }

    /// The connection is over.
    pub(crate) fn forget(&mut self, key: ConnKey) {
        self.forgotten.extend(self.known.remove(&key).map(|known| known.info.id));
    }

    /// A connection that was forgotten, each once: nobody else need remember it.
    pub(crate) fn pop_forgotten(&mut self) -> Option<u64> {
        self.forgotten.pop()
    }

    fn entry(&mut self, key: ConnKey, id: u64) -> &mut Known {
        let first_sight = !self.known.contains_key(&key);
        if first_sight {
            self.make_room();
            self.order.push_back(key);
        }
        let origin = self.origin;
        // Of one whose introduction was lost no more is known.
        let blank = || Known { info: ConnInfo::unknown(origin, id), written: false, ended: false, active: false };
        let known = self.known.entry(key).or_insert_with(blank);
        // At first sight its place is at the end as it is.
        known.active = !first_sight;
        known
    }

    /// Where there are too many connections, forgets one that has been idle for longest, to within one round over all of
    /// them: whoever was active since the last look gets another round. As the programs follow half as many, it is one
    /// whose end was lost.
    fn make_room(&mut self) {
        while self.known.len() >= self.max {
            let Some(oldest) = self.order.pop_front() else { break };
            match self.known.get_mut(&oldest) {
                Some(known) if known.active => {
                    known.active = false;
                    self.order.push_back(oldest);
                }
                Some(_) => self.forget(oldest),
                None => {}
            }
        }
        if self.order.len() > 2 * self.known.len() + 1024 {
            let known = &self.known;
            self.order.retain(|key| known.contains_key(key));
        }
    }
}

fn endpoint(conn: &Conn) -> Endpoint {
    let address = |bytes: [u8; 16]| {
        let [a, b, c, d, ..] = bytes;
        if conn.family == AF_INET6 { IpAddr::V6(Ipv6Addr::from(bytes)) } else { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) }
    };
    Endpoint {
        local: SocketAddr::new(address(conn.local), conn.local_port),
        remote: SocketAddr::new(address(conn.remote), conn.remote_port),
    }
}

#[cfg(test)]
mod tests {
    use redtape_core::{ConnKey, Origin};

    use super::Conns;

    #[test]
    fn the_idle_are_forgotten_and_the_active_never() {
        let origin = Origin([1; 16]);
        let mut conns = Conns { max: 8, ..Conns::new(origin) };
        for cookie in 0..1000 {
            conns.seen(cookie);
            // The first one is in use all the time, and its facts are on the tape.
            let first = conns.seen(0);
            let written = conns.take_unwritten(first).is_some();
            assert_eq!(written, cookie == 0, "{cookie}");
            assert!(conns.known.len() <= 8);
            let forgotten = std::iter::from_fn(|| conns.pop_forgotten()).count();
            assert_eq!(forgotten, usize::from(cookie > 7), "{cookie}");
        }
        assert!(conns.known.contains_key(&ConnKey::new(origin, 999)));
        assert!(conns.order.len() < 2000);
    }
}
