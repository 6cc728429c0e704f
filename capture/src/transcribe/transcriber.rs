//! The transcriber: records in, events out.

use std::collections::VecDeque;

use redtape_abi::{Captured, Control, Data as DataRecord, Header, Record};
use redtape_core::{
    Body, BodyBuf, ClockAnchor, ConnInfo, ConnKey, Data, DataFlags, Direction, EventBuf, MonoNanos, Origin, ProcKey,
    ProcessInfo, Ranges, RangesBuf, Shutdown, Source, Stamp, Tgid, Tid,
};

use super::carriers::SocketCall;
use super::conns::Conns;
use super::losses::{Hole, Losses};
use super::plaintext::Plaintext;
use super::window::{WINDOW_NANOS, Window};
use crate::bpf::{Counters, LanePosition};

/// How often a tick is written where nothing else happens, in nanoseconds.
const TICK_NANOS: u64 = 100_000_000;

/// Turns records into events in the order that a tape wants: by time, each connection's and process's facts before its
/// first event, losses where they happened.
///
/// ```text
/// record(), clock(), settle() ──▶ reorder window, 50 ms ──advance(now)──▶ pop()
/// describe_process() ──────────────────────────────────────────────────▶ pop()
/// ```
#[derive(Debug)]
pub struct Transcriber {
    origin: Origin,
    conns: Conns,
    losses: Losses,
    tls: Plaintext,
    window: Window,
    ready: VecDeque<EventBuf>,
    ticked: MonoNanos,
    counts: TranscriberCounts,
}

/// What has gone through a [`Transcriber`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TranscriberCounts {
    /// Events that came after their time had passed.
    pub late: u64,
    /// Records lost on the way, by holes in their numbers.
    pub lost: u64,
    /// Events given out, without dictionary entries and ticks.
    pub events: u64,
    /// Times that evidence of which socket carries a TLS object contradicted itself: the object has no address then.
    pub contradicted_ties: u64,
}

impl Transcriber {
    /// A transcriber for a recording that began at `start`.
    pub fn new(origin: Origin, start: MonoNanos) -> Self {
        let mut window = Window::default();
        window.release(start.minus(WINDOW_NANOS));
        Self {
            origin,
            conns: Conns::new(origin),
            losses: Losses::new(start),
            tls: Plaintext::new(),
            window,
            ready: VecDeque::new(),
            ticked: start,
            counts: TranscriberCounts::default(),
        }
    }

    /// Takes a record in. `process_of` gives the key of the process that a process id means just now; facts of one that
    /// it has not named before go to [`Transcriber::describe_process`] before the next [`Transcriber::advance`].
    pub fn record(&mut self, record: &Record<'_>, process_of: &mut impl FnMut(Tgid) -> ProcKey) {
        let header = record.header();
        let (seq, hole) = self.losses.number(header);
        if let Some(hole) = hole {
            self.lose(hole);
        }
        if let Some((time, body)) = self.translate(record, process_of) {
            self.hold(EventBuf { cpu: header.cpu, seq, ..EventBuf::new(time, body) });
        }
        while let Some(cookie) = self.conns.pop_forgotten() {
            self.tls.carriers.forget(cookie);
        }
    }

    /// Takes in facts of a connection from elsewhere, as of those that were open before the recording.
    pub fn describe_connection(&mut self, info: ConnInfo) {
        self.conns.describe(info);
    }

    /// Writes facts of a process: they stand before all events that are still held.
    pub fn describe_process(&mut self, info: ProcessInfo) {
        self.ready.push_back(EventBuf::new(self.window.released(), BodyBuf::Process(Box::new(info))));
    }

    /// Writes what the clocks say.
    pub fn clock(&mut self, anchor: ClockAnchor) {
        self.hold_own(anchor.mono, Body::Clock { origin: self.origin, anchor });
    }

