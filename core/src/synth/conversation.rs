//! One conversation: a client's requests one after the other, and all the calls that they set off.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::event::EventBuf;
use crate::exchange::TraceContext;
use crate::ids::{ConnKey, IdHasher, Origin, SpanId, Tid};
use crate::span::SpanKind;
use crate::time::MonoNanos;

use super::account::{Done, Party};
use super::line::{Line, Opening, Recorder, Side, Thread};
use super::message::LURES;
use super::multiplex::Streams;
use super::plan::{Fate, Plan};
use super::rng::Rng;
use super::route::{CallTo, Route};
use super::scenario::{Protocol, Scenario};
use super::sessions::Session;
use super::transform;
use super::truth::{ExchangeId, Truth, Unknowable};
use super::world::{PORTS, World};

/// The events of one conversation, in time order, and the truth of each exchange in it.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) number: u64,
    /// The events, unnumbered, and without those that all conversations share (clock, processes).
    pub(super) events: Vec<EventBuf>,
    /// Every recorded side of every exchange.
    pub(super) truth: Vec<Truth>,
    /// It is over then.
    pub(super) end: MonoNanos,
    /// Connections opened.
    pub(super) opened: u32,
    /// Until when processes took part: services and generations.
    pub(super) used: BTreeMap<(usize, u32), MonoNanos>,
}

pub(super) struct Simulation<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) world: &'a World,
    session: &'a Session,
    pub(super) rng: Rng,
    out: Recorder,
    truth: Vec<Truth>,
    opened: u32,
    ends: BTreeMap<ConnKey, EndFacts>,
    used: BTreeMap<(usize, u32), MonoNanos>,
}

/// What is true of a recorded end of a connection, whatever happens on it.
#[derive(Clone, Copy)]
struct EndFacts {
    origin: Origin,
    id: u64,
    host: usize,
    tls: bool,
}

/// The server's thread of one connection, and the connections that it has opened itself.
pub(super) struct Worker {
    pub(super) thread: Thread,
    pub(super) service: usize,
    generation: u32,
    /// By service, and by its place among calls at the same time.
    channels: BTreeMap<(usize, usize), Channel>,
}

/// A connection with the worker at its far end.
pub(super) struct Channel {
    pub(super) line: Line,
    /// The calling service and its generation.
    caller: (usize, u32),
    /// The calling thread when it connected.
    client: Thread,
    pub(super) worker: Box<Worker>,
    pub(super) exchanges: Vec<Done>,
    /// What is left of HTTP/2 between streams.
    pub(super) streams: Option<Box<Streams>>,
}

/// Why a request is sent: the request that its sender works on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cause {
    pub(super) parent: Option<ExchangeId>,
    pub(super) context: Option<TraceContext>,
    /// Its thread has read other requests that it has not answered.
    pub(super) shared: bool,
}

impl Cause {
    /// Why it cannot be known for which request `thread` makes a call.
    pub(super) const fn unknowable(&self, thread: &Thread) -> Option<Unknowable> {
        if thread.evented {
            Some(Unknowable::EventLoop)
        } else if thread.helper {
            Some(Unknowable::OtherThread)
        } else if self.shared {
            Some(Unknowable::SharedThread)
        } else {
            None
        }
    }
}

impl Conversation {
    pub(super) fn simulate(scenario: &Scenario, world: &World, session: &Session) -> Self {
        let out = Recorder {
            events: Vec::new(),
            policy: scenario.recorder.capture,
            arrivals: scenario.recorder.arrivals,
            read_buffer: scenario.network.read_buffer.clone(),
        };
        let rng = Rng::stream(scenario.seed, session.number);
        let (ends, used) = (BTreeMap::new(), BTreeMap::new());
        let mut simulation =
            Simulation { scenario, world, session, rng, out, truth: Vec::new(), opened: 0, ends, used };
        let last = simulation.run();
        simulation.conclude(last)
    }
}

