//! Header blocks: how they are put together, and what becomes of a stream by what they say.

use super::frame::{END_HEADERS, END_STREAM, FrameHead, Kind, PADDED, PRIORITY};
use super::half::{Block, BlockOf, Frame, State};
use super::hpack::{Decoder, Name, Sink};
use super::parser::Http2;
use super::streams::{Stream, Streams};
use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Exchange, Outcome, Request, Response};
use crate::track::{Call, Side};

/// Whether a block that nobody has context for is a request's head or a response's: either begins with pseudo-header fields
/// that the static table has (RFC 9113, section 8.3).
pub(super) fn side_of(head: &FrameHead, payload: &[u8]) -> Option<Side> {
    #[derive(Default)]
    struct First(Option<Side>);
    impl Sink for First {
        fn field(&mut self, name: Name, _: usize, _: Option<&[u8]>) {
            let side = match name {
                Name::Status => Some(Side::Response),
                Name::Method | Name::Scheme | Name::Path | Name::Authority => Some(Side::Request),
                _ => None,
            };
            self.0 = self.0.or(side);
        }
    }
    let payload = payload.get(..usize::try_from(head.len).ok()?).unwrap_or(payload);
    let fragment = (head.kind == Kind::Headers).then(|| fragment(head, payload, true))??;
    let mut first = First::default();
    Decoder::new(0, false).decode(fragment, false, &mut first).ok()?;
    first.0
}

/// The part of a header block that a HEADERS or PUSH_PROMISE frame has, between priority and padding (sections 6.2 and
/// 6.6). `None` if these are longer than the frame.
fn fragment<'a>(head: &FrameHead, payload: &'a [u8], cut: bool) -> Option<&'a [u8]> {
    let (padding, rest) = match payload.split_first() {
        Some((&padding, rest)) if head.has(PADDED) => (usize::from(padding), rest),
        _ => (0, payload),
    };
    let fixed = match head.kind {
        Kind::PushPromise => 4,
        Kind::Headers if head.has(PRIORITY) => 5,
        _ => 0,
    };
    if cut {
        return Some(rest.get(fixed..).unwrap_or_default());
    }
    rest.get(fixed..rest.len().checked_sub(padding)?)
}

impl Http2 {
    /// A HEADERS or PUSH_PROMISE frame is complete.
    pub(super) fn headers(&mut self, side: Side, frame: &Frame<'_>, call: &Call<'_>) {
        let Frame { head, begin, payload, cut } = self.bounded(frame, call);
        let of = BlockOf {
            stream: head.stream,
            begin,
            end_stream: head.has(END_STREAM) && head.kind == Kind::Headers,
            pushed: head.kind == Kind::PushPromise,
        };
        let Some(fragment) = fragment(&head, payload, cut) else {
            self.trouble(DiagnosticKind::MalformedFrame, begin.pos);
            return self.half(side).decoder.forget();
        };
        if head.has(END_HEADERS) {
            return self.block(side, &of, fragment, !cut, call);
        }
        self.half(side).block = Some(Box::new(Block { of, bytes: fragment.to_vec(), cut }));
    }

    /// A CONTINUATION frame is complete.
    pub(super) fn continuation(&mut self, side: Side, frame: &Frame<'_>, call: &Call<'_>) {
        let Frame { head, begin, payload, cut } = self.bounded(frame, call);
        let half = self.half(side);
        let Some(mut block) = half.block.take().filter(|block| block.of.stream == head.stream) else {
            half.decoder.forget();
            return self.trouble(DiagnosticKind::MalformedFrame, begin.pos);
        };
        if !block.cut {
            let room = call.limits.head_bytes.saturating_sub(block.bytes.len());
            block.bytes.extend_from_slice(payload.get(..room).unwrap_or(payload));
            if payload.len() > room && !cut {
                self.trouble(DiagnosticKind::HeadTooLong, block.of.begin.pos);
            }
            block.cut = cut || payload.len() > room;
        }
        if head.has(END_HEADERS) {
            self.block(side, &block.of, &block.bytes, !block.cut, call);
        } else {
            self.half(side).block = Some(block);
        }
    }

    /// The frame with what of its payload may be read; if that is not all, it is cut.
    fn bounded<'a>(&mut self, frame: &Frame<'a>, call: &Call<'_>) -> Frame<'a> {
        let most = call.limits.head_bytes;
        let long = usize::try_from(frame.head.len).is_ok_and(|len| len > most);
        if long {
            self.trouble(DiagnosticKind::HeadTooLong, frame.begin.pos);
        }
        Frame { payload: frame.payload.get(..most).unwrap_or(frame.payload), cut: frame.cut || long, ..*frame }
    }

    /// The rest of a header block does not come.
    pub(super) fn break_off_block(&mut self, side: Side, call: &Call<'_>) {
        if let Some(block) = self.half(side).block.take() {
            self.block(side, &block.of, &block.bytes, false, call);
        }
    }