    /// Accounts for losses that no later record shows. Take `positions` and `counters` *before* the ring is drained to
    /// its end, and call this after. Positions count at the next call, so make one more, without any, at the end.
    pub fn settle(&mut self, positions: &[LanePosition], counters: &Counters, now: MonoNanos) {
        for hole in self.losses.settle(positions, counters, now) {
            self.lose(hole);
        }
    }

    /// Accounts for runs of programs that the kernel skipped: `total` since loading, as it says at `now`.
    pub fn skipped(&mut self, total: u64, now: MonoNanos) {
        if let Some(hole) = self.losses.skip(total, now) {
            self.lose(hole);
        }
    }

    /// Lets out what happened more than 50 ms before `now`, the monotonic time. Everything that the ring held at `now`
    /// must have been taken in.
    pub fn advance(&mut self, now: MonoNanos) {
        let until = now.minus(WINDOW_NANOS);
        self.release(until);
        if until.since(self.ticked) >= TICK_NANOS {
            self.ticked = until;
            self.ready.push_back(EventBuf::new(until, BodyBuf::Plain(Body::Tick)));
        }
    }

    /// Lets out everything: the recording is over.
    pub fn finish(&mut self) {
        self.release(MonoNanos::MAX);
    }

    /// The next event for the tape.
    pub fn pop(&mut self) -> Option<EventBuf> {
        self.ready.pop_front()
    }

    /// From `now` on the plaintext of a process should be seen.
    pub fn sees_into(&mut self, tgid: Tgid, now: MonoNanos) {
        self.tls.carriers.sees_into(tgid, now);
    }

    /// Recorded processes that have moved TLS records for two seconds, or for less if the recording ends (`now` is
    /// [`MonoNanos::MAX`] then), but no plaintext that was seen; each once.
    pub fn opaque_tls(&mut self, now: MonoNanos) -> Vec<Tgid> {
        self.tls.carriers.opaque(now)
    }

    /// Whether a process that ends, or runs another program now, has moved TLS records, but no plaintext that was seen.
    pub fn leaves_opaque_tls(&mut self, tgid: Tgid) -> bool {
        self.tls.carriers.leave(tgid)
    }

    /// Events that are held back.
    pub fn held(&self) -> usize {
        self.window.len()
    }

    /// What has gone through so far.
    pub fn counts(&self) -> TranscriberCounts {
        TranscriberCounts { contradicted_ties: self.tls.contradictions(), ..self.counts }
    }

    /// Connections that are remembered as carriers of TLS.
    #[cfg(test)]
    pub(crate) fn carriers(&self) -> usize {
        self.tls.carriers.conns()
    }

    fn release(&mut self, until: MonoNanos) {
        while let Some(event) = self.window.pop(until) {
            self.write(event);
        }
        if until < MonoNanos::MAX {
            self.window.release(until);
        }
    }

    fn hold(&mut self, event: EventBuf) {
        if let Some(late) = self.window.push(event) {
            self.counts.late += 1;
            self.write(late);
        }
    }

    fn hold_own(&mut self, time: MonoNanos, body: Body<'static>) {
        let (cpu, seq) = self.losses.own_number();
        self.hold(EventBuf { cpu, seq, ..EventBuf::new(time, BodyBuf::Plain(body)) });
    }

    fn lose(&mut self, Hole { cpu, seq, loss }: Hole) {
        self.counts.lost = self.counts.lost.saturating_add(loss.count);
        self.hold(EventBuf { cpu, seq, ..EventBuf::new(loss.to, BodyBuf::Plain(Body::Loss(loss))) });
    }

    /// Gives an event out, behind the facts of its connection if they are news.
    fn write(&mut self, event: EventBuf) {
        let conn = event.as_event().body.conn();
        if let Some(info) = conn.and_then(|key| self.conns.take_unwritten(key)) {
            let facts = BodyBuf::Connection(Box::new(info));
            self.ready.push_back(EventBuf { late: event.late, ..EventBuf::new(event.time, facts) });
        }
        if let BodyBuf::Plain(Body::Close { conn }) = event.body {
            self.conns.forget(conn);
        }
        self.counts.events += 1;
        self.ready.push_back(event);
    }

