//! HTTP/1: finds the heads of messages, and overwrites what is to go of them; and bodies.
//!
//! Messages are followed as the engine's parser follows them (`crate::http1`), with the same ideas of where one begins and
//! ends. Where both could differ, this one takes less for a message, and what is none is masked.

use std::collections::VecDeque;

use memchr::{memchr, memmem};

use super::conn::{Call, Cx, Piece};
use super::mask::{MASK, OPAQUE, Style};
use super::policy::Treatment;
use super::queue::{Gather, Place};
use super::reason::is_standard;
use super::rules::{Field, Mark, Rule, Rules};
use crate::http1::{Chunked, Framing, Head, Http1 as Parser, Next, StartLine, Step, ends_body, find_end};
use crate::limits::Limits;
use crate::track::Side;

/// HTTP/1 on one connection.
#[derive(Debug)]
pub(super) struct Http1 {
    request: State,
    response: State,
    /// What the requests were that wait for their responses.
    waiting: VecDeque<Asked>,
}

/// What of a request decides how its response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Head,
    Connect,
    Other,
}

/// Where in a stream a half is.
#[derive(Debug)]
enum State {
    /// Between two messages.
    Start,
    /// In a head.
    Head {
        gather: Gather,
        begun: bool,
    },
    /// In a body of which so much is left.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Behind bytes that are missing: in a body, or still in its head. Masked, whatever the policy says of bodies.
    Open {
        chunked: bool,
    },
    /// Somewhere: all is masked until a call begins with a message.
    Seek,
    /// Nothing more is HTTP/1.
    Off,
}

impl Http1 {
    /// At the beginning of each stream, or somewhere in it.
    pub(super) fn new(request_attached: bool, response_attached: bool) -> Self {
        let state = |attached| if attached { State::Seek } else { State::Start };
        Self { request: state(request_attached), response: state(response_attached), waiting: VecDeque::new() }
    }

