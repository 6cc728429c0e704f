//! When connections from outside begin: a number of lanes, each with one connection after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::MonoNanos;

use super::conversation::Conversation;
use super::rng::Rng;
use super::scenario::Scenario;
use super::world::{START, World};

/// What is decided of a conversation before it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    /// Which of the connections that are open at one time; ports and threads are its own.
    pub(super) lane: u32,
    /// Connections that were opened in this lane before.
    pub(super) opened: u32,
    pub(super) start: MonoNanos,
    /// So many requests.
    pub(super) requests: u64,
    /// No request is sent from then on.
    pub(super) until: MonoNanos,
}

/// All conversations of a scenario, by their beginning.
pub(super) struct Sessions {
    rng: Rng,
    next: u64,
    left: u64,
    until: MonoNanos,
    /// The earliest moment that the next may begin at.
    due: MonoNanos,
    /// When each lane is free, the first on top.
    free: BinaryHeap<Reverse<(MonoNanos, u32)>>,
    opened: Vec<u32>,
}

/// Nanoseconds between the beginnings of lanes.
const RAMP: u64 = 1_000_000;
/// Requests without a number or a duration.
const REQUESTS: u64 = 1000;

impl Sessions {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let lanes = scenario.clients.connections;
        let unasked = if scenario.duration.is_some() { u64::MAX } else { REQUESTS };
        // With an arrival rate, whoever comes first takes any lane.
        let ramp = if scenario.clients.interval.is_some() { 0 } else { RAMP };
        Self {
            rng: Rng::stream(scenario.seed, u64::MAX / 2),
            next: 0,
            left: scenario.requests.unwrap_or(unasked),
            until: scenario.duration.map_or(MonoNanos::MAX, |duration| START.plus(duration.nanos())),
            due: START,
            free: (0..lanes).map(|lane| Reverse((START.plus(ramp * u64::from(lane)), lane))).collect(),
            opened: vec![0; usize::try_from(lanes).unwrap_or(0)],
        }
    }

    /// When the next one begins.
    pub(super) fn next_start(&self) -> Option<MonoNanos> {
        let Reverse((free, _)) = self.free.peek()?;
        let start = self.due.max(*free);
        (self.left > 0 && start < self.until).then_some(start)
    }

    pub(super) fn next(&mut self, scenario: &Scenario, world: &World) -> Option<Conversation> {
        let start = self.next_start()?;
        let Reverse((_, lane)) = self.free.pop()?;
        let opened = self.opened.get_mut(usize::try_from(lane).ok()?)?;
        let requests = scenario.clients.keep_alive.draw(&mut self.rng).clamp(1, self.left);
        let session = Session { number: self.next, lane, opened: *opened, start, requests, until: self.until };
        let conversation = Conversation::simulate(scenario, world, &session);
        *opened = opened.wrapping_add(conversation.opened);
        self.next += 1;
        self.left = self.left.saturating_sub(requests);
        if let Some(interval) = &scenario.clients.interval {
            self.due = self.due.plus(interval.draw(&mut self.rng));
        }
        self.free.push(Reverse((conversation.end.plus(scenario.clients.pause.draw(&mut self.rng)), lane)));
        Some(conversation)
    }
}
