//! Merges conversations into one recording, in time order.

use std::collections::{BTreeMap, VecDeque};
use std::vec;

use crate::event::{Body, BodyBuf, EventBuf};
use crate::time::{ClockAnchor, MonoNanos, WallNanos};

use super::conversation::Conversation;
use super::scenario::Scenario;
use super::world::World;

/// CPUs of the recording host.
pub(super) const CPUS: u16 = 4;

/// The recording of a scenario.
pub(super) struct Merge {
    scenario: Scenario,
    world: World,
    preface: VecDeque<EventBuf>,
    /// Conversations under way by their next event.
    active: BTreeMap<(MonoNanos, u32), (EventBuf, vec::IntoIter<EventBuf>)>,
    /// The next conversation to begin.
    next: u32,
    sequences: [u64; CPUS as usize],
}

impl Merge {
    pub(super) fn new(scenario: Scenario) -> Self {
        let world = World::new(scenario.seed);
        let plain = |body| EventBuf::new(scenario.start, body);
        let anchor = ClockAnchor {
            mono: scenario.start,
            boot_nanos: scenario.start.nanos(),
            wall: WallNanos::new(1_700_000_000_000_000_000 + scenario.start.nanos()),
            uncertainty_nanos: 100,
        };
        let mut preface = VecDeque::from([plain(BodyBuf::Plain(Body::Clock { origin: world.origin, anchor }))]);
        let recorded = world.services.iter().filter(|service| !service.foreign);
        preface.extend(recorded.map(|service| plain(BodyBuf::Process(Box::new(service.process.clone())))));
        Self { scenario, world, preface, active: BTreeMap::new(), next: 0, sequences: [0; CPUS as usize] }
    }

    /// Begins the conversations that may have an event before all that are under way.
    fn admit(&mut self) {
        while self.next < self.scenario.connections {
            let start = Conversation::start(&self.scenario, self.next);
            if self.active.first_key_value().is_some_and(|((time, _), _)| *time < start) {
                return;
            }
            let events = Conversation::simulate(&self.scenario, &self.world, self.next).events;
            self.resume(self.next, events.into_iter());
            self.next += 1;
        }
    }

    fn resume(&mut self, number: u32, mut events: vec::IntoIter<EventBuf>) {
        if let Some(event) = events.next() {
            self.active.insert((event.time, number), (event, events));
        }
    }
}

impl Iterator for Merge {
    type Item = EventBuf;

    fn next(&mut self) -> Option<EventBuf> {
        let mut event = if let Some(event) = self.preface.pop_front() {
            event
        } else {
            self.admit();
            let ((_, number), (event, rest)) = self.active.pop_first()?;
            self.resume(number, rest);
            event
        };
        let sequence = self.sequences.get_mut(usize::from(event.cpu)).expect("invariant: cpu < CPUS");
        event.seq = *sequence;
        *sequence += 1;
        Some(event)
    }
}
