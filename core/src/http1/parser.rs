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
use super::head::{Framing, Head, StartLine, find_end};
use crate::diagnostic::DiagnosticKind;
use crate::event::Stamp;
use crate::exchange::{Exchange, Message, Outcome, Request, RequestHead, Response, TraceContext};
use crate::ids::ProcKey;
use crate::time::MonoNanos;
use crate::track::{Call, Chunk, End, EndKind, Found, Gap, Parser, Side};

/// HTTP/1.0 and 1.1 on one connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    request: State,
    response: State,
    exchanges: Exchanges,
    /// A request has begun, with a call of its own, since the last byte of a response.
    turned: bool,
    /// Bytes of the request stream have moved since the last call on the response stream.
    requested: bool,
    /// The client has sent a request before it had the response to the one before.
    pipelines: bool,
    /// A response without a request has proven that the lost bytes of the request stream end at a boundary.
    proven: bool,
    /// A head was read: this is HTTP indeed.
    confirmed: bool,
    /// The last moment at which a byte moved.
    moved: MonoNanos,
    troubles: Vec<(DiagnosticKind, u64)>,
}

/// Where in a stream a half is.
#[derive(Debug)]
enum State {
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

/// The shortest request there is: `A / HTTP/1.1` and two line feeds.
const MIN_REQUEST_BYTES: u64 = 14;

/// The first pieces of a head.
#[derive(Debug)]
struct Partial {
    begin: Begin,
    bytes: Vec<u8>,
}

/// Where, when and by whom a message began.
#[derive(Clone, Copy, Debug)]
struct Begin {
    pos: u64,
    stamp: Stamp,
    process: ProcKey,
    arrival: Option<MonoNanos>,
    /// Nothing proves yet that a message begins there.
    doubtful: bool,
}

impl Begin {
    fn message(&self, last: Stamp) -> Message {
        let Self { pos, stamp, arrival, .. } = *self;
        Message { pos, first: stamp, last, arrival, body_len: None, truncated: false }
    }
}

impl Http1 {
    /// The side whose messages begin like `bytes`, if that is a whole start line.
    pub(crate) fn side_of(bytes: &[u8]) -> Option<Side> {
        match Head::read(bytes, 0).ok()??.start {
            StartLine::Request { .. } => Some(Side::Request),
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
            requested: false,
            pipelines: false,
            proven: false,
            confirmed: false,
            moved: MonoNanos::ZERO,
            troubles: Vec::new(),
        }
    }

    fn state(&mut self, side: Side) -> &mut State {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    fn trouble(&mut self, kind: DiagnosticKind, pos: u64) {
        self.troubles.push((kind, pos));
    }

    /// Takes some of the chunk and says how much. 0 only on a change to a state that takes more.
    fn step(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
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
                    self.end_open_response(call.stamp.exit);
                    return 0;
                }
                let over = chunked && chunk.end() == call.end && ends_body(chunk.bytes, chunk.pos == call.start);
                self.moved(side, call);
                if over {
                    self.end_message(side, None);
                }
                all
            }
        }
    }

    /// The message being read on this side goes on.
    fn moved(&mut self, side: Side, call: &Call<'_>) {
        match side {
            Side::Request => {
                if let Some(exchange) = self.exchanges.requesting() {
                    exchange.request.message.last = call.stamp;
                }
            }
            Side::Response => {
                self.turned = false;
                self.exchanges.response_moved(call.stamp);
            }
        }
    }

    /// The message being read on this side is complete. `body_len` is the size of its body, where only now known.
    fn end_message(&mut self, side: Side, body_len: Option<u64>) {
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
    fn stop_if_done(&mut self) {
        if matches!(self.request, State::Off) && self.exchanges.waiting() == 0 {
            self.response = State::Off;
        }
    }

    /// Nothing more can be read on this side: requests so far may still get their responses, but a broken response
    /// takes all that wait with it.
    fn give_up(&mut self, side: Side, at: MonoNanos) {
        if side == Side::Response {
            self.exchanges.mark_incomplete();
            self.exchanges.end_all(Outcome::Incomplete, at);
            self.response = State::Off;
        } else if let Some(exchange) = self.exchanges.requesting() {
            exchange.outcome = Outcome::Incomplete;
        }
        self.exchanges.end_request(None);
        self.request = State::Off;
        self.stop_if_done();
    }
}

