//! The HTTP/1 state machine of one connection: two halves that each go from message to message, and the pairing of both.
//!
//! ```text
//!            first byte          end of head            end of body
//!    Start ─────────────▶ Head ─────────────▶ Body ──────────────────▶ Start
//!      ▲                    │ cut off            │ not captured             tunnel, fault, end of stream
//!      │                    └────────▶ Open ◀────┘                    any ──────────────────────────────▶ Off
//!      │ a call begins with             │ the other side goes on
//!      │ a message head                 ▼
//!      └──────────────────────────── Seek ◀── lost bytes, attached in the middle
//! ```
//!
//! Where the end of a message cannot be read, the other side tells it: a response begins when its request is complete,
//! and a client that does not pipeline sends its next request when it has the whole response.

use super::chunked::{Chunked, Step, ends_body};
use super::exchanges::Exchanges;
use super::head::{Head, StartLine};
use crate::diagnostic::DiagnosticKind;
use crate::event::Stamp;
use crate::exchange::{Exchange, Message, Outcome};
use crate::ids::ProcKey;
use crate::time::MonoNanos;
use crate::track::{Call, Chunk, End, EndKind, Found, Gap, Parser, Side, is_usual_method};

/// HTTP/1.0 and 1.1 on one connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    pub(super) request: State,
    pub(super) response: State,
    pub(super) exchanges: Exchanges,
    /// A request has begun, with a call of its own, since the last byte of a response.
    pub(super) turned: bool,
    /// Bytes of the response stream have moved since the last request began.
    pub(super) answered: bool,
    /// Bytes of the request stream have moved since the last call on the response stream.
    pub(super) requested: bool,
    /// The client has sent a request before it had the response to the one before.
    pub(super) pipelines: bool,
    /// Requests may stand unread behind the last one that was read: in bytes that were not captured, or not followed.
    pub(super) hidden: bool,
    /// So many responses may still come, at most, that answer requests handed out already: no response can be told to
    /// be the one of a later request before as many have come.
    pub(super) owed: usize,
    /// A response without a request has proven that the lost bytes of the request stream end at a boundary.
    pub(super) proven: bool,
    /// A head was read: this is HTTP indeed.
    pub(super) confirmed: bool,
    /// The last moment at which a byte moved.
    pub(super) moved: MonoNanos,
    /// The server has agreed to go on in HTTP/2: the request that asked for it, and the position where that begins.
    pub(super) upgrade: Option<(Box<Exchange>, u64)>,
    troubles: Vec<(DiagnosticKind, u64)>,
}

/// Where in a stream a half is.
#[derive(Debug)]
pub(super) enum State {
    /// Between two messages.
    Start,
    /// In a head that came in several pieces.
    Head(Box<Partial>),
    /// In a body of which that much is left.
    Length(u64),
    Chunked(Chunked),
    /// In a body that ends with the connection; so many bytes of it came.
    UntilClose(u64),
    /// In a message of which only the other side can tell the end; if its body is `chunked`, also the tail of a call.
    Open {
        chunked: bool,
    },
    /// Somewhere: what comes is skipped until a call begins with a message head.
    Seek,
    /// Not followed any more.
    Off,
}

/// The first pieces of a head.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) begin: Begin,
    pub(super) bytes: Vec<u8>,
}

/// Where, when and by whom a message began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) pos: u64,
    pub(super) stamp: Stamp,
    pub(super) process: ProcKey,
    pub(super) arrival: Option<MonoNanos>,
    /// Nothing proves yet that a message begins there.
    pub(super) doubtful: bool,
}

impl Begin {
    pub(super) fn message(&self, last: Stamp) -> Message {
        let Self { pos, stamp, arrival, .. } = *self;
        Message { pos, first: stamp, last, arrival, body_len: None, truncated: false }
    }
}

impl Http1 {
    /// The side whose messages begin like `bytes`, if that is a whole start line, with one of the usual methods.
    pub(crate) fn side_of(bytes: &[u8]) -> Option<Side> {
        match Head::read(bytes, 0).ok()??.start {
            StartLine::Request { method, .. } => is_usual_method(method).then_some(Side::Request),
            StartLine::Status { .. } => Some(Side::Response),
        }
    }

