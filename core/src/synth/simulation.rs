//! What happens in a conversation, as far as it goes over connections: they are opened, closed, and accounted for.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::ids::{ConnKey, IdHasher, Origin, SpanId, Tid};
use crate::span::SpanKind;
use crate::time::MonoNanos;

use super::account::Party;
use super::channel::{Channel, Worker};
use super::line::{Line, Opening, Recorder, Side, Thread};
use super::rng::Rng;
use super::scenario::{Protocol, Scenario};
use super::sessions::Session;
use super::tls::plaintext_id;
use super::truth::{ExchangeId, Truth};
use super::world::{PORTS, World};

/// A conversation while it is under way.
pub(super) struct Simulation<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) world: &'a World,
    pub(super) session: &'a Session,
    pub(super) rng: &'a mut Rng,
    pub(super) out: &'a mut Recorder,
    pub(super) facts: &'a mut Facts,
}

/// What is known of a conversation so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Every recorded side of every exchange of which nobody has taken account.
    pub(super) truth: Vec<Truth>,
    /// Connections opened.
    pub(super) opened: u32,
    /// Until when processes took part: services and generations.
    pub(super) used: BTreeMap<(usize, u32), MonoNanos>,
    /// The ends of connections that are open, and of those that were of late.
    pub(super) ends: BTreeMap<ConnKey, EndFacts>,
    /// When connections were over.
    pub(super) closed: Vec<(MonoNanos, ConnKey)>,
}

/// What is true of a recorded end of a connection, whatever happens on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndFacts {
    origin: Origin,
    id: u64,
    host: usize,
    pub(super) tls: bool,
}