/// Heads.
impl Http1 {
    /// At the first byte of a message, or at empty lines before it, which RFC 9112, section 2.2 says to ignore.
    fn begin(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>, doubtful: bool) -> usize {
        let blank = chunk.bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        let chunk = chunk.skip(blank);
        if chunk.bytes.is_empty() {
            return blank;
        }
        if side == Side::Request {
            self.turn(chunk.pos - blank as u64 == call.start, call.stamp.exit);
        }
        let (pos, stamp) = (chunk.pos, call.stamp);
        let begin = Begin { pos, stamp, process: call.process, arrival: call.arrival(pos), doubtful };
        let window = chunk.bytes.get(..call.limits.head_bytes).unwrap_or(chunk.bytes);
        match Head::read(window, call.limits.head_lines) {
            Ok(Some(head)) if let Some(len) = head.len => {
                self.take_head(side, &head, &begin, call);
                blank + len
            }
            Ok(Some(head)) if head.fields.fault.is_some() || head.too_many_lines => {
                self.take_head(side, &head, &begin, call);
                blank + chunk.bytes.len()
            }
            Ok(_) => {
                *self.state(side) = State::Head(Box::new(Partial { begin, bytes: Vec::new() }));
                blank
            }
            Err(kind) => {
                self.refuse_head(side, kind, pos, call);
                blank + chunk.bytes.len()
            }
        }
    }

    /// A further piece of a head.
    fn continue_head(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let limit = call.limits.head_bytes;
        let State::Head(partial) = self.state(side) else { return 0 };
        let before = partial.bytes.len();
        let room = limit.saturating_sub(before).min(chunk.bytes.len());
        partial.bytes.extend_from_slice(chunk.bytes.get(..room).unwrap_or_default());
        let end = find_end(&partial.bytes, before.saturating_sub(2));
        if end.is_none() && partial.bytes.len() < limit {
            return room;
        }
        let State::Head(partial) = std::mem::replace(self.state(side), State::Start) else { return 0 };
        self.finish_head(side, &partial, call);
        match end {
            Some(end) => end.saturating_sub(before),
            None => {
                self.trouble(DiagnosticKind::HeadTooLong, partial.begin.pos);
                room
            }
        }
    }

    /// Reads a head that came in pieces, whole or not.
    fn finish_head(&mut self, side: Side, partial: &Partial, call: &Call<'_>) {
        match Head::read(&partial.bytes, call.limits.head_lines) {
            Ok(Some(head)) => self.take_head(side, &head, &partial.begin, call),
            Ok(None) => self.refuse_head(side, DiagnosticKind::MalformedHead, partial.begin.pos, call),
            Err(kind) => self.refuse_head(side, kind, partial.begin.pos, call),
        }
    }

    fn refuse_head(&mut self, side: Side, kind: DiagnosticKind, pos: u64, call: &Call<'_>) {
        self.trouble(if self.confirmed { kind } else { DiagnosticKind::NotHttp }, pos);
        self.give_up(side, call.stamp.exit);
    }

    /// A head was read: as a whole, or as much of it as was captured.
    fn take_head(&mut self, side: Side, head: &Head<'_>, begin: &Begin, call: &Call<'_>) {
        if head.too_many_lines {
            self.trouble(DiagnosticKind::HeadTooLong, begin.pos);
        }
        match (side, head.start) {
            (Side::Request, StartLine::Request { .. }) => self.take_request(head, begin, call),
            (Side::Response, StartLine::Status { status, .. }) => self.take_response(head, status, begin, call),
            _ => self.refuse_head(side, DiagnosticKind::MalformedHead, begin.pos, call),
        }
    }

