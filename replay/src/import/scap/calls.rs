//! What a system call that has returned tells of a socket, and of processes.

use std::io;

use redtape_core::{
    Body, Data, DataFlags, Direction, MonoNanos, ProcKey, Ranges, RangesBuf, Role, Shutdown, Source, Stamp, Tid,
};

use super::event::{Call, Record};
use super::processes::Forked;
use super::sockets::{Ends, Socket};
use super::source::{Context, Entered, State};
use crate::import::kept::{self, KeptPayload};
use crate::import::limits::EVENT_PAYLOAD;

#[derive(Clone, Copy)]
struct Returned {
    pid: u64,
    process: ProcKey,
    entered: Entered,
    stamp: Stamp,
    /// What it returned.
    result: i64,
}

impl State {
    /// A call has returned.
    pub(super) fn returned(
        &mut self,
        record: &Record<'_>,
        call: Call,
        entered: Option<Entered>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        let origin = cx.transcript.origin();
        match call {
            Call::Exec if record.number_of(0) == Some(0) => {
                let process = self.processes.exec(record, origin);
                return self.order.push(record.time, Body::Exec { process }, cx.transcript);
            }
            Call::Fork if record.number_of(0) == Some(0) => {
                let Forked { more, fewer } = self.processes.fork(record, origin);
                for socket in more {
                    self.sockets.get_mut(socket).into_iter().for_each(|socket| socket.descriptors += 1);
                }
                return fewer.into_iter().try_for_each(|socket| self.release(socket, record.time, cx));
            }
            Call::Exec | Call::Fork => return Ok(()),
            _ => {}
        }
        let (pid, process) = self.processes.of_thread(record.tid, origin);
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
                let Some((remote, local)) = record.tuple(1) else {
                    cx.found.unknown_sockets += u64::from(record.lacks_addresses(1));
                    return Ok(());
                };
                self.open(pid, result, Ends { local, remote }, Role::Server, false, cx)?;
                self.told(pid, result, cx, |conn| (stamp.exit, Body::Accept { conn, process, stamp }))
            }
            Call::Connect => {
                let Some((local, remote)) = record.tuple(1) else {
                    cx.found.unknown_sockets += u64::from(record.lacks_addresses(1));
                    return Ok(());
                };
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
        let http = record.param(index - 1).is_some_and(|bytes| kept::is_of_client(bytes).is_some());
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
            // Most are files and pipes, which do not speak HTTP.
            cx.found.unknown_sockets += u64::from(result > 0 && kept::is_of_client(payload).is_some());
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

    fn duplicate(&mut self, pid: u64, fd: i64, new: i64, time: u64, cx: &mut Context<'_>) -> io::Result<()> {
        if new < 0 || new == fd {
            return Ok(());
        }
        let Some(socket) = self.processes.socket(pid, fd) else {
            // What the number stood for is closed.
            return self.processes.close(pid, new).map_or(Ok(()), |before| self.release(before, time, cx));
        };
        self.sockets.get_mut(socket).into_iter().for_each(|socket| socket.descriptors += 1);
        let before = self.processes.open(pid, new, socket);
        before.map_or(Ok(()), |before| self.release(before, time, cx))
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