impl Simulation<'_> {
    /// Returns when the client is done.
    fn run(&mut self) -> MonoNanos {
        let recorded = self.rng.chance(self.scenario.per_mille.recorded_clients);
        let index = self.world.client();
        let tid = Tid(20_000_000 + self.session.lane);
        let process = self.world.service(index).key(0);
        let mut client = Thread { process, tid, evented: false, helper: false, now: self.session.start };
        let to = self.world.entrance(&mut self.rng);
        let (mut left, mut channel) = (self.session.requests, None);
        while left > 0 && client.now < self.session.until {
            let mut current = self.ready(channel.take(), &mut client, (index, 0), to, recorded);
            let most = match current.streams {
                Some(_) => self.scenario.clients.streams.draw(&mut self.rng).max(1),
                None if self.rng.chance(self.scenario.per_mille.pipelined) => self.rng.between(2, 4),
                None => 1,
            };
            let routes: Vec<usize> = (0..most.min(left)).map(|_| self.any_route(&current)).collect();
            left -= routes.len() as u64;
            if self.exchange(&mut current, &mut client, &routes, Cause::default()) {
                channel = Some(current);
            }
            client.spend(self.scenario.clients.pause.draw(&mut self.rng));
        }
        if let Some(channel) = channel {
            self.hang_up(channel, &mut client);
        }
        client.now
    }

    /// Puts the events in order, and gives connections the names and times that they have on the tape.
    fn conclude(self, last: MonoNanos) -> Conversation {
        let Self { world, session, out: Recorder { mut events, .. }, mut truth, opened, ends, used, .. } = self;
        // The ends of a connection are simulated one after the other; a stable sort puts them side by side.
        events.sort_by_key(|event| event.time);
        let end = events.last().map_or(last, |event| event.time.max(last));
        if ends.values().any(|end| end.tls) {
            events = transform::over_tls_where(&events, |conn| ends.get(&conn).is_some_and(|end| end.tls));
        }
        let ahead = |end: &EndFacts| world.hosts[end.host].ahead;
        if ends.values().any(|end| ahead(end) > 0) {
            let tls = |end: &EndFacts| ConnKey::new(end.origin, transform::plaintext_id(end.id));
            let by_conn: BTreeMap<ConnKey, u64> =
                ends.iter().flat_map(|(conn, end)| [(*conn, ahead(end)), (tls(end), ahead(end))]).collect();
            let nanos = |event: &EventBuf| event.as_event().body.conn().and_then(|conn| by_conn.get(&conn)).copied();
            for event in &mut events {
                *event = transform::later(event, nanos(event).unwrap_or(0));
            }
            events.sort_by_key(|event| event.time);
        }
        for truth in &mut truth {
            name(truth, &ends, world);
        }
        Conversation { number: session.number, events, truth, end: end.plus(1_000), opened, used }
    }

    /// A connection to `to` that a request can be sent on: the one at hand, unless its server's process was replaced.
    fn ready(
        &mut self,
        channel: Option<Channel>,
        client: &mut Thread,
        caller: (usize, u32),
        to: usize,
        recorded: bool,
    ) -> Channel {
        let service = self.world.service(to);
        if let Some(mut channel) = channel {
            let replaced = channel.worker.generation + 1;
            if service.generation(client.now) < replaced {
                return channel;
            }
            let server = &mut channel.worker.thread;
            server.now = server.now.max(service.begins(replaced));
            channel.line.close(&mut self.out, Side::Server, server, client);
            self.finish(&mut channel);
        }
        self.open(client, caller, to, recorded)
    }

    fn open(&mut self, caller: &mut Thread, from: (usize, u32), to: usize, recorded: bool) -> Channel {
        let (ours, theirs) = (self.world.service(from.0), self.world.service(to));
        let stride = PORTS / self.scenario.clients.connections.max(1);
        let slot = self.session.opened.wrapping_add(self.opened) % stride.max(1);
        let serial = self.session.lane * stride + slot;
        self.opened += 1;
        let port = u16::try_from(32_768 + serial % PORTS).expect("invariant: an ephemeral port");
        // A client that is not recorded is somewhere else, and there are many of them: 198.18.0.0/15 (RFC 2544, appendix C).
        let host = match recorded {
            true => ours.listen.ip(),
            false => IpAddr::from(Ipv4Addr::from(0xc612_0000 + 1 + self.session.lane)),
        };
        let id = 1_000 + 2 * (self.session.number << 24 | u64::from(self.opened));
        let opening = Opening {
            origins: [ours.origin, theirs.origin],
            id,
            client_address: SocketAddr::new(host, port),
            published: theirs.published,
            listen: theirs.listen,
            netns: [ours.netns, theirs.netns],
            recorded: [recorded && !ours.foreign, !theirs.foreign],
            latency: self.scenario.network.latency.draw(&mut self.rng),
            accept_wait: theirs.accept_wait.draw(&mut self.rng).max(1_000),
        };
        let generation = theirs.generation(caller.now);
        let main = theirs.main_thread(generation);
        let process = theirs.key(generation);
        let mut acceptor = Thread { process, tid: main, evented: theirs.evented, helper: false, now: caller.now };
        let line = Line::open(&opening, &mut self.rng, &mut self.out, caller, &mut acceptor);
        for (side, service) in [(Side::Client, ours), (Side::Server, theirs)] {
            let end = &line.end(side).info;
            let facts = EndFacts { origin: end.origin, id: end.id, host: service.host, tls: theirs.tls };
            self.ends.insert(end.key, facts);
        }
        let tid = if theirs.evented { main } else { Tid(10_000_000 + serial * 64) };
        let mut thread = Thread { tid, ..acceptor };
        thread.spend(self.rng.between(1_000, 30_000));
        let worker = Box::new(Worker { thread, service: to, generation, channels: BTreeMap::new() });
        let client = caller.clone();
        let mut channel = Channel { line, caller: from, client, worker, exchanges: Vec::new(), streams: None };
        if theirs.protocol(&mut self.rng) == Protocol::Http2 {
            self.begin_streams(&mut channel, caller);
        }
        channel
    }

    /// A route of the service that a connection leads to.
    fn any_route(&mut self, channel: &Channel) -> usize {
        let protocol = if channel.streams.is_some() { Protocol::Http2 } else { Protocol::Http1 };
        self.world.service(channel.worker.service).route(protocol, &mut self.rng)
    }

    /// Sends requests at once and serves them. Returns whether the connection is still there.
    fn exchange(&mut self, channel: &mut Channel, client: &mut Thread, routes: &[usize], cause: Cause) -> bool {
        if channel.streams.is_some() {
            self.exchange_streams(channel, client, routes, cause);
            return true;
        }
        let simple = routes.len() > 1;
        let service = self.world.service(channel.worker.service);
        let mut sent = channel.line.flow(Side::Client).sent;
        let mut bytes = Vec::new();
        let first = channel.exchanges.len();
        for (n, &route) in routes.iter().enumerate() {
            let plan = Plan::draw(self.scenario, &mut self.rng, service, route, simple, cause.context);
            let len = match plan.fate {
                Fate::Abandoned => plan.request.head + self.rng.below(150) as usize,
                _ => plan.request.bytes.len(),
            };
            bytes.extend_from_slice(&plan.request.bytes[..len]);
            let request = sent..sent + len as u64;
            sent = request.end;
            let unknowable = cause.unknowable(client);
            channel.exchanges.push(Done { plan, cause, unknowable, pipelined: n > 0, request, response: None });
        }
        let expects = !simple && channel.exchanges.get(first).is_some_and(|done| done.plan.expects);
        if expects {
            let head = channel.exchanges.get(first).map_or(0, |done| done.plan.request.head);
            self.send(channel, Side::Client, client, &bytes[..head]);
            self.receive(channel, Side::Server, client, channel.line.flow(Side::Client).sent);
            self.send(channel, Side::Server, client, b"HTTP/1.1 100 Continue\r\n\r\n");
            self.receive(channel, Side::Client, client, channel.line.flow(Side::Server).sent);
            self.send(channel, Side::Client, client, &bytes[head..]);
        } else {
            self.send(channel, Side::Client, client, &bytes);
        }
        (first..channel.exchanges.len()).all(|at| self.serve(channel, client, at)) && {
            self.receive_all(channel, Side::Client, client);
            true
        }
    }

    /// Reads and answers the exchange number `at` of the connection. Returns whether the connection is still there.
    fn serve(&mut self, channel: &mut Channel, client: &mut Thread, at: usize) -> bool {
        let done = &channel.exchanges[at];
        let (fate, read_to, pos, context) = (done.plan.fate, done.request.end, done.request.start, done.plan.context);
        let world = self.world;
        let route = &world.service(channel.worker.service).routes[done.plan.route];
        self.wait_in_queue(channel, route, pos);
        self.receive(channel, Side::Server, client, read_to);
        channel.worker.thread.spend(route.latency.draw(&mut self.rng));
        if fate == Fate::Reusable {
            let cause = Cause { parent: channel.cause(pos), context, shared: channel.has_read_behind(at) };
            self.call_others(&mut channel.worker, cause, route);
        }
        if !matches!(fate, Fate::Unanswered | Fate::Abandoned) {
            self.respond(channel, client, at);
        }
        if fate == Fate::Reusable {
            return true;
        }
        self.receive_all(channel, Side::Client, client);
        if fate == Fate::Tunnel {
            self.chat(channel, client);
        }
        let (line, out) = (&mut channel.line, &mut self.out);
        let server = &mut channel.worker.thread;
        match fate {
            Fate::Cut { reset: true } => {
                server.now = server.now.max(client.now);
                line.reset(out, Side::Server, server, client);
            }
            Fate::Abandoned | Fate::Tunnel => line.close(out, Side::Client, client, server),
            _ => line.close(out, Side::Server, server, client),
        }
        self.finish(channel);
        false
    }

    /// The server lets the request at `pos` lie at its socket, if it has not read it already.
    pub(super) fn wait_in_queue(&mut self, channel: &mut Channel, route: &Route, pos: u64) {
        let queue = route.queue.draw(&mut self.rng);
        if queue > 0
            && let Some(arrival) = channel.line.arrival(Side::Client, pos)
        {
            let server = &mut channel.worker.thread;
            server.now = server.now.max(arrival.plus(queue));
        }
    }

    fn respond(&mut self, channel: &mut Channel, client: &mut Thread, at: usize) {
        let plan = &channel.exchanges[at].plan;
        let hints = plan.hints;
        let mut bytes = plan.response.bytes.clone();
        if matches!(plan.fate, Fate::Cut { .. }) {
            bytes.truncate(plan.response.head + self.rng.below(200) as usize);
        }
        if let Some(hints) = hints {
            self.send(channel, Side::Server, client, hints);
        }
        let start = channel.line.flow(Side::Server).sent;
        self.send(channel, Side::Server, client, &bytes);
        channel.exchanges[at].response = Some(start..start + bytes.len() as u64);
    }

    /// The worker calls other services before it answers.
    pub(super) fn call_others(&mut self, worker: &mut Worker, cause: Cause, route: &Route) {
        for step in &route.calls {
            if !self.rng.chance(step.chance) {
                continue;
            }
            for _ in 0..step.times {
                if let [call] = step.calls[..] {
                    let mut thread = worker.thread.clone();
                    self.call(worker, &mut thread, call, 0, cause);
                    worker.thread = thread;
                } else {
                    self.call_at_once(worker, cause, &step.calls);
                }
            }
        }
    }

    /// Calls others at the same time, and waits for all of them: an event loop by itself, another program by a thread each.
    fn call_at_once(&mut self, worker: &mut Worker, cause: Cause, calls: &[CallTo]) {
        let (begin, mut end) = (worker.thread.now, worker.thread.now);
        for (sibling, call) in (1..).zip(calls) {
            if !self.rng.chance(call.chance) {
                continue;
            }
            let mut thread = worker.thread.clone();
            thread.now = begin.plus(10_000 * u64::from(sibling));
            if !thread.evented {
                (thread.tid, thread.helper) = (Tid(thread.tid.0 + sibling), true);
            }
            self.call(worker, &mut thread, *call, sibling as usize, cause);
            end = end.max(thread.now);
        }
        worker.thread.now = end;
    }

    fn call(&mut self, worker: &mut Worker, thread: &mut Thread, call: CallTo, sibling: usize, cause: Cause) {
        thread.spend(self.rng.between(5_000, 50_000));
        let key = (call.service, sibling);
        let known = worker.channels.remove(&key);
        let caller = (worker.service, worker.generation);
        let mut channel = self.ready(known, thread, caller, call.service, true);
        let route = match call.route {
            Some(route) => route,
            None => self.any_route(&channel),
        };
        if self.exchange(&mut channel, thread, &[route], cause) {
            worker.channels.insert(key, channel);
        }
        thread.spend(self.rng.between(5_000, 50_000));
    }

    /// What goes through a tunnel is not HTTP, even where it looks like it.
    fn chat(&mut self, channel: &mut Channel, client: &mut Thread) {
        let lures = self.rng.chance(self.scenario.per_mille.lures);
        for _ in 0..self.rng.between(1, 5) {
            let mut frame = || if lures { self.rng.pick(&LURES).as_bytes() } else { b"\x81\x05hello" };
            let (up, down) = (frame(), frame());
            self.send(channel, Side::Client, client, up);
            self.receive_all(channel, Side::Server, client);
            self.send(channel, Side::Server, client, down);
            self.receive_all(channel, Side::Client, client);
        }
    }

    /// Sends `bytes` by a few calls.
    pub(super) fn send(&mut self, channel: &mut Channel, side: Side, client: &mut Thread, bytes: &[u8]) {
        let mut from = 0;
        let pieces = self.scenario.network.writes.draw(&mut self.rng);
        for cut in self.rng.cuts(bytes.len(), pieces) {
            let (line, thread) = channel.at(side, client);
            line.write(&mut self.rng, &mut self.out, side, thread, &bytes[from..cut]);
            from = cut;
        }
    }

    /// Sends `bytes` by one call.
    pub(super) fn send_at_once(&mut self, channel: &mut Channel, side: Side, client: &mut Thread, bytes: &[u8]) {
        let (line, thread) = channel.at(side, client);
        line.write(&mut self.rng, &mut self.out, side, thread, bytes);
    }

    /// Receives what the other side sent up to position `to`.
    fn receive(&mut self, channel: &mut Channel, side: Side, client: &mut Thread, to: u64) {
        while channel.line.flow(side.other()).read < to {
            let (line, thread) = channel.at(side, client);
            line.read(&mut self.rng, &mut self.out, side, thread);
        }
    }

    pub(super) fn receive_all(&mut self, channel: &mut Channel, side: Side, client: &mut Thread) {
        let to = channel.line.flow(side.other()).sent;
        self.receive(channel, side, client, to);
    }

    /// The client closes the connection between two exchanges.
    fn hang_up(&mut self, mut channel: Channel, client: &mut Thread) {
        if channel.streams.is_some() {
            self.say_farewell(&mut channel, client);
        }
        channel.line.close(&mut self.out, Side::Client, client, &mut channel.worker.thread);
        self.finish(&mut channel);
    }

    /// The connection is closed: so are those that its worker opened, and the truth is complete.
    fn finish(&mut self, channel: &mut Channel) {
        for other in std::mem::take(&mut channel.worker.channels).into_values() {
            self.hang_up(other, &mut channel.worker.thread);
        }
        let worker = &channel.worker;
        let sides = [
            (Side::Client, channel.caller, &channel.client),
            (Side::Server, (worker.service, worker.generation), &worker.thread),
        ];
        // All is quiet a little later, also on the way.
        let quiet = worker.thread.now.plus(4 * channel.line.latency());
        for (side, service, thread) in sides {
            let used = self.used.entry(service).or_default();
            *used = quiet.max(*used);
            let service = self.world.service(service.0);
            let party = Party { conversation: self.session.number, side, service, thread };
            if channel.line.end(side).recorded {
                self.truth.extend(
                    channel.exchanges.iter().enumerate().map(|(n, done)| party.truth(&channel.line, done, n == 0)),
                );
            }
        }
    }
}

