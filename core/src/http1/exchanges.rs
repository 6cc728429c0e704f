//! The exchanges under way on one connection, oldest first: responses come in the order of the requests.

use std::collections::VecDeque;

use crate::event::Stamp;
use crate::exchange::{Exchange, Outcome, Response};
use crate::time::MonoNanos;
use crate::track::Found;

/// Exchanges that are under way, or over and not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    list: VecDeque<Box<Exchange>>,
    /// So many at the front are over.
    over: usize,
    /// So many at the front were announced as started.
    announced: usize,
    /// So many at the front may not be alone: a request that was not read may be under way behind them.
    crowded: usize,
    /// So many of those were announced as such.
    crowded_announced: usize,
    /// Whether the last one's request has bytes to come.
    request_open: bool,
    /// The ones waiting may have begun in the middle of a body: they are not announced until that is settled.
    doubtful: bool,
    held_bytes: usize,
}

impl Exchanges {
    /// How many wait for the end of their response.
    pub(super) fn waiting(&self) -> usize {
        self.list.len() - self.over
    }

    /// A request has begun.
    pub(super) fn push(&mut self, exchange: Box<Exchange>, doubtful: bool) {
        self.held_bytes += exchange.held_bytes();
        self.list.push_back(exchange);
        self.request_open = true;
        self.doubtful |= doubtful;
    }

    /// Whether records may be missing from after the beginning of the last one's request, if they may be up to `at`.
    pub(super) fn last_began_before(&self, at: MonoNanos) -> bool {
        self.list.back().is_some_and(|exchange| exchange.request.message.first.exit <= at)
    }

    /// The one whose request is being read.
    pub(super) fn requesting(&mut self) -> Option<&mut Exchange> {
        if self.request_open { self.list.back_mut().map(|exchange| &mut **exchange) } else { None }
    }

    /// Ends the request being read, complete or not.
    pub(super) fn end_request(&mut self, body_len: Option<u64>) {
        if let Some(exchange) = self.requesting() {
            exchange.request.message.body_len = body_len;
        }
        self.request_open = false;
    }

    /// The one whose response is next or being read.
    pub(super) fn responding(&mut self) -> Option<&mut Exchange> {
        self.list.get_mut(self.over).map(|exchange| &mut **exchange)
    }

    /// Whether the response being read has begun.
    pub(super) fn has_response(&self) -> bool {
        self.list.get(self.over).is_some_and(|exchange| exchange.response.is_some())
    }

    /// Whether the one whose response is next is also the one whose request is being read.
    pub(super) fn responds_early(&self) -> bool {
        self.request_open && self.waiting() == 1
    }

    /// The exchange whose response was being read is over.
    pub(super) fn end_response(&mut self, outcome: Outcome, at: MonoNanos) {
        if self.responds_early() {
            self.request_open = false;
        }
        if let Some(exchange) = self.responding() {
            // What lost bytes is incomplete, however it ends.
            if exchange.outcome != Outcome::Incomplete {
                exchange.outcome = outcome;
            }
            exchange.end = exchange.response.as_ref().map_or(at, |response| response.message.last.exit);
            self.over += 1;
        }
    }

    /// All that wait are over.
    pub(super) fn end_all(&mut self, outcome: Outcome, at: MonoNanos) {
        while self.waiting() > 0 {
            self.end_response(outcome, at);
        }
    }

    /// All that wait overlap lost bytes.
    pub(super) fn mark_incomplete(&mut self) {
        self.list.iter_mut().skip(self.over).for_each(|exchange| exchange.outcome = Outcome::Incomplete);
    }

    /// Whether those that wait may not be requests at all.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Those that wait are requests.
    pub(super) fn confirm(&mut self) {
        self.doubtful = false;
    }

    /// Takes out the only one that waits, if its request is complete and was announced.
    pub(super) fn take_only(&mut self) -> Option<Box<Exchange>> {
        let alone = self.waiting() == 1 && !self.request_open && self.announced == self.list.len();
        let exchange = if alone { self.list.pop_back() } else { None }?;
        self.announced -= 1;
        self.crowded = self.crowded.min(self.list.len());
        self.crowded_announced = self.crowded_announced.min(self.list.len());
        self.held_bytes = self.held_bytes.saturating_sub(exchange.held_bytes());
        Some(exchange)
    }

    /// Those that wait are no requests.
    pub(super) fn discard(&mut self) {
        while self.waiting() > 0 {
            if let Some(exchange) = self.list.pop_back() {
                self.held_bytes = self.held_bytes.saturating_sub(exchange.held_bytes());
            }
        }
        self.crowded = self.crowded.min(self.list.len());
        self.doubtful = false;
        self.request_open = false;
    }

    /// Behind those that wait, a request that was not read may be under way.
    pub(super) fn crowd(&mut self) {
        self.crowded = self.list.len();
    }

    /// Hands out what is ready, in order.
    pub(super) fn poll(&mut self) -> Option<Found> {
        let settled = if self.doubtful { self.over } else { self.list.len() };
        if self.announced < settled
            && let Some(exchange) = self.list.get(self.announced)
        {
            self.announced += 1;
            return Some(Found::Started(Box::new(exchange.started(true))));
        }
        if self.crowded_announced < self.crowded.min(self.announced)
            && let Some(exchange) = self.list.get(self.crowded_announced)
        {
            self.crowded_announced += 1;
            return Some(Found::NotAlone(exchange.request.message.pos));
        }
        self.over = self.over.checked_sub(1)?;
        for count in [&mut self.announced, &mut self.crowded, &mut self.crowded_announced] {
            *count = count.saturating_sub(1);
        }
        let exchange = self.list.pop_front()?;
        self.held_bytes = self.held_bytes.saturating_sub(exchange.held_bytes());
        Some(Found::Ended(exchange))
    }

    /// Heap memory in use, in bytes.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The response being read has got this far.
    pub(super) fn response_moved(&mut self, by: Stamp) {
        if let Some(response) = self.response() {
            response.message.last = by;
        }
    }

    /// The response being read.
    pub(super) fn response(&mut self) -> Option<&mut Response> {
        self.responding()?.response.as_mut()
    }
}
