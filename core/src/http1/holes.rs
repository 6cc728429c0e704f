//! Holes: bytes that were lost or not captured, and how the next message is found behind them.
//!
//! What is lost takes its own message along and no other, and nothing is taken for a message that may be the middle of
//! one. Behind lost bytes of the request stream, what reads as a request counts as one if a response has come that
//! answers what was lost, or if the response stream lacks bytes, too; until then it is doubtful. Behind lost bytes of
//! the response stream, a response counts if exactly one request can have been answered by what was lost. A client that
//! pipelines may be owed responses to requests in front of the next one: until as many have come, none is paired. Where
//! requests may be hidden in bytes that were not captured, a response whose own bytes do not show its end has none.

use super::parser::{Http1, State};
use crate::exchange::Outcome;
use crate::time::MonoNanos;
use crate::track::{Call, Chunk, Side};

/// The shortest request there is: `A / HTTP/1.1` and two line feeds.
const MIN_REQUEST_BYTES: u64 = 14;

impl Http1 {
    /// A request begins: a response of unknown end is over, as the client would have waited for it.
    pub(super) fn turn(&mut self, with_call: bool, call: &Call<'_>) {
        self.turned |= with_call;
        self.answered = false;
        self.pipelines |= !with_call;
        if matches!(self.response, State::Open { .. }) {
            self.end_open_response(!self.pipelines, call);
        }
        // Had there been more requests, their responses would have come: a client that does not pipeline waits for them.
        self.hidden &= self.pipelines || self.exchanges.waiting() > 0;
    }

    /// Bytes moved on this side. A response that has begun may be over where its end cannot be read, and what its server does
    /// then, it may do for a request that could not be read either, or for one that was handed out before it was answered.
    pub(super) fn settle_alone(&mut self, side: Side) {
        self.answered |= side == Side::Response;
        let unread = self.hidden || matches!(self.request, State::Open { .. } | State::Seek);
        if self.owed > 0 || self.answered && unread {
            self.exchanges.crowd();
        }
    }

    /// The response of unknown end is followed no longer. If it is known to be `over`, it is complete, unless its last
    /// bytes may be among lost records, or other responses among its bytes. Which of those that wait behind it have
    /// their response is not known: if the client pipelines, those may still come.
    pub(super) fn end_open_response(&mut self, over: bool, call: &Call<'_>) {
        let (waiting, begun) = (self.exchanges.waiting(), self.exchanges.has_response());
        let complete =
            over && begun && waiting == 1 && !self.hidden && !self.exchanges.last_began_before(call.lossy_until);
        let outcome = if complete { Outcome::Complete } else { Outcome::Incomplete };
        if self.pipelines {
            self.owed = self.owed.saturating_add(waiting - usize::from(begun));
        }
        self.exchanges.end_all(outcome, call.stamp.exit);
        self.response = State::Seek;
    }

    /// Whether a response begins, though the request that it answers may not have been seen.
    pub(super) fn is_next_response(&self, chunk: Chunk<'_>, call: &Call<'_>) -> bool {
        chunk.pos == call.start && Self::side_of(chunk.bytes) == Some(Side::Response)
    }

    /// Looks whether a call begins with a message head.
    pub(super) fn seek(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let all = chunk.bytes.len();
        let found = chunk.pos == call.start && Self::side_of(chunk.bytes) == Some(side);
        let waiting = self.exchanges.waiting();
        match side {
            Side::Request if found => {
                let doubtful = match &self.response {
                    State::Start if waiting == 0 => !self.proven,
                    State::Open { .. } if self.proven => false,
                    State::Seek if waiting == 0 && (self.proven || !self.confirmed) => false,
                    _ => return all,
                };
                self.request = State::Start;
                self.begin(side, chunk, call, doubtful)
            }
            Side::Response if found => {
                self.exchanges.confirm();
                self.response = State::Start;
                self.begin(side, chunk, call, false)
            }
            Side::Response => {
                self.miss_response();
                all
            }
            Side::Request => all,
        }
    }

    /// Bytes of the response stream moved in which a response may have begun unseen.
    pub(super) fn miss_response(&mut self) {
        if self.exchanges.is_doubtful() {
            self.exchanges.discard();
        } else if self.exchanges.waiting() > 0 {
            self.exchanges.mark_incomplete();
            self.response = State::Open { chunked: false };
        }
    }

