//! Heads: where messages begin, what they say, and which body follows.

use super::chunked::Chunked;
use super::head::{Fields, Framing, Head, StartLine, find_end};
use super::parser::{Begin, Http1, Partial, State};
use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Exchange, Outcome, Request, RequestHead, Response, TraceContext};
use crate::track::{Call, Chunk, Side};

impl Http1 {
    /// At the first byte of a message, or at empty lines before it, which RFC 9112, section 2.2 says to ignore.
    pub(super) fn begin(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>, doubtful: bool) -> usize {
        let blank = chunk.bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
        let chunk = chunk.skip(blank);
        if chunk.bytes.is_empty() {
            return blank;
        }
        if side == Side::Request {
            self.turn(chunk.pos - blank as u64 == call.start, call);
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
    pub(super) fn continue_head(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
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
    pub(super) fn finish_head(&mut self, side: Side, partial: &Partial, call: &Call<'_>) {
        match Head::read(&partial.bytes, call.limits.head_lines) {
            Ok(Some(head)) => self.take_head(side, &head, &partial.begin, call),
            Ok(None) => self.refuse_head(side, DiagnosticKind::MalformedHead, partial.begin.pos, call),
            Err(kind) => self.refuse_head(side, kind, partial.begin.pos, call),
        }
    }

    pub(super) fn refuse_head(&mut self, side: Side, kind: DiagnosticKind, pos: u64, call: &Call<'_>) {
        self.trouble(if self.confirmed { kind } else { DiagnosticKind::NotHttp }, pos);
        self.give_up(side, call.stamp.exit);
    }

    /// A head was read: as a whole, or as much of it as was captured.
    pub(super) fn take_head(&mut self, side: Side, head: &Head<'_>, begin: &Begin, call: &Call<'_>) {
        if head.too_many_lines {
            self.trouble(DiagnosticKind::HeadTooLong, begin.pos);
        }
        match (side, head.start) {
            (Side::Request, StartLine::Request { .. }) => self.take_request(head, begin, call),
            (Side::Response, StartLine::Status { status, .. }) => self.take_response(head, status, begin, call),
            _ => self.refuse_head(side, DiagnosticKind::MalformedHead, begin.pos, call),
        }
    }

    pub(super) fn take_request(&mut self, head: &Head<'_>, begin: &Begin, call: &Call<'_>) {
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
        let Fields { host, user_agent, traceparent, .. } = head.fields;
        let context = traceparent.and_then(TraceContext::parse);
        let request = Request {
            message: begin.message(call.stamp),
            head: RequestHead::from_wire(method, target, host, user_agent, version, context),
        };
        let exchange = Exchange {
            conn: call.conn.clone(),
            role: call.role,
            process: begin.process,
            accept_wait_nanos: None,
            request,
            response: None,
            reset: None,
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

    pub(super) fn take_response(&mut self, head: &Head<'_>, status: u16, begin: &Begin, call: &Call<'_>) {
        self.confirmed = true;
        if self.exchanges.is_doubtful() {
            // Had there been a response to the lost request in between, its bytes would be missing here. They are not:
            // this answers the lost request, and what looked like the next one was a part of it.
            self.exchanges.discard();
            self.request = State::Seek;
        }
        if (100..200).contains(&status) && status != 101 {
            self.response = State::Start;
            if head.len.is_none() {
                // The response itself may have begun behind the part that was captured.
                self.response = State::Seek;
                self.miss_response();
            }
            return;
        }
        if status == 101
            && head.fields.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"h2c"))
            && let Some(len) = head.len
            && let Some(exchange) = self.exchanges.take_only()
        {
            self.upgrade = Some((exchange, begin.pos.saturating_add(len as u64)));
            (self.request, self.response) = (State::Off, State::Off);
            return;
        }
        let waiting = self.exchanges.waiting();
        self.pipelines |= waiting > 1 || waiting == 1 && matches!(self.request, State::Head(_));
        self.turned = false;
        if let Some(owed) = self.owed.checked_sub(1) {
            self.owed = owed;
            self.exchanges.mark_incomplete();
            self.response = State::Open { chunked: false };
            return;
        }
        let Some(exchange) = self.exchanges.responding() else {
            self.trouble(DiagnosticKind::ResponseWithoutRequest, begin.pos);
            self.proven = true;
            self.response = State::Open { chunked: false };
            return;
        };
        let method = exchange.request.head.method();
        let tunnel = status == 101 || method == "CONNECT" && (200..300).contains(&status);
        let framing = head.framing(tunnel || method == "HEAD" || matches!(status, 204 | 304));
        exchange.response = Some(Response { message: begin.message(call.stamp), status, grpc_status: None });
        if tunnel && head.len.is_none() {
            // Where the head ends and the tunnel begins is not known.
            exchange.outcome = Outcome::Incomplete;
        }
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
    pub(super) fn begin_body(&mut self, side: Side, framing: Framing, truncated: bool) -> Option<u64> {
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
