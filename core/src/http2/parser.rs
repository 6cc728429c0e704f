//! The HTTP/2 state machine of one connection: takes the bytes of both directions frame by frame.

use super::fields::Fields;
use super::frame::{END_STREAM, FrameHead, HEAD_BYTES, Kind, PADDED, PREFACE, REFUSED_STREAM, is_chain};
use super::half::{Frame, Half, PartialHead, Payload, State};
use super::hpack::Decoder;
use super::streams::{Begin, Stream, Streams};
use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Exchange, Outcome, Version};
use crate::limits::Limits;
use crate::track::{Call, Chunk, End, EndKind, Found, Gap, Parser, Side};

/// HTTP/2 on one connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    pub(super) request: Half,
    pub(super) response: Half,
    pub(super) streams: Streams,
    /// What the header block at hand says.
    pub(super) fields: Fields,
    /// No request can have been missed since the last that was seen: a higher stream's block is a request.
    pub(super) contiguous: bool,
    /// The error that an end has given up the connection for (GOAWAY).
    pub(super) given_up: Option<u32>,
    /// The last stream that the server takes on, if it has said so: requests that were under way then are refused.
    pub(super) last_taken: Option<u32>,
    troubles: Vec<(DiagnosticKind, u64)>,
}

/// So many results at most pile up: a request of a few bytes may refer to a path of many.
const PILE: usize = 16;
/// The largest SETTINGS frame that is read: a hundred settings.
const SETTINGS_BYTES: usize = 600;