    fn state(&mut self, side: Side) -> &mut State {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// Changes the state of one side. A head that it was in is given up: its events would wait for ever.
    fn set(&mut self, side: Side, state: State, cx: &mut Cx<'_>) {
        if let State::Head { gather, .. } = std::mem::replace(self.state(side), state) {
            cx.give_up(gather);
        }
    }

    /// Takes the next bytes of one side. Returns where HTTP/2 begins, if both have agreed to go on in it.
    pub(super) fn feed(&mut self, side: Side, mut piece: Piece<'_>, call: &Call, cx: &mut Cx<'_>) -> Option<u64> {
        while !piece.bytes.is_empty() {
            let used = match self.step(side, piece, call, cx) {
                Taken::Bytes(used) => used,
                Taken::Upgrade(pos) => return Some(pos),
            };
            piece = piece.skip(used);
        }
        None
    }

    /// Takes some of the bytes. 0 only on a change to a state that takes more.
    fn step(&mut self, side: Side, piece: Piece<'_>, call: &Call, cx: &mut Cx<'_>) -> Taken {
        let all = piece.bytes.len();
        let used = match self.state(side) {
            State::Start => {
                let blank = piece.bytes.iter().take_while(|&&byte| byte == b'\r' || byte == b'\n').count();
                if piece.bytes.get(blank) == Some(&OPAQUE) {
                    // No message begins so: it was masked before.
                    self.set(side, State::Seek, cx);
                } else if blank < all {
                    self.set(side, State::Head { gather: Gather::default(), begun: false }, cx);
                }
                blank
            }
            State::Head { .. } => return self.head(side, piece, cx),
            State::Length(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(all);
                *left -= used as u64;
                if *left == 0 {
                    self.set(side, State::Start, cx);
                }
                cx.mask_body(piece.place, used);
                used
            }
            State::Chunked(chunked) => {
                let (used, over) = feed_chunked(chunked, piece, cx);
                if let Some(over) = over {
                    self.set(side, over, cx);
                }
                used
            }
            State::UntilClose => {
                cx.mask_body(piece.place, all);
                all
            }
            State::Open { chunked } => {
                // The engine may take the end of a body in chunks for that of an earlier message: it is no secret.
                let tail = piece.end() == call.end && ends_body(piece.bytes, piece.place.pos == call.start);
                let over = *chunked && tail;
                if side == Side::Response && begins_message(side, piece, call) {
                    self.set(side, State::Start, cx);
                    return Taken::Bytes(0);
                }
                if tail {
                    mask_tail(piece, cx);
                } else {
                    cx.mask(piece.place, all, Rule::Body);
                }
                if over {
                    self.set(side, State::Start, cx);
                }
                all
            }
            State::Seek => {
                if begins_message(side, piece, call) {
                    self.set(side, State::Start, cx);
                    return Taken::Bytes(0);
                }
                cx.mask_opaque(piece.place, all);
                all
            }
            State::Off => {
                cx.mask_opaque(piece.place, all);
                all
            }
        };
        Taken::Bytes(used)
    }

    /// Further bytes of a head.
    fn head(&mut self, side: Side, piece: Piece<'_>, cx: &mut Cx<'_>) -> Taken {
        let limits = Limits::default();
        let State::Head { gather, begun, .. } = self.state(side) else { return Taken::Bytes(0) };
        let before = gather.bytes.len();
        let room = limits.head_bytes.saturating_sub(before).min(piece.bytes.len());
        // Of the piece no more than the head is gathered, as the rest is for other states.
        let tail: Vec<u8> = gather.bytes.iter().skip(before.saturating_sub(2)).copied().collect();
        let joined = [&tail[..], piece.bytes.get(..room).unwrap_or_default()].concat();
        let end = find_end(&joined, 0).map(|end| end.saturating_sub(tail.len()));
        let used = end.unwrap_or(room);
        gather.push(cx.queue, piece.place, piece.bytes.get(..used).unwrap_or_default());
        // Whether it is a message shows with its first line: what is none need not be waited for.
        let first_line = !*begun && memchr(b'\n', &gather.bytes).is_some();
        *begun |= first_line;
        let refused = first_line && !is_message(side, &gather.bytes);
        if end.is_none() && gather.bytes.len() < limits.head_bytes && !refused {
            return Taken::Bytes(used);
        }
        let upgrade = self.finish_head(side, cx);
        let end = piece.place.pos.saturating_add(used as u64);
        if upgrade { Taken::Upgrade(end) } else { Taken::Bytes(used) }
    }

    /// The head is complete, or what there is of it. Returns whether HTTP/2 follows.
    fn finish_head(&mut self, side: Side, cx: &mut Cx<'_>) -> bool {
        let State::Head { gather, .. } = std::mem::replace(self.state(side), State::Seek) else { return false };
        let limits = Limits::default();
        let bytes = gather.bytes.clone();
        let head = Head::read(&bytes, limits.head_lines).ok().flatten().filter(|_| is_message(side, &bytes));
        let Some(head) = head else {
            cx.give_up(gather);
            return false;
        };
        cx.redact_head(gather, &head);
        let (next, upgrade) = match head.start {
            StartLine::Request { method, .. } => (self.begin_request(method, &head), false),
            StartLine::Status { status, .. } => self.begin_response(status, &head, cx),
        };
        self.set(side, next, cx);
        upgrade
    }

    fn begin_request(&mut self, method: &[u8], head: &Head<'_>) -> State {
        let Ok(framing) = head.framing(false) else { return State::Off };
        if self.waiting.len() >= Limits::default().pipelined_requests {
            return State::Off;
        }
        self.waiting.push_back(match method {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        });
        body(framing, head.len.is_none())
    }

    fn begin_response(&mut self, status: u16, head: &Head<'_>, cx: &mut Cx<'_>) -> (State, bool) {
        let cut = head.len.is_none();
        if (100..200).contains(&status) && status != 101 {
            return (if cut { State::Seek } else { State::Start }, false);
        }
        let h2c = head.fields.upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
        if status == 101 && h2c && !cut && self.waiting.len() == 1 {
            return (State::Off, true);
        }
        // A request whose end is not known is over when its response begins.
        if matches!(self.request, State::Open { .. }) {
            self.set(Side::Request, State::Seek, cx);
        }
        let Some(asked) = self.waiting.pop_front() else { return (State::Open { chunked: false }, false) };
        if status == 101 || asked == Asked::Connect && (200..300).contains(&status) {
            // What came early for the other protocol is none of HTTP.
            self.set(Side::Request, State::Off, cx);
            return (State::Off, false);
        }
        let framing = head.framing(asked == Asked::Head || matches!(status, 204 | 304));
        (framing.map_or(State::Off, |framing| body(framing, cut)), false)
    }

    /// A call moved bytes that were not captured.
    pub(super) fn skip(&mut self, side: Side, count: u64, cx: &mut Cx<'_>) {
        match self.state(side) {
            State::Head { .. } => {
                self.finish_head(side, cx);
            }
            State::Start => self.set(side, State::Seek, cx),
            State::Length(left) => {
                let here = count.min(*left);
                *left -= here;
                if *left == 0 {
                    self.set(side, State::Start, cx);
                    if here < count {
                        self.skip(side, count - here, cx);
                    }
                }
            }
            State::Chunked(chunked) => {
                if !chunked.skip(count) {
                    self.set(side, State::Open { chunked: true }, cx);
                }
            }
            State::UntilClose | State::Open { .. } | State::Seek | State::Off => {}
        }
    }

    /// The calls that moved so many bytes are not known.
    pub(super) fn lose(&mut self, side: Side, count: u64, cx: &mut Cx<'_>) {
        let lost = match self.state(side) {
            State::Length(left) => {
                let within = count.min(*left);
                *left -= within;
                if *left == 0 {
                    self.set(side, State::Start, cx);
                }
                count > within
            }
            State::Chunked(chunked) => !chunked.skip(count),
            State::UntilClose | State::Off => false,
            State::Start | State::Head { .. } | State::Open { .. } | State::Seek => true,
        };
        if lost {
            self.seek(side, cx);
        }
    }

    /// The order of both streams is not known.
    pub(super) fn lose_order(&mut self, cx: &mut Cx<'_>) {
        self.seek(Side::Request, cx);
        self.seek(Side::Response, cx);
    }

    fn seek(&mut self, side: Side, cx: &mut Cx<'_>) {
        // Which response is whose is not known any more.
        self.waiting.clear();
        if matches!(self.state(side), State::Off) {
            return;
        }
        self.set(side, State::Seek, cx);
    }

    /// What is still to be decided is masked.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        for side in [Side::Request, Side::Response] {
            if matches!(self.state(side), State::Head { .. }) {
                self.set(side, State::Seek, cx);
            }
        }
    }

    /// No more bytes follow: a head that is not complete is read as far as it goes.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>) {
        for side in [Side::Request, Side::Response] {
            if matches!(self.state(side), State::Head { .. }) {
                self.finish_head(side, cx);
            }
        }
    }
}

