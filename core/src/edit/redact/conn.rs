//! One connection: puts what it says in order and hands it to what understands it, as stage 1 does.
//!
//! Unlike stage 1, nothing waits here for bytes that come too late: what comes out of order is masked.

use super::http1::Http1;
use super::http2::Http2;
use super::mask::{MASK, OPAQUE};
use super::queue::{Gather, Place, Queue};
use super::redactor::Counts;
use super::rules::{Rule, Rules};
use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, Shutdown};
use crate::facts::{ConnInfo, Role};
use crate::http1::Http1 as Http1Parser;
use crate::http2::Http2 as Http2Parser;
use crate::ranges::RangesBuf;
use crate::time::MonoNanos;
use crate::track::{Detected, METHOD_BYTES, Side, detect};

/// What a connection works with.
pub(super) struct Cx<'a> {
    pub(super) queue: &'a mut Queue,
    pub(super) rules: &'a Rules,
    pub(super) counts: &'a mut Counts,
}

impl Cx<'_> {
    /// Overwrites bytes of a message.
    pub(super) fn mask(&mut self, place: Place, len: usize, rule: Rule) {
        self.fill(place, len, rule, MASK);
    }

    /// Overwrites bytes that are not understood.
    pub(super) fn mask_opaque(&mut self, place: Place, len: usize) {
        self.fill(place, len, Rule::Unparsed, OPAQUE);
    }

    /// Overwrites bytes that were gathered and are not understood.
    pub(super) fn give_up(&mut self, gather: Gather) {
        let bytes = vec![OPAQUE; gather.bytes.len()];
        let (counts, len) = (&mut *self.counts, bytes.len() as u64);
        let all = [(0..bytes.len(), Rule::Unparsed)];
        gather.put_back(self.queue, &bytes, all.into_iter(), |rule| counts.add(rule, len));
    }

    fn fill(&mut self, place: Place, len: usize, rule: Rule, mask: u8) {
        // What was masked before stays as it is, whatever the bytes around it make of it now.
        if !self.queue.is_masked(place, len) && self.queue.edit(place, len, rule, |_, _| mask) {
            self.counts.add(rule, len as u64);
        }
    }
}

/// Bytes that were captured in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) place: Place,
    pub(super) bytes: &'a [u8],
}

impl Piece<'_> {
    /// The position behind its last byte.
    pub(super) const fn end(&self) -> u64 {
        self.place.pos.saturating_add(self.bytes.len() as u64)
    }

    /// What is left behind the first `count` bytes.
    #[must_use]
    pub(super) fn skip(self, count: usize) -> Self {
        let bytes = self.bytes.get(count..).unwrap_or_default();
        Self { place: self.place.plus(self.bytes.len() - bytes.len()), bytes }
    }

    /// The first `count` bytes.
    #[must_use]
    pub(super) fn first(self, count: usize) -> Self {
        Self { bytes: self.bytes.get(..count).unwrap_or(self.bytes), ..self }
    }
}

/// The call that moved bytes: the positions of its first byte and behind its last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// One end of one connection.
#[derive(Debug)]
pub(super) struct Conn {
    role: Role,
    received: Stream,
    sent: Stream,
    protocol: Protocol,
    /// Calls whose bytes were too few to tell the protocol: their events, and the position from which each is new.
    held: Vec<(u64, u64)>,
    /// The number of the last event of it.
    pub(super) used: u64,
}

/// One direction.
#[derive(Debug)]
struct Stream {
    next: u64,
    moved: MonoNanos,
    begun: bool,
    ended: bool,
    attached: bool,
}

#[derive(Debug)]
enum Protocol {
    Undecided,
    Http1(Http1),
    Http2(Box<Http2>),
    /// Only the heads of its records are kept.
    Tls,
    /// None that is understood.
    Opaque,
}

/// So many first bytes of a message always tell the protocol.
const DETECT_BYTES: u64 = METHOD_BYTES as u64 + 8;
/// The head of a TLS record.
const RECORD_HEAD: usize = 5;

impl Conn {
    /// A connection; `info` is `None` where nothing is known of it.
    pub(super) fn new(info: Option<&ConnInfo>) -> Self {
        let attached = info.is_none_or(|info| info.preexisting);
        let stream = |next| Stream { next, moved: MonoNanos::ZERO, begun: false, ended: false, attached };
        Self {
            role: info.map_or(Role::Unknown, |info| info.role),
            received: stream(info.map_or(0, |info| info.first_in)),
            sent: stream(info.map_or(0, |info| info.first_out)),
            protocol: Protocol::Undecided,
            held: Vec::new(),
            used: 0,
        }
    }

