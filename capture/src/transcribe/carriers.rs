//! TCP connections as carriers of TLS: when their records arrived, and which processes use TLS that is not seen.

use std::collections::VecDeque;

use redtape_core::tls::APPLICATION_DATA;
use redtape_core::{MonoNanos, Stamp, Tgid, Tid};
use rustc_hash::FxHashMap;

/// Arrivals kept of a connection until their bytes are read.
const ARRIVALS_MAX: usize = 64;
/// So many calls that moved encrypted data, and no plaintext for so long after the first of them, tell that the plaintext is not seen.
const OPAQUE_CALLS: u32 = 4;
const OPAQUE_NANOS: u64 = 2_000_000_000;

/// What is remembered of connections and processes for the sake of TLS. Bounded by the connections and processes that the
/// transcriber knows: whoever forgets one of those says so here.
#[derive(Debug, Default)]
pub(crate) struct Carriers {
    conns: FxHashMap<u64, Carrier>,
    users: FxHashMap<Tgid, User>,
}

#[derive(Debug, Default)]
struct Carrier {
    /// The position behind the last byte of each arrival, and when it was.
    arrivals: VecDeque<(u64, MonoNanos)>,
    carries: Carries,
    /// The thread that read from it last.
    reader: Option<Tid>,
    /// When the record arrived that was read last.
    arrived: Option<MonoNanos>,
    /// The call that accepted it, until a TLS object is tied to it.
    accepted: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Carries {
    #[default]
    Unknown,
    Tls,
    Plain,
}

/// A process that moves TLS records.
#[derive(Debug, Default)]
struct User {
    /// Calls that moved encrypted data, at most as many as tell something.
    encrypted: u32,
    /// From when on they are counted.
    since: MonoNanos,
    plaintext: bool,
    told: bool,
    /// Its threads have read from one connection in turn.
    passes_on: bool,
}

impl Carriers {
    /// Bytes up to `end` became readable at a socket.
    pub(crate) fn arrival(&mut self, cookie: u64, end: u64, at: MonoNanos) {
        let carrier = self.conns.entry(cookie).or_default();
        if carrier.carries != Carries::Plain {
            if carrier.arrivals.len() >= ARRIVALS_MAX {
                carrier.arrivals.pop_front();
            }
            carrier.arrivals.push_back((end, at));
        }
    }

    /// A call moved bytes of a socket, of which it captured the first ones.
    pub(crate) fn moved(&mut self, cookie: u64, call: &SocketCall<'_>) {
        let carrier = self.conns.entry(cookie).or_default();
        let record = matches!(call.prefix, [20..=23, 3, 0..=4, ..]);
        match carrier.carries {
            Carries::Plain => return,
            Carries::Unknown if record => carrier.carries = Carries::Tls,
            Carries::Unknown if call.pos == 0 && !call.prefix.is_empty() => {
                *carrier = Carrier { carries: Carries::Plain, ..Carrier::default() };
                return;
            }
            Carries::Unknown | Carries::Tls => {}
        }
        let user = self.users.entry(call.tgid).or_insert_with(|| User { since: call.time, ..User::default() });
        if call.received {
            user.passes_on |= carrier.reader.replace(call.tid).is_some_and(|before| before != call.tid);
            if record {
                carrier.arrived = carrier.arrivals.iter().find(|(end, _)| *end > call.pos).map(|(_, at)| *at);
            }
            let read = call.pos.saturating_add(call.len);
            while carrier.arrivals.front().is_some_and(|(end, _)| *end <= read) {
                carrier.arrivals.pop_front();
            }
        }
        if call.prefix.first() == Some(&APPLICATION_DATA) && record {
            user.encrypted += u32::from(call.time >= user.since && user.encrypted < OPAQUE_CALLS);
        }
    }

    /// A call accepted a connection.
    pub(crate) fn accept(&mut self, cookie: u64, stamp: Stamp) {
        self.conns.entry(cookie).or_default().accepted = Some(stamp);
    }

    /// The call that accepted it, once.
    pub(crate) fn take_accept(&mut self, cookie: u64) -> Option<Stamp> {
        self.conns.get_mut(&cookie)?.accepted.take()
    }

    /// When the TLS record arrived that was last read from a socket.
    pub(crate) fn arrived(&self, cookie: u64) -> Option<MonoNanos> {
        self.conns.get(&cookie)?.arrived
    }

    /// Whether threads of a process pass connections on to each other: what one of them read may be decrypted by another.
    pub(crate) fn are_passed_on(&self, tgid: Tgid) -> bool {
        self.users.get(&tgid).is_some_and(|user| user.passes_on)
    }

    /// The probes are on a library of a process now. What it moved before does not count.
    pub(crate) fn sees_into(&mut self, tgid: Tgid, now: MonoNanos) {
        let user = self.users.entry(tgid).or_default();
        (user.since, user.encrypted) = (now, 0);
    }

    /// A process's plaintext was seen.
    pub(crate) fn plaintext(&mut self, tgid: Tgid) {
        self.users.entry(tgid).or_default().plaintext = true;
    }