    /// A call moved bytes that were not captured.
    pub(super) fn skip(&mut self, side: Side, count: u64, call: &Call<'_>) {
        let body = matches!(self.state(side), State::Length(_) | State::Chunked(_) | State::UntilClose(_) | State::Off);
        self.hidden |= side == Side::Request && !body;
        let here = match self.state(side) {
            State::Head(_) => {
                let State::Head(partial) = std::mem::replace(self.state(side), State::Start) else { return };
                return self.finish_head(side, &partial, call);
            }
            State::Start => {
                if side == Side::Request {
                    // They are another request, which the thread has taken up as well.
                    self.exchanges.crowd();
                }
                return self.lose(side, count, call.stamp.exit, call.lossy_until);
            }
            State::Seek if side == Side::Response => return self.miss_response(),
            State::Seek | State::Off => return,
            State::Open { .. } => count,
            State::UntilClose(received) => {
                *received = received.saturating_add(count);
                count
            }
            State::Length(left) => {
                let here = count.min(*left);
                *left -= here;
                here
            }
            State::Chunked(chunked) => {
                if !chunked.skip(count) {
                    *self.state(side) = State::Open { chunked: true };
                    self.hidden |= side == Side::Request;
                }
                count
            }
        };
        self.moved(side, call);
        if matches!(self.state(side), State::Length(0)) {
            self.end_message(side, None);
        }
        if here < count {
            self.skip(side, count - here, call);
        }
    }

    /// Bytes were lost: what they belonged to is incomplete, what follows is somewhere in a message. Records from up to
    /// `lossy_until` may be missing.
    pub(super) fn lose(&mut self, side: Side, count: u64, at: MonoNanos, lossy_until: MonoNanos) {
        match side {
            Side::Request => {
                // The rest of a chunked body was lost, and not so much that a head could be among it.
                let small = matches!(self.request, State::Chunked(chunked) if count < chunked.min_rest().saturating_add(MIN_REQUEST_BYTES));
                if matches!(self.request, State::Off) {
                    return;
                }
                if let Some(exchange) = self.exchanges.requesting() {
                    exchange.outcome = Outcome::Incomplete;
                }
                self.exchanges.end_request(None);
                // A response since the last request, which was whole, answers one among the lost bytes.
                let answered = self.proven && !self.requested && matches!(self.request, State::Start);
                self.proven = small || answered;
                self.request = State::Seek;
            }
            Side::Response => {
                self.requested = false;
                let sought = matches!(self.response, State::Seek);
                // Whether the bytes may belong to what followed the last request, which may be lost as well.
                let after = self.exchanges.last_began_before(lossy_until);
                self.response = match self.exchanges.waiting() {
                    _ if matches!(self.response, State::Off) => return,
                    0 => State::Seek,
                    // The gap may be the response to the lost request: a status line behind it will tell.
                    1 if self.exchanges.is_doubtful() && !after && matches!(self.response, State::Start) => State::Seek,
                    _ if self.exchanges.is_doubtful() => {
                        self.exchanges.discard();
                        State::Seek
                    }
                    2 if !sought && !after && self.turned && !self.pipelines => {
                        // The client had the first response before it went on: this is about the second.
                        if let Some(exchange) = self.exchanges.responding() {
                            exchange.outcome = Outcome::Incomplete;
                        }
                        self.exchanges.end_response(Outcome::Incomplete, at);
                        State::Seek
                    }
                    _ => {
                        self.exchanges.mark_incomplete();
                        State::Open { chunked: false }
                    }
                };
            }
        }
    }

    /// The order of both streams is not known: no response can be told to be the one of a request that was there first.
    pub(super) fn lose_order(&mut self, side: Side) {
        match side {
            Side::Request if !matches!(self.request, State::Off) => {
                self.exchanges.end_request(None);
                self.request = State::Seek;
                self.proven = false;
            }
            Side::Response if !matches!(self.response, State::Off) => {
                self.exchanges.mark_incomplete();
                if let Some(exchange) = self.exchanges.responding() {
                    exchange.response = None;
                }
                let waiting = self.exchanges.waiting() > 0;
                self.response = if waiting { State::Open { chunked: false } } else { State::Seek };
            }
            _ => {}
        }
    }

    /// Passes the part of the lost bytes that is known to lie within the current body, and returns how many are left.
    pub(super) fn lose_within(&mut self, side: Side, count: u64) -> u64 {
        let within = match self.state(side) {
            State::Length(left) => {
                let within = count.min(*left);
                *left -= within;
                within
            }
            State::Chunked(chunked) => {
                let within = chunked.skip(count);
                u64::from(within) * count
            }
            State::UntilClose(_) => count,
            _ => 0,
        };
        if within > 0 {
            let exchange = match side {
                Side::Request => self.exchanges.requesting(),
                Side::Response => self.exchanges.responding(),
            };
            if let Some(exchange) = exchange {
                exchange.outcome = Outcome::Incomplete;
            }
            if matches!(self.state(side), State::Length(0)) {
                self.end_message(side, None);
            }
        }
        count - within
    }
}