/// What a step took.
enum Taken {
    Bytes(usize),
    /// All of a head, behind which HTTP/2 begins.
    Upgrade(u64),
}

fn body(framing: Framing, cut: bool) -> State {
    match framing {
        _ if cut => State::Open { chunked: false },
        Framing::Length(0) => State::Start,
        Framing::Length(length) => State::Length(length),
        Framing::Chunked => State::Chunked(Chunked::START),
        Framing::UntilClose => State::UntilClose,
    }
}

/// Whether bytes that begin with a whole line are a message of this side.
fn is_message(side: Side, bytes: &[u8]) -> bool {
    let head = Head::read(bytes, 0).ok().flatten();
    head.is_some_and(|head| matches!(head.start, StartLine::Request { .. }) == (side == Side::Request))
}

/// Whether a call begins with a whole line that begins a message.
fn begins_message(side: Side, piece: Piece<'_>, call: &Call) -> bool {
    piece.place.pos == call.start && Parser::side_of(piece.bytes) == Some(side)
}

/// Takes the next bytes of a body in chunks. Returns how many, and the state behind it if it is over.
fn feed_chunked(chunked: &mut Chunked, piece: Piece<'_>, cx: &mut Cx<'_>) -> (usize, Option<State>) {
    let mut at = 0;
    while let Some(&byte) = piece.bytes.get(at) {
        let place = piece.place.plus(at);
        let len = match chunked.next() {
            Next::Data(left) => {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(piece.bytes.len() - at);
                cx.mask_body(place, len);
                len
            }
            Next::Framing => 1,
            Next::Text => {
                if !matches!(byte, b'\r' | b'\n' | b':') {
                    cx.mask(place, 1, Rule::Body);
                }
                1
            }
        };
        match chunked.feed(piece.bytes.get(at..at + len).unwrap_or_default()) {
            Step::More => at += len,
            Step::Done(used) => return (at + used, Some(State::Start)),
            Step::Broken => {
                cx.mask_opaque(place, piece.bytes.len() - at);
                return (piece.bytes.len(), Some(State::Off));
            }
        }
    }
    (at, None)
}

