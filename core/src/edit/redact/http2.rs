//! HTTP/2: goes from frame to frame, overwrites what is to go of header blocks; and what frames carry.

use super::conn::{Call, Cx, Piece};
use super::hpack::Names;
use super::queue::Gather;
use crate::http2::{END_HEADERS, FrameHead, HEAD_BYTES, Kind, PADDED, PREFACE, PRIORITY, is_chain};
use crate::limits::Limits;
use crate::track::Side;

/// Bytes of a SETTINGS frame that the engine reads.
const SETTINGS_BYTES: u64 = 600;

/// HTTP/2 on one connection.
#[derive(Debug)]
pub(super) struct Http2 {
    request: Half,
    response: Half,
}

/// One direction.
#[derive(Debug)]
struct Half {
    state: State,
    names: Names,
    /// The fragments of a header block that goes on in CONTINUATION frames.
    block: Option<Block>,
    /// No frame has come; the first is SETTINGS.
    fresh: bool,
    /// Its frames were followed from the first byte on.
    unbroken: bool,
}

/// Where in a stream a half is.
#[derive(Debug)]
enum State {
    /// In the client's first bytes, of which so many have come. They are the same on every connection, so they stay.
    Preface(usize),
    /// In the head of a frame, of which so much has come.
    Head(Gather),
    Payload(Payload),
    Seek,
    Off,
}

/// A frame whose payload is coming.
#[derive(Debug)]
struct Payload {
    head: FrameHead,
    /// So many bytes have come, or were passed over.
    done: u64,
    /// How many bytes of padding there are, as far as that is known.
    padding: u64,
    /// Bytes are missing.
    cut: bool,
}

/// A header block so far.
#[derive(Debug, Default)]
struct Block {
    stream: u32,
    gather: Gather,
    cut: bool,
}

