//! One TCP connection with its two ends: moves bytes, and records what a recorder at each end would see.

use std::net::SocketAddr;
use std::ops::Range;

use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Source, Stamp};
use crate::facts::{ConnInfo, Role};
use crate::ids::{Origin, ProcKey, Tid};
use crate::ranges::Ranges;
use crate::time::MonoNanos;

use super::capture::{CapturePolicy, Turn};
use super::distribution::{Bytes, Distribution};
use super::recording::CPUS;
use super::rng::Rng;

/// A thread and how far it has come in time.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) process: ProcKey,
    pub(super) tid: Tid,
    pub(super) evented: bool,
    /// It makes one of several calls at the same time for another thread.
    pub(super) helper: bool,
    pub(super) now: MonoNanos,
}

impl Thread {
    /// Lets `nanos` pass.
    pub(super) fn spend(&mut self, nanos: u64) {
        self.now = self.now.plus(nanos);
    }

    fn stamp(&self, entry: MonoNanos, exit: MonoNanos) -> Stamp {
        let (flags, loop_turn) = if self.evented {
            // Conversations are simulated one by one, so the count of a shared loop is derived from the time.
            (DataFlags::NONBLOCKING, u32::try_from((exit.nanos() >> 14) & 0x7fff_ffff).unwrap_or(1) | 1)
        } else {
            (DataFlags::default(), 0)
        };
        Stamp { tid: self.tid, flags, loop_turn, entry, exit }
    }

    fn cpu(&self) -> u16 {
        u16::try_from(self.tid.0 % u32::from(CPUS)).expect("invariant: below CPUS")
    }
}

/// What the recorder has written, and how it does.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) events: Vec<EventBuf>,
    pub(super) policy: CapturePolicy,
    pub(super) arrivals: bool,
    /// How much reads ask for.
    pub(super) read_buffer: Distribution<Bytes>,
}

impl Recorder {
    fn push(&mut self, end: &End, cpu: u16, time: MonoNanos, body: BodyBuf) {
        if end.recorded {
            self.events.push(EventBuf { cpu, ..EventBuf::new(time, body) });
        }
    }

    fn plain(&mut self, end: &End, time: MonoNanos, body: Body<'static>) {
        self.push(end, 0, time, BodyBuf::Plain(body));
    }
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) info: ConnInfo,
    pub(super) recorded: bool,
    turn: Turn,
    /// What was captured of the requests that it sends or gets, as far as nobody has taken account of them.
    captured: Vec<Range<u64>>,
}

impl End {
    /// Whether all of these bytes of requests were captured.
    pub(super) fn has_captured(&self, range: &Range<u64>) -> bool {
        self.captured.iter().any(|captured| captured.start <= range.start && range.end <= captured.end)
    }

    fn note_captured(&mut self, range: Range<u64>) {
        match self.captured.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.captured.push(range),
        }
    }
}

/// The bytes on their way from one end to the other, and the calls that moved them: (position behind them, call).
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) sent: u64,
    pub(super) read: u64,
    pending: Vec<u8>,
    pub(super) writes: Vec<(u64, Stamp)>,
    pub(super) arrivals: Vec<(u64, MonoNanos)>,
    pub(super) reads: Vec<(u64, Stamp)>,
}

/// The entry of a log that covers the byte at `pos`.
pub(super) fn covering<T: Copy>(log: &[(u64, T)], pos: u64) -> Option<T> {
    log.get(log.partition_point(|&(end, _)| end <= pos)).map(|&(_, value)| value)
}

/// What is decided about a connection before it is opened.
pub(super) struct Opening {
    /// The client's recording and the server's.
    pub(super) origins: [Origin; 2],
    /// The first of two connection numbers: the client's end and the server's.
    pub(super) id: u64,
    pub(super) client_address: SocketAddr,
    pub(super) published: SocketAddr,
    pub(super) listen: SocketAddr,
    pub(super) netns: [u32; 2],
    pub(super) recorded: [bool; 2],
    /// Nanoseconds that a packet takes.
    pub(super) latency: u64,
    /// Nanoseconds that the server leaves the connection in the accept queue.
    pub(super) accept_wait: u64,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    ends: [End; 2],
    flows: [Flow; 2],
    latency: u64,
    accepted: MonoNanos,
    /// Whether arrivals are recorded.
    pub(super) arrivals: bool,
}

