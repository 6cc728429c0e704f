//! One connection: puts the bytes of both directions in order, finds the protocol and hands them to its parser.
//!
//! When is a missing piece given up? The positions of one direction normally come in order, as a socket's reads and
//! writes follow each other; records of different CPUs can change places within the recorder's reorder window. So bytes
//! that come early wait for those in front of them, until the other direction goes on (a cause stands before its effect
//! on a tape), the stream ends, too many wait, or the reorder window has passed on tape time.

use std::sync::Arc;

use super::arrivals::Arrivals;
use super::detect::Detected;
use super::parser::{Call, End, EndKind, Found, Gap, Parser, Side};
use super::protocol::{DETECT_BYTES, Protocol, Undecided, feed};
use super::reorder::{Piece, Waiting};
use super::standstill::Outbox;
use crate::diagnostic::DiagnosticKind;
use crate::event::{Body, Data, DataFlags, Direction, Shutdown};
use crate::exchange::{Version, What};
use crate::facts::{ConnInfo, Role};
use crate::http1::Http1;
use crate::http2::{Http2, Prefix};
use crate::ids::ConnKey;
use crate::limits::Limits;
use crate::time::MonoNanos;
use crate::tls::TieRule;

/// What a connection needs from its shard to take an event.
pub(crate) struct Context<'a, 'b> {
    pub(crate) limits: &'a Limits,
    /// Records from up to this moment may be missing.
    pub(crate) lossy_until: MonoNanos,
    pub(crate) out: &'a mut Outbox<'b>,
}

/// One end of one connection.
#[derive(Debug)]
pub(crate) struct Conn {
    info: Arc<ConnInfo>,
    role: Role,
    reset: bool,
    received: Stream,
    sent: Stream,
    arrivals: Arrivals,
    /// Calls that wait for earlier bytes. Only one direction can have any, as the other one going on gives them up.
    waiting: Option<Box<Waiting>>,
    first: First,
    protocol: Protocol,
}

/// The first request of a connection has waited for the accept.
#[derive(Debug, Default)]
struct First {
    /// Where it begins.
    pos: Option<u64>,
    accept_wait_nanos: Option<u64>,
}

/// One direction.
#[derive(Debug)]
struct Stream {
    /// The position of the next byte.
    next: u64,
    /// The time of the latest call.
    moved: MonoNanos,
    begun: bool,
    ended: bool,
    /// It may have been joined in the middle of a message: its first bytes are older than the recording, or lost.
    attached: bool,
}

/// So often may the direction turn on a connection joined in the middle before it counts as something else than HTTP.
const MAX_TURNS: u8 = 4;
impl Conn {
    pub(crate) fn new(info: &ConnInfo) -> Self {
        let stream =
            |next| Stream { next, moved: MonoNanos::ZERO, begun: false, ended: false, attached: info.preexisting };
        Self {
            role: info.role,
            reset: false,
            received: stream(info.first_in),
            sent: stream(info.first_out),
            arrivals: Arrivals::default(),
            waiting: None,
            first: First::default(),
            protocol: Protocol::Undecided(Undecided::default()),
            info: Arc::new(info.clone()),
        }
    }

    pub(crate) const fn info(&self) -> &Arc<ConnInfo> {
        &self.info
    }

    /// More became known of it. Returns whether that is so.
    pub(crate) fn learn(&mut self, info: &ConnInfo) -> bool {
        let news = *self.info != *info;
        if news {
            self.info = Arc::new(info.clone());
            if self.role == Role::Unknown {
                self.role = info.role;
            }
        }
        news
    }