    /// A header block is complete, or as much of it as there is (not `whole`).
    fn block(&mut self, side: Side, of: &BlockOf, bytes: &[u8], whole: bool, call: &Call<'_>) {
        let pos = of.begin.pos;
        self.fields.clear(call.limits);
        let half = match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        };
        let decoded = half.decoder.decode(bytes, whole, &mut self.fields);
        let over_bound = half.decoder.exceeds_bound() && !std::mem::replace(&mut half.told_bound, true);
        let (unknown, too_many) = (self.fields.unknown, self.fields.too_many);
        for (is_so, kind) in [
            (decoded.is_err(), DiagnosticKind::MalformedHeaderBlock),
            (over_bound, DiagnosticKind::HeaderTableOverflow),
            (unknown, DiagnosticKind::UnknownHeaders),
            (too_many, DiagnosticKind::HeadTooLong),
        ] {
            if is_so {
                self.trouble(kind, pos);
            }
        }
        self.fields.unknown |= !whole || decoded.is_err() || too_many;
        match side {
            _ if of.pushed => {}
            Side::Request => self.request_block(of, call),
            Side::Response => self.response_block(of, call),
        }
    }

    /// A request's head, or its trailers.
    fn request_block(&mut self, of: &BlockOf, call: &Call<'_>) {
        let (number, pos, request) = (of.stream, of.begin.pos, self.fields.is_request());
        if number.is_multiple_of(2) {
            return self.trouble(DiagnosticKind::MalformedFrame, pos);
        }
        if number <= self.streams.last {
            if request {
                return self.trouble(DiagnosticKind::StreamReuse, pos);
            }
            if let Some(message) = self.streams.get_mut(number).and_then(|stream| stream.message(Side::Request)) {
                message.last = call.stamp;
            }
            if of.end_stream {
                self.end_request(number);
            }
            return;
        }
        // Trailers of a request that nobody has seen end their stream, and have no pseudo-header fields.
        if request || self.fields.unknown && (self.contiguous || !of.end_stream) {
            self.contiguous = true;
            self.open(of, call);
        }
    }

    fn open(&mut self, of: &BlockOf, call: &Call<'_>) {
        let too_many = |streams: &Streams| {
            streams.len() >= call.limits.streams.max(1) || streams.held_bytes() > call.limits.shard_buffered_bytes / 2
        };
        while too_many(&self.streams)
            && let Some(oldest) = self.streams.oldest()
        {
            self.trouble(DiagnosticKind::StreamOverflow, of.begin.pos);
            self.streams.end(oldest, Outcome::Incomplete, call.stamp.exit);
        }
        let truncated = self.fields.unknown;
        let request = Request { message: of.begin.message(call.stamp, truncated), head: self.fields.request_head() };
        let exchange = Exchange {
            conn: call.conn.clone(),
            role: call.role,
            process: of.begin.process,
            accept_wait_nanos: None,
            request,
            response: None,
            reset: None,
            outcome: Outcome::Complete,
            end: call.stamp.exit,
        };
        let stream = Stream {
            exchange: Box::new(exchange),
            request_over: of.end_stream,
            responded: false,
            grpc: self.fields.is_grpc(),
            doubtful: matches!(self.response.state, State::Seek),
        };
        // A request that began before a loss may still be worked for, and is not known to its thread any more.
        let alone = self.request.unbroken && !self.streams.any_since_before(call.lossy_until);
        self.streams.insert(of.stream, stream, alone);
    }

    /// A response's head, or its trailers.
    fn response_block(&mut self, of: &BlockOf, call: &Call<'_>) {
        let (number, status) = (of.stream, self.fields.status());
        let Some(stream) = self.streams.get_mut(number) else {
            // Streams with even numbers are pushed.
            if !number.is_multiple_of(2)
                && status.is_some_and(|status| status >= 200)
                && !self.streams.was_dropped(number)
            {
                self.trouble(DiagnosticKind::ResponseWithoutRequest, of.begin.pos);
            }
            return;
        };
        if !stream.responded {
            if status.is_some_and(|status| status < 200) && !of.end_stream {
                return;
            }
            stream.responded = true;
            if let Some(status) = status {
                let message = of.begin.message(call.stamp, self.fields.unknown);
                stream.exchange.response = Some(Response { message, status, grpc_status: None });
            } else {
                stream.mark_incomplete();
            }
            if stream.grpc.is_none() {
                stream.grpc = self.fields.is_grpc();
            }
            if stream.grpc == Some(true) {
                stream.exchange.request.head.set_grpc();
            }
            let accepted = status.is_some_and(|status| (200..300).contains(&status));
            if accepted && stream.exchange.request.head.method() == "CONNECT" {
                // A tunnel: what follows is no body.
                stream.request_over = true;
                return self.streams.end(number, Outcome::Complete, call.stamp.exit);
            }
        } else if let Some(message) = stream.message(Side::Response) {
            message.last = call.stamp;
        }
        if of.end_stream {
            let known = !self.fields.unknown;
            self.end_response(number, Some((self.fields.grpc_status(), known)), call);
        }
    }

    /// The server has ended a stream. `last` is what the block that did it says of gRPC's status, and whether all of it is
    /// known; `None` for an end without trailers.
    pub(super) fn end_response(&mut self, number: u32, last: Option<(Option<u16>, bool)>, call: &Call<'_>) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        let (code, known) = last.unwrap_or((None, true));
        if code.is_some() && stream.grpc.is_none() {
            stream.grpc = Some(true);
        }
        match stream.grpc {
            Some(true) => {
                stream.exchange.request.head.set_grpc();
                if let Some(response) = &mut stream.exchange.response {
                    response.grpc_status = code.or_else(|| known.then(|| status_without_trailers(response.status)));
                }
                if code.is_none() && !known {
                    stream.mark_incomplete();
                }
            }
            // It may be gRPC, and what is not known may be its status.
            None if !known && last.is_some() => stream.mark_incomplete(),
            _ => {}
        }
        if stream.exchange.response.is_none() {
            stream.mark_incomplete();
        }
        self.streams.end(number, Outcome::Complete, call.stamp.exit);
    }
}

/// What gRPC clients take for the status of a response without one, by its HTTP status ("HTTP to gRPC Status Code Mapping").
const fn status_without_trailers(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}