impl Http2 {
    /// At the beginning of each stream, or somewhere in it.
    pub(super) fn new(request_attached: bool, response_attached: bool) -> Self {
        let half = |attached: bool, first| Half {
            state: if attached { State::Seek } else { first },
            names: Names::new(Limits::default().header_table_bytes, !request_attached),
            block: None,
            fresh: !attached,
            unbroken: !attached,
        };
        Self {
            request: half(request_attached, State::Preface(0)),
            response: half(response_attached, State::Head(Gather::default())),
        }
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// Takes the next bytes of one side.
    pub(super) fn feed(&mut self, side: Side, mut piece: Piece<'_>, call: &Call, cx: &mut Cx<'_>) {
        while !piece.bytes.is_empty() {
            let used = self.step(side, piece, call, cx);
            piece = piece.skip(used);
        }
    }

    /// Takes some of the bytes. 0 only on a change to a state that takes more.
    fn step(&mut self, side: Side, piece: Piece<'_>, call: &Call, cx: &mut Cx<'_>) -> usize {
        let all = piece.bytes.len();
        match &mut self.half(side).state {
            State::Off => {
                cx.mask_opaque(piece.place, all);
                all
            }
            State::Preface(have) => {
                let rest = PREFACE.get(*have..).unwrap_or_default();
                let same = rest.iter().zip(piece.bytes).take_while(|(expected, byte)| expected == byte).count();
                *have += same;
                if *have == PREFACE.len() {
                    self.half(side).state = State::Head(Gather::default());
                } else if same < all {
                    self.refuse(cx);
                }
                same
            }
            State::Head(..) => self.head(side, piece, cx),
            State::Payload(_) => self.payload(side, piece, cx),
            State::Seek => {
                let from_start = piece.place.pos == call.start;
                let state = if from_start && is_chain(piece.bytes, call.end - call.start) {
                    State::Head(Gather::default())
                } else if from_start && side == Side::Request && piece.bytes.starts_with(PREFACE) {
                    State::Preface(0)
                } else {
                    cx.mask_opaque(piece.place, all);
                    return all;
                };
                self.half(side).state = state;
                0
            }
        }
    }

    /// This is no HTTP/2.
    fn refuse(&mut self, cx: &mut Cx<'_>) {
        self.give_up(cx);
        (self.request.state, self.response.state) = (State::Off, State::Off);
    }

    fn head(&mut self, side: Side, piece: Piece<'_>, cx: &mut Cx<'_>) -> usize {
        let State::Head(gather) = &mut self.half(side).state else { return 0 };
        let used = HEAD_BYTES.saturating_sub(gather.bytes.len()).min(piece.bytes.len());
        gather.push(cx.queue, piece.place, piece.bytes.get(..used).unwrap_or_default());
        let Some(bytes) = gather.bytes.first_chunk::<HEAD_BYTES>() else { return used };
        let mut head = FrameHead::read(*bytes);
        let mut gather = std::mem::take(gather);
        if std::mem::take(&mut self.half(side).fresh) && !(head.kind == Kind::Settings && head.is_sound()) {
            cx.give_up(gather);
            self.refuse(cx);
            return used;
        }
        if !head.is_sound() {
            if !self.half(side).unbroken {
                cx.give_up(gather);
                self.lose_framing(side, cx);
                return used;
            }
            head.kind = Kind::Other;
        }
        gather.keep(cx.queue);
        let breaks_off = head.kind != Kind::Continuation && self.half(side).block.is_some();
        if breaks_off {
            self.finish_block(side, true, cx);
        }
        if matches!(head.kind, Kind::Headers | Kind::PushPromise) {
            self.half(side).block = Some(Block { stream: head.stream, ..Block::default() });
        }
        let payload = Payload { head, done: 0, padding: 0, cut: false };
        self.half(side).state = State::Payload(payload);
        self.end_if_done(side, cx);
        used
    }

    /// Further bytes of a payload.
    fn payload(&mut self, side: Side, piece: Piece<'_>, cx: &mut Cx<'_>) -> usize {
        let State::Payload(payload) = &mut self.half(side).state else { return 0 };
        let left = u64::from(payload.head.len) - payload.done;
        let used = usize::try_from(left).unwrap_or(usize::MAX).min(piece.bytes.len());
        let piece = piece.first(used);
        let from = payload.done;
        payload.done += used as u64;
        match payload.head.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation => self.fragment(side, piece, from, cx),
            Kind::Data => {
                let kept = usize::from(payload.head.has(PADDED) && from == 0).min(used);
                cx.mask_body(piece.place.plus(kept), used - kept);
            }
            kind => {
                let keep = match kind {
                    Kind::Settings => SETTINGS_BYTES,
                    Kind::GoAway => 8,
                    Kind::Priority | Kind::RstStream | Kind::WindowUpdate => u64::from(payload.head.len),
                    _ => 0,
                };
                let kept = usize::try_from(keep.saturating_sub(from)).unwrap_or(usize::MAX).min(used);
                cx.mask_opaque(piece.place.plus(kept), used - kept);
            }
        }
        self.end_if_done(side, cx);
        used
    }