    /// At the beginning of each stream, or attached somewhere in the middle of it.
    pub(crate) fn new(request_attached: bool, response_attached: bool) -> Self {
        let begin = |attached| if attached { State::Seek } else { State::Start };
        Self {
            request: begin(request_attached),
            response: begin(response_attached),
            exchanges: Exchanges::default(),
            turned: false,
            answered: false,
            requested: false,
            pipelines: false,
            hidden: false,
            owed: 0,
            proven: false,
            confirmed: false,
            moved: MonoNanos::ZERO,
            upgrade: None,
            troubles: Vec::new(),
        }
    }

    /// Whether all that has moved are whole exchanges, which say nothing about those to come.
    pub(crate) fn is_idle(&self) -> bool {
        matches!((&self.request, &self.response), (State::Start, State::Start))
            && self.exchanges.waiting() == 0
            && !(self.pipelines || self.hidden)
            && self.owed == 0
            && self.upgrade.is_none()
    }

    /// An upgrade to HTTP/2 that has just happened: the request that is to be answered, and the position of the first byte
    /// behind the response that agreed.
    pub(crate) fn take_upgrade(&mut self) -> Option<(Box<Exchange>, u64)> {
        self.upgrade.take()
    }

    pub(super) fn state(&mut self, side: Side) -> &mut State {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    pub(super) fn trouble(&mut self, kind: DiagnosticKind, pos: u64) {
        self.troubles.push((kind, pos));
    }

    /// Takes some of the chunk and says how much. 0 only on a change to a state that takes more.
    pub(super) fn step(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let all = chunk.bytes.len();
        match self.state(side) {
            State::Off => all,
            State::Start => self.begin(side, chunk, call, false),
            State::Head(_) => self.continue_head(side, chunk, call),
            State::Seek => self.seek(side, chunk, call),
            State::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(all);
                *left -= used as u64;
                let over = *left == 0;
                self.moved(side, call);
                if over {
                    self.end_message(side, None);
                }
                used
            }
            State::Chunked(chunked) => {
                let step = chunked.feed(chunk.bytes);
                let total = chunked.total();
                match step {
                    Step::More => {
                        self.moved(side, call);
                        all
                    }
                    Step::Done(used) => {
                        self.moved(side, call);
                        self.end_message(side, Some(total));
                        used
                    }
                    Step::Broken => {
                        self.trouble(DiagnosticKind::MalformedChunk, chunk.pos);
                        self.give_up(side, call.stamp.exit);
                        all
                    }
                }
            }
            State::UntilClose(count) => {
                *count += all as u64;
                self.moved(side, call);
                all
            }
            State::Open { chunked } => {
                let chunked = *chunked;
                if side == Side::Response && self.is_next_response(chunk, call) {
                    if self.requested {
                        self.end_open_response(true, call);
                        return 0;
                    }
                    // If this is one, its request was lost, and with it the proof of where the response before ended.
                    self.exchanges.mark_incomplete();
                }
                let over = chunked && chunk.end() == call.end && ends_body(chunk.bytes, chunk.pos == call.start);
                self.moved(side, call);
                let later =
                    self.hidden || self.exchanges.waiting() > 1 || self.exchanges.last_began_before(call.lossy_until);
                if over && side == Side::Response && later {
                    // This may be the end of a later response, of which nothing was captured or whose request was not seen.
                    self.end_open_response(true, call);
                } else if over {
                    self.end_message(side, None);
                }
                all
            }
        }
    }

    /// The message being read on this side goes on.
    pub(super) fn moved(&mut self, side: Side, call: &Call<'_>) {
        match side {
            Side::Request => {
                if let Some(exchange) = self.exchanges.requesting() {
                    exchange.request.message.last = call.stamp;
                }
            }
            Side::Response => {
                self.turned = false;
                // While a body is followed, what moves is the response to the first of those that wait.
                self.pipelines |= self.exchanges.waiting() > 1 && !matches!(self.response, State::Open { .. });
                self.exchanges.response_moved(call.stamp);
            }
        }
    }

    /// The message being read on this side is complete. `body_len` is the size of its body, where only now known.
    pub(super) fn end_message(&mut self, side: Side, body_len: Option<u64>) {
        match side {
            Side::Request => {
                let known = self.exchanges.requesting().and_then(|exchange| exchange.request.message.body_len);
                self.exchanges.end_request(body_len.or(known));
                if !matches!(self.request, State::Off) {
                    self.request = State::Start;
                }
            }
            Side::Response => {
                if let Some(response) = self.exchanges.response() {
                    response.message.body_len = body_len.or(response.message.body_len);
                    let at = response.message.last.exit;
                    self.exchanges.end_response(Outcome::Complete, at);
                }
                self.response = State::Start;
                self.stop_if_done();
            }
        }
    }