    /// More became known of it.
    pub(super) fn learn(&mut self, info: &ConnInfo) {
        if self.role == Role::Unknown {
            self.role = info.role;
        }
    }

    /// Takes an event of this connection, which has this number.
    pub(super) fn push(&mut self, event: u64, body: &Body<'_>, time: MonoNanos, cx: &mut Cx<'_>) {
        match body {
            Body::Data(data) => self.data(event, data, time, cx),
            Body::Accept { .. } => self.role = Role::Server,
            Body::Connect { .. } => self.role = Role::Client,
            Body::Shutdown { how: Shutdown::Write | Shutdown::Both, .. } => self.sent.ended = true,
            _ => {}
        }
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::In => &mut self.received,
            Direction::Out => &mut self.sent,
        }
    }

    fn data(&mut self, event: u64, data: &Data<'_>, time: MonoNanos, cx: &mut Cx<'_>) {
        let direction = data.direction;
        let end = data.pos.saturating_add(data.len);
        if data.stamp.flags.contains(DataFlags::PEEK) || self.stream(direction).ended {
            return opaque(event, data, data.pos..u64::MAX, cx);
        }
        if data.len == 0 {
            opaque(event, data, data.pos..u64::MAX, cx);
            self.stream(direction).ended |= direction == Direction::In;
            return;
        }
        let news = end > self.stream(direction).next;
        if news && time < self.stream(direction.reverse()).moved {
            self.lose_order(cx);
        }
        let stream = self.stream(direction);
        stream.moved = stream.moved.max(time);
        if stream.attached && !stream.begun {
            stream.next = stream.next.max(data.pos);
        }
        stream.begun = true;
        let from = stream.next;
        if data.pos > from {
            stream.attached = true;
            self.lose(direction, data.pos - from, cx);
        }
        // What was there before, nobody looks at.
        opaque(event, data, data.pos..from.min(end), cx);
        let from = from.max(data.pos);
        if end > from {
            self.stream(direction).next = end;
            self.deliver(event, data, from, cx);
        }
    }

    fn lose(&mut self, direction: Direction, count: u64, cx: &mut Cx<'_>) {
        let side = side_of(self.role, direction);
        match &mut self.protocol {
            Protocol::Http1(http1) => http1.lose(side, count, cx),
            Protocol::Http2(http2) => http2.lose(side, count, cx),
            Protocol::Undecided => self.drop_held(cx),
            Protocol::Tls | Protocol::Opaque => {}
        }
    }

    fn lose_order(&mut self, cx: &mut Cx<'_>) {
        match &mut self.protocol {
            Protocol::Http1(http1) => http1.lose_order(cx),
            Protocol::Undecided => {
                (self.received.attached, self.sent.attached) = (true, true);
                self.drop_held(cx);
            }
            Protocol::Http2(_) | Protocol::Tls | Protocol::Opaque => {}
        }
    }

    /// The calls that wait for the protocol are masked.
    fn drop_held(&mut self, cx: &mut Cx<'_>) {
        for (event, from) in std::mem::take(&mut self.held) {
            if let Some((data, payload)) = call_of(cx.queue, event) {
                opaque(event, &Data { ranges: payload.as_ranges(), ..data }, from..u64::MAX, cx);
            }
            cx.queue.release(event);
        }
    }

    fn deliver(&mut self, event: u64, data: &Data<'_>, from: u64, cx: &mut Cx<'_>) {
        match self.protocol {
            Protocol::Undecided => self.decide(event, data, from, cx),
            _ => self.parse(event, data, from, cx),
        }
    }

    /// Looks at the first bytes of a call for what protocol they are; see `track::Conn::decide`.
    fn decide(&mut self, event: u64, data: &Data<'_>, from: u64, cx: &mut Cx<'_>) {
        let attached = self.stream(data.direction).attached;
        let prefix = data.ranges.iter().next().filter(|_| from == data.pos).map_or(&[][..], |(_, bytes)| bytes);
        let detected = self.detect(data.direction, prefix, attached, cx);
        let (http2, side) = match detected {
            Detected::Request => (false, Some(Side::Request)),
            Detected::Response => (false, Some(Side::Response)),
            Detected::Http2 => (true, Some(Side::Request)),
            Detected::Http2Server => (true, Some(Side::Response)),
            Detected::Short if !attached && data.len < DETECT_BYTES && prefix.len() as u64 == data.len => {
                cx.queue.hold(event);
                return self.held.push((event, from));
            }
            Detected::Unknown | Detected::Short if attached => match Http2Parser::side_of(prefix, data.len) {
                (true, side) => {
                    (self.received.attached, self.sent.attached) = (true, true);
                    let known = (self.role != Role::Unknown).then(|| side_of(self.role, data.direction));
                    (true, known.or(side))
                }
                (false, _) => return opaque(event, data, from..u64::MAX, cx),
            },
            // Bytes that were masked before: where a message may begin behind them is not known.
            _ if was_masked(prefix) => {
                self.stream(data.direction).attached = true;
                let blank = prefix.iter().take_while(|&&byte| byte != OPAQUE).count() as u64;
                return opaque(event, data, from + blank..u64::MAX, cx);
            }
            Detected::Tls => return self.settle(Protocol::Tls, event, data, from, cx),
            _ => return self.settle(Protocol::Opaque, event, data, from, cx),
        };
        let Some(side) = side else { return opaque(event, data, from..u64::MAX, cx) };
        let server = (side == Side::Request) == (data.direction == Direction::In);
        let role = if server { Role::Server } else { Role::Client };
        if self.role == Role::Unknown {
            self.role = role;
        }
        if self.role != role {
            return self.settle(Protocol::Opaque, event, data, from, cx);
        }
        let (requests, responses) = if server { (&self.received, &self.sent) } else { (&self.sent, &self.received) };
        let (requests, responses) = (requests.attached && detected != Detected::Http2, responses.attached);
        let protocol = if http2 {
            Protocol::Http2(Box::new(Http2::new(requests, responses)))
        } else {
            Protocol::Http1(Http1::new(requests, responses))
        };
        self.settle(protocol, event, data, from, cx);
    }

    /// What the bytes so far of one direction are, `prefix` the latest of them.
    fn detect(&self, direction: Direction, prefix: &[u8], attached: bool, cx: &mut Cx<'_>) -> Detected {
        let mut first = Vec::new();
        for (event, _) in &self.held {
            if let Some((data, payload)) = call_of(cx.queue, *event)
                && data.direction == direction
            {
                payload.as_ranges().iter().for_each(|(_, bytes)| first.extend_from_slice(bytes));
            }
        }
        let whole_line = Http1Parser::side_of(prefix);
        first.extend(prefix.iter().take(if first.is_empty() { usize::MAX } else { METHOD_BYTES + 8 }));
        match (detect(&first), whole_line) {
            (Detected::Request, side) if attached && side != Some(Side::Request) => Detected::Unknown,
            (Detected::Response, side) if attached && side != Some(Side::Response) => Detected::Unknown,
            (Detected::Http2Server, _) if attached => Detected::Unknown,
            (detected, _) => detected,
        }
    }

    /// The protocol is known: what has waited for it is looked at, and this call.
    fn settle(&mut self, protocol: Protocol, event: u64, data: &Data<'_>, from: u64, cx: &mut Cx<'_>) {
        self.protocol = protocol;
        for (event, from) in std::mem::take(&mut self.held) {
            if let Some((data, payload)) = call_of(cx.queue, event) {
                self.parse(event, &Data { ranges: payload.as_ranges(), ..data }, from, cx);
            }
            cx.queue.release(event);
        }
        self.parse(event, data, from, cx);
    }

    /// Hands the bytes of a call from position `from` on to what understands them.
    fn parse(&mut self, event: u64, data: &Data<'_>, from: u64, cx: &mut Cx<'_>) {
        let call = Call { start: data.pos, end: data.pos.saturating_add(data.len) };
        let side = side_of(self.role, data.direction);
        let (mut at, mut index, mut upgrade) = (from, 0, None);
        for (offset, bytes) in data.ranges.iter() {
            let pos = data.pos.saturating_add(offset);
            let piece = Piece { place: Place { event, at: index, pos }, bytes };
            index += bytes.len();
            let piece = piece.skip(usize::try_from(at.saturating_sub(pos)).unwrap_or(usize::MAX).min(bytes.len()));
            if piece.bytes.is_empty() {
                continue;
            }
            let gap = piece.place.pos.saturating_sub(at);
            at = piece.end();
            match &mut self.protocol {
                Protocol::Http1(http1) => {
                    if gap > 0 {
                        http1.skip(side, gap, cx);
                    }
                    upgrade = http1.feed(side, piece, &call, cx);
                    if upgrade.is_some() {
                        break;
                    }
                }
                Protocol::Http2(http2) => {
                    if gap > 0 {
                        http2.skip(side, gap, cx);
                    }
                    http2.feed(side, piece, &call, cx);
                }
                Protocol::Tls => {
                    let head = piece.place.pos == call.start && matches!(piece.bytes, [20..=24, 3, 0..=4, ..]);
                    let kept = if head { RECORD_HEAD.min(piece.bytes.len()) } else { 0 };
                    cx.mask_opaque(piece.place.plus(kept), piece.bytes.len() - kept);
                }
                Protocol::Undecided | Protocol::Opaque => {
                    cx.mask_opaque(piece.place, piece.bytes.len());
                }
            }
        }
        if let Some(pos) = upgrade {
            self.give_up(cx);
            self.protocol = Protocol::Http2(Box::new(Http2::new(false, false)));
            return self.parse(event, data, pos, cx);
        }
        match &mut self.protocol {
            Protocol::Http1(http1) if at < call.end => http1.skip(side, call.end - at, cx),
            Protocol::Http2(http2) if at < call.end => http2.skip(side, call.end - at, cx),
            _ => {}
        }
    }

    /// What is still to be decided is masked.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        match &mut self.protocol {
            Protocol::Undecided => self.drop_held(cx),
            Protocol::Http1(http1) => http1.give_up(cx),
            Protocol::Http2(http2) => http2.give_up(cx),
            Protocol::Tls | Protocol::Opaque => {}
        }
    }

    /// No more bytes follow.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>) {
        match &mut self.protocol {
            Protocol::Undecided => self.drop_held(cx),
            Protocol::Http1(http1) => http1.end(cx),
            Protocol::Http2(http2) => http2.end(cx),
            Protocol::Tls | Protocol::Opaque => {}
        }
    }
}

