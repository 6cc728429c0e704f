//! The streams under way on one connection: each is one exchange (RFC 9113, section 5.1).

use std::collections::{BTreeMap, VecDeque};

use crate::event::Stamp;
use crate::exchange::{Exchange, Message, Outcome};
use crate::ids::ProcKey;
use crate::time::MonoNanos;
use crate::track::{Found, Side};

/// Where, when and by whom a frame was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) pos: u64,
    pub(crate) stamp: Stamp,
    pub(crate) process: ProcKey,
    pub(crate) arrival: Option<MonoNanos>,
}

impl Begin {
    pub(super) const fn message(&self, last: Stamp, truncated: bool) -> Message {
        let Self { pos, stamp, arrival, .. } = *self;
        Message { pos, first: stamp, last, arrival, body_len: Some(0), truncated }
    }
}

/// A stream under way.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) exchange: Box<Exchange>,
    /// The client has ended its side.
    pub(super) request_over: bool,
    /// The head of the final response has come.
    pub(super) responded: bool,
    /// Whether it is gRPC, as far as can be told.
    pub(super) grpc: Option<bool>,
    /// Frames may be missing: the client may have reset the stream, or its response may have passed unseen.
    pub(super) doubtful: bool,
}

impl Stream {
    /// What happened on it is not known in full.
    pub(super) fn mark_incomplete(&mut self) {
        self.exchange.outcome = Outcome::Incomplete;
    }

    /// The message of one side.
    pub(super) fn message(&mut self, side: Side) -> Option<&mut Message> {
        match side {
            Side::Request => Some(&mut self.exchange.request.message),
            Side::Response => self.exchange.response.as_mut().map(|response| &mut response.message),
        }
    }

    /// The size of one side's body is not known.
    pub(super) fn lose_size(&mut self, side: Side) {
        if let Some(message) = self.message(side) {
            message.body_len = None;
        }
    }
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Stream>,
    /// The highest number of a request so far.
    pub(super) last: u32,
    /// Streams that were over before the server had ended them, of which frames may still come; the latest.
    dropped: VecDeque<u32>,
    found: VecDeque<Found>,
    held_bytes: usize,
}

/// How many dropped streams are remembered.
const DROPPED: usize = 32;
/// What an open stream takes beside its exchange.
const PLACE_BYTES: usize = size_of::<(u32, Stream)>() * 2;

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Stream> {
        self.open.get_mut(&number)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.values_mut()
    }

    /// The oldest open stream.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.open.keys().next().copied()
    }

    /// The oldest open stream above `number`.
    pub(super) fn above(&self, number: u32) -> Option<u32> {
        self.open.range(number.checked_add(1)?..).next().map(|(&number, _)| number)
    }

    /// Whether a stream is open that began up to `at`.
    pub(super) fn any_since_before(&self, at: MonoNanos) -> bool {
        // Later streams have higher numbers.
        self.open.values().next().is_some_and(|stream| stream.exchange.request.message.first.exit <= at)
    }

    /// Whether frames that come late for this stream are no surprise.
    pub(super) fn was_dropped(&self, number: u32) -> bool {
        self.dropped.contains(&number)
    }

    /// A request has begun; `alone` as in [`Started`].
    pub(super) fn insert(&mut self, number: u32, stream: Stream, alone: bool) {
        self.found.push_back(Found::Started(Box::new(stream.exchange.started(alone))));
        self.take_over(number, stream);
    }

    /// Requests that were not read may be under way from now on beside those that are open.
    pub(super) fn crowd(&mut self) {
        let positions = self.open.values().map(|stream| stream.exchange.request.message.pos);
        self.found.extend(positions.map(Found::NotAlone));
    }

    /// As [`Self::insert`], for a request that was announced before.
    pub(super) fn take_over(&mut self, number: u32, stream: Stream) {
        self.last = self.last.max(number);
        self.held_bytes += stream.exchange.held_bytes() + PLACE_BYTES;
        self.open.insert(number, stream);
    }

    /// An exchange is over, `at` this moment.
    pub(super) fn end(&mut self, number: u32, outcome: Outcome, at: MonoNanos) {
        let Some(Stream { mut exchange, request_over, responded, .. }) = self.open.remove(&number) else { return };
        self.held_bytes = self.held_bytes.saturating_sub(exchange.held_bytes() + PLACE_BYTES);
        if outcome != Outcome::Complete || !responded {
            self.dropped.push_back(number);
            if self.dropped.len() > DROPPED {
                self.dropped.pop_front();
            }
        }
        if !request_over {
            exchange.request.message.body_len = None;
        }
        // What lost bytes is incomplete, however it ends.
        if exchange.outcome != Outcome::Incomplete {
            exchange.outcome = outcome;
        }
        if outcome == Outcome::Incomplete
            && let Some(response) = &mut exchange.response
        {
            response.message.body_len = None;
        }
        exchange.end = at;
        self.found.push_back(Found::Ended(exchange));
    }

    pub(super) fn poll(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// How many results there are to poll.
    pub(super) fn found(&self) -> usize {
        self.found.len()
    }

    /// Heap memory in use, in bytes.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}