    /// When no more requests are followed and all have their response, responses are not followed either.
    pub(super) fn stop_if_done(&mut self) {
        if matches!(self.request, State::Off) && self.exchanges.waiting() == 0 {
            self.response = State::Off;
        }
    }

    /// Nothing more can be read on this side: requests so far may still get their responses, but a broken response
    /// takes all that wait with it.
    pub(super) fn give_up(&mut self, side: Side, at: MonoNanos) {
        if side == Side::Response {
            self.exchanges.mark_incomplete();
            self.exchanges.end_all(Outcome::Incomplete, at);
            self.response = State::Off;
        } else if let Some(exchange) = self.exchanges.requesting() {
            exchange.outcome = Outcome::Incomplete;
        }
        self.exchanges.end_request(None);
        self.request = State::Off;
        self.hidden = true;
        self.stop_if_done();
    }
}

impl Http1 {
    fn end_responses(&mut self, end: End) {
        if self.exchanges.is_doubtful() {
            self.exchanges.discard();
        }
        let lossy = |exchange: &Exchange| exchange.request.message.first.exit <= end.lossy_until;
        let announced = self.exchanges.response().and_then(|response| response.message.body_len);
        let (ended, received) = match &self.response {
            State::UntilClose(count) => (Outcome::Complete, Some(*count)),
            State::Length(left) => (Outcome::CutResponse, announced.map(|len| len.saturating_sub(*left))),
            State::Chunked(chunked) => (Outcome::CutResponse, Some(chunked.received())),
            // Whether it was whole, what was not captured would have told.
            State::Open { .. } => (Outcome::Incomplete, None),
            _ => (Outcome::CutResponse, None),
        };
        let ended = match (ended, end.how) {
            (_, EndKind::Unknown) => Outcome::Incomplete,
            (_, EndKind::Reset) if matches!(self.response, State::UntilClose(_)) => Outcome::CutResponse,
            (ended, _) => ended,
        };
        while let Some(exchange) = self.exchanges.responding() {
            let known = !lossy(exchange) && exchange.outcome != Outcome::Incomplete && ended != Outcome::Incomplete;
            let outcome = match &mut exchange.response {
                _ if !known => Outcome::Incomplete,
                None => Outcome::NoResponse,
                Some(response) => {
                    response.message.body_len = received;
                    ended
                }
            };
            self.exchanges.end_response(outcome, end.at);
        }
        self.response = State::Off;
    }
}

impl Parser for Http1 {
    fn feed(&mut self, side: Side, mut chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let all = chunk.bytes.len();
        self.moved = self.moved.max(call.stamp.exit);
        while !chunk.bytes.is_empty() {
            let used = self.step(side, chunk, call);
            chunk = chunk.skip(used);
        }
        self.requested = side == Side::Request;
        self.settle_alone(side);
        all
    }

    fn gap(&mut self, side: Side, gap: Gap<'_>) {
        match gap {
            Gap::Skipped(count, call) => self.skip(side, count, call),
            Gap::Lost(count, lossy_until) => {
                let rest = self.lose_within(side, count);
                if rest > 0 {
                    self.lose(side, rest, self.moved, lossy_until);
                }
            }
            Gap::Disorder => self.lose_order(side),
        }
        self.settle_alone(side);
    }

    fn end(&mut self, side: Side, end: End) {
        match side {
            // The response may still come: a client can shut down its direction and read on.
            Side::Request => {
                self.request = State::Off;
                self.stop_if_done();
            }
            Side::Response => self.end_responses(end),
        }
    }

    fn poll(&mut self) -> Option<Found> {
        if let Some(found) = self.exchanges.poll() {
            return Some(found);
        }
        let (kind, pos) = self.troubles.pop()?;
        Some(Found::Trouble(kind, pos))
    }

    fn shed(&mut self) {}

    fn spare_bytes(&self) -> usize {
        0
    }

    fn held_bytes(&self) -> usize {
        let partial = |state: &State| match state {
            State::Head(partial) => size_of::<Partial>() + partial.bytes.capacity(),
            _ => 0,
        };
        self.exchanges.held_bytes() + partial(&self.request) + partial(&self.response)
    }
}