    fn take_request(&mut self, head: &Head<'_>, begin: &Begin, call: &Call<'_>) {
        let StartLine::Request { method, target, version } = head.start else { return };
        self.confirmed = true;
        let framing = match head.framing(false) {
            Ok(framing) => framing,
            Err(kind) => {
                self.trouble(kind, begin.pos);
                return self.give_up(Side::Request, call.stamp.exit);
            }
        };
        if self.exchanges.waiting() >= call.limits.pipelined_requests {
            self.trouble(DiagnosticKind::PipelineOverflow, begin.pos);
            return self.give_up(Side::Request, call.stamp.exit);
        }
        let text = |value| String::from_utf8_lossy(value);
        let fields = &head.fields;
        let (host, user_agent) = (fields.host.map(text), fields.user_agent.map(text));
        let context = fields.traceparent.and_then(TraceContext::parse);
        let request = Request {
            message: begin.message(call.stamp),
            head: RequestHead::new(
                &text(method),
                &text(target),
                host.as_deref(),
                user_agent.as_deref(),
                version,
                context,
            ),
        };
        let exchange = Exchange {
            conn: call.conn.clone(),
            role: call.role,
            process: begin.process,
            accept_wait_nanos: None,
            request,
            response: None,
            outcome: Outcome::Complete,
            end: call.stamp.exit,
        };
        self.exchanges.push(Box::new(exchange), begin.doubtful);
        self.proven = false;
        let body_len = self.begin_body(Side::Request, framing, head.len.is_none());
        if let Some(exchange) = self.exchanges.requesting() {
            exchange.request.message.body_len = body_len;
            exchange.request.message.truncated = head.len.is_none();
        }
        if body_len == Some(0) {
            self.end_message(Side::Request, None);
        }
    }

    fn take_response(&mut self, head: &Head<'_>, status: u16, begin: &Begin, call: &Call<'_>) {
        self.confirmed = true;
        if self.exchanges.is_doubtful() {
            // Had there been a response to the lost request in between, its bytes would be missing here. They are not:
            // this answers the lost request, and what looked like the next one was a part of it.
            self.exchanges.discard();
            self.request = State::Seek;
        }
        if (100..200).contains(&status) && status != 101 {
            self.response = State::Start;
            return;
        }
        let waiting = self.exchanges.waiting();
        self.pipelines |= waiting > 1;
        self.turned = false;
        let Some(exchange) = self.exchanges.responding() else {
            self.trouble(DiagnosticKind::ResponseWithoutRequest, begin.pos);
            self.proven = true;
            self.response = State::Open { chunked: false };
            return;
        };
        let method = exchange.request.head.method();
        let tunnel = status == 101 || method == "CONNECT" && (200..300).contains(&status);
        let framing = head.framing(tunnel || method == "HEAD" || matches!(status, 204 | 304));
        exchange.response = Some(Response { message: begin.message(call.stamp), status });
        if waiting == 1 && matches!(self.request, State::Open { .. } | State::Seek) {
            // An unreadable request is complete when its response begins.
            self.exchanges.end_request(None);
            self.request = State::Seek;
            self.proven = true;
        }
        let framing = match framing {
            Ok(framing) => framing,
            Err(kind) => {
                self.trouble(kind, begin.pos);
                return self.give_up(Side::Response, call.stamp.exit);
            }
        };
        let body_len = self.begin_body(Side::Response, framing, head.len.is_none() && !tunnel);
        if let Some(response) = self.exchanges.response() {
            response.message.body_len = body_len;
            response.message.truncated = head.len.is_none();
        }
        if body_len == Some(0) {
            self.end_message(Side::Response, None);
        }
        if tunnel {
            self.exchanges.end_all(Outcome::Incomplete, call.stamp.exit);
            (self.request, self.response) = (State::Off, State::Off);
        }
    }

    /// Goes to the body. Returns its size if that is known.
    fn begin_body(&mut self, side: Side, framing: Framing, truncated: bool) -> Option<u64> {
        let (state, body_len) = match framing {
            _ if truncated => (State::Open { chunked: false }, None),
            Framing::Length(length) => (State::Length(length), Some(length)),
            Framing::Chunked => (State::Chunked(Chunked::START), None),
            Framing::UntilClose => (State::UntilClose(0), None),
        };
        *self.state(side) = state;
        body_len
    }
}

/// Holes.
impl Http1 {
    /// A request begins: a response of unknown end is over, as the client would have waited for it.
    fn turn(&mut self, with_call: bool, at: MonoNanos) {
        self.turned |= with_call;
        self.pipelines |= !with_call;
        if matches!(self.response, State::Open { .. }) {
            self.end_open_response(at);
        }
    }

    /// The response of unknown end is over; which of those that wait behind it have their response is not known.
    fn end_open_response(&mut self, at: MonoNanos) {
        if self.exchanges.has_response() {
            self.exchanges.end_response(Outcome::Complete, at);
        }
        self.exchanges.end_all(Outcome::Incomplete, at);
        self.response = State::Seek;
    }

    /// Whether a response begins, though the request that it answers may not have been seen.
    fn is_next_response(&self, chunk: Chunk<'_>, call: &Call<'_>) -> bool {
        self.requested && chunk.pos == call.start && Self::side_of(chunk.bytes) == Some(Side::Response)
    }