    /// Processes that move encrypted data whose plaintext is not seen, each once.
    pub(crate) fn opaque(&mut self, now: MonoNanos) -> Vec<Tgid> {
        let mut opaque: Vec<_> =
            self.users.iter_mut().filter_map(|(tgid, user)| user.tell(now).then_some(*tgid)).collect();
        opaque.sort_unstable();
        opaque
    }

    /// As [`Carriers::opaque`], of a process that ends or runs another program, which is forgotten.
    pub(crate) fn leave(&mut self, tgid: Tgid) -> bool {
        self.users.remove(&tgid).is_some_and(|mut user| user.tell(MonoNanos::MAX))
    }

    /// How many connections are remembered.
    #[cfg(test)]
    pub(crate) fn conns(&self) -> usize {
        self.conns.len()
    }

    /// A connection is over.
    pub(crate) fn forget(&mut self, cookie: u64) {
        self.conns.remove(&cookie);
    }
}

impl User {
    fn tell(&mut self, now: MonoNanos) -> bool {
        let opaque = !self.plaintext && self.encrypted >= OPAQUE_CALLS && now.since(self.since) >= OPAQUE_NANOS;
        opaque && !std::mem::replace(&mut self.told, true)
    }
}

/// A call on a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketCall<'a> {
    pub(crate) tgid: Tgid,
    pub(crate) tid: Tid,
    pub(crate) time: MonoNanos,
    pub(crate) received: bool,
    pub(crate) pos: u64,
    pub(crate) len: u64,
    pub(crate) prefix: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::{Carriers, SocketCall};
    use redtape_core::{MonoNanos, Tgid, Tid};

    fn call(pos: u64, prefix: &[u8]) -> SocketCall<'_> {
        SocketCall { tgid: Tgid(5), tid: Tid(6), time: MonoNanos::new(1), received: true, pos, len: 30, prefix }
    }

    #[test]
    fn a_record_arrived_when_its_first_byte_did() {
        let mut carriers = Carriers::default();
        for (end, at) in [(10, 100), (30, 200), (60, 300)] {
            carriers.arrival(1, end, MonoNanos::new(at));
        }
        carriers.moved(1, &call(0, &[22, 3, 1, 0, 25]));
        assert_eq!(carriers.arrived(1), Some(MonoNanos::new(100)));
        carriers.moved(1, &call(30, &[23, 3, 3, 0, 25]));
        assert_eq!(carriers.arrived(1), Some(MonoNanos::new(300)));
        assert!(carriers.conns[&1].arrivals.is_empty());
    }

    #[test]
    fn processes_whose_plaintext_is_not_seen_are_told_once() {
        let mut carriers = Carriers::default();
        for pos in [0, 30, 60, 90, 120] {
            carriers.moved(1, &call(pos, &[23, 3, 3, 0, 25]));
        }
        let later = MonoNanos::new(3_000_000_000);
        assert_eq!(carriers.opaque(MonoNanos::new(2)), []);
        assert_eq!(carriers.opaque(later), [Tgid(5)]);
        assert_eq!(carriers.opaque(later), []);
        carriers.plaintext(Tgid(6));
        assert!(!carriers.leave(Tgid(6)));

        // At the end of a recording there is nothing to wait for.
        let mut carriers = Carriers::default();
        for pos in [0, 30, 60, 90] {
            carriers.moved(1, &call(pos, &[23, 3, 3, 0, 25]));
        }
        assert_eq!(carriers.opaque(MonoNanos::MAX), [Tgid(5)]);

        // What a process did before the probes came could not be seen.
        let mut carriers = Carriers::default();
        for pos in [0, 30, 60, 90] {
            carriers.moved(1, &call(pos, &[23, 3, 3, 0, 25]));
        }
        carriers.sees_into(Tgid(5), MonoNanos::new(2));
        carriers.moved(1, &call(120, &[23, 3, 3, 0, 25]));
        assert_eq!(carriers.opaque(MonoNanos::MAX), []);
    }

    #[test]
    fn threads_that_read_from_one_connection_in_turn_are_noticed() {
        let mut carriers = Carriers::default();
        let other = |call: SocketCall<'static>| SocketCall { tid: Tid(7), ..call };
        carriers.moved(1, &call(0, &[22, 3, 1, 0, 25]));
        carriers.moved(2, &other(call(0, &[22, 3, 1, 0, 25])));
        carriers.moved(1, &SocketCall { received: false, ..other(call(0, &[22, 3, 1, 0, 25])) });
        carriers.moved(3, &call(0, b"GET / HTTP/1.1"));
        carriers.moved(3, &other(call(30, b"GET / HTTP/1.1")));
        assert!(!carriers.are_passed_on(Tgid(5)));
        carriers.moved(1, &other(call(30, &[23, 3, 3, 0, 25])));
        assert!(carriers.are_passed_on(Tgid(5)));
    }

    #[test]
    fn other_connections_cost_nothing() {
        let mut carriers = Carriers::default();
        carriers.moved(1, &call(0, b"GET / HTTP/1.1"));
        carriers.arrival(1, 100, MonoNanos::new(5));
        assert!(carriers.conns[&1].arrivals.is_empty());
    }
}
