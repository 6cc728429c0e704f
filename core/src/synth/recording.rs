//! Merges conversations into one recording, in time order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::event::{Body, BodyBuf, EventBuf};
use crate::time::MonoNanos;

use super::conversation::Conversation;
use super::rng::Rng;
use super::scenario::Scenario;
use super::sessions::Sessions;
use super::transform;
use super::truth::Truth;
use super::world::{START, World};

/// CPUs of the recording host.
pub(super) const CPUS: u16 = 4;

/// The recording of a scenario: its events in the order of a tape and, if it was asked for, the truth as it becomes known.
///
/// Memory is bounded by the exchanges that are under way at one time, however many there are in all, and however many a connection has.
pub struct Recording {
    scenario: Scenario,
    world: World,
    sessions: Sessions,
    /// What happens to processes, next.
    processes: BTreeMap<(MonoNanos, Change), usize>,
    /// Until when processes took part in conversations, by service and generation.
    used: BTreeMap<(usize, u32), MonoNanos>,
    preface: VecDeque<EventBuf>,
    /// Conversations under way, by number.
    conversations: BTreeMap<u64, Conversation>,
    /// Their numbers, by their next event.
    active: BTreeSet<(MonoNanos, u64)>,
    /// Those that are not over, by how far they have come.
    unfinished: BTreeSet<(MonoNanos, u64)>,
    truth: Option<Vec<Truth>>,
    losses: Rng,
    sequences: [u64; CPUS as usize],
}

/// What happens to a service's process of this generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Begins(u32, usize),
    Exits(u32, usize),
}

impl Recording {
    pub(super) fn new(scenario: Scenario, world: World, truth: bool) -> Self {
        let mut preface = VecDeque::new();
        for host in &world.hosts {
            let clock = Body::Clock { origin: host.origin, anchor: host.anchor() };
            preface.push_back(EventBuf::new(START, BodyBuf::Plain(clock)));
        }
        let mut processes = BTreeMap::new();
        for (at, service) in world.services().enumerate().filter(|(_, service)| !service.foreign) {
            preface.push_back(EventBuf::new(START, BodyBuf::Process(Box::new(service.process(0)))));
            if service.lifetime.is_some() {
                let ahead = world.hosts[service.host].ahead;
                processes.insert((service.begins(1).plus(ahead), Change::Begins(1, at)), at);
            }
        }
        Self {
            sessions: Sessions::new(&scenario),
            losses: Rng::stream(scenario.seed, u64::MAX / 3),
            scenario,
            world,
            processes,
            used: BTreeMap::new(),
            preface,
            conversations: BTreeMap::new(),
            active: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            truth: truth.then(Vec::new),
            sequences: [0; CPUS as usize],
        }
    }

    /// What has become known of the truth since the last time: of all exchanges that the events so far belong to, and of some
    /// that come later.
    pub fn truth(&mut self) -> impl Iterator<Item = Truth> {
        self.truth.as_mut().map(std::mem::take).unwrap_or_default().into_iter()
    }

    /// Begins the conversations that may have an event before all that are under way.
    fn admit(&mut self) {
        loop {
            let first = self.unfinished.first().copied();
            let reached = first.map(|(reached, _)| reached);
            let Some(start) = self.sessions.next_start(reached) else { return };
            if self.active.first().is_some_and(|(time, _)| *time < start) {
                return;
            }
            let number = if let Some(session) = self.sessions.next(&self.scenario, reached) {
                let conversation = Conversation::begin(&self.scenario, &self.world, session);
                self.conversations.insert(session.number, conversation);
                session.number
            } else if let Some((_, number)) = first {
                number
            } else {
                return;
            };
            self.advance(number);
        }
    }

    /// Simulates a conversation further, until it has an event or is over.
    fn advance(&mut self, number: u64) {
        let Some(conversation) = self.conversations.get_mut(&number) else { return };
        let before = conversation.next_time();
        self.unfinished.remove(&(conversation.reached(), number));
        loop {
            conversation.advance(&self.scenario, &self.world);
            for (process, until) in std::mem::take(&mut conversation.facts.used) {
                let used = self.used.entry(process).or_default();
                *used = until.max(*used);
            }
            let truth = conversation.facts.truth.drain(..);
            match &mut self.truth {
                Some(known) => known.extend(truth),
                None => drop(truth),
            }
            if conversation.end.is_some() || conversation.next_time().is_some() {
                break;
            }
        }
        match conversation.end {
            Some(end) => self.sessions.over(&conversation.session, conversation.facts.opened, end),
            None => drop(self.unfinished.insert((conversation.reached(), number))),
        }
        match conversation.next_time() {
            Some(time) if before.is_none() => drop(self.active.insert((time, number))),
            Some(_) => {}
            None => drop(self.conversations.remove(&number)),
        }
    }

    /// The next event of a conversation.
    fn take(&mut self) -> Option<EventBuf> {
        let (_, number) = self.active.pop_first()?;
        let conversation = self.conversations.get_mut(&number)?;
        let event = conversation.next()?;
        match conversation.next_time() {
            Some(time) => drop(self.active.insert((time, number))),
            None if conversation.end.is_some() => drop(self.conversations.remove(&number)),
            None => self.advance(number),
        }
        Some(event)
    }

    /// What happens to a process before `time`.
    fn change(&mut self, time: MonoNanos) -> Option<EventBuf> {
        let ((at, change), _) = self.processes.first_key_value().filter(|((at, _), _)| *at <= time)?;
        let (at, change) = (*at, *change);
        self.processes.pop_first();
        let body = match change {
            Change::Exits(generation, service) => Body::Exit { process: self.world.service(service).key(generation) },
            Change::Begins(generation, number) => {
                let service = self.world.service(number);
                let ahead = self.world.hosts[service.host].ahead;
                let next = service.begins(generation + 1).plus(ahead);
                self.processes.insert((next, Change::Begins(generation + 1, number)), number);
                let before = (number, generation - 1);
                let used = self.used.remove(&before).unwrap_or_default().plus(ahead);
                let exit = used.max(at).plus(1_000_000);
                self.processes.insert((exit, Change::Exits(generation - 1, number)), number);
                return Some(EventBuf::new(at, BodyBuf::Process(Box::new(service.process(generation)))));
            }
        };
        Some(EventBuf::new(at, BodyBuf::Plain(body)))
    }
}

impl Iterator for Recording {
    type Item = EventBuf;

    fn next(&mut self) -> Option<EventBuf> {
        let mut event = if let Some(event) = self.preface.pop_front() {
            event
        } else {
            self.admit();
            let (time, _) = *self.active.first()?;
            match self.change(time) {
                Some(event) => event,
                None => {
                    let event = self.take()?;
                    if self.losses.chance(self.scenario.recorder.loss) { transform::lost(&event) } else { event }
                }
            }
        };
        let sequence = self.sequences.get_mut(usize::from(event.cpu)).expect("invariant: cpu < CPUS");
        event.seq = *sequence;
        *sequence += 1;
        Some(event)
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("scenario", &self.scenario).finish_non_exhaustive()
    }
}
