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
    /// Initial sequence numbers of client and server, and whether it is the plaintext of TLS, which has the numbers of its
    /// carrier.
    Sequence(u32, u32, bool),
    /// Network namespace, addresses of client and server, and whether it is the plaintext of TLS.
    Addresses(u32, SocketAddr, SocketAddr, bool),
}

/// Who answers to a name on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    /// The end that was opened last.
    latest: ConnKey,
    /// Several were open at once: no longer a name, until all of them are forgotten.
    several: bool,
    /// How many ends have the name, open or closed.
    ends: usize,
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
        // Positions in a plaintext that was joined in the middle are not those of the other end.
        let names = if info.tls.is_some() && info.preexisting {
            [None, None]
        } else {
            [sequence(info, server), addresses(info, server)]
        };
        match self.ends.get(&info.key) {
            Some(known) if known.names == names => return,
            Some(_) => self.forget(info.key),
            None => self.order.push_back(info.key),
        }
        for name in names.into_iter().flatten() {
            let new = Holder { latest: info.key, several: false, ends: 0 };
            let holder = self.names.entry((name, server)).or_insert(new);
            let open = |conn| self.ends.get(&conn).is_some_and(|end| !end.closed);
            holder.several |= holder.latest != info.key && open(holder.latest);
            holder.latest = info.key;
            holder.ends += 1;
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
        if self.lingering.len() > self.limit
            && let Some((_, conn)) = self.lingering.pop_front()
        {
            self.forget(conn);
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
                (Some(own), Some(other)) if own.latest == conn && !own.several && !other.several => {
                    let agree = matches!(name, Name::Sequence(..)) || self.agree(conn, other.latest);
                    return if agree { Partner::One(other.latest) } else { Partner::None };
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
            let name = (name, end.server);
            let Some(holder) = self.names.get_mut(&name) else { continue };
            holder.ends -= 1;
            // Which of the others the name is now, is not known.
            holder.several |= holder.latest == conn;
            if holder.ends == 0 {
                self.names.remove(&name);
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
    let (client, server) = if server { (remote, local) } else { (local, remote) };
    Some(Name::Sequence(client, server, info.tls.is_some()))
}

fn addresses(info: &ConnInfo, server: bool) -> Option<Name> {
    let Endpoint { local, remote } = info.endpoint?;
    let [local, remote] = [local, remote].map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
    let (client, server) = if server { (remote, local) } else { (local, remote) };
    Some(Name::Addresses(info.netns, client, server, info.tls.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::TlsLibrary;
    use crate::ids::Origin;

    /// End number `id` of a connection with these sequence numbers.
    fn info(id: u64, role: Role, isn: u32) -> ConnInfo {
        let origin = Origin::default();
        let (isn_local, isn_remote) = if role == Role::Server { (2, isn) } else { (isn, 2) };
        ConnInfo { role, isn_local: Some(isn_local), isn_remote: Some(isn_remote), ..ConnInfo::unknown(origin, id) }
    }

    #[test]
    fn a_name_of_several_is_one_again_when_they_are_gone() {
        let mut ends = Ends::new(10);
        let [first, second, client, third] =
            [(1, Role::Server), (2, Role::Server), (3, Role::Client), (4, Role::Server)]
                .map(|(id, role)| info(id, role, 7));
        [&first, &second, &client].into_iter().for_each(|end| ends.open(end));
        assert_eq!(ends.partner(client.key), Partner::Ambiguous);
        [&first, &second].into_iter().for_each(|end| ends.close(end.key, MonoNanos::ZERO));
        assert_eq!(ends.partner(client.key), Partner::Ambiguous);
        ends.advance(MonoNanos::new(LINGER_NANOS));
        assert_eq!(ends.partner(client.key), Partner::None);
        ends.open(&third);
        assert_eq!(ends.partner(client.key), Partner::One(third.key));
    }

    #[test]
    fn plaintext_and_its_carrier_are_not_each_others_ends() {
        let tls = |info: ConnInfo| ConnInfo { tls: Some(TlsLibrary::OpenSsl), ..info };
        let mut ends = Ends::new(10);
        let carriers = [info(1, Role::Client, 7), info(2, Role::Server, 7)];
        let [client, server] = [tls(info(3, Role::Client, 7)), tls(info(4, Role::Server, 7))];
        [&carriers[0], &carriers[1], &client].into_iter().for_each(|end| ends.open(end));
        assert_eq!(ends.partner(client.key), Partner::None);
        ends.open(&server);
        assert_eq!(ends.partner(client.key), Partner::One(server.key));
        assert_eq!(ends.partner(carriers[0].key), Partner::One(carriers[1].key));
        // Joined in the middle, it has positions of its own.
        let mut ends = Ends::new(10);
        ends.open(&client);
        ends.open(&ConnInfo { preexisting: true, ..server });
        assert_eq!(ends.partner(client.key), Partner::None);
    }

    #[test]
    fn names_and_closed_ends_do_not_pile_up_while_time_stands_still() {
        let mut ends = Ends::new(10);
        for id in 0..1000 {
            // Two open ends share each name.
            let end = info(id, Role::Client, u32::try_from(id / 2).unwrap());
            ends.open(&end);
            if id % 2 == 1 {
                ends.close(end.key, MonoNanos::ZERO);
                ends.close(ConnKey::new(end.origin, id - 1), MonoNanos::ZERO);
            }
        }
        assert!(ends.names.len() <= 20, "{} names", ends.names.len());
        assert!(ends.lingering.len() <= 10, "{} closed ends", ends.lingering.len());
    }
}
