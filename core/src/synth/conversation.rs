//! One conversation: a client's requests one after the other, and all the calls that they set off; as much of it at a time as is asked for.

use std::collections::{BTreeMap, VecDeque};

use crate::event::EventBuf;
use crate::ids::Tid;
use crate::time::MonoNanos;

use super::channel::{Cause, Channel};
use super::line::{Recorder, Thread};
use super::rng::Rng;
use super::scenario::Scenario;
use super::sessions::Session;
use super::simulation::{Facts, Simulation};
use super::tls::Encryption;
use super::transform;
use super::world::World;

/// A conversation, simulated exchange by exchange.
pub(super) struct Conversation {
    pub(super) session: Session,
    rng: Rng,
    out: Recorder,
    pub(super) facts: Facts,
    /// The service of clients, the service that they ask, and whether they are recorded.
    client: usize,
    to: usize,
    recorded: bool,
    thread: Thread,
    channel: Option<Channel>,
    /// Requests that are still to be sent.
    left: u64,
    order: Order,
    /// When it is over, once that is known.
    pub(super) end: Option<MonoNanos>,
}

/// Puts events in order, and gives connections the names and times that they have on the tape.
#[derive(Default)]
struct Order {
    count: u64,
    /// By time, and those of one moment in the order in which they were simulated: so the two ends of a connection stand side by side.
    pending: BTreeMap<(MonoNanos, u64), EventBuf>,
    encryption: Encryption,
    /// The same on the clocks of their hosts.
    shifted: BTreeMap<(MonoNanos, u64), EventBuf>,
    ready: VecDeque<EventBuf>,
    last: MonoNanos,
    /// What comes before was made ready.
    reached: MonoNanos,
}

impl Conversation {
    pub(super) fn begin(scenario: &Scenario, world: &World, session: Session) -> Self {
        let out = Recorder {
            events: Vec::new(),
            policy: scenario.recorder.capture,
            arrivals: scenario.recorder.arrivals,
            read_buffer: scenario.network.read_buffer.clone(),
        };
        let mut rng = Rng::stream(scenario.seed, session.number);
        let recorded = rng.chance(scenario.per_mille.recorded_clients);
        let client = world.client();
        let tid = Tid(20_000_000 + session.lane);
        let process = world.service(client).key(0);
        let thread = Thread { process, tid, evented: false, helper: false, now: session.start };
        let to = world.entrance(&mut rng);
        Self {
            session,
            rng,
            out,
            facts: Facts::default(),
            client,
            to,
            recorded,
            thread,
            channel: None,
            left: session.requests,
            order: Order::default(),
            end: None,
        }
    }

    /// Nothing that is still to be simulated happens before.
    pub(super) const fn reached(&self) -> MonoNanos {
        self.thread.now
    }

    /// When its next event is. There is one, unless it is over.
    pub(super) fn next_time(&self) -> Option<MonoNanos> {
        self.order.ready.front().map(|event| event.time)
    }

    pub(super) fn next(&mut self) -> Option<EventBuf> {
        self.order.ready.pop_front()
    }

    /// Simulates the next exchange, or the end.
    pub(super) fn advance(&mut self, scenario: &Scenario, world: &World) {
        if self.end.is_some() {
            return;
        }
        self.exchange(scenario, world);
        let over = self.left == 0 || self.thread.now >= self.session.until;
        let Self { session, rng, out, facts, thread, channel, .. } = self;
        let mut simulation = Simulation { scenario, world, session, rng, out, facts };
        let now = thread.now;
        *channel = match channel.take() {
            Some(channel) if over => {
                simulation.hang_up(channel, thread);
                None
            }
            Some(channel) => simulation.sweep(channel, thread, now),
            None => None,
        };
        let until = if over { MonoNanos::MAX } else { self.thread.now };
        self.order.take(&mut self.out.events, &mut self.facts, world, until);
        if over {
            self.end = Some(self.order.last.max(self.thread.now).plus(1_000));
        }
    }

    /// The client sends a request, or several at once, and waits for what comes of it.
    fn exchange(&mut self, scenario: &Scenario, world: &World) {
        let Self { session, rng, out, facts, thread, channel, .. } = self;
        let mut simulation = Simulation { scenario, world, session, rng, out, facts };
        let mut current = simulation.ready(channel.take(), thread, (self.client, 0), self.to, self.recorded);
        let most = match current.streams {
            Some(_) => scenario.clients.streams.draw(simulation.rng).max(1),
            None if simulation.rng.chance(scenario.per_mille.pipelined) => simulation.rng.between(2, 4),
            None => 1,
        };
        let routes: Vec<usize> = (0..most.min(self.left)).map(|_| simulation.any_route(&current)).collect();
        self.left -= routes.len() as u64;
        if simulation.exchange(&mut current, thread, &routes, Cause::default()) {
            *channel = Some(current);
        }
        thread.spend(scenario.clients.pause.draw(simulation.rng));
    }
}

impl Order {
    /// Takes events, before whom none up to `until` will follow, and makes ready what comes before that.
    fn take(&mut self, events: &mut Vec<EventBuf>, facts: &mut Facts, world: &World, until: MonoNanos) {
        for event in events.drain(..) {
            debug_assert!(event.time >= self.reached, "an event before those that were handed out: {event:?}");
            self.last = self.last.max(event.time);
            self.pending.insert((event.time, self.count), event);
            self.count += 1;
        }
        self.reached = until;
        while let Some(((_, number), event)) = pop_before(&mut self.pending, until) {
            let end = event.as_event().body.conn().and_then(|conn| facts.ends.get(&conn)).copied();
            let ahead = end.map_or(0, |end| end.ahead(world));
            let Self { encryption, shifted, ready, .. } = self;
            let mut beside = 0;
            let mut pass = |event: EventBuf| {
                if world.is_skewed() {
                    // No event becomes as many others.
                    shifted.insert((event.time.plus(ahead), number << 12 | beside), transform::later(&event, ahead));
                    beside += 1;
                } else {
                    ready.push_back(event);
                }
            };
            if end.is_some_and(|end| end.tls) { encryption.push(event, &mut pass) } else { pass(event) }
        }
        while let Some((_, event)) = pop_before(&mut self.shifted, until) {
            self.ready.push_back(event);
        }
        let Facts { ends, closed, .. } = facts;
        closed.retain(|(at, conn)| {
            let gone = *at < until;
            if gone {
                ends.remove(conn);
            }
            !gone
        });
    }
}

/// The first event, if it is before `until`; whatever it is at the end of time.
fn pop_before(
    events: &mut BTreeMap<(MonoNanos, u64), EventBuf>,
    until: MonoNanos,
) -> Option<((MonoNanos, u64), EventBuf)> {
    events
        .first_entry()
        .filter(|first| first.key().0 < until || until == MonoNanos::MAX)
        .map(|first| first.remove_entry())
}