impl Channel {
    /// The request at `pos`, if its server is recorded.
    pub(super) fn cause(&self, pos: u64) -> Option<ExchangeId> {
        let end = self.line.end(Side::Server);
        end.recorded.then_some(ExchangeId { conn: end.info.key, pos })
    }

    /// Whether the server has read the head of a request behind the exchange number `at`.
    fn has_read_behind(&self, at: usize) -> bool {
        let read = self.line.flow(Side::Client).read;
        self.exchanges.get(at + 1).is_some_and(|next| next.request.start + next.plan.request.head as u64 <= read)
    }

    /// The connection, and the thread at its `side`.
    fn at<'a>(&'a mut self, side: Side, client: &'a mut Thread) -> (&'a mut Line, &'a mut Thread) {
        let thread = match side {
            Side::Client => client,
            Side::Server => &mut self.worker.thread,
        };
        (&mut self.line, thread)
    }
}

/// Gives an exchange the names and times that it has on the tape.
fn name(truth: &mut Truth, ends: &BTreeMap<ConnKey, EndFacts>, world: &World) {
    let on_tape = |id: ExchangeId, kind: SpanKind| -> Option<(ExchangeId, SpanId, &EndFacts)> {
        let end = ends.get(&id.conn)?;
        let number = if end.tls { transform::plaintext_id(end.id) } else { end.id };
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
