//! Events that wait for those behind them, and the bytes of theirs that are looked at together.

use std::collections::VecDeque;

use super::mask::{MASK, OPAQUE};
use super::rules::Rule;
use crate::event::{BodyBuf, Event, EventBuf};
use crate::limits::{REDACT_HELD_BYTES, REDACT_HELD_EVENTS, REDACT_HELD_NANOS};
use crate::time::MonoNanos;

/// An event without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The event.
    pub event: EventBuf,
    /// What was changed in it: of each rule the first.
    pub changes: Vec<Change>,
}

/// Something that was changed in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Why.
    pub rule: Rule,
    /// Where.
    pub spot: Spot,
}

/// Where in an event something was changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    /// The byte at this position of its stream.
    Byte(u64),
    /// A fact: which one, in words.
    Fact(String),
}

/// A place in the captured bytes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the event.
    pub(super) event: u64,
    /// The first byte, counted over all captured bytes of the event.
    pub(super) at: usize,
    /// Its position in its stream.
    pub(super) pos: u64,
}

impl Place {
    /// So many bytes further.
    pub(super) const fn plus(self, bytes: usize) -> Self {
        Self { at: self.at + bytes, pos: self.pos.saturating_add(bytes as u64), ..self }
    }
}

/// Events in their order, the first of which may not be decided yet.
#[derive(Debug, Default)]
pub(super) struct Queue {
    slots: VecDeque<Slot>,
    /// The number of the first.
    first: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    event: EventBuf,
    /// So many parts of it are still to be looked at.
    waits: u32,
    changes: Vec<Change>,
    bytes: usize,
}

impl Slot {
    /// Notes a change. Parts may be decided in another order than they stand in.
    fn changed(&mut self, rule: Rule, spot: Spot) {
        match self.changes.iter_mut().find(|change| change.rule == rule) {
            Some(first) => first.spot = spot.min(first.spot.clone()),
            None => self.changes.push(Change { rule, spot }),
        }
    }
}

impl Queue {
    /// Takes an event in and gives it a number.
    pub(super) fn push(&mut self, event: &Event<'_>) -> u64 {
        let event = EventBuf { ext: Vec::new(), ..(*event).into() };
        let bytes = match &event.body {
            BodyBuf::Data(_, payload) => payload.as_ranges().captured(),
            _ => 0,
        };
        self.bytes += bytes;
        self.slots.push_back(Slot { event, waits: 0, changes: Vec::new(), bytes });
        self.first + self.slots.len() as u64 - 1
    }

    /// The first event, if it is decided.
    pub(super) fn pop(&mut self) -> Option<Redacted> {
        let Slot { event, changes, bytes, .. } = self.slots.pop_front_if(|slot| slot.waits == 0)?;
        self.first += 1;
        self.bytes -= bytes;
        Some(Redacted { event, changes })
    }

    /// Whether so much waits, or for so long, that the first event must be decided now.
    pub(super) fn is_overdue(&self, now: MonoNanos) -> bool {
        let late = self.slots.front().is_some_and(|slot| now.since(slot.event.time) > REDACT_HELD_NANOS);
        late || self.slots.len() > REDACT_HELD_EVENTS || self.bytes > REDACT_HELD_BYTES
    }

    /// Whether anything waits.
    pub(super) fn is_blocked(&self) -> bool {
        self.slots.front().is_some_and(|slot| slot.waits > 0)
    }