    /// Bytes of a frame that has a part of a header block, from the payload's byte `from` on.
    fn fragment(&mut self, side: Side, piece: Piece<'_>, from: u64, cx: &mut Cx<'_>) {
        let half = self.half(side);
        let State::Payload(payload) = &mut half.state else { return };
        let head = payload.head;
        let padded = head.kind != Kind::Continuation && head.has(PADDED);
        if padded && from == 0 {
            payload.padding = piece.bytes.first().map_or(0, |&padding| padding.into());
        }
        let fixed = match head.kind {
            Kind::PushPromise => 4,
            Kind::Headers if head.has(PRIORITY) => 5,
            _ => 0,
        };
        let begin = fixed + u64::from(padded);
        let limit = Limits::default().head_bytes as u64;
        let end = u64::from(head.len).saturating_sub(payload.padding).max(begin);
        let in_piece = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX).min(piece.bytes.len());
        let (begin, end) = (in_piece(begin), in_piece(end.min(limit)));
        payload.cut |= u64::from(head.len) > limit;
        let cut = payload.cut;
        let Some(block) = half.block.as_mut().filter(|block| block.stream == head.stream) else {
            half.names.forget();
            return cx.mask_opaque(piece.place, piece.bytes.len());
        };
        let room = Limits::default().head_bytes.saturating_sub(block.gather.bytes.len());
        let text = piece.first(end).skip(begin);
        let kept = if cut && from > 0 || block.cut { 0 } else { text.bytes.len().min(room) };
        block.cut |= kept < text.bytes.len();
        block.gather.push(cx.queue, text.place, text.bytes.get(..kept).unwrap_or_default());
        cx.mask_opaque(text.place.plus(kept), text.bytes.len() - kept);
        // The padding.
        cx.mask_opaque(piece.place.plus(end.max(begin)), piece.bytes.len() - end.max(begin));
    }

    /// Ends the current frame if its payload is complete.
    fn end_if_done(&mut self, side: Side, cx: &mut Cx<'_>) {
        let half = self.half(side);
        let State::Payload(Payload { head, done, cut, .. }) = &half.state else { return };
        if *done < u64::from(head.len) {
            return;
        }
        let (head, cut) = (*head, *cut);
        half.state = State::Head(Gather::default());
        if matches!(head.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation) {
            if let Some(block) = &mut half.block {
                block.cut |= cut;
            }
            if head.has(END_HEADERS) {
                self.finish_block(side, false, cx);
            }
        }
    }

    /// A header block is complete, or its rest does not come.
    fn finish_block(&mut self, side: Side, broken: bool, cx: &mut Cx<'_>) {
        let half = self.half(side);
        let Some(Block { gather, cut, .. }) = half.block.take() else { return };
        let mut bytes = gather.bytes.clone();
        let changed = half.names.redact(cx.rules, &mut bytes, !cut && !broken);
        let counts = &mut *cx.counts;
        gather.put_back(cx.queue, &bytes, changed.into_iter(), |rule| counts.add(rule, 1));
    }

    /// A call moved bytes that were not captured.
    pub(super) fn skip(&mut self, side: Side, count: u64, cx: &mut Cx<'_>) {
        let here = match &mut self.half(side).state {
            State::Payload(payload) => {
                payload.cut = true;
                let here = count.min(u64::from(payload.head.len) - payload.done);
                payload.done += here;
                here
            }
            State::Seek | State::Off => return,
            State::Head(..) | State::Preface(_) => 0,
        };
        self.mark_cut(side);
        self.end_if_done(side, cx);
        if here < count {
            self.lose_framing(side, cx);
        }
    }

    /// What comes of the current block behind a hole is not read.
    fn mark_cut(&mut self, side: Side) {
        let half = self.half(side);
        if let (State::Payload(payload), Some(block)) = (&half.state, &mut half.block) {
            block.cut |= matches!(payload.head.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation);
        }
    }

    /// The calls that moved so many bytes are not known.
    pub(super) fn lose(&mut self, side: Side, count: u64, cx: &mut Cx<'_>) {
        match &mut self.half(side).state {
            State::Payload(payload) if count < u64::from(payload.head.len) - payload.done => {
                payload.done += count;
                payload.cut = true;
                self.mark_cut(side);
            }
            State::Off => {}
            _ => self.lose_framing(side, cx),
        }
    }

    fn lose_framing(&mut self, side: Side, cx: &mut Cx<'_>) {
        self.finish_block(side, true, cx);
        self.give_up_head(side, cx);
        let half = self.half(side);
        half.state = State::Seek;
        (half.fresh, half.unbroken) = (false, false);
        half.names.forget();
    }

    /// What is still to be decided is decided without what follows it: blocks are read as far as they have come.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>) {
        for side in [Side::Request, Side::Response] {
            let stream = self.half(side).block.as_ref().map(|block| block.stream);
            self.finish_block(side, true, cx);
            self.half(side).block = stream.map(|stream| Block { stream, cut: true, ..Block::default() });
            self.give_up_head(side, cx);
        }
    }

    /// The head of a frame does not wait for its rest. One that was to show that this is HTTP/2 may be anything.
    fn give_up_head(&mut self, side: Side, cx: &mut Cx<'_>) {
        let half = self.half(side);
        let State::Head(gather) = &mut half.state else { return };
        if !half.fresh {
            gather.keep(cx.queue);
        } else if !gather.bytes.is_empty() {
            cx.give_up(std::mem::take(gather));
            (half.state, half.fresh, half.unbroken) = (State::Seek, false, false);
        }
    }

    /// No more bytes follow: a block that is not complete is read as far as it goes.
    pub(super) fn end(&mut self, cx: &mut Cx<'_>) {
        self.give_up(cx);
    }
}
