//! All TCP connections of a capture, within bounds.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

use super::connection::{Connection, Context};
use super::segment::Segment;
use crate::import::limits::{FLOWS, HELD_BYTES_OF_ALL};

/// The connections by their addresses.
#[derive(Default)]
pub(super) struct Flows {
    /// Both ends, the smaller first.
    places: FxHashMap<[SocketAddr; 2], usize>,
    slots: Vec<Slot>,
    /// Those that are over, the first of them first. What of it has another connection by now is passed over.
    over: VecDeque<(usize, u64)>,
    /// Where the search for one that is idle goes on.
    hand: usize,
    /// The connections in which something waits, by the time until when.
    deadlines: BTreeSet<(u64, usize)>,
    held_bytes: usize,
    /// How many there have been.
    opened: u64,
}

struct Slot {
    ends: [SocketAddr; 2],
    connection: Connection,
    /// Its number among those that have been.
    number: u64,
    /// It had a segment since the search passed it.
    used: bool,
    deadline: Option<u64>,
}

impl Flows {
    /// Takes a segment.
    pub(super) fn take(&mut self, time: u64, segment: &Segment<'_>, cx: &mut Context<'_>) -> io::Result<()> {
        let from = usize::from(segment.from > segment.to);
        let ends = if from == 0 { [segment.from, segment.to] } else { [segment.to, segment.from] };
        let at = match self.places.get(&ends) {
            Some(&at) => at,
            // Of these nothing follows.
            None if segment.rst => return Ok(()),
            None => self.open(ends, cx)?,
        };
        if self.slots.get(at).is_some_and(|slot| slot.connection.is_other(from, segment)) {
            self.with(at, |connection| connection.replaced(time, cx))?;
            self.opened += 1;
            if let Some(slot) = self.slots.get_mut(at) {
                (slot.connection, slot.number) = (Connection::new(ends), self.opened);
            }
        }
        if let Some(slot) = self.slots.get_mut(at) {
            slot.used = true;
        }
        self.with(at, |connection| connection.take(time, from, segment, cx))?;
        while self.held_bytes > HELD_BYTES_OF_ALL
            && let Some(&(_, at)) = self.deadlines.first()
        {
            self.with(at, |connection| connection.finish(cx))?;
        }
        Ok(())
    }

    /// Gives up what was waited for until now.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(&(deadline, at)) = self.deadlines.first()
            && deadline <= cx.now
        {
            self.with(at, |connection| connection.expire(cx))?;
        }
        Ok(())
    }

    /// The capture ends.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(&(_, at)) = self.deadlines.first() {
            self.with(at, |connection| connection.finish(cx))?;
        }
        Ok(())
    }

    /// Lets a connection work, and keeps account of what it holds.
    #[inline]
    fn with(&mut self, at: usize, work: impl FnOnce(&mut Connection) -> io::Result<()>) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(at) else { return Ok(()) };
        let (held, was_over) = (slot.connection.flow().held_bytes(), slot.connection.is_over());
        work(&mut slot.connection)?;
        self.held_bytes = self.held_bytes - held + slot.connection.flow().held_bytes();
        let deadline = slot.connection.flow().deadline();
        if deadline != slot.deadline {
            if let Some(before) = std::mem::replace(&mut slot.deadline, deadline) {
                self.deadlines.remove(&(before, at));
            }
            if let Some(deadline) = deadline {
                self.deadlines.insert((deadline, at));
            }
        }
        if slot.connection.is_over() && !was_over {
            self.over.push_back((at, slot.number));
        }
        Ok(())
    }

    /// A place for a new connection.
    fn open(&mut self, ends: [SocketAddr; 2], cx: &mut Context<'_>) -> io::Result<usize> {
        self.opened += 1;
        let slot = Slot { ends, connection: Connection::new(ends), number: self.opened, used: true, deadline: None };
        let at = if self.slots.len() < FLOWS {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let at = self.evict(cx)?;
            if let Some(place) = self.slots.get_mut(at) {
                *place = slot;
            }
            at
        };
        self.places.insert(ends, at);
        Ok(at)
    }

    /// Frees a place: that of a connection that is over, else of one without segments for long.
    #[cold]
    fn evict(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let at = self.place_to_free(cx);
        self.with(at, |connection| connection.finish(cx))?;
        if let Some(slot) = self.slots.get(at) {
            self.places.remove(&slot.ends);
        }
        Ok(at)
    }

    fn place_to_free(&mut self, cx: &mut Context<'_>) -> usize {
        while let Some((at, number)) = self.over.pop_front() {
            if self.slots.get(at).is_some_and(|slot| slot.number == number) {
                return at;
            }
        }
        cx.found.forget("connection", 1);
        loop {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            match self.slots.get_mut(self.hand) {
                Some(slot) if slot.used => slot.used = false,
                _ => return self.hand,
            }
        }
    }
}