/// Masks the last bytes of a body in chunks, but for those that end it.
fn mask_tail(piece: Piece<'_>, cx: &mut Cx<'_>) {
    let end = memmem::rfind(piece.bytes, b"\r\n0\r\n").map_or(0, |at| at + 2);
    cx.mask(piece.place, end.saturating_sub(2), Rule::Body);
    for (at, byte) in piece.bytes.iter().enumerate().skip(end + 3) {
        if !matches!(byte, b'\r' | b'\n' | b':') {
            cx.mask(piece.place.plus(at), 1, Rule::Body);
        }
    }
}

impl Cx<'_> {
    /// Overwrites bytes of a body, if the policy says so.
    pub(super) fn mask_body(&mut self, place: Place, len: usize) {
        if self.rules.policy().bodies == Treatment::Mask {
            self.mask(place, len, Rule::Body);
        }
    }

    /// Overwrites what is to go of a head.
    fn redact_head(&mut self, gather: Gather, head: &Head<'_>) {
        let mut marks = Vec::new();
        let mut opaque = Vec::new();
        self.mark_head(&gather.bytes, head, &mut marks, &mut opaque);
        let mut bytes = gather.bytes.clone();
        self.rules.apply(&mut bytes, &marks);
        for mark in &opaque {
            // Line ends stay: a head that is faulty must not become one that is not.
            let text = bytes.get_mut(mark.range.clone()).unwrap_or_default();
            text.iter_mut().filter(|byte| !matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = MASK);
        }
        marks.append(&mut opaque);
        let counts = &mut *self.counts;
        gather.put_back(self.queue, &bytes, marks.into_iter().map(|mark| (mark.range, mark.rule)), |rule| {
            counts.add(rule, 1);
        });
    }

    /// Marks what is to go of a head; `opaque` is what was not understood of it.
    fn mark_head(&self, bytes: &[u8], head: &Head<'_>, marks: &mut Vec<Mark>, opaque: &mut Vec<Mark>) {
        let (mut at, mut number, mut field) = (0, 0_usize, Field::Always);
        let most = if head.too_many_lines { Limits::default().head_lines + 1 } else { usize::MAX };
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let unparsed = |from: usize| Mark { range: from..bytes.len(), rule: Rule::Unparsed, style: Style::Flat };
            let Some(line_end) = memchr(b'\n', rest).filter(|_| number < most) else {
                // A line that is cut off, or one too many.
                return opaque.push(unparsed(at));
            };
            let line = rest.get(..line_end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.contains(&b'\r') {
                return opaque.push(unparsed(at));
            }
            match (number, head.start) {
                (0, StartLine::Request { method, target, .. }) => {
                    let from = marks.len();
                    match target {
                        _ if method == b"CONNECT" => Rules::mark_connect_target(target, marks),
                        // Of OPTIONS: all of the server.
                        b"*" => {}
                        _ => self.rules.mark_target(target, marks),
                    }
                    shift(marks, from, at + method.len() + 1);
                }
                (0, StartLine::Status { .. }) => {
                    // "HTTP/1.1 200 "
                    let reason = line.get(13..).unwrap_or_default();
                    if !is_standard(reason) {
                        marks.push(Mark { range: at + 13..at + line.len(), rule: Rule::Header, style: Style::Flat });
                    }
                }
                _ => field = self.mark_line(line, at, field, marks, opaque),
            }
            at += line_end + 1;
            number += 1;
        }
    }

    /// Marks what is to go of a header line; `before` is what the line before it was.
    fn mark_line(&self, line: &[u8], at: usize, before: Field, marks: &mut Vec<Mark>, opaque: &mut Vec<Mark>) -> Field {
        let name = memchr(b':', line).and_then(|colon| line.get(..colon)).filter(|name| is_name(name));
        let Some(name) = name else {
            // What is folded belongs to the line before; all else is no field.
            let blank = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let rule =
                if blank > 0 && !matches!(before, Field::Always | Field::Keep) { Rule::Header } else { Rule::Unparsed };
            if blank < line.len() {
                opaque.push(Mark { range: at + blank..at + line.len(), rule, style: Style::Flat });
            }
            return before;
        };
        let field = self.rules.field(name);
        let value = line.get(name.len() + 1..).unwrap_or_default();
        let from = name.len() + 1 + value.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let value = line.get(from..).unwrap_or_default().trim_ascii_end();
        let first = marks.len();
        self.rules.mark_value(field, value, marks);
        shift(marks, first, at + from);
        field
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| crate::track::is_token(byte))
}

/// Moves the marks from number `first` on.
fn shift(marks: &mut [Mark], first: usize, by: usize) {
    for mark in marks.iter_mut().skip(first) {
        mark.range = mark.range.start + by..mark.range.end + by;
    }
}
