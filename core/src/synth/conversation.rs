//! One conversation: a connection to the entrance of the world, and all the calls that it sets off.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::event::EventBuf;
use crate::ids::Tid;
use crate::time::MonoNanos;

use super::account::{Done, Party};
use super::line::{Line, Opening, Recorder, Side, Thread};
use super::message::LURES;
use super::plan::{Fate, Plan};
use super::rng::Rng;
use super::scenario::Scenario;
use super::truth::{ExchangeId, Truth};
use super::world::{CLIENT, ENTRANCE, World};

/// The events of one conversation, in time order, and the truth of each exchange in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The events, unnumbered, and without those that all conversations share (clock, processes).
    pub events: Vec<EventBuf>,
    /// Every recorded side of every exchange.
    pub truth: Vec<Truth>,
}

impl Conversation {
    /// Nothing of the conversation happens before this moment.
    pub(super) fn start(scenario: &Scenario, number: u32) -> MonoNanos {
        scenario.start.plus(scenario.spacing_nanos.saturating_mul(u64::from(number)))
    }

    pub(super) fn simulate(scenario: &Scenario, world: &World, number: u32) -> Self {
        let out = Recorder { events: Vec::new(), policy: scenario.capture, arrivals: scenario.arrivals };
        let rng = Rng::stream(scenario.seed, u64::from(number));
        let mut simulation = Simulation { scenario, world, number, rng, out, truth: Vec::new(), opened: 0 };
        simulation.run();
        let Simulation { out: Recorder { mut events, .. }, truth, .. } = simulation;
        // The ends of a connection are simulated one after the other; a stable sort puts them side by side.
        events.sort_by_key(|event| event.time);
        Self { events, truth }
    }
}

/// Connections that one conversation may open.
const MOST_CONNECTIONS: u32 = 64;

pub(super) struct Simulation<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) world: &'a World,
    number: u32,
    pub(super) rng: Rng,
    out: Recorder,
    truth: Vec<Truth>,
    opened: u32,
}

/// The server's thread of one connection, and the connections that it has opened itself.
pub(super) struct Worker {
    pub(super) thread: Thread,
    pub(super) service: usize,
    channels: BTreeMap<usize, Channel>,
}

/// A connection with the worker at its far end.
pub(super) struct Channel {
    pub(super) line: Line,
    /// The calling service.
    caller: usize,
    /// The calling thread when it connected.
    client: Thread,
    pub(super) worker: Box<Worker>,
    pub(super) exchanges: Vec<Done>,
}