    /// The event that a record is, and the moment that it counts at. None for records that are only facts.
    fn translate(
        &mut self,
        record: &Record<'_>,
        process_of: &mut impl FnMut(Tgid) -> ProcKey,
    ) -> Option<(MonoNanos, BodyBuf)> {
        let time = MonoNanos::new(record.header().time);
        let at_exit = |body| Some((time, BodyBuf::Plain(body)));
        match *record {
            Record::Conn(conn) => {
                let process = (conn.tgid != 0).then(|| process_of(Tgid(conn.tgid)));
                self.conns.record(&conn, process);
                self.tls.learn(conn.cookie, &mut self.conns);
                None
            }
            Record::Data(call, captured) => {
                let (conn, process) = self.user(call.cookie, call.tgid, process_of);
                if !DataFlags(call.flags).contains(DataFlags::PEEK) {
                    self.tls.carriers.moved(call.cookie, &socket_call(&call, captured.prefix));
                }
                let data = data(&call, conn, process);
                let counts_at = if data.direction == Direction::Out { data.stamp.entry } else { time };
                Some((counts_at, BodyBuf::Data(data, ranges(&call, captured))))
            }
            Record::Accept(call) => {
                let (conn, process) = self.user(call.cookie, call.tgid, process_of);
                let stamp = stamp(&call);
                self.tls.carriers.accept(call.cookie, stamp);
                at_exit(Body::Accept { conn, process, stamp })
            }
            Record::Connect(call) => {
                let (conn, process) = self.user(call.cookie, call.tgid, process_of);
                let stamp = stamp(&call);
                Some((stamp.entry, BodyBuf::Plain(Body::Connect { conn, process, stamp, errno: call.detail })))
            }
            Record::Shutdown(call) => {
                let how = shutdown(call.detail)?;
                let (conn, process) = self.user(call.cookie, call.tgid, process_of);
                let stamp = stamp(&call);
                Some((stamp.entry, BodyBuf::Plain(Body::Shutdown { conn, process, stamp, how })))
            }
            Record::FdClose(call) => {
                let (conn, process) = self.user(call.cookie, call.tgid, process_of);
                at_exit(Body::FdClose { conn, process, tid: Tid(call.tid) })
            }
            Record::Arrival(arrival) => {
                let conn = self.conns.seen(arrival.cookie);
                self.tls.carriers.arrival(arrival.cookie, arrival.end, time);
                at_exit(Body::Arrival { conn, end: arrival.end, fin: arrival.fin != 0 })
            }
            Record::Closed(socket) => {
                if let Some(conn) = self.tls.close_carrier(socket.cookie, &mut self.conns) {
                    self.hold_own(time, Body::Close { conn });
                }
                at_exit(Body::Close { conn: self.conns.seen(socket.cookie) })
            }
            Record::TlsData(..) | Record::TlsClue(_) | Record::TlsClosed(_) => {
                self.translate_tls(record, time, process_of)
            }
            Record::SocketError(socket) => {
                let errno = u16::try_from(socket.errno).unwrap_or(u16::MAX);
                at_exit(Body::SocketError { conn: self.conns.seen(socket.cookie), errno })
            }
            Record::Exec(exec) if exec.followed != 0 => at_exit(Body::Exec { process: process_of(Tgid(exec.tgid)) }),
            Record::Exit(process) => at_exit(Body::Exit { process: process_of(Tgid(process.tgid)) }),
            // The recorder asks its table of processes; their facts are what the tape needs.
            Record::Exec(_) | Record::Fork(_) | Record::IoUring(_) | Record::Listen(_) => None,
        }
    }

