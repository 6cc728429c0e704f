//! When connections from outside begin: a number of lanes, each with one connection after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::MonoNanos;

use super::rng::Rng;
use super::scenario::Scenario;
use super::world::START;

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
    /// Nanoseconds from its end to the beginning of the next in its lane.
    pub(super) pause: u64,
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

    /// The earliest moment at which the next may begin, if those under way have come to `reached`, the first of them.
    pub(super) fn next_start(&self, reached: Option<MonoNanos>) -> Option<MonoNanos> {
        let free = self.free.peek().map(|Reverse((free, _))| *free);
        let start = self.due.max(free.into_iter().chain(reached).min()?);
        (self.left > 0 && start < self.until).then_some(start)
    }

    /// Begins the next, unless one of those under way, of which the first has come to `reached`, may be over before.
    pub(super) fn next(&mut self, scenario: &Scenario, reached: Option<MonoNanos>) -> Option<Session> {
        let &Reverse((free, lane)) = self.free.peek()?;
        if reached.is_some_and(|reached| reached < free) {
            return None;
        }
        self.free.pop();
        let start = self.due.max(free);
        let opened = *self.opened.get(usize::try_from(lane).ok()?)?;
        let requests = scenario.clients.keep_alive.draw(&mut self.rng).clamp(1, self.left);
        if let Some(interval) = &scenario.clients.interval {
            self.due = self.due.plus(interval.draw(&mut self.rng));
        }
        let pause = scenario.clients.pause.draw(&mut self.rng);
        let session = Session { number: self.next, lane, opened, start, requests, until: self.until, pause };
        self.next += 1;
        self.left = self.left.saturating_sub(requests);
        Some(session)
    }

    /// A conversation is over: its lane is free for the next.
    pub(super) fn over(&mut self, session: &Session, opened: u32, end: MonoNanos) {
        if let Some(before) = usize::try_from(session.lane).ok().and_then(|lane| self.opened.get_mut(lane)) {
            *before = before.wrapping_add(opened);
        }
        self.free.push(Reverse((end.plus(session.pause), session.lane)));
    }
}
