//! One TCP connection as it goes on the tape: who is the server, and what events its segments are.

use std::io;
use std::net::SocketAddr;

use redtape_core::{
    Body, ConnInfo, ConnKey, Data, Direction, Endpoint, Loss, LossCause, MonoNanos, ProcKey, Ranges, RangesBuf, Role,
    Shutdown, Source, Stamp,
};

use super::flow::{Flow, Ordered, Piece};
use super::segment::Segment;
use super::services::Services;
use crate::import::found::Found;
use crate::import::kept::{self, Kept, KeptPayload};
use crate::import::limits::{EVENT_PAYLOAD, FAR};
use crate::import::transcript::Transcript;

/// What a connection needs to tell of itself.
pub(super) struct Context<'a> {
    pub(super) transcript: &'a mut Transcript,
    pub(super) found: &'a mut Found,
    pub(super) services: &'a mut Services,
    pub(super) payload: KeptPayload,
    pub(super) server_ports: &'a [u16],
    pub(super) scratch: &'a mut Scratch,
    /// The time on the capture's clock, which never goes back.
    pub(super) now: u64,
}

/// Buffers that are used again and again.
#[derive(Default)]
pub(super) struct Scratch {
    pieces: Vec<(usize, usize)>,
    /// Why the tape cannot be written: told when all of a segment was taken.
    failed: Option<io::Error>,
}

/// A connection. Its ends are in the order of their addresses; a direction has the number of the end that it comes from.
#[derive(Debug)]
pub(super) struct Connection {
    ends: [SocketAddr; 2],
    flow: Flow,
    story: Story,
}

/// What is told of it.
#[derive(Debug, Default)]
struct Story {
    /// The end that connected, if a SYN told.
    client: Option<usize>,
    /// The handshake's SYN-ACK was seen.
    answered: bool,
    established: Option<u64>,
    told: Option<Told>,
    kept: Kept,
    is_tls: bool,
    ended: [bool; 2],
    reset: bool,
    over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    key: ConnKey,
    process: ProcKey,
    client: usize,
}

/// The errno of a connection that was reset.
const ECONNRESET: u16 = 104;

/// How long after a hole records may be missing, in nanoseconds: a capture that drops packets drops several.
const LOSSY_NANOS: u64 = 100_000_000;

impl Connection {
    pub(super) fn new(ends: [SocketAddr; 2]) -> Self {
        Self { ends, flow: Flow::default(), story: Story::default() }
    }

    /// Nothing more is told of it.
    pub(super) const fn is_over(&self) -> bool {
        self.story.over
    }

    pub(super) const fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Whether a segment cannot be of this connection, but is of another one with the same addresses.
    pub(super) fn is_other(&self, from: usize, segment: &Segment<'_>) -> bool {
        let Some(stream) = self.flow.streams.get(from) else { return false };
        if segment.syn {
            return stream.is_begun_elsewhere(segment.seq);
        }
        let far = stream.ahead(segment.seq).is_some_and(|ahead| ahead.abs() > FAR);
        far && segment.len > 0 && !segment.rst
    }

