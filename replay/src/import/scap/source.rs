//! A capture of system calls as a source of events.

use std::io::{self, Read};

use redtape_core::{
    Body, ConnInfo, Data, DataFlags, Direction, Endpoint, MonoNanos, ProcKey, Ranges, RangesBuf, Role, Shutdown,
    Source, Stamp, Tid,
};
use rustc_hash::FxHashMap;

use super::blocks::{Blocks, Fields, Next, kind};
use super::event::{Call, Record, call, is_drop, is_exit};
use super::order::Order;
use super::processes::{Listed, Processes, SocketNumber, listed};
use super::sockets::{Ends, Socket, Sockets};
use crate::import::found::Found;
use crate::import::kept::{Kept, KeptPayload};
use crate::import::limits::{EVENT_PAYLOAD, THREADS};
use crate::import::options::ImportOptions;
use crate::import::transcript::Transcript;

/// Blocks that are read at once.
const BATCH: usize = 1024;

/// Reads events, and tells of the calls on TCP sockets in them.
pub(crate) struct ScapSource<R> {
    blocks: Blocks<R>,
    state: State,
}

/// What is known of the host by now.
#[derive(Default)]
struct State {
    processes: Processes,
    sockets: Sockets,
    order: Order,
    /// The call that each thread is in.
    entered: FxHashMap<u64, Entered>,
    payload: KeptPayload,
    pieces: Vec<(usize, usize)>,
    /// The time of the latest event; 0 before the first.
    now: u64,
}

/// A call that a thread is in.
#[derive(Clone, Copy)]
struct Entered {
    number: u16,
    time: u64,
    fd: i64,
    /// The second parameter.
    other: i64,
}

/// What a call needs to be told.
struct Context<'a> {
    transcript: &'a mut Transcript,
    found: &'a mut Found,
}

/// A call that has returned.
#[derive(Clone, Copy)]
struct Returned {
    pid: u64,
    process: ProcKey,
    entered: Entered,
    stamp: Stamp,
    /// What it returned.
    result: i64,
}

impl<R: Read> ScapSource<R> {
    /// The events of a file that begins like a scap file.
    pub(crate) fn new(read: R, options: &ImportOptions) -> Self {
        Self { blocks: Blocks::new(read), state: State { payload: options.payload, ..State::default() } }
    }

    /// Reads some more blocks. `false` at the end.
    pub(crate) fn step(&mut self, transcript: &mut Transcript, found: &mut Found) -> io::Result<bool> {
        let mut cx = Context { transcript, found };
        for _ in 0..BATCH {
            match self.blocks.next()? {
                Next::Block(kind, body) => self.state.block(kind, body, &mut cx)?,
                Next::Cut(cut) => {
                    cx.found.cut = Some(cut);
                    return self.state.order.finish(cx.transcript).map(|()| false);
                }
                Next::End => return self.state.order.finish(cx.transcript).map(|()| false),
            }
        }
        Ok(true)
    }
}