impl Http2 {
    /// Whether a call of `len` bytes that begins with `bytes` has frames, and whose they are, if that is to be told.
    pub(crate) fn side_of(bytes: &[u8], len: u64) -> (bool, Option<Side>) {
        if !is_chain(bytes, len) {
            return (false, None);
        }
        let mut rest = bytes;
        while let Some((&head, payload)) = rest.split_first_chunk::<HEAD_BYTES>() {
            let head = FrameHead::read(head);
            if let Some(side) = super::blocks::side_of(&head, payload) {
                return (true, Some(side));
            }
            rest = payload.get(usize::try_from(head.len).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        (true, None)
    }

    /// At the beginning of each stream, or attached somewhere in the middle of it. Nothing is compressed before the client's first bytes.
    pub(crate) fn new(request_attached: bool, response_attached: bool, limits: &Limits) -> Self {
        let half = |attached, first| {
            let state = if attached { State::Seek } else { first };
            Half::new(state, Decoder::new(limits.header_table_bytes, !request_attached))
        };
        Self {
            request: half(request_attached, State::Preface(0)),
            response: half(response_attached, State::Head(PartialHead::default())),
            streams: Streams::default(),
            fields: Fields::default(),
            contiguous: !request_attached,
            given_up: None,
            last_taken: None,
            troubles: Vec::new(),
        }
    }

    /// Behind an upgrade from HTTP/1.1: the request that asked for it is stream 1, and the client's side of that is over
    /// (RFC 7540, section 3.2).
    pub(crate) fn upgraded(mut exchange: Box<Exchange>, limits: &Limits) -> Self {
        let mut http2 = Self::new(false, false, limits);
        // The settings that came with the request were not read.
        http2.response.decoder.allow(None);
        exchange.request.head.version = Version::Http2;
        let stream = Stream { exchange, request_over: true, responded: false, grpc: Some(false), doubtful: false };
        http2.streams.take_over(1, stream);
        http2
    }

    pub(super) fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    pub(super) fn trouble(&mut self, kind: DiagnosticKind, pos: u64) {
        self.troubles.push((kind, pos));
    }

    /// Takes some of the chunk and says how much. 0 only on a change to a state that takes more.
    fn step(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let all = chunk.bytes.len();
        match &mut self.half(side).state {
            State::Off => all,
            State::Preface(have) => {
                let from = *have;
                *have += all.min(PREFACE.len() - from);
                let to = *have;
                if PREFACE.get(from..to) != chunk.bytes.get(..to - from) {
                    self.refuse(chunk.pos);
                } else if to == PREFACE.len() {
                    self.half(side).state = State::Head(PartialHead::default());
                }
                to - from
            }
            State::Head(_) => self.head(side, chunk, call),
            State::Payload(_) => self.payload(side, chunk, call),
            State::Seek => {
                let from_start = chunk.pos == call.start;
                let state = if from_start && is_chain(chunk.bytes, call.end - call.start) {
                    State::Head(PartialHead::default())
                } else if from_start && side == Side::Request && chunk.bytes.starts_with(PREFACE) {
                    State::Preface(0)
                } else {
                    return all;
                };
                self.half(side).state = state;
                0
            }
        }
    }

    /// This is no HTTP/2.
    fn refuse(&mut self, pos: u64) {
        self.trouble(DiagnosticKind::NotHttp, pos);
        (self.request.state, self.response.state) = (State::Off, State::Off);
    }

    /// In the head of a frame. Where all of the frame is there, it is taken as it stands.
    fn head(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let State::Head(mut partial) = self.half(side).state else { return 0 };
        let (pos, stamp, process) = (chunk.pos, call.stamp, call.process);
        let begin = partial.begin.unwrap_or_else(|| Begin { pos, stamp, process, arrival: call.arrival(pos) });
        let room = partial.bytes.iter_mut().skip(partial.have);
        let used = room.zip(chunk.bytes).map(|(slot, &byte)| *slot = byte).count();
        partial.have += used;
        partial.begin = Some(begin);
        if partial.have < HEAD_BYTES {
            self.half(side).state = State::Head(partial);
            return used;
        }
        let mut head = FrameHead::read(partial.bytes);
        if std::mem::take(&mut self.half(side).fresh) && !(head.kind == Kind::Settings && head.is_sound()) {
            self.refuse(begin.pos);
            return used;
        }
        if !head.is_sound() {
            self.trouble(DiagnosticKind::MalformedFrame, begin.pos);
            if !self.half(side).unbroken {
                // What was taken for frames were none.
                self.lose_framing(side);
                return used;
            }
            head.kind = Kind::Other;
        }
        let rest = chunk.skip(used).bytes;
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if let Some(payload) = rest.get(..len) {
            self.half(side).state = State::Head(PartialHead::default());
            if head.kind == Kind::Data {
                self.data_moved(side, &head, u64::from(head.len), call);
            }
            self.frame(side, &Frame { head, begin, payload, cut: false }, call);
            return used + len;
        }
        let keep = kept_bytes(&head, call.limits);
        let left = u64::from(head.len);
        self.half(side).state = State::Payload(Payload { head, begin, kept: Vec::new(), keep, left, cut: false });
        used
    }

    /// Further bytes of a payload.
    fn payload(&mut self, side: Side, chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let State::Payload(payload) = &mut self.half(side).state else { return 0 };
        let used = usize::try_from(payload.left).unwrap_or(usize::MAX).min(chunk.bytes.len());
        if !payload.cut {
            let room = payload.keep.saturating_sub(payload.kept.len()).min(used);
            payload.kept.extend_from_slice(chunk.bytes.get(..room).unwrap_or_default());
        }
        self.pass(side, used as u64, call);
        used
    }

    /// So many bytes of the current payload have moved.
    pub(super) fn pass(&mut self, side: Side, count: u64, call: &Call<'_>) {
        let State::Payload(payload) = &mut self.half(side).state else { return };
        payload.left -= count;
        let (head, over) = (payload.head, payload.left == 0);
        if head.kind == Kind::Data {
            self.data_moved(side, &head, count, call);
        }
        if over
            && let State::Payload(Payload { head, begin, kept, cut, .. }) =
                std::mem::replace(&mut self.half(side).state, State::Head(PartialHead::default()))
        {
            self.frame(side, &Frame { head, begin, payload: &kept, cut }, call);
        }
    }

    /// A frame is complete.
    fn frame(&mut self, side: Side, frame: &Frame<'_>, call: &Call<'_>) {
        let Frame { head, begin, payload, cut } = *frame;
        if head.kind != Kind::Continuation && self.half(side).block.is_some() {
            // Nothing may come between the frames of a header block (RFC 9113, section 6.10).
            self.trouble(DiagnosticKind::MalformedFrame, begin.pos);
            self.break_off_block(side, call);
        }
        match head.kind {
            Kind::Data => self.data_over(side, frame, call),
            Kind::Headers | Kind::PushPromise => self.headers(side, frame, call),
            Kind::Continuation => self.continuation(side, frame, call),
            Kind::RstStream => self.rst_stream(side, head.stream, payload, call),
            Kind::Settings => self.settings(side, payload, cut || payload.len() < head.len as usize),
            Kind::GoAway => self.go_away(side, payload, call),
            Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Other => {}
        }
    }

    /// Bytes of a DATA frame's payload have moved.
    fn data_moved(&mut self, side: Side, head: &FrameHead, count: u64, call: &Call<'_>) {
        if let Some(message) = self.streams.get_mut(head.stream).and_then(|stream| stream.message(side)) {
            message.last = call.stamp;
            message.body_len = message.body_len.map(|len| len.saturating_add(count));
        }
    }

    /// A DATA frame is complete (section 6.1).
    fn data_over(&mut self, side: Side, frame: &Frame<'_>, call: &Call<'_>) {
        let Frame { head, begin, payload, .. } = frame;
        let Some(stream) = self.streams.get_mut(head.stream) else { return };
        if head.has(PADDED) {
            let padding = payload.first().map(|&padding| u64::from(padding) + 1);
            let sound = padding.is_none_or(|padding| padding <= u64::from(head.len));
            if let Some(message) = stream.message(side) {
                message.body_len = message.body_len.zip(padding).and_then(|(len, padding)| len.checked_sub(padding));
            }
            if !sound || head.len == 0 {
                self.trouble(DiagnosticKind::MalformedFrame, begin.pos);
            }
        }
        if head.has(END_STREAM) {
            match side {
                Side::Request => self.end_request(head.stream),
                Side::Response => self.end_response(head.stream, None, call),
            }
        }
    }

    pub(super) fn end_request(&mut self, number: u32) {
        if let Some(stream) = self.streams.get_mut(number) {
            stream.request_over = true;
        }
    }

    fn end_responses(&mut self, end: End) {
        let (given_up, last_taken) = (self.given_up, self.last_taken);
        while let Some(number) = self.streams.oldest() {
            let Some(stream) = self.streams.get_mut(number) else { return };
            let exchange = &mut stream.exchange;
            let refused = last_taken.filter(|&last| number > last).map(|_| REFUSED_STREAM);
            let given_up = given_up.or(refused.filter(|_| exchange.response.is_none()));
            let lossy = stream.doubtful || exchange.request.message.first.exit <= end.lossy_until;
            let outcome = match (&exchange.response, given_up) {
                _ if lossy || end.how == EndKind::Unknown => Outcome::Incomplete,
                (_, Some(_)) => Outcome::Reset,
                (Some(_), None) => Outcome::CutResponse,
                (None, None) => Outcome::NoResponse,
            };
            exchange.reset = given_up.filter(|_| outcome == Outcome::Reset);
            let at = exchange.response.as_ref().map_or(end.at, |response| response.message.last.exit);
            self.streams.end(number, outcome, at);
        }
        self.response.state = State::Off;
    }
}

/// How many of a payload's first bytes are needed.
fn kept_bytes(head: &FrameHead, limits: &Limits) -> usize {
    let len = usize::try_from(head.len).unwrap_or(usize::MAX);
    match head.kind {
        Kind::Data => usize::from(head.has(PADDED)),
        Kind::Headers | Kind::PushPromise | Kind::Continuation => len.min(limits.head_bytes),
        Kind::Settings => len.min(SETTINGS_BYTES),
        Kind::RstStream => 4,
        Kind::GoAway => 8,
        Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Other => 0,
    }
}

impl Parser for Http2 {
    fn feed(&mut self, side: Side, mut chunk: Chunk<'_>, call: &Call<'_>) -> usize {
        let all = chunk.bytes.len();
        while !chunk.bytes.is_empty() && self.streams.found() + self.troubles.len() < PILE {
            let used = self.step(side, chunk, call);
            chunk = chunk.skip(used);
        }
        all - chunk.bytes.len()
    }

    fn gap(&mut self, side: Side, gap: Gap<'_>) {
        match gap {
            Gap::Skipped(count, call) => self.skip(side, count, call),
            Gap::Lost(count, _) => self.lose(side, count),
            Gap::Disorder => self.lose_order(),
        }
    }

    fn end(&mut self, side: Side, end: End) {
        match side {
            // Responses may still come: a client can shut down its direction and read on.
            Side::Request => self.request.state = State::Off,
            Side::Response => self.end_responses(end),
        }
    }

    fn poll(&mut self) -> Option<Found> {
        if let Some(found) = self.streams.poll() {
            return Some(found);
        }
        let (kind, pos) = self.troubles.pop()?;
        Some(Found::Trouble(kind, pos))
    }

    fn shed(&mut self) {
        self.fields = Fields::default();
        self.request.decoder.shed();
        self.response.decoder.shed();
    }

    fn spare_bytes(&self) -> usize {
        self.request.decoder.held_bytes() + self.response.decoder.held_bytes() + self.fields.held_bytes()
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.streams.held_bytes()
            + self.request.held_bytes()
            + self.response.held_bytes()
            + self.fields.held_bytes()
    }
}