    /// What a reader that joins it now, its streams being at these positions, has to be told: of what it receives, and of what it sends.
    /// Nothing of protocols that need nothing of the time before.
    pub(crate) fn prefixes(&self, received: u64, sent: u64) -> [Option<Prefix>; 2] {
        let Protocol::Http2(parser) = &self.protocol else { return [None, None] };
        if self.waiting.is_some() || (self.received.next, self.sent.next) != (received, sent) {
            return [None, None];
        }
        if side_of(self.role, Direction::In) == Side::Request {
            return parser.prefixes(received, sent);
        }
        let [requests, responses] = parser.prefixes(sent, received);
        [responses, requests]
    }

    /// Whether it is HTTP/2.
    pub(crate) const fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2(_))
    }

    /// Whether its streams are between two exchanges at these positions, so that a reader can begin there as at their beginning. That of
    /// HTTP/2 is to be told ([`Prefix::anew`]).
    pub(crate) fn is_idle(&self, received: u64, sent: u64) -> bool {
        let idle = match &self.protocol {
            Protocol::Http1(parser) => parser.is_idle(),
            Protocol::Undecided(_) => !(self.received.begun || self.sent.begun),
            Protocol::Http2(_) | Protocol::Ignored => false,
        };
        idle && self.waiting.is_none() && (self.received.next, self.sent.next) == (received, sent)
    }

    /// Whether its first request is still to come.
    pub(crate) const fn awaits_first(&self) -> bool {
        self.first.pos.is_none()
    }

    /// What has arrived and was not read: the position behind each piece, and when it came.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = (u64, MonoNanos)> {
        self.arrivals.iter()
    }

    /// Since when calls wait for earlier bytes.
    #[inline]
    pub(crate) fn waiting_since(&self) -> Option<MonoNanos> {
        self.waiting.as_ref().map(|waiting| waiting.since)
    }

    /// Memory in use beyond its own size, in bytes.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        let protocol = match &self.protocol {
            Protocol::Http1(parser) => parser.held_bytes(),
            Protocol::Http2(parser) => parser.held_bytes(),
            Protocol::Undecided(undecided) => undecided.held.iter().map(|(piece, _)| piece.held_bytes()).sum(),
            Protocol::Ignored => 0,
        };
        protocol + self.arrivals.held_bytes() + self.waiting.as_ref().map_or(0, |waiting| waiting.held_bytes())
    }

    /// How many bytes [`Self::shed`] lets go of.
    pub(crate) fn spare_bytes(&self) -> usize {
        self.protocol.spare_bytes()
    }

    /// Lets go of what is kept for messages to come.
    pub(crate) fn shed(&mut self, cx: &mut Context<'_, '_>) {
        if let Some(parser) = self.protocol.parser() {
            parser.shed();
        }
        self.report(DiagnosticKind::HeaderTableEvicted, 0, cx);
    }

    /// Takes an event of this connection.
    pub(crate) fn push(&mut self, body: &Body<'_>, time: MonoNanos, cx: &mut Context<'_, '_>) {
        match body {
            Body::Data(data) => self.data(data, time, cx),
            Body::Arrival { end, .. } => {
                let kept = *end <= self.received.next || self.arrivals.push(*end, time, cx.limits.arrivals);
                if !kept {
                    self.report(DiagnosticKind::ArrivalOverflow, *end, cx);
                }
            }
            Body::Accept { stamp, .. } => {
                self.role = Role::Server;
                self.first.accept_wait_nanos = self.info.established.map(|at| stamp.exit.since(at));
            }
            Body::Connect { .. } => self.role = Role::Client,
            Body::Shutdown { how: Shutdown::Write | Shutdown::Both, .. } => self.end(Direction::Out, time, cx),
            Body::SocketError { .. } => self.reset = true,
            Body::Close { .. } => self.end_both(if self.reset { EndKind::Reset } else { EndKind::Orderly }, time, cx),
            Body::TlsTie { rule: TieRule::Contradicted, .. } => self.report(DiagnosticKind::ContradictedTie, 0, cx),
            // Reading on is the other end's matter; a descriptor may have duplicates.
            Body::Shutdown { how: Shutdown::Read, .. } | Body::FdClose { .. } => {}
            Body::Connection(_) | Body::Clock { .. } | Body::Exec { .. } | Body::Exit { .. } => {}
            Body::Enrich(_) | Body::Loss(_) | Body::Process(_) | Body::Tick | Body::TlsTie { .. } => {}
        }
    }

    /// Gives up the bytes that calls wait for, and takes those calls.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_, '_>) {
        let Some(waiting) = self.waiting.take() else { return };
        let direction = waiting.direction;
        for piece in waiting.into_pieces() {
            let data = piece.as_data();
            self.pass_gap(direction, data.pos, cx);
            self.deliver(&data, cx);
        }
    }

    /// The connection is over, or no longer followed.
    pub(crate) fn end_both(&mut self, how: EndKind, at: MonoNanos, cx: &mut Context<'_, '_>) {
        self.give_up(cx);
        if let Some(parser) = self.protocol.parser() {
            let end = End { how, at, lossy_until: cx.lossy_until };
            parser.end(Side::Request, end);
            parser.end(Side::Response, end);
        }
        self.collect(cx);
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::In => &mut self.received,
            Direction::Out => &mut self.sent,
        }
    }

    fn data(&mut self, data: &Data<'_>, time: MonoNanos, cx: &mut Context<'_, '_>) {
        let direction = data.direction;
        if data.stamp.flags.contains(DataFlags::PEEK) || self.stream(direction).ended {
            return;
        }
        if self.waiting.as_ref().is_some_and(|waiting| waiting.direction != direction) {
            self.give_up(cx);
        }
        if data.len == 0 {
            if direction == Direction::In {
                self.give_up(cx);
                // The position of the end tells of bytes that were lost in front of it.
                if self.received.begun || !self.received.attached {
                    self.pass_gap(direction, data.pos, cx);
                }
                self.end(direction, time, cx);
            }
            return;
        }
        let news = data.pos.saturating_add(data.len) > self.stream(direction).next;
        let late = news && time < self.stream(direction.reverse()).moved;
        if late {
            self.lose_order(cx);
        }
        let stream = self.stream(direction);
        stream.moved = stream.moved.max(time);
        if stream.attached && !stream.begun {
            stream.next = stream.next.max(data.pos);
        }
        stream.begun = true;
        if data.pos > stream.next {
            return self.wait(data, cx);
        }
        self.deliver(data, cx);
        while let Some(piece) = self.take_ready(direction) {
            self.deliver(&piece.as_data(), cx);
        }
        if late {
            self.lose_order(cx);
        }
    }

    /// Bytes came after later ones of the other direction: which response is whose, their order does not tell any more.
    fn lose_order(&mut self, cx: &mut Context<'_, '_>) {
        if let Some(parser) = self.protocol.parser() {
            parser.gap(Side::Request, Gap::Disorder);
            parser.gap(Side::Response, Gap::Disorder);
        } else if let Protocol::Undecided(undecided) = &mut self.protocol {
            (self.received.attached, self.sent.attached) = (true, true);
            undecided.held.clear();
        }
        self.collect(cx);
    }

    /// Keeps a call until the bytes in front of it come.
    fn wait(&mut self, data: &Data<'_>, cx: &mut Context<'_, '_>) {
        let since = cx.out.watermark;
        let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::new(data.direction, since)));
        let kept = waiting.insert(data.into());
        let full = waiting.len() > cx.limits.reorder_pieces;
        if !kept {
            self.report(DiagnosticKind::DuplicateBytes, data.pos, cx);
        }
        if full {
            self.report(DiagnosticKind::ReorderOverflow, data.pos, cx);
            self.give_up(cx);
        }
    }

    fn take_ready(&mut self, direction: Direction) -> Option<Piece> {
        let next = self.stream(direction).next;
        let waiting = self.waiting.as_mut()?;
        let piece = waiting.take_ready(next);
        if waiting.len() == 0 {
            self.waiting = None;
        }
        piece
    }

    /// Bytes up to `pos` will not come any more.
    fn pass_gap(&mut self, direction: Direction, pos: u64, cx: &mut Context<'_, '_>) {
        let stream = self.stream(direction);
        let from = stream.next;
        let Some(count) = pos.checked_sub(from).filter(|&count| count > 0) else { return };
        stream.next = pos;
        stream.attached = true;
        self.report(DiagnosticKind::StreamGap, from, cx);
        if let Some(parser) = self.protocol.parser() {
            parser.gap(side_of(self.role, direction), Gap::Lost(count, cx.lossy_until));
        } else if let Protocol::Undecided(undecided) = &mut self.protocol {
            undecided.held.retain(|(piece, _)| piece.direction() != direction);
        }
        self.collect(cx);
    }

    /// Takes the bytes of a call that are new; there is no gap before them.
    fn deliver(&mut self, data: &Data<'_>, cx: &mut Context<'_, '_>) {
        let end = data.pos.saturating_add(data.len);
        let stream = self.stream(data.direction);
        let from = stream.next;
        if data.pos < from {
            self.report(DiagnosticKind::DuplicateBytes, data.pos, cx);
        }
        if end <= from {
            return;
        }
        self.stream(data.direction).next = end;
        match &self.protocol {
            Protocol::Ignored => {}
            Protocol::Http1(_) | Protocol::Http2(_) => self.parse(data, from, cx),
            Protocol::Undecided(_) => self.decide(data, from, cx),
        }
        let held = matches!(&self.protocol, Protocol::Undecided(undecided) if !undecided.held.is_empty());
        if !held {
            self.arrivals.read_up_to(self.received.next);
        }
    }

    /// Looks at the first bytes of a call for what protocol they are.
    fn decide(&mut self, data: &Data<'_>, from: u64, cx: &mut Context<'_, '_>) {
        let attached = self.stream(data.direction).attached;
        let Protocol::Undecided(undecided) = &mut self.protocol else { return };
        let turned = undecided.last.replace(data.direction) != Some(data.direction);
        let (_, prefix) = data.ranges.iter().next().filter(|_| from == data.pos).unwrap_or_default();
        let detected = undecided.detect(data.direction, prefix, attached);
        let (version, side) = match detected {
            Detected::Request => (Version::Http11, Some(Side::Request)),
            Detected::Response => (Version::Http11, Some(Side::Response)),
            Detected::Http2 => (Version::Http2, Some(Side::Request)),
            Detected::Http2Server => (Version::Http2, Some(Side::Response)),
            Detected::Short if !attached && data.len < DETECT_BYTES as u64 && prefix.len() as u64 == data.len => {
                undecided.held.push((data.into(), from));
                return;
            }
            Detected::Unknown | Detected::Short if attached => match Http2::side_of(prefix, data.len) {
                (true, side) => {
                    (self.received.attached, self.sent.attached) = (true, true);
                    let known = (self.role != Role::Unknown).then(|| side_of(self.role, data.direction));
                    (Version::Http2, known.or(side))
                }
                (false, _) => {
                    undecided.turns += u8::from(turned);
                    if undecided.turns >= MAX_TURNS {
                        self.ignore(DiagnosticKind::NotHttp, data.pos, cx);
                    }
                    return;
                }
            },
            Detected::Tls => return self.ignore(DiagnosticKind::Tls, data.pos, cx),
            _ => return self.ignore(DiagnosticKind::NotHttp, data.pos, cx),
        };
        // Frames do not always tell whose they are.
        let Some(side) = side else { return };
        let server = (side == Side::Request) == (data.direction == Direction::In);
        let role = if server { Role::Server } else { Role::Client };
        if self.role == Role::Unknown {
            self.role = role;
        }
        if self.role != role {
            return self.ignore(DiagnosticKind::NotHttp, data.pos, cx);
        }
        let held = std::mem::take(&mut undecided.held);
        let (requests, responses) = if server { (&self.received, &self.sent) } else { (&self.sent, &self.received) };
        let (requests, responses) = (requests.attached && detected != Detected::Http2, responses.attached);
        self.protocol = match version {
            Version::Http2 => Protocol::Http2(Box::new(Http2::new(requests, responses, cx.limits))),
            Version::Http10 | Version::Http11 => Protocol::Http1(Http1::new(requests, responses)),
        };
        for (piece, from) in held {
            self.parse(&piece.as_data(), from, cx);
        }
        self.parse(data, from, cx);
    }

    fn ignore(&mut self, why: DiagnosticKind, pos: u64, cx: &mut Context<'_, '_>) {
        self.protocol = Protocol::Ignored;
        self.report(why, pos, cx);
    }

    /// Hands the bytes of a call from position `from` on to the parser.
    fn parse(&mut self, data: &Data<'_>, from: u64, cx: &mut Context<'_, '_>) {
        let Self { protocol, info, arrivals, first, .. } = self;
        let Some(parser) = protocol.parser() else { return };
        let call = Call {
            conn: info,
            role: self.role,
            process: data.process,
            stamp: data.stamp,
            start: data.pos,
            end: data.pos.saturating_add(data.len),
            arrivals: (data.direction == Direction::In).then_some(arrivals),
            arrived: data.arrived,
            limits: cx.limits,
            lossy_until: cx.lossy_until,
        };
        let side = side_of(self.role, data.direction);
        feed(parser, side, data, from, &call, |parser| collect(parser, first, info.key, cx));
        if let Protocol::Http1(parser) = &mut self.protocol
            && let Some((exchange, pos)) = parser.take_upgrade()
        {
            self.protocol = Protocol::Http2(Box::new(Http2::upgraded(exchange, cx.limits)));
            self.parse(data, pos, cx);
        }
    }

    /// One direction is over.
    fn end(&mut self, direction: Direction, at: MonoNanos, cx: &mut Context<'_, '_>) {
        self.give_up(cx);
        self.stream(direction).ended = true;
        if let Some(parser) = self.protocol.parser() {
            let how = if self.reset { EndKind::Reset } else { EndKind::Orderly };
            parser.end(side_of(self.role, direction), End { how, at, lossy_until: cx.lossy_until });
        }
        self.collect(cx);
    }

    /// Passes on what the parser found.
    fn collect(&mut self, cx: &mut Context<'_, '_>) {
        if let Some(parser) = self.protocol.parser() {
            collect(parser, &mut self.first, self.info.key, cx);
        }
    }

    fn report(&self, kind: DiagnosticKind, pos: u64, cx: &mut Context<'_, '_>) {
        cx.out.push(self.info.key, pos, What::Diagnostic(kind, 1));
    }
}

/// Passes on what a parser found.
fn collect(parser: &mut dyn Parser, first: &mut First, conn: ConnKey, cx: &mut Context<'_, '_>) {
    while let Some(found) = parser.poll() {
        let (pos, what) = match found {
            Found::Started(started) => {
                first.pos.get_or_insert(started.pos);
                (started.pos, What::Started(started))
            }
            Found::NotAlone(pos) => (pos, What::NotAlone),
            Found::Trouble(kind, pos) => (pos, What::Diagnostic(kind, 1)),
            Found::Ended(mut exchange) => {
                let pos = exchange.request.message.pos;
                if first.pos == Some(pos) {
                    exchange.accept_wait_nanos = first.accept_wait_nanos.take();
                }
                (pos, What::Ended(exchange))
            }
        };
        cx.out.push(conn, pos, what);
    }
}

/// What a direction carries: servers receive requests.
const fn side_of(role: Role, direction: Direction) -> Side {
    match (role, direction) {
        (Role::Client, Direction::Out) | (Role::Server | Role::Unknown, Direction::In) => Side::Request,
        _ => Side::Response,
    }
}
