//! A capture of system calls as a source of events.

use std::io::{self, Read};

use redtape_core::{Body, Direction, Role};

use super::blocks::{Blocks, Fields, Next, kind, list_version};
use super::event::{Call, Record, call, is_drop, is_exit};
use super::order::Order;
use super::processes::{Forgotten, Listed, Processes, listed};
use super::sockets::Sockets;
use crate::import::found::Found;
use crate::import::kept::KeptPayload;
use crate::import::limits::THREADS;
use crate::import::oldest::{Oldest, Replaced};
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
pub(super) struct State {
    pub(super) processes: Processes,
    pub(super) sockets: Sockets,
    pub(super) order: Order,
    /// The call that each thread is in.
    entered: Oldest<u64, Entered, THREADS>,
    pub(super) payload: KeptPayload,
    pub(super) pieces: Vec<(usize, usize)>,
    /// The time of the latest event; 0 before the first.
    pub(super) now: u64,
}

/// A call that a thread is in.
#[derive(Clone, Copy)]
pub(super) struct Entered {
    pub(super) number: u16,
    pub(super) time: u64,
    pub(super) fd: i64,
    /// The second parameter.
    pub(super) other: i64,
}

/// What a call needs to be told.
pub(super) struct Context<'a> {
    pub(super) transcript: &'a mut Transcript,
    pub(super) found: &'a mut Found,
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
            cx.found.read = self.blocks.offset();
            match self.blocks.next()? {
                Next::Block(kind, body) => {
                    self.state.block(kind, body, &mut cx)?;
                    self.state.forget(cx.found);
                }
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
        if let Some(version) = list_version(number) {
            cx.found.malformed += u64::from(self.processes.list(body, version, cx.transcript.origin()).is_none());
            return Ok(());
        }
        match number {
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

    /// Tells of what there was no room for.
    fn forget(&mut self, found: &mut Found) {
        let Some(Forgotten { threads, processes, inherited, sockets }) = self.processes.take_forgotten() else {
            return;
        };
        found.forget("thread", threads);
        found.forget("process", processes);
        found.forget("inherited descriptor", inherited);
        found.forget("descriptor", sockets.len());
        for socket in sockets {
            self.sockets.release(socket);
        }
    }

    /// The descriptors that a process had when the capture began.
    fn descriptors(&mut self, mut fields: Fields<'_>, sized: bool, cx: &mut Context<'_>) -> io::Result<()> {
        let origin = cx.transcript.origin();
        let Some(tid) = fields.u64() else { return Ok(()) };
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
        let (pid, process) = self.processes.of_thread(tid, origin);
        process.info.listening.extend(ports.iter().copied());
        process.info.listening.sort_unstable();
        process.info.listening.dedup();
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
            self.enter(record, call, cx);
            return Ok(());
        }
        let entered = self.entered.remove(record.tid).filter(|entered| entered.number | 1 == record.number);
        if let Some(entered) = entered {
            self.order.leave(entered.time, record.tid);
        }
        self.returned(record, call, entered, cx)?;
        self.order.advance(self.now, cx.transcript)
    }

    fn enter(&mut self, record: &Record<'_>, call: Call, cx: &mut Context<'_>) {
        let (number, time) = (record.number, record.time);
        let (fd, other) = (record.number_of(0).unwrap_or(-1), record.number_of(1).unwrap_or(-1));
        match self.entered.insert(record.tid, Entered { number, time, fd, other }) {
            Replaced::Nothing => {}
            Replaced::Value(before) => self.order.leave(before.time, record.tid),
            Replaced::Oldest(tid, before) => {
                self.order.leave(before.time, tid);
                cx.found.forget("call", 1);
            }
        }
        let counts_at_entry = matches!(
            call,
            Call::Move { direction: Direction::Out, .. } | Call::Sendfile | Call::Splice | Call::Connect
        );
        if counts_at_entry {
            self.order.enter(time, record.tid);
        }
    }

    /// A thread has ended.
    fn exit(&mut self, record: &Record<'_>, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(entered) = self.entered.remove(record.tid) {
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