impl Simulation<'_> {
    /// A connection to `to` that a request can be sent on: the one at hand, unless its server's process was replaced.
    pub(super) fn ready(
        &mut self,
        channel: Option<Channel>,
        client: &mut Thread,
        caller: (usize, u32),
        to: usize,
        recorded: bool,
    ) -> Channel {
        match channel.and_then(|channel| self.unless_replaced(channel, client, client.now)) {
            Some(channel) => channel,
            None => self.open(client, caller, to, recorded),
        }
    }

    /// The connection, unless the process at its far end was replaced until `now`: that has closed it.
    fn unless_replaced(&mut self, mut channel: Channel, client: &mut Thread, now: MonoNanos) -> Option<Channel> {
        let service = self.world.service(channel.worker.service);
        let replaced = channel.worker.generation + 1;
        if service.generation(now) < replaced {
            return Some(channel);
        }
        let server = &mut channel.worker.thread;
        server.now = server.now.max(service.begins(replaced));
        channel.line.close(self.out, Side::Server, server, client);
        self.finish(&mut channel);
        None
    }

    /// The same for a connection and all behind it, so that nothing that is still to come happens before `now`.
    pub(super) fn sweep(&mut self, channel: Channel, client: &mut Thread, now: MonoNanos) -> Option<Channel> {
        let mut channel = self.unless_replaced(channel, client, now)?;
        let worker = &mut channel.worker;
        for (key, other) in std::mem::take(&mut worker.channels) {
            if let Some(other) = self.sweep(other, &mut worker.thread, now) {
                worker.channels.insert(key, other);
            }
        }
        Some(channel)
    }

    fn open(&mut self, caller: &mut Thread, from: (usize, u32), to: usize, recorded: bool) -> Channel {
        let (ours, theirs) = (self.world.service(from.0), self.world.service(to));
        let stride = PORTS / self.scenario.clients.connections.max(1);
        let slot = self.session.opened.wrapping_add(self.facts.opened) % stride.max(1);
        let serial = self.session.lane * stride + slot;
        self.facts.opened += 1;
        let port = u16::try_from(32_768 + serial % PORTS).expect("invariant: an ephemeral port");
        // A client that is not recorded is somewhere else, and there are many of them: 198.18.0.0/15 (RFC 2544, appendix C).
        let host = match recorded {
            true => ours.listen.ip(),
            false => IpAddr::from(Ipv4Addr::from(0xc612_0000 + 1 + self.session.lane)),
        };
        let id = 1_000 + 2 * (self.session.number << 24 | u64::from(self.facts.opened));
        let opening = Opening {
            origins: [ours.origin, theirs.origin],
            id,
            client_address: SocketAddr::new(host, port),
            published: theirs.published,
            listen: theirs.listen,
            netns: [ours.netns, theirs.netns],
            recorded: [recorded && !ours.foreign, !theirs.foreign],
            latency: self.scenario.network.latency.draw(self.rng),
            accept_wait: theirs.accept_wait.draw(self.rng).max(1_000),
        };
        let generation = theirs.generation(caller.now);
        let main = theirs.main_thread(generation);
        let process = theirs.key(generation);
        let mut acceptor = Thread { process, tid: main, evented: theirs.evented, helper: false, now: caller.now };
        let line = Line::open(&opening, self.rng, self.out, caller, &mut acceptor);
        for (side, service) in [(Side::Client, ours), (Side::Server, theirs)] {
            let end = &line.end(side).info;
            let facts = EndFacts { origin: end.origin, id: end.id, host: service.host, tls: theirs.tls };
            self.facts.ends.insert(end.key, facts);
        }
        let tid = if theirs.evented { main } else { Tid(10_000_000 + serial * 64) };
        let mut thread = Thread { tid, ..acceptor };
        thread.spend(self.rng.between(1_000, 30_000));
        let worker = Box::new(Worker { thread, service: to, generation, channels: BTreeMap::new() });
        let client = caller.clone();
        let mut channel = Channel {
            line,
            caller: from,
            client,
            worker,
            exchanges: Vec::new(),
            used: false,
            captured: [true; 2],
            streams: None,
        };
        if theirs.protocol(self.rng) == Protocol::Http2 {
            self.begin_streams(&mut channel, caller);
        }
        channel
    }

    /// A route of the service that a connection leads to.
    pub(super) fn any_route(&mut self, channel: &Channel) -> usize {
        let protocol = if channel.streams.is_some() { Protocol::Http2 } else { Protocol::Http1 };
        self.world.service(channel.worker.service).route(protocol, self.rng)
    }

    /// The client closes the connection between two exchanges.
    pub(super) fn hang_up(&mut self, mut channel: Channel, client: &mut Thread) {
        if channel.streams.is_some() {
            self.say_farewell(&mut channel, client);
        }
        channel.line.close(self.out, Side::Client, client, &mut channel.worker.thread);
        self.finish(&mut channel);
    }

    /// The connection is closed: so are those that its worker opened.
    pub(super) fn finish(&mut self, channel: &mut Channel) {
        for other in std::mem::take(&mut channel.worker.channels).into_values() {
            self.hang_up(other, &mut channel.worker.thread);
        }
        self.account(channel);
        // All is quiet a little later, also on the way.
        let quiet = channel.worker.thread.now.plus(4 * channel.line.latency());
        for service in [channel.caller, (channel.worker.service, channel.worker.generation)] {
            let used = self.facts.used.entry(service).or_default();
            *used = quiet.max(*used);
        }
        let over =
            [Side::Client, Side::Server].map(|side| (quiet.max(channel.client.now), channel.line.end(side).info.key));
        self.facts.closed.extend(over);
    }

    /// Gives an account of the exchanges that are over.
    pub(super) fn account(&mut self, channel: &mut Channel) {
        let worker = &channel.worker;
        let sides = [(Side::Client, channel.caller.0, &channel.client), (Side::Server, worker.service, &worker.thread)];
        for (side, service, thread) in sides {
            let service = self.world.service(service);
            let party = Party { conversation: self.session.number, side, service, thread };
            if !channel.line.end(side).recorded {
                continue;
            }
            for (n, done) in channel.exchanges.iter().enumerate() {
                // Of HTTP/2, all but the payload of DATA frames is captured. In HTTP/1, nothing tells how many requests are where
                // one was not captured, and so whose the responses are from there on.
                let captured = &mut channel.captured[side as usize];
                *captured &= channel.streams.is_some() || channel.line.end(side).has_captured(&done.first_line());
                let mut truth = party.truth(&channel.line, done, n == 0 && !channel.used, *captured);
                name(&mut truth, &self.facts.ends, self.world);
                self.facts.truth.push(truth);
            }
        }
        channel.used |= !channel.exchanges.is_empty();
        channel.exchanges.clear();
        channel.line.forget_past();
    }
}

/// Gives an exchange the names and times that it has on the tape.
fn name(truth: &mut Truth, ends: &BTreeMap<ConnKey, EndFacts>, world: &World) {
    let on_tape = |id: ExchangeId, kind: SpanKind| -> Option<(ExchangeId, SpanId, &EndFacts)> {
        let end = ends.get(&id.conn)?;
        let number = if end.tls { plaintext_id(end.id) } else { end.id };
        let hasher = IdHasher::new(end.origin, number).with(u64::from(kind == SpanKind::Client)).with(id.pos);
        Some((ExchangeId { conn: ConnKey::new(end.origin, number), ..id }, hasher.span_id(), end))
    };
    let other = if truth.kind == SpanKind::Server { SpanKind::Client } else { SpanKind::Server };
    if let Some((id, span_id, _)) = truth.parent.and_then(|parent| on_tape(parent, other)) {
        (truth.parent, truth.parent_span_id) = (Some(id), Some(span_id));
    }
    if let Some((id, span_id, end)) = on_tape(truth.id, truth.kind) {
        let host = &world.hosts[end.host];
        (truth.id, truth.span_id, truth.tls) = (id, span_id, end.tls);
        truth.start = truth.start.plus(host.ahead);
        truth.end = truth.end.map(|end| end.plus(host.ahead));
        truth.start_wall = host.wall(truth.start);
    }
}

impl EndFacts {
    /// How far the clock of its host is ahead, in nanoseconds.
    pub(super) fn ahead(&self, world: &World) -> u64 {
        world.hosts[self.host].ahead
    }
}