impl State {
    fn block(&mut self, number: u32, body: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        match number {
            kind::PROCESSES_V9 => {
                let mut fields = Fields(body);
                while let Some(len) = fields.u32() {
                    // Of blocks of this kind, the length counts itself.
                    let entry = usize::try_from(len).ok().and_then(|len| fields.bytes(len.checked_sub(4)?));
                    let Some(entry) = entry else { break };
                    if self.processes.list_entry(entry, cx.transcript.origin()).is_none() {
                        cx.found.malformed += 1;
                    }
                }
                Ok(())
            }
            kind::FDS | kind::FDS_V2 => self.descriptors(Fields(body), number == kind::FDS_V2, cx),
            kind::EVENT
            | kind::EVENT_V2
            | kind::EVENT_V2_LARGE
            | kind::EVENT_FLAGS
            | kind::EVENT_FLAGS_V2
            | kind::EVENT_FLAGS_V2_LARGE => {
                cx.found.records += 1;
                match Record::parse(number, body) {
                    Some(record) => self.record(&record, cx),
                    None => {
                        cx.found.malformed += 1;
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    /// The descriptors that a process had when the capture began.
    fn descriptors(&mut self, mut fields: Fields<'_>, sized: bool, cx: &mut Context<'_>) -> io::Result<()> {
        let origin = cx.transcript.origin();
        let Some((pid, _)) = fields.u64().and_then(|tid| self.processes.of_thread(tid, origin)) else { return Ok(()) };
        let mut sockets = Vec::new();
        let mut ports = Vec::new();
        // Padding is shorter than a descriptor.
        while fields.0.len() > 4 {
            match listed(&mut fields, sized) {
                Some(Listed::Socket(fd, ends)) => sockets.push((fd, ends)),
                Some(Listed::Listener(port)) => ports.push(port),
                Some(Listed::Other) => {}
                None => {
                    cx.found.malformed += 1;
                    break;
                }
            }
        }
        if let Some((_, process)) = self.processes.of_thread(pid, origin) {
            process.info.listening.extend(ports.iter().copied());
            process.info.listening.sort_unstable();
            process.info.listening.dedup();
        }
        for (fd, ends) in sockets {
            let role = if ports.contains(&ends.local.port()) { Role::Server } else { Role::Unknown };
            self.open(pid, fd, ends, role, true, cx)?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>, cx: &mut Context<'_>) -> io::Result<()> {
        cx.found.back_in_time += u64::from(record.time < self.now);
        self.now = record.time.max(self.now);
        if is_drop(record.number) {
            cx.found.dropped += 1;
        }
        if is_exit(record.number) {
            return self.exit(record, cx);
        }
        let Some(call) = call(record.number) else { return Ok(()) };
        if record.number.is_multiple_of(2) {
            self.enter(record, call);
            return Ok(());
        }
        let entered = self.entered.remove(&record.tid).filter(|entered| entered.number | 1 == record.number);
        if let Some(entered) = entered {
            self.order.leave(entered.time, record.tid);
        }
        self.returned(record, call, entered, cx)?;
        self.order.advance(self.now, cx.transcript)
    }

    fn enter(&mut self, record: &Record<'_>, call: Call) {
        if self.entered.len() >= THREADS && !self.entered.contains_key(&record.tid) {
            return;
        }
        let (number, time) = (record.number, record.time);
        let (fd, other) = (record.number_of(0).unwrap_or(-1), record.number_of(1).unwrap_or(-1));
        if let Some(before) = self.entered.insert(record.tid, Entered { number, time, fd, other }) {
            self.order.leave(before.time, record.tid);
        }
        let counts_at_entry = matches!(
            call,
            Call::Move { direction: Direction::Out, .. } | Call::Sendfile | Call::Splice | Call::Connect
        );
        if counts_at_entry {
            self.order.enter(time, record.tid);
        }
    }

    /// A call has returned.
    fn returned(
        &mut self,
        record: &Record<'_>,
        call: Call,
        entered: Option<Entered>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let origin = cx.transcript.origin();
        match call {
            Call::Exec if record.number_of(0) == Some(0) => {
                let key = self.processes.exec(record, origin).map(|process| process.info.key);
                let Some(process) = key else { return Ok(()) };
                return self.order.push(record.time, Body::Exec { process }, cx.transcript);
            }
            Call::Fork if record.number_of(0) == Some(0) => {
                for socket in self.processes.fork(record, origin) {
                    self.sockets.get_mut(socket).into_iter().for_each(|socket| socket.descriptors += 1);
                }
                return Ok(());
            }
            Call::Exec | Call::Fork => return Ok(()),
            _ => {}
        }
        let Some((pid, process)) = self.processes.of_thread(record.tid, origin) else { return Ok(()) };
        let process = process.info.key;
        // Newer captures tell all at the exit.
        let entered = entered.unwrap_or(Entered {
            number: record.number - 1,
            time: record.time,
            fd: fd_at_exit(record, call),
            other: -1,
        });
        let stamp = Stamp {
            tid: Tid(u32::try_from(record.tid).unwrap_or(u32::MAX)),
            // Whether a socket blocks is not told. What does not block is never linked by its thread.
            flags: DataFlags::NONBLOCKING,
            loop_turn: 0,
            entry: MonoNanos::new(entered.time.min(record.time)),
            exit: MonoNanos::new(record.time),
        };
        let Some(result) = record.number_of(0) else { return Ok(()) };
        let call_made = Returned { pid, process, entered, stamp, result };
        self.called(record, call, call_made, cx)
    }

    fn called(&mut self, record: &Record<'_>, call: Call, made: Returned, cx: &mut Context<'_>) -> io::Result<()> {
        let Returned { pid, process, entered, stamp, result } = made;
        match call {
            Call::Move { source, direction, data, .. } => {
                let payload = record.param(data).unwrap_or_default();
                self.learn_ends(record, made, direction, cx)?;
                self.moved(made, entered.fd, (source, direction), payload, cx)
            }
            Call::Sendfile => self.moved(made, entered.fd, (Source::Sendfile, Direction::Out), &[], cx),
            Call::Splice => {
                self.moved(made, entered.fd, (Source::Splice, Direction::In), &[], cx)?;
                self.moved(made, entered.other, (Source::Splice, Direction::Out), &[], cx)
            }
            Call::Accept if result >= 0 => {
                // The peer's address stands first.
                let Some((remote, local)) = record.tuple(1) else { return Ok(()) };
                self.open(pid, result, Ends { local, remote }, Role::Server, false, cx)?;
                self.told(pid, result, cx, |conn| (stamp.exit, Body::Accept { conn, process, stamp }))
            }
            Call::Connect => {
                let Some((local, remote)) = record.tuple(1) else { return Ok(()) };
                // EINPROGRESS
                let begun = result == 0 || result == -115;
                if begun {
                    self.open(pid, entered.fd, Ends { local, remote }, Role::Client, false, cx)?;
                }
                let errno = u16::try_from(-result).unwrap_or_default();
                self.told(pid, entered.fd, cx, |conn| (stamp.entry, Body::Connect { conn, process, stamp, errno }))
            }
            Call::Close if result == 0 => {
                let tid = stamp.tid;
                self.told(pid, entered.fd, cx, |conn| (stamp.exit, Body::FdClose { conn, process, tid }))?;
                match self.processes.close(pid, entered.fd) {
                    Some(socket) => self.release(socket, record.time, cx),
                    None => Ok(()),
                }
            }
            Call::Shutdown if result == 0 => {
                let told = if entered.other >= 0 { entered.other } else { record.number_of(2).unwrap_or(-1) };
                let how = match told {
                    0 => Shutdown::Read,
                    1 => Shutdown::Write,
                    _ => Shutdown::Both,
                };
                self.told(pid, entered.fd, cx, |conn| (stamp.exit, Body::Shutdown { conn, process, stamp, how }))
            }
            // fcntl duplicates, too (F_DUPFD): then its result is another descriptor. So says libscap's command 1 or 13.
            Call::Dup => self.duplicate(pid, entered.fd, result, record.time, cx),
            Call::Fcntl if matches!(entered.other, 1 | 13) => self.duplicate(pid, entered.fd, result, record.time, cx),
            _ => Ok(()),
        }
    }

    /// recvfrom, recvmsg, sendto and sendmsg may tell both addresses, also of a socket of which nothing was known.
    fn learn_ends(
        &mut self,
        record: &Record<'_>,
        made: Returned,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let index = match record.number {
            35 => 2,
            53 => 3,
            _ => return Ok(()),
        };
        if self.processes.socket(made.pid, made.entered.fd).is_some() || made.result <= 0 {
            return Ok(());
        }
        // Of datagrams there are tuples as well; nothing tells them apart but what they carry.
        let http = record.param(index - 1).is_some_and(|bytes| crate::import::kept::is_of_client(bytes).is_some());
        match record.tuple(index).filter(|_| http && direction == Direction::In) {
            Some((remote, local)) => {
                self.open(made.pid, made.entered.fd, Ends { local, remote }, Role::Unknown, true, cx)
            }
            None => Ok(()),
        }
    }

    /// Bytes were moved.
    fn moved(
        &mut self,
        made: Returned,
        fd: i64,
        (source, direction): (Source, Direction),
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let Returned { pid, process, stamp, result, .. } = made;
        let Some(socket) = self.processes.socket(pid, fd).and_then(|socket| self.sockets.get_mut(socket)) else {
            return Ok(());
        };
        cx.found.used += 1;
        let conn = socket.key;
        let time = if direction == Direction::In { stamp.exit } else { stamp.entry };
        let Ok(len) = u64::try_from(result) else {
            return match u16::try_from(-result) {
                // ECONNRESET, EPIPE, ETIMEDOUT
                Ok(errno @ (104 | 32 | 110)) => {
                    self.order.push(stamp.exit.nanos(), Body::SocketError { conn, errno }, cx.transcript)
                }
                _ => Ok(()),
            };
        };
        if len == 0 && direction == Direction::Out {
            return Ok(());
        }
        let index = Socket::index(direction);
        let Some(moved) = socket.moved.get_mut(index) else { return Ok(()) };
        let pos = *moved;
        *moved = pos.saturating_add(len);
        let captured = usize::try_from(len).unwrap_or(usize::MAX).min(payload.len()).min(EVENT_PAYLOAD);
        let payload = payload.get(..captured).unwrap_or_default();
        // Bytes that the kernel moved from a file were not to be captured.
        let told = !matches!(source, Source::Sendfile | Source::Splice);
        socket.kept.next(index, payload, len, &mut self.pieces);
        cx.found.snapped += u64::from(told && (captured as u64) < len);
        cx.found.cut_heads += u64::from(told && socket.kept.cut_head);
        if socket.kept.is_tls() && !std::mem::replace(&mut socket.is_tls, true) {
            cx.found.tls += 1;
        }
        let mut buffer = RangesBuf::default();
        let ranges = if self.payload == KeptPayload::All {
            Ranges::prefix(payload)
        } else {
            for (at, len) in &self.pieces {
                let piece = payload.get(*at..at + len).unwrap_or_default();
                buffer.push(u32::try_from(*at).unwrap_or(u32::MAX), piece);
            }
            buffer.as_ranges()
        };
        let data = Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges };
        self.order.push(time.nanos(), Body::Data(data), cx.transcript)
    }

    /// A descriptor is a TCP connection from now on.
    fn open(
        &mut self,
        pid: u64,
        fd: i64,
        ends: Ends,
        role: Role,
        preexisting: bool,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let origin = cx.transcript.origin();
        let time = self.now;
        let Some((_, process)) = self.processes.of_thread(pid, origin) else {
            cx.found.evicted += 1;
            return Ok(());
        };
        let Ends { local, remote } = ends;
        let listens = role == Role::Server && !process.info.listening.contains(&local.port());
        if listens {
            process.info.listening.push(local.port());
            process.info.listening.sort_unstable();
        }
        let (key, tell) = (process.info.key, listens || !process.told);
        process.told = true;
        if tell {
            let info = process.info.clone();
            self.order.push(time, Body::Process(&info), cx.transcript)?;
        }
        let info = ConnInfo {
            process: key,
            role,
            endpoint: Some(Endpoint { local, remote }),
            preexisting,
            ..ConnInfo::unknown(origin, cx.transcript.next_connection())
        };
        let socket = Socket { key: info.key, kept: Kept::default(), is_tls: false, moved: [0; 2], descriptors: 1 };
        let socket = self.sockets.insert(socket);
        match self.processes.open(pid, fd, socket) {
            Ok(before) => {
                cx.found.connections += 1;
                self.order.push(time, Body::Connection(&info), cx.transcript)?;
                before.map_or(Ok(()), |before| self.release(before, time, cx))
            }
            Err(()) => {
                cx.found.evicted += 1;
                self.sockets.release(socket);
                Ok(())
            }
        }
    }

    /// Tells of a descriptor's connection, if it is one.
    fn told(
        &mut self,
        pid: u64,
        fd: i64,
        cx: &mut Context<'_>,
        body: impl FnOnce(redtape_core::ConnKey) -> (MonoNanos, Body<'static>),
    ) -> io::Result<()> {
        let Some(socket) = self.processes.socket(pid, fd).and_then(|socket| self.sockets.get_mut(socket)) else {
            return Ok(());
        };
        cx.found.used += 1;
        let (time, body) = body(socket.key);
        self.order.push(time.nanos(), body, cx.transcript)
    }

    fn duplicate(&mut self, pid: u64, fd: i64, new: i64, time: u64, cx: &mut Context<'_>) -> io::Result<()> {
        if new < 0 || new == fd {
            return Ok(());
        }
        let Some(socket) = self.processes.socket(pid, fd) else {
            // What the number stood for is closed.
            return self.processes.close(pid, new).map_or(Ok(()), |before| self.release(before, time, cx));
        };
        if let Ok(before) = self.processes.open(pid, new, socket) {
            self.sockets.get_mut(socket).into_iter().for_each(|socket| socket.descriptors += 1);
            return before.map_or(Ok(()), |before| self.release(before, time, cx));
        }
        Ok(())
    }

    /// A descriptor of a socket is gone; with the last one the connection is over.
    fn release(&mut self, socket: SocketNumber, time: u64, cx: &mut Context<'_>) -> io::Result<()> {
        match self.sockets.release(socket) {
            Some(conn) => self.order.push(time, Body::Close { conn }, cx.transcript),
            None => Ok(()),
        }
    }

    /// A thread has ended.
    fn exit(&mut self, record: &Record<'_>, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(entered) = self.entered.remove(&record.tid) {
            self.order.leave(entered.time, record.tid);
        }
        let Some((process, sockets)) = self.processes.exit(record.tid) else { return Ok(()) };
        for socket in sockets {
            self.release(socket, record.time, cx)?;
        }
        self.order.push(record.time, Body::Exit { process }, cx.transcript)?;
        self.order.advance(self.now, cx.transcript)
    }
}

/// The descriptor of a call whose entry was not captured, where its exit tells it.
fn fd_at_exit(record: &Record<'_>, call: Call) -> i64 {
    let index = match call {
        Call::Move { fd, .. } => fd,
        Call::Sendfile | Call::Connect => 2,
        Call::Close | Call::Shutdown | Call::Dup | Call::Fcntl => 1,
        Call::Splice | Call::Accept | Call::Exec | Call::Fork => return -1,
    };
    if record.count() > index { record.number_of(index).unwrap_or(-1) } else { -1 }
}