    /// Takes a segment that the end `from` has sent.
    pub(super) fn take(
        &mut self,
        time: u64,
        from: usize,
        segment: &Segment<'_>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if segment.rst && self.flow.streams.get(from).is_some_and(|stream| !stream.takes_reset(segment.seq)) {
            return Ok(());
        }
        self.learn(time, from, segment);
        let [a, b] = &mut self.flow.streams;
        let (own, other) = if from == 0 { (a, b) } else { (b, a) };
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        own.join(seq);
        own.seen = true;
        let ack = segment.ack.and_then(|ack| {
            other.join(ack);
            // A FIN takes a number of its own.
            let near = other.ahead(ack).is_some_and(|ahead| ahead.abs() <= FAR);
            other
                .position(ack)
                .filter(|_| near)
                .map(|ack| ack.saturating_sub(u64::from(other.ended && ack > other.next)))
        });
        if let Some(ack) = ack {
            other.acked = other.acked.max(ack);
        }
        let (payload, len) = (segment.payload, u64::from(segment.len));
        if len > 0 || segment.fin {
            // What lies before position 0 was sent before the capture began.
            let before = own.ahead(seq).map_or(0, |ahead| ahead.saturating_add_unsigned(own.next));
            let skipped = u64::try_from(-before.min(0)).unwrap_or_default();
            if skipped < len.max(1) {
                let payload = payload.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
                let (pos, len) = (u64::try_from(before.max(0)).unwrap_or_default(), len - skipped);
                let piece = Piece { time, taken: cx.now, from, pos, payload, len, fin: segment.fin, ack };
                let Self { ends, flow, story } = self;
                let streams = handshake(flow);
                flow.take(piece, &mut |ordered| story.tell(ends, &streams, ordered, cx));
            } else {
                cx.found.retransmitted += 1;
            }
        }
        if segment.rst && !self.story.over {
            self.story.reset = true;
            self.close(time, cx);
        }
        cx.scratch.failed.take().map_or(Ok(()), Err)
    }

    /// Another connection with the same addresses begins, so this one is over.
    pub(super) fn replaced(&mut self, time: u64, cx: &mut Context<'_>) -> io::Result<()> {
        self.close(time, cx);
        cx.scratch.failed.take().map_or(Ok(()), Err)
    }

    /// It is over, and nothing that it waited for will come.
    fn close(&mut self, time: u64, cx: &mut Context<'_>) {
        self.give_up(cx);
        if !self.story.over {
            self.story.close(time.max(cx.transcript.now()), &self.ends, &handshake(&self.flow), cx);
        }
    }

    /// Waits no longer for what it waited for until now.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Self { ends, flow, story } = self;
        let streams = handshake(flow);
        flow.expire(cx.now, &mut |ordered| story.tell(ends, &streams, ordered, cx));
        cx.scratch.failed.take().map_or(Ok(()), Err)
    }

    /// It is followed no longer, or the capture ends: what waits is told of.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.give_up(cx);
        cx.scratch.failed.take().map_or(Ok(()), Err)
    }

    fn give_up(&mut self, cx: &mut Context<'_>) {
        let Self { ends, flow, story } = self;
        let streams = handshake(flow);
        flow.give_up(&mut |ordered| story.tell(ends, &streams, ordered, cx));
    }

    /// What the handshake says.
    fn learn(&mut self, time: u64, from: usize, segment: &Segment<'_>) {
        let [a, b] = &mut self.flow.streams;
        let (own, other) = if from == 0 { (a, b) } else { (b, a) };
        if segment.syn {
            own.begin(segment.seq);
            self.story.client.get_or_insert(if segment.ack.is_some() { 1 - from } else { from });
            if let Some(ack) = segment.ack {
                self.story.answered = true;
                if other.isn.is_none() && !other.seen {
                    other.begin(ack.wrapping_sub(1));
                }
            }
        } else if self.story.answered && self.story.client == Some(from) && segment.ack.is_some() {
            self.story.established.get_or_insert(time);
        }
    }
}

/// What the tape says of a connection's streams: their initial sequence numbers.
type Handshake = [Option<u32>; 2];

fn handshake(flow: &Flow) -> Handshake {
    flow.streams.each_ref().map(|stream| stream.isn)
}

impl Story {
    /// Tells what comes out of the flow.
    fn tell(&mut self, ends: &[SocketAddr; 2], handshake: &Handshake, ordered: Ordered<'_>, cx: &mut Context<'_>) {
        if self.over {
            return;
        }
        match ordered {
            Ordered::Bytes { time, from, pos, payload, len } => {
                let told = self.told(time, from, payload, ends, handshake, cx);
                self.bytes(told, (time, from, pos), payload, len, cx);
            }
            Ordered::Hole { time, from, missing } => {
                self.kept.pass(from, missing);
                cx.found.holes += 1;
                cx.found.missing_bytes += missing;
                let (at, to) = (MonoNanos::new(time), MonoNanos::new(time.saturating_add(LOSSY_NANOS)));
                let loss = Loss { cause: LossCause::NotCaptured, count: 1, from: at, to, origin: None };
                let lost = cx.transcript.lose(time, loss);
                cx.scratch.note(lost);
            }
            Ordered::Again => cx.found.retransmitted += 1,
            Ordered::End { time, from, pos } => self.end(time, from, pos, ends, handshake, cx),
        }
    }

    /// What is told of it first, if it was not.
    fn told(
        &mut self,
        time: u64,
        from: usize,
        payload: &[u8],
        ends: &[SocketAddr; 2],
        handshake: &Handshake,
        cx: &mut Context<'_>,
    ) -> Told {
        if let Some(told) = self.told {
            return told;
        }
        let client = self.client.unwrap_or_else(|| guess_client(ends, from, payload, cx.server_ports));
        let (server, [a, b]) = (1 - client.min(1), *ends);
        let (local, remote) = if server == 0 { (a, b) } else { (b, a) };
        let [isn_a, isn_b] = *handshake;
        let (isn_local, isn_remote) = if server == 0 { (isn_a, isn_b) } else { (isn_b, isn_a) };
        let process = cx.services.of(local, time, cx.transcript, cx.found);
        let process = cx.scratch.note(process).unwrap_or_default();
        let id = cx.transcript.next_connection();
        let info = ConnInfo {
            process,
            role: Role::Server,
            endpoint: Some(Endpoint { local, remote }),
            isn_local,
            isn_remote,
            established: self.established.map(MonoNanos::new),
            preexisting: self.client.is_none(),
            ..ConnInfo::unknown(cx.transcript.origin(), id)
        };
        let pushed = cx.transcript.push(time, Body::Connection(&info));
        cx.scratch.note(pushed);
        cx.found.connections += 1;
        *self.told.insert(Told { key: info.key, process, client })
    }

