//! One exchange: a request is sent, read, worked for, which may take calls to others, and answered.

use crate::ids::Tid;

use super::account::Done;
use super::channel::{Cause, Channel, Worker};
use super::line::{Side, Thread};
use super::message::LURES;
use super::plan::{Fate, Plan};
use super::route::{CallTo, Route};
use super::simulation::Simulation;

impl Simulation<'_> {
    /// Sends requests at once and serves them. Returns whether the connection is still there.
    pub(super) fn exchange(
        &mut self,
        channel: &mut Channel,
        client: &mut Thread,
        routes: &[usize],
        cause: Cause,
    ) -> bool {
        if channel.streams.is_some() {
            self.exchange_streams(channel, client, routes, cause);
            return true;
        }
        let simple = routes.len() > 1;
        let service = self.world.service(channel.worker.service);
        let mut sent = channel.line.flow(Side::Client).sent;
        let mut bytes = Vec::new();
        for (n, &route) in routes.iter().enumerate() {
            let plan = Plan::draw(self.scenario, self.rng, service, route, simple, cause.context);
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
        let expects = !simple && channel.exchanges.first().is_some_and(|done| done.plan.expects);
        if expects {
            let head = channel.exchanges.first().map_or(0, |done| done.plan.request.head);
            self.send(channel, Side::Client, client, &bytes[..head]);
            self.receive(channel, Side::Server, client, channel.line.flow(Side::Client).sent);
            self.send(channel, Side::Server, client, b"HTTP/1.1 100 Continue\r\n\r\n");
            self.receive(channel, Side::Client, client, channel.line.flow(Side::Server).sent);
            self.send(channel, Side::Client, client, &bytes[head..]);
        } else {
            self.send(channel, Side::Client, client, &bytes);
        }
        let stays = (0..routes.len()).all(|at| self.serve(channel, client, at));
        if stays {
            self.receive_all(channel, Side::Client, client);
            self.account(channel);
        }
        stays
    }

    /// Reads and answers the exchange number `at` of the connection. Returns whether the connection is still there.
    fn serve(&mut self, channel: &mut Channel, client: &mut Thread, at: usize) -> bool {
        let done = &channel.exchanges[at];
        let (fate, read_to, pos, context) = (done.plan.fate, done.request.end, done.request.start, done.plan.context);
        let world = self.world;
        let route = &world.service(channel.worker.service).routes[done.plan.route];
        self.wait_in_queue(channel, route, pos);
        self.receive(channel, Side::Server, client, read_to);
        channel.worker.thread.spend(route.latency.draw(self.rng));
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
        let (line, out) = (&mut channel.line, &mut *self.out);
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
        let queue = route.queue.draw(self.rng);
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
        let pieces = self.scenario.network.writes.draw(self.rng);
        for cut in self.rng.cuts(bytes.len(), pieces) {
            let (line, thread) = channel.at(side, client);
            line.write(self.rng, self.out, side, thread, &bytes[from..cut]);
            from = cut;
        }
    }

    /// Sends `bytes` by one call.
    pub(super) fn send_at_once(&mut self, channel: &mut Channel, side: Side, client: &mut Thread, bytes: &[u8]) {
        let (line, thread) = channel.at(side, client);
        line.write(self.rng, self.out, side, thread, bytes);
    }

    /// Receives what the other side sent up to position `to`.
    fn receive(&mut self, channel: &mut Channel, side: Side, client: &mut Thread, to: u64) {
        while channel.line.flow(side.other()).read < to {
            let (line, thread) = channel.at(side, client);
            line.read(self.rng, self.out, side, thread);
        }
    }

    pub(super) fn receive_all(&mut self, channel: &mut Channel, side: Side, client: &mut Thread) {
        let to = channel.line.flow(side.other()).sent;
        self.receive(channel, side, client, to);
    }
}