    /// The event that a record of a TLS library is.
    fn translate_tls(
        &mut self,
        record: &Record<'_>,
        time: MonoNanos,
        process_of: &mut impl FnMut(Tgid) -> ProcKey,
    ) -> Option<(MonoNanos, BodyBuf)> {
        match *record {
            Record::TlsData(call, captured) => {
                let process = process_of(Tgid(call.tgid));
                self.tls.carriers.plaintext(Tgid(call.tgid));
                let (data, tie) = self.tls.data(&call, process, &mut self.conns);
                if let Some(tie) = tie {
                    self.hold_own(time, tie);
                    self.hold_accept(time, &tie, process);
                }
                let counts_at = if data.direction == Direction::Out { data.stamp.entry } else { time };
                Some((counts_at, BodyBuf::Data(data, ranges(&call, captured))))
            }
            Record::TlsClue(clue) => {
                let process = process_of(Tgid(clue.tgid));
                let tie = self.tls.clue(&clue, process, &mut self.conns)?;
                self.hold_accept(time, &tie, process);
                Some((time, BodyBuf::Plain(tie)))
            }
            Record::TlsClosed(object) => {
                let conn = self.tls.close_object(object.cookie, &mut self.conns)?;
                Some((time, BodyBuf::Plain(Body::Close { conn })))
            }
            _ => None,
        }
    }

    fn hold_accept(&mut self, time: MonoNanos, tie: &Body<'_>, process: ProcKey) {
        if let Some(accept) = self.tls.accept(tie, process) {
            self.hold_own(time, accept);
        }
    }

    fn user(&mut self, cookie: u64, tgid: u32, process_of: &mut impl FnMut(Tgid) -> ProcKey) -> (ConnKey, ProcKey) {
        let process = process_of(Tgid(tgid));
        (self.conns.used(cookie, process), process)
    }
}

fn socket_call<'a>(call: &DataRecord, prefix: &'a [u8]) -> SocketCall<'a> {
    SocketCall {
        tgid: Tgid(call.tgid),
        tid: Tid(call.tid),
        time: MonoNanos::new(call.header.time),
        received: call.out == 0,
        pos: call.pos,
        len: call.len,
        prefix,
    }
}

fn data(call: &DataRecord, conn: ConnKey, process: ProcKey) -> Data<'static> {
    let DataRecord { header, entry, pos, len, tid, loop_turn, flags, source, out, .. } = *call;
    Data {
        conn,
        process,
        stamp: stamp_of(&header, entry, tid, loop_turn, flags),
        direction: if out == 0 { Direction::In } else { Direction::Out },
        source: Source::from_number(source),
        pos,
        len,
        arrived: None,
        ranges: Ranges::EMPTY,
    }
}

fn ranges(call: &DataRecord, Captured { prefix, pieces, tail }: Captured<'_>) -> RangesBuf {
    let mut ranges = RangesBuf::prefix(prefix);
    for (offset, bytes) in pieces.iter() {
        ranges.push(offset, bytes);
    }
    let offset = call.len.saturating_sub(u64::from(call.tail_len));
    // One system call moves less than 2 GiB (MAX_RW_COUNT). What a function moved behind 4 GiB has no offset.
    if let Ok(offset) = u32::try_from(offset) {
        ranges.push(offset, tail);
    }
    ranges
}

fn stamp(call: &Control) -> Stamp {
    let Control { header, entry, tid, loop_turn, flags, .. } = *call;
    stamp_of(&header, entry, tid, loop_turn, flags)
}

fn stamp_of(header: &Header, entry: u64, tid: u32, loop_turn: u32, flags: u16) -> Stamp {
    Stamp {
        tid: Tid(tid),
        flags: DataFlags(flags),
        loop_turn,
        entry: MonoNanos::new(entry),
        exit: MonoNanos::new(header.time),
    }
}

fn shutdown(how: u16) -> Option<Shutdown> {
    match how {
        0 => Some(Shutdown::Read),
        1 => Some(Shutdown::Write),
        2 => Some(Shutdown::Both),
        _ => None,
    }
}