    fn bytes(
        &mut self,
        told: Told,
        (time, from, pos): (u64, usize, u64),
        payload: &[u8],
        len: u64,
        cx: &mut Context<'_>,
    ) {
        let payload = payload.get(..EVENT_PAYLOAD).unwrap_or(payload);
        self.kept.next(from, payload, len, &mut cx.scratch.pieces);
        cx.found.snapped += u64::from((payload.len() as u64) < len);
        cx.found.cut_heads += u64::from(self.kept.cut_head);
        if self.kept.is_tls() && !std::mem::replace(&mut self.is_tls, true) {
            cx.found.tls += 1;
        }
        let mut buffer = RangesBuf::default();
        let ranges = match (cx.payload, &cx.scratch.pieces[..]) {
            (KeptPayload::All, _) => Ranges::prefix(payload),
            (KeptPayload::Heads, []) => Ranges::EMPTY,
            (KeptPayload::Heads, [(0, len)]) => Ranges::prefix(payload.get(..*len).unwrap_or_default()),
            (KeptPayload::Heads, pieces) => {
                for (at, len) in pieces {
                    let piece = payload.get(*at..at + len).unwrap_or_default();
                    buffer.push(u32::try_from(*at).unwrap_or(u32::MAX), piece);
                }
                buffer.as_ranges()
            }
        };
        let direction = if from == told.client { Direction::In } else { Direction::Out };
        let data = Data {
            conn: told.key,
            process: told.process,
            stamp: stamp(time),
            direction,
            source: Source::Packet,
            pos,
            len,
            arrived: None,
            ranges,
        };
        let pushed = cx.transcript.push(time, Body::Data(data));
        cx.scratch.note(pushed);
    }

    /// A direction has ended.
    fn end(
        &mut self,
        time: u64,
        from: usize,
        pos: u64,
        ends: &[SocketAddr; 2],
        handshake: &Handshake,
        cx: &mut Context<'_>,
    ) {
        if self.ended.contains(&true) {
            self.ended = [true; 2];
            return self.close(time, ends, handshake, cx);
        }
        if let Some(ended) = self.ended.get_mut(from) {
            *ended = true;
        }
        let Some(Told { key: conn, process, client }) = self.told else { return };
        let body = if from == client {
            Body::Data(Data {
                conn,
                process,
                stamp: stamp(time),
                direction: Direction::In,
                source: Source::Packet,
                pos,
                len: 0,
                arrived: None,
                ranges: Ranges::EMPTY,
            })
        } else {
            Body::Shutdown { conn, process, stamp: stamp(time), how: Shutdown::Write }
        };
        let pushed = cx.transcript.push(time, body);
        cx.scratch.note(pushed);
    }

    /// The connection is over.
    fn close(&mut self, time: u64, ends: &[SocketAddr; 2], handshake: &Handshake, cx: &mut Context<'_>) {
        self.over = true;
        // One that was established and said nothing is worth telling of, a scan of ports is not.
        if self.told.is_none() && self.established.is_some() {
            self.told(time, 0, &[], ends, handshake, cx);
        }
        let Some(Told { key: conn, .. }) = self.told else { return };
        if self.reset {
            let pushed = cx.transcript.push(time, Body::SocketError { conn, errno: ECONNRESET });
            cx.scratch.note(pushed);
        }
        let pushed = cx.transcript.push(time, Body::Close { conn });
        cx.scratch.note(pushed);
    }
}

impl Scratch {
    /// Remembers a failure; what comes after it does not matter.
    fn note<T>(&mut self, result: io::Result<T>) -> Option<T> {
        result.map_err(|error| self.failed.get_or_insert(error)).ok()
    }
}

/// Which end is the client where no SYN tells: by the ports that servers are said to have, by what is sent first, or the end
/// with the higher port.
fn guess_client(ends: &[SocketAddr; 2], from: usize, payload: &[u8], server_ports: &[u16]) -> usize {
    let [a, b] = ends.map(|end| end.port());
    match (server_ports.contains(&a), server_ports.contains(&b)) {
        (true, false) => return 1,
        (false, true) => return 0,
        _ => {}
    }
    match kept::is_of_client(payload) {
        Some(true) => from,
        Some(false) => 1 - from.min(1),
        None => usize::from(a < b),
    }
}

/// Of a packet it is known when it was there, and no more.
const fn stamp(time: u64) -> Stamp {
    let at = MonoNanos::new(time);
    Stamp { tid: redtape_core::Tid(0), flags: redtape_core::DataFlags(0), loop_turn: 0, entry: at, exit: at }
}
