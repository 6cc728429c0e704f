//! The two ends of one connection: found by the pair of initial sequence numbers, which address translation does not
//! change, else by the mirrored addresses within one network namespace.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use crate::facts::{ConnInfo, Endpoint, Role};
use crate::ids::ConnKey;
use crate::time::MonoNanos;

/// How long a closed end is still found: its peer may be accepted, or its last events may be read, only afterwards.
const LINGER_NANOS: u64 = 10_000_000_000;

/// What identifies a connection, the same seen from both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Name {
    /// Initial sequence numbers of client and server.
    Sequence(u32, u32),
    /// Network namespace, addresses of client and server.
    Addresses(u32, SocketAddr, SocketAddr),
}

/// Who answers to a name on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    One(ConnKey),
    /// Several live connections: no longer a name.
    Several,
}

/// The answer to a search for the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partner {
    /// Not recorded, as far as is known.
    None,
    /// Exactly one.
    One(ConnKey),
    /// More than one.
    Ambiguous,
}

#[derive(Debug)]
struct End {
    server: bool,
    names: [Option<Name>; 2],
    closed: bool,
}

/// All connection ends seen lately.
#[derive(Debug)]
pub(super) struct Ends {
    ends: FxHashMap<ConnKey, End>,
    names: FxHashMap<(Name, bool), Holder>,
    /// In the order of their opening, so that eviction is the same each time.
    order: VecDeque<ConnKey>,
    lingering: VecDeque<(MonoNanos, ConnKey)>,
    limit: usize,
}

impl Ends {
    pub(super) fn new(limit: usize) -> Self {
        let (ends, names) = (FxHashMap::default(), FxHashMap::default());
        Self { ends, names, order: VecDeque::new(), lingering: VecDeque::new(), limit: limit.max(1) }
    }

    /// Takes in what is known of a connection. Telling more about one that is known replaces what was known.
    pub(super) fn open(&mut self, info: &ConnInfo) {
        let server = match info.role {
            Role::Client => false,
            Role::Server => true,
            Role::Unknown => return,
        };
        let names = [sequence(info, server), addresses(info, server)];
        match self.ends.get(&info.key) {
            Some(known) if known.names == names => return,
            Some(_) => self.forget(info.key),
            None => self.order.push_back(info.key),
        }
        for name in names.into_iter().flatten() {
            let holder = match self.names.get(&(name, server)) {
                Some(Holder::One(other)) if self.ends.get(other).is_none_or(|end| end.closed) => Holder::One(info.key),
                Some(_) => Holder::Several,
                None => Holder::One(info.key),
            };
            self.names.insert((name, server), holder);
        }
        self.ends.insert(info.key, End { server, names, closed: false });
        self.evict();
    }

    /// The connection is over; it is found for a while yet.
    pub(super) fn close(&mut self, conn: ConnKey, at: MonoNanos) {
        if let Some(end) = self.ends.get_mut(&conn)
            && !std::mem::replace(&mut end.closed, true)
        {
            self.lingering.push_back((at.plus(LINGER_NANOS), conn));
        }
    }

    /// Lets go of what closed long ago.
    pub(super) fn advance(&mut self, at: MonoNanos) {
        while let Some(&(due, conn)) = self.lingering.front()
            && due <= at
        {
            self.lingering.pop_front();
            self.forget(conn);
        }
    }

    /// The other end of `conn`.
    pub(super) fn partner(&self, conn: ConnKey) -> Partner {
        let Some(end) = self.ends.get(&conn) else { return Partner::None };
        for name in end.names.into_iter().flatten() {
            // A name that this side does not hold alone does not identify the connection.
            match (self.names.get(&(name, end.server)), self.names.get(&(name, !end.server))) {
                (_, None) => {}
                (Some(Holder::One(own)), Some(Holder::One(other))) if *own == conn => {
                    return if self.agree(conn, *other) { Partner::One(*other) } else { Partner::None };
                }
                _ => return Partner::Ambiguous,
            }
        }
        Partner::None
    }

    /// Two ends that both have sequence numbers are one connection only if these are the same.
    fn agree(&self, a: ConnKey, b: ConnKey) -> bool {
        let sequence = |conn| self.ends.get(&conn).and_then(|end| end.names[0]);
        match (sequence(a), sequence(b)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
    }

    fn forget(&mut self, conn: ConnKey) {
        let Some(end) = self.ends.remove(&conn) else { return };
        for name in end.names.into_iter().flatten() {
            if self.names.get(&(name, end.server)) == Some(&Holder::One(conn)) {
                self.names.remove(&(name, end.server));
            }
        }
    }

    fn evict(&mut self) {
        while self.ends.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
        // Keys of forgotten ends are left in `order`; they must not pile up.
        if self.order.len() > 2 * self.limit {
            let ends = &self.ends;
            self.order.retain(|conn| ends.contains_key(conn));
        }
    }
}

fn sequence(info: &ConnInfo, server: bool) -> Option<Name> {
    let (local, remote) = (info.isn_local?, info.isn_remote?);
    Some(if server { Name::Sequence(remote, local) } else { Name::Sequence(local, remote) })
}

fn addresses(info: &ConnInfo, server: bool) -> Option<Name> {
    let Endpoint { local, remote } = info.endpoint?;
    let [local, remote] = [local, remote].map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    Some(if server { Name::Addresses(info.netns, remote, local) } else { Name::Addresses(info.netns, local, remote) })
}