impl Line {
    /// Connects and accepts; `acceptor` is left at the exit of its accept, `caller` at that of its connect.
    pub(super) fn open(
        opening: &Opening,
        rng: &mut Rng,
        out: &mut Recorder,
        caller: &mut Thread,
        acceptor: &mut Thread,
    ) -> Self {
        let isn = [rng.bits(), rng.bits()].map(|bits| (bits >> 32) as u32);
        let entry = caller.now;
        let at_server = entry.plus(2 * opening.latency + opening.latency / 2);
        let at_client = entry.plus(2 * opening.latency);
        let end = |n: usize, role, process, local, remote, established| {
            let id = opening.id + n as u64;
            let info = ConnInfo {
                process,
                role,
                endpoint: Some(crate::facts::Endpoint { local, remote }),
                netns: opening.netns[n],
                isn_local: Some(isn[n]),
                isn_remote: Some(isn[1 - n]),
                established: Some(established),
                ..ConnInfo::unknown(opening.origins[n], id)
            };
            End { info, recorded: opening.recorded[n], turn: Turn::default(), captured: Vec::new() }
        };
        let Opening { client_address, published, listen, .. } = *opening;
        let client = end(0, Role::Client, caller.process, client_address, published, at_client);
        let server = end(1, Role::Server, acceptor.process, listen, client_address, at_server);

        // When connect is called, neither the handshake's time nor its sequence numbers are known yet.
        let early = ConnInfo { isn_local: None, isn_remote: None, established: None, ..client.info.clone() };
        out.push(&client, caller.cpu(), entry, BodyBuf::Connection(Box::new(early)));
        let conn = client.info.key;
        // A non-blocking connect returns at once, with EINPROGRESS.
        let (exit, errno) = if caller.evented { (entry.plus(3_000), 115) } else { (at_client.plus(4_000), 0) };
        let connect = Body::Connect { conn, process: caller.process, stamp: caller.stamp(entry, exit), errno };
        out.push(&client, caller.cpu(), entry, BodyBuf::Plain(connect));
        out.push(&client, 0, at_client, BodyBuf::Connection(Box::new(client.info.clone())));
        caller.now = at_client.plus(4_000);

        out.push(&server, 0, at_server, BodyBuf::Connection(Box::new(server.info.clone())));
        let exit = at_server.plus(opening.accept_wait);
        let entry = if acceptor.evented { exit.minus(2_000) } else { entry.minus(50_000) };
        let accept =
            Body::Accept { conn: server.info.key, process: acceptor.process, stamp: acceptor.stamp(entry, exit) };
        out.push(&server, acceptor.cpu(), exit, BodyBuf::Plain(accept));
        acceptor.now = exit;
        Self {
            ends: [client, server],
            flows: Default::default(),
            latency: opening.latency,
            accepted: exit,
            arrivals: out.arrivals,
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    /// The bytes that `side` sends.
    pub(super) fn flow(&self, side: Side) -> &Flow {
        &self.flows[side as usize]
    }

    /// Nanoseconds that a packet takes.
    pub(super) const fn latency(&self) -> u64 {
        self.latency
    }

    /// When the byte at `pos` arrived that `side` sent.
    pub(super) fn arrival(&self, side: Side, pos: u64) -> Option<MonoNanos> {
        covering(&self.flow(side).arrivals, pos)
    }

    /// Forgets the calls by which bytes moved that all have read: nobody asks for them any more.
    pub(super) fn forget_past(&mut self) {
        self.ends.iter_mut().for_each(|end| end.captured.clear());
        for flow in &mut self.flows {
            let read = flow.read;
            flow.writes.retain(|(end, _)| *end > read);
            flow.reads.clear();
            let past = flow.arrivals.partition_point(|(end, _)| *end <= read);
            // New bytes do not overtake the latest.
            flow.arrivals.drain(..past.min(flow.arrivals.len().saturating_sub(1)));
        }
    }

    /// How long the connection stood in the accept queue.
    pub(super) fn accept_wait(&self) -> Option<u64> {
        self.end(Side::Server).info.established.map(|established| self.accepted.since(established))
    }

    /// Sends all of `bytes` by one call.
    pub(super) fn write(&mut self, rng: &mut Rng, out: &mut Recorder, side: Side, thread: &mut Thread, bytes: &[u8]) {
        const SEGMENT: usize = 1448;
        let entry = thread.now;
        thread.spend(rng.between(2_000, 9_000) + bytes.len() as u64 / 8);
        let stamp = thread.stamp(entry, thread.now);
        let [near, far] = [side as usize, side.other() as usize];
        let source = *rng.pick(&[Source::Write, Source::Writev, Source::Sendto, Source::Sendmsg]);
        let pos = self.flows[near].sent;
        record_data(out, &mut self.ends[near], thread, (entry, stamp), (Direction::Out, source), pos, bytes);

        let flow = &mut self.flows[side as usize];
        let mut arrival = entry.plus(self.latency).max(flow.arrivals.last().map_or(entry, |&(_, time)| time));
        // Segments that come together wake the reader once.
        for segment in bytes.chunks(SEGMENT * rng.between(1, 8) as usize) {
            arrival = arrival.plus(rng.between(300, 1_500));
            flow.sent += segment.len() as u64;
            flow.arrivals.push((flow.sent, arrival));
            if out.arrivals {
                let conn = self.ends[far].info.key;
                out.plain(&self.ends[far], arrival, Body::Arrival { conn, end: flow.sent, fin: false });
            }
        }
        flow.writes.push((flow.sent, stamp));
        flow.pending.extend_from_slice(bytes);
    }

    /// Receives bytes by one call, waiting for the first of them. There must be some on the way.
    pub(super) fn read(&mut self, rng: &mut Rng, out: &mut Recorder, side: Side, thread: &mut Thread) {
        let max = out.read_buffer.draw(rng).max(1);
        let near = side as usize;
        let flow = &mut self.flows[side.other() as usize];
        let first = covering(&flow.arrivals, flow.read).expect("invariant: bytes are on the way");
        let called = thread.now;
        let woken = first.plus(rng.between(2_000, 30_000));
        let exit = if called > first { called.plus(rng.between(1_000, 5_000)) } else { woken };
        let entry = if thread.evented { exit.minus(900) } else { called };
        thread.now = exit;
        let stamp = thread.stamp(entry, exit);
        let ready = flow.arrivals.partition_point(|&(_, time)| time < exit);
        let there = flow.arrivals[..ready].last().map_or(flow.read, |&(end, _)| end);
        let n = max.min(there - flow.read);
        let bytes: Vec<u8> = flow.pending.drain(..n as usize).collect();
        let pos = flow.read;
        flow.read += n;
        flow.reads.push((flow.read, stamp));
        let source = *rng.pick(&[Source::Read, Source::Readv, Source::Recvfrom, Source::Recvmsg]);
        record_data(out, &mut self.ends[near], thread, (exit, stamp), (Direction::In, source), pos, &bytes);
    }

    /// `closer` closes in order; the other end notices, and closes as well.
    pub(super) fn close(&mut self, out: &mut Recorder, closer: Side, closing: &mut Thread, other: &mut Thread) {
        let [near, far] = [closer as usize, closer.other() as usize];
        self.fd_close(out, near, closing);
        let last = self.flows[near].arrivals.last().map_or(MonoNanos::ZERO, |&(_, time)| time);
        let fin = closing.now.plus(self.latency).max(last.plus(500));
        let (conn, sent) = (self.ends[far].info.key, self.flows[near].sent);
        if out.arrivals {
            out.plain(&self.ends[far], fin, Body::Arrival { conn, end: sent, fin: true });
        }
        let entry = other.now;
        other.now = other.now.max(fin).plus(3_000);
        let stamp = other.stamp(if other.evented { other.now.minus(900) } else { entry }, other.now);
        let (time, pos) = ((other.now, stamp), self.flows[near].read);
        record_data(out, &mut self.ends[far], other, time, (Direction::In, Source::Read), pos, &[]);
        other.spend(2_000);
        self.fd_close(out, far, other);
        // The first closer is done when the other's FIN comes, the other when that is acknowledged.
        let acknowledged = [other.now.plus(self.latency), other.now.plus(2 * self.latency)];
        for (end, time) in [near, far].into_iter().zip(acknowledged) {
            out.plain(&self.ends[end], time, Body::Close { conn: self.ends[end].info.key });
        }
        closing.now = closing.now.max(acknowledged[0]);
    }

    /// `closer` aborts the connection (RST).
    pub(super) fn reset(&mut self, out: &mut Recorder, closer: Side, closing: &mut Thread, other: &mut Thread) {
        const ECONNRESET: u16 = 104;
        let [near, far] = [closer as usize, closer.other() as usize];
        self.fd_close(out, near, closing);
        out.plain(&self.ends[near], closing.now, Body::Close { conn: self.ends[near].info.key });
        other.now = other.now.max(closing.now.plus(self.latency)).plus(2_000);
        let conn = self.ends[far].info.key;
        out.plain(&self.ends[far], other.now, Body::SocketError { conn, errno: ECONNRESET });
        out.plain(&self.ends[far], other.now.plus(100), Body::Close { conn });
        // Only then is it over for both, however short the way is.
        closing.now = closing.now.max(other.now.plus(100));
    }

    fn fd_close(&mut self, out: &mut Recorder, end: usize, thread: &Thread) {
        let (process, tid) = (thread.process, thread.tid);
        let end = &self.ends[end];
        out.push(end, thread.cpu(), thread.now, BodyBuf::Plain(Body::FdClose { conn: end.info.key, process, tid }));
    }
}

/// Records a call that moved `bytes` at `pos`; `when` is the moment it counts at, and its stamp.
fn record_data(
    out: &mut Recorder,
    end: &mut End,
    thread: &Thread,
    when: (MonoNanos, Stamp),
    call: (Direction, Source),
    pos: u64,
    bytes: &[u8],
) {
    let ((time, stamp), (direction, source)) = (when, call);
    let payload = out.policy.capture(&mut end.turn, direction, bytes);
    if (direction == Direction::Out) == (end.info.role == Role::Client) {
        for (at, bytes) in payload.as_ranges().iter() {
            let start = pos + at;
            end.note_captured(start..start + bytes.len() as u64);
        }
    }
    let data = Data {
        conn: end.info.key,
        process: thread.process,
        stamp,
        direction,
        source,
        pos,
        len: bytes.len() as u64,
        arrived: None,
        ranges: Ranges::EMPTY,
    };
    out.push(end, thread.cpu(), time, BodyBuf::Data(data, payload));
}