    /// Looks whether a call begins with a message head.
    fn seek(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
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
            Side::Response if self.exchanges.is_doubtful() => {
                self.exchanges.discard();
                all
            }
            Side::Response if waiting > 0 => {
                self.exchanges.mark_incomplete();
                self.response = State::Open { chunked: false };
                all
            }
            _ => all,
        }
    }

    /// A call moved bytes that were not captured.
    fn skip(&mut self, side: Side, count: u64, call: &Call<'_>) {
        let here = match self.state(side) {
            State::Head(_) => {
                let State::Head(partial) = std::mem::replace(self.state(side), State::Start) else { return };
                return self.finish_head(side, &partial, call);
            }
            State::Start => return self.lose(side, count, call.stamp.exit),
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

    /// Bytes were lost: what they belonged to is incomplete, what follows is somewhere in a message.
    fn lose(&mut self, side: Side, count: u64, at: MonoNanos) {
        match side {
            Side::Request => {
                // The rest of a chunked body was lost, and not so much that a head could be among it.
                let small =
                    matches!(self.request, State::Chunked(chunked) if count < chunked.min_rest() + MIN_REQUEST_BYTES);
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
                self.response = match self.exchanges.waiting() {
                    _ if matches!(self.response, State::Off) => return,
                    0 => State::Seek,
                    // The gap may be the response to the lost request: a status line behind it will tell.
                    1 if self.exchanges.is_doubtful() && matches!(self.response, State::Start) => State::Seek,
                    _ if self.exchanges.is_doubtful() => {
                        self.exchanges.discard();
                        State::Seek
                    }
                    2 if !sought && self.turned && !self.pipelines => {
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

    /// Passes the part of the lost bytes that is known to lie within the current body, and returns how many are left.
    fn lose_within(&mut self, side: Side, count: u64) -> u64 {
        let within = match self.state(side) {
            State::Length(left) => {
                let within = count.min(*left);
                *left -= within;
                within
            }
            State::Chunked(chunked) => {
                if chunked.skip(count) {
                    count
                } else {
                    0
                }
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

    fn end_responses(&mut self, end: End) {
        if self.exchanges.is_doubtful() {
            self.exchanges.discard();
        }
        let lossy = |exchange: &Exchange| exchange.request.message.first.exit <= end.lossy_until;
        let cut = match (&self.response, end.how) {
            (_, EndKind::Unknown) => Outcome::Incomplete,
            (State::UntilClose(_), EndKind::Orderly) => Outcome::Complete,
            (State::Open { .. }, _) => Outcome::Complete,
            _ => Outcome::CutResponse,
        };
        if let Some(response) = self.exchanges.response() {
            response.message.body_len = match &self.response {
                State::UntilClose(count) => Some(*count),
                State::Length(left) => response.message.body_len.map(|len| len.saturating_sub(*left)),
                State::Chunked(chunked) => Some(chunked.received()),
                _ => None,
            };
        }
        while let Some(exchange) = self.exchanges.responding() {
            let outcome = match cut {
                _ if lossy(exchange) => Outcome::Incomplete,
                Outcome::Incomplete => Outcome::Incomplete,
                _ if exchange.response.is_none() => Outcome::NoResponse,
                cut => cut,
            };
            self.exchanges.end_response(outcome, end.at);
        }
        self.response = State::Off;
    }
}

impl Parser for Http1 {
    fn feed(&mut self, side: Side, mut chunk: Chunk<'_>, call: &Call<'_>) {
        self.moved = self.moved.max(call.stamp.exit);
        while !chunk.bytes.is_empty() {
            let used = self.step(side, chunk, call);
            chunk = chunk.skip(used);
        }
        self.requested = side == Side::Request;
    }

    fn gap(&mut self, side: Side, gap: Gap<'_>) {
        match gap {
            Gap::Skipped(count, call) => self.skip(side, count, call),
            Gap::Lost(count) => {
                let rest = self.lose_within(side, count);
                if rest > 0 {
                    self.lose(side, rest, self.moved);
                }
            }
        }
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

    fn held_bytes(&self) -> usize {
        let partial = |state: &State| match state {
            State::Head(partial) => size_of::<Partial>() + partial.bytes.capacity(),
            _ => 0,
        };
        self.exchanges.held_bytes() + partial(&self.request) + partial(&self.response)
    }
}
