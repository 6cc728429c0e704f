//! Puts events in order: writes and connects count at their entry, but are complete only at their exit.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use redtape_core::{Body, Event, EventBuf, Ext, MonoNanos};

use crate::import::limits::{REORDER_NANOS, WAITING_EVENTS};
use crate::import::transcript::Transcript;

/// Events that wait for calls that were entered before them.
#[derive(Default)]
pub(super) struct Order {
    /// The entries of the calls that are under way, and their threads.
    entered: BTreeSet<(u64, u64)>,
    /// By time, and in the order in which they came.
    waiting: BTreeMap<(u64, u64), EventBuf>,
    number: u64,
}

impl Order {
    /// A thread has entered a call that counts from now on.
    pub(super) fn enter(&mut self, time: u64, tid: u64) {
        self.entered.insert((time, tid));
    }

    /// It has returned, or it is not known any more.
    pub(super) fn leave(&mut self, time: u64, tid: u64) {
        self.entered.remove(&(time, tid));
    }

    /// Takes an event.
    pub(super) fn push(&mut self, time: u64, body: Body<'_>, transcript: &mut Transcript) -> io::Result<()> {
        if self.waiting.is_empty() && self.entered.first().is_none_or(|(entered, _)| *entered >= time) {
            return transcript.push(time, body);
        }
        let event = Event { time: MonoNanos::new(time), cpu: 0, seq: 0, late: false, body, ext: Ext::default() };
        self.number += 1;
        self.waiting.insert((time, self.number), event.into());
        Ok(())
    }

    /// Lets go of events that wait for nothing: time has come to `now`.
    pub(super) fn advance(&mut self, now: u64, transcript: &mut Transcript) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let patience = now.saturating_sub(REORDER_NANOS);
        let until = self.entered.first().map_or(now, |(entered, _)| (*entered).max(patience));
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > until && self.waiting.len() <= WAITING_EVENTS {
                break;
            }
            self.let_go(transcript)?;
        }
        Ok(())
    }

    /// Lets go of all.
    pub(super) fn finish(&mut self, transcript: &mut Transcript) -> io::Result<()> {
        while !self.waiting.is_empty() {
            self.let_go(transcript)?;
        }
        Ok(())
    }

    fn let_go(&mut self, transcript: &mut Transcript) -> io::Result<()> {
        let Some(((time, _), event)) = self.waiting.pop_first() else { return Ok(()) };
        transcript.push(time, event.as_event().body)
    }
}