    /// The number of the first event.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// The numbers of all that have not been handed out.
    pub(super) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.slots.len() as u64
    }

    fn slot(&mut self, event: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(event.checked_sub(self.first)?).ok()?)
    }

    /// An event that has not been handed out.
    pub(super) fn event(&mut self, event: u64) -> Option<&mut EventBuf> {
        self.slot(event).map(|slot| &mut slot.event)
    }

    /// Notes that a part of the event is still to be looked at.
    pub(super) fn hold(&mut self, event: u64) {
        if let Some(slot) = self.slot(event) {
            slot.waits += 1;
        }
    }

    /// Notes that a part of the event was looked at.
    pub(super) fn release(&mut self, event: u64) {
        if let Some(slot) = self.slot(event) {
            slot.waits = slot.waits.saturating_sub(1);
        }
    }

    /// The event waits for nothing any more. Returns whether it still did: then its bytes are not decided.
    pub(super) fn release_all(&mut self, event: u64) -> bool {
        self.slot(event).is_some_and(|slot| std::mem::take(&mut slot.waits) > 0)
    }

    /// Notes that an event that is no call was changed.
    pub(super) fn changed(&mut self, event: u64, rule: Rule, fact: String) {
        if let Some(slot) = self.slot(event) {
            slot.changed(rule, Spot::Fact(fact));
        }
    }

    /// Whether bytes are nothing but masks.
    pub(super) fn is_masked(&mut self, place: Place, len: usize) -> bool {
        let Some(BodyBuf::Data(_, payload)) = self.event(place.event).map(|event| &mut event.body) else { return true };
        payload.bytes_mut(place.at, len).all(|byte| matches!(*byte, MASK | OPAQUE))
    }

    /// Overwrites bytes. Returns whether that makes a difference.
    pub(super) fn overwrite(&mut self, place: Place, bytes: &[u8], rule: Rule) -> bool {
        self.edit(place, bytes.len(), rule, |at, _| bytes.get(at).copied().unwrap_or_default())
    }

    /// Makes bytes others. Returns whether that makes a difference.
    pub(super) fn edit(&mut self, place: Place, len: usize, rule: Rule, edit: impl Fn(usize, u8) -> u8) -> bool {
        let Some(slot) = self.slot(place.event) else { return false };
        let BodyBuf::Data(_, payload) = &mut slot.event.body else { return false };
        let mut first = None;
        for (at, byte) in payload.bytes_mut(place.at, len).enumerate() {
            let edited = edit(at, *byte);
            if edited != *byte {
                first.get_or_insert(at);
                *byte = edited;
            }
        }
        let Some(first) = first else { return false };
        let pos = place.pos.saturating_add(first as u64);
        slot.changed(rule, Spot::Byte(pos));
        true
    }
}

/// Bytes of one stream that came in several events, to be looked at together.
#[derive(Debug, Default)]
pub(super) struct Gather {
    pub(super) bytes: Vec<u8>,
    /// Where they came from, each with its first byte here.
    places: Vec<(usize, Place)>,
}

impl Gather {
    /// Adds bytes, and has their event wait.
    pub(super) fn push(&mut self, queue: &mut Queue, place: Place, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        queue.hold(place.event);
        self.places.push((self.bytes.len(), place));
        self.bytes.extend_from_slice(bytes);
    }

    /// Leaves the bytes as they are, and lets the events go.
    pub(super) fn keep(&mut self, queue: &mut Queue) {
        for (_, place) in self.places.drain(..) {
            queue.release(place.event);
        }
    }

    /// Puts `bytes`, which are as many, in the place of those that were gathered, and lets the events go. `marks` are the
    /// places that may differ, ascending, with their rules. Returns for each whether it makes a difference.
    pub(super) fn put_back(
        self,
        queue: &mut Queue,
        bytes: &[u8],
        marks: impl Iterator<Item = (std::ops::Range<usize>, Rule)>,
        mut changed: impl FnMut(Rule),
    ) {
        for (range, rule) in marks {
            let mut differs = false;
            for (at, place, len) in self.parts() {
                let (from, to) = (range.start.max(at), range.end.min(at + len));
                if from < to
                    && let Some(bytes) = bytes.get(from..to)
                {
                    differs |= queue.overwrite(place.plus(from - at), bytes, rule);
                }
            }
            if differs {
                changed(rule);
            }
        }
        for (_, place, _) in self.parts() {
            queue.release(place.event);
        }
    }

    /// The parts: where each begins here, where it came from, and how long it is.
    fn parts(&self) -> impl Iterator<Item = (usize, Place, usize)> {
        let ends = self.places.iter().skip(1).map(|(at, _)| *at).chain([self.bytes.len()]);
        self.places.iter().zip(ends).map(|(&(at, place), end)| (at, place, end - at))
    }
}