impl Simulation<'_> {
    fn run(&mut self) {
        let start = Conversation::start(self.scenario, self.number);
        let recorded = self.rng.chance(self.scenario.mix.recorded_clients);
        let service = self.world.service(CLIENT);
        let tid = Tid(20_000 + self.number.wrapping_mul(MOST_CONNECTIONS) % 4_000_000);
        let mut client = Thread { process: service.key(), tid, evented: false, now: start };
        let mut channel = self.open(&mut client, CLIENT, ENTRANCE, recorded);
        if self.scenario.mix.http2 > 0 && self.rng.chance(self.scenario.mix.http2) {
            return self.converse_in_streams(channel, &mut client);
        }
        let mut left = self.scenario.requests_per_connection;
        while left > 0 {
            let batch = if self.rng.chance(self.scenario.mix.pipelined) { self.rng.between(2, 4) as u32 } else { 1 };
            let batch = batch.min(left);
            left -= batch;
            client.spend(self.rng.between(10_000, 3_000_000));
            if !self.exchange(&mut channel, &mut client, batch, None) {
                return;
            }
        }
        self.hang_up(channel, &mut client);
    }

    fn open(&mut self, caller: &mut Thread, from: usize, to: usize, recorded: bool) -> Channel {
        let (ours, theirs) = (self.world.service(from), self.world.service(to));
        let serial = self.number.wrapping_mul(MOST_CONNECTIONS) + self.opened;
        self.opened += 1;
        let port = u16::try_from(32_768 + serial % 28_232).expect("invariant: an ephemeral port");
        // A client that is not recorded is somewhere else, and there are many of them.
        let host = if recorded { ours.listen.ip() } else { Ipv4Addr::new(192, 0, 2, (serial / 28_232) as u8).into() };
        let slow = self.rng.chance(self.scenario.mix.slow_accepts);
        let opening = Opening {
            origin: self.world.origin,
            id: 1_000 + 2 * (u64::from(self.number) * u64::from(MOST_CONNECTIONS) + u64::from(self.opened)),
            client_address: SocketAddr::new(host, port),
            published: theirs.published,
            listen: theirs.listen,
            netns: [ours.process.netns, theirs.process.netns],
            recorded: [recorded && !ours.foreign, !theirs.foreign],
            latency: self.rng.between(5_000, 80_000),
            accept_wait: if slow { self.rng.between(1_000_000, 20_000_000) } else { self.rng.between(3_000, 40_000) },
        };
        let main = theirs.main_thread();
        let mut acceptor = Thread { process: theirs.key(), tid: main, evented: theirs.evented, now: caller.now };
        let line = Line::open(&opening, &mut self.rng, &mut self.out, caller, &mut acceptor);
        let tid = if theirs.evented { main } else { Tid(5_000_000 + serial % 4_000_000) };
        let mut thread = Thread { tid, ..acceptor };
        thread.spend(self.rng.between(1_000, 30_000));
        let worker = Box::new(Worker { thread, service: to, channels: BTreeMap::new() });
        Channel { line, caller: from, client: caller.clone(), worker, exchanges: Vec::new() }
    }

    /// Sends `batch` requests at once and serves them. Returns whether the connection is still there.
    fn exchange(&mut self, channel: &mut Channel, client: &mut Thread, batch: u32, parent: Option<ExchangeId>) -> bool {
        let host = self.world.service(channel.worker.service).name.clone();
        let plans: Vec<Plan> = (0..batch).map(|_| Plan::draw(self.scenario, &mut self.rng, &host, batch > 1)).collect();
        let mut sent = channel.line.flow(Side::Client).sent;
        let mut bytes = Vec::new();
        let first = channel.exchanges.len();
        for (n, plan) in plans.into_iter().enumerate() {
            let len = match plan.fate {
                Fate::Abandoned => plan.request.head + self.rng.below(150) as usize,
                _ => plan.request.bytes.len(),
            };
            bytes.extend_from_slice(&plan.request.bytes[..len]);
            let request = sent..sent + len as u64;
            sent = request.end;
            channel.exchanges.push(Done { plan, parent, pipelined: n > 0, request, response: None });
        }
        let expects = batch == 1 && channel.exchanges.get(first).is_some_and(|done| done.plan.expects);
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
        let (fate, read_to, pos) = (done.plan.fate, done.request.end, done.request.start);
        if self.rng.chance(self.scenario.mix.queued) {
            channel.worker.thread.spend(self.rng.between(1_000_000, 30_000_000));
        }
        self.receive(channel, Side::Server, client, read_to);
        channel.worker.thread.spend(self.rng.between(50_000, 3_000_000));
        if fate == Fate::Reusable {
            let end = channel.line.end(Side::Server);
            let parent = end.recorded.then_some(ExchangeId { conn: end.info.key, pos });
            self.call_others(&mut channel.worker, parent);
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
    pub(super) fn call_others(&mut self, worker: &mut Worker, parent: Option<ExchangeId>) {
        let last = self.world.services.len() - 1;
        if worker.service == last || !self.rng.chance(self.scenario.mix.calls) {
            return;
        }
        for _ in 0..self.rng.between(1, 2) {
            let to = self.rng.between(worker.service as u64 + 1, last as u64) as usize;
            let mut channel = match worker.channels.remove(&to) {
                Some(channel) => channel,
                None if self.opened < MOST_CONNECTIONS => self.open(&mut worker.thread, worker.service, to, true),
                None => return,
            };
            worker.thread.spend(self.rng.between(5_000, 200_000));
            if self.exchange(&mut channel, &mut worker.thread, 1, parent) {
                worker.channels.insert(to, channel);
            }
            worker.thread.spend(self.rng.between(5_000, 200_000));
        }
    }

    /// What goes through a tunnel is not HTTP, even where it looks like it.
    fn chat(&mut self, channel: &mut Channel, client: &mut Thread) {
        let lures = self.rng.chance(self.scenario.mix.lures);
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
        for cut in self.rng.cuts(bytes.len(), 3) {
            let (line, thread) = channel.at(side, client);
            line.write(&mut self.rng, &mut self.out, side, thread, &bytes[from..cut]);
            from = cut;
        }
    }

    /// Receives what the other side sent up to position `to`.
    fn receive(&mut self, channel: &mut Channel, side: Side, client: &mut Thread, to: u64) {
        while channel.line.flow(side.other()).read < to {
            let buffer = *self.rng.pick(&[700, 4_096, 16_384, 65_536]);
            let (line, thread) = channel.at(side, client);
            line.read(&mut self.rng, &mut self.out, side, thread, buffer);
        }
    }

    pub(super) fn receive_all(&mut self, channel: &mut Channel, side: Side, client: &mut Thread) {
        let to = channel.line.flow(side.other()).sent;
        self.receive(channel, side, client, to);
    }

    /// The client closes the connection between two exchanges.
    pub(super) fn hang_up(&mut self, mut channel: Channel, client: &mut Thread) {
        channel.line.close(&mut self.out, Side::Client, client, &mut channel.worker.thread);
        self.finish(&mut channel);
    }

    /// The connection is closed: so are those that its worker opened, and the truth is complete.
    fn finish(&mut self, channel: &mut Channel) {
        for other in std::mem::take(&mut channel.worker.channels).into_values() {
            self.hang_up(other, &mut channel.worker.thread);
        }
        let sides = [
            (Side::Client, channel.caller, &channel.client),
            (Side::Server, channel.worker.service, &channel.worker.thread),
        ];
        for (side, service, thread) in sides {
            let party = Party { conversation: self.number, side, service: self.world.service(service), thread };
            if channel.line.end(side).recorded {
                self.truth.extend(
                    channel.exchanges.iter().enumerate().map(|(n, done)| party.truth(&channel.line, done, n == 0)),
                );
            }
        }
    }
}

impl Channel {
    /// The connection, and the thread at its `side`.
    fn at<'a>(&'a mut self, side: Side, client: &'a mut Thread) -> (&'a mut Line, &'a mut Thread) {
        let thread = match side {
            Side::Client => client,
            Side::Server => &mut self.worker.thread,
        };
        (&mut self.line, thread)
    }
}