/// Whether a call's first bytes are nothing but what stands for bytes that were not understood, behind empty lines.
fn was_masked(prefix: &[u8]) -> bool {
    let text = prefix.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).and_then(|from| prefix.get(from..));
    text.is_some_and(|text| text.iter().all(|&byte| byte == OPAQUE))
}

/// Masks the captured bytes of a call whose positions are in `range`.
fn opaque(event: u64, data: &Data<'_>, range: std::ops::Range<u64>, cx: &mut Cx<'_>) {
    let mut index = 0;
    for (offset, bytes) in data.ranges.iter() {
        let pos = data.pos.saturating_add(offset);
        let piece = Piece { place: Place { event, at: index, pos }, bytes };
        index += bytes.len();
        let skipped = usize::try_from(range.start.saturating_sub(pos)).unwrap_or(usize::MAX).min(bytes.len());
        let len = usize::try_from(range.end.saturating_sub(pos)).unwrap_or(usize::MAX).min(bytes.len());
        let piece = piece.first(len).skip(skipped.min(len));
        cx.mask_opaque(piece.place, piece.bytes.len());
    }
}

/// Masks all captured bytes of a call that nothing has decided about.
pub(super) fn mask_call(event: u64, cx: &mut Cx<'_>) {
    if let Some((data, payload)) = call_of(cx.queue, event) {
        opaque(event, &Data { ranges: payload.as_ranges(), ..data }, 0..u64::MAX, cx);
    }
}

/// A call that waits.
fn call_of(queue: &mut Queue, event: u64) -> Option<(Data<'static>, RangesBuf)> {
    match &queue.event(event)?.body {
        BodyBuf::Data(data, payload) => Some((*data, payload.clone())),
        _ => None,
    }
}

/// What a direction carries: servers receive requests.
const fn side_of(role: Role, direction: Direction) -> Side {
    match (role, direction) {
        (Role::Client, Direction::Out) | (Role::Server | Role::Unknown, Direction::In) => Side::Request,
        _ => Side::Response,
    }
}
