//! Where the tapes of a live run come from, and the thread that reads them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use redtape_core::MonoNanos;
use redtape_core::tape::{Block, CloseReason, Meta, ReadReport, Reader, SetGap, SetMember};
use rustix::fs::Mode;
use rustix::process::umask;

use super::follow;
use super::users::Users;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Bytes, open_failure, read_failure};
use crate::interrupt::Interrupt;
use crate::run::warn_of_gap;

/// How long it is waited after a connection that could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Where tapes come from.
pub(super) enum Source {
    /// A recorder that this process has started.
    Child(ChildStdout),
    Stdin,
    Pipe(PathBuf, File),
    Socket(PathBuf, UnixListener),
    Follow(PathBuf),
}

/// What comes to the engine from other threads.
pub(crate) enum Incoming {
    /// A tape begins.
    Tape(Box<Meta>),
    /// The next block of it.
    Block(Box<Block>),
    /// It is over; there may be another one.
    TapeEnd(String, Box<ReadReport>),
    /// What was learned from outside.
    Enrich(Vec<(String, String)>),
    /// No more tapes come.
    End(Result),
}

/// The connection to the recorder at the other end of a socket, while there is one.
#[derive(Clone, Default)]
pub(super) struct Peer(Arc<Mutex<Option<UnixStream>>>);

impl Peer {
    fn set(&self, stream: Option<UnixStream>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stream;
    }

    /// Tells the recorder to close its tape. Says whether there is one.
    pub(super) fn end(&self) -> bool {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_ref().is_some_and(|stream| stream.shutdown(Shutdown::Write).is_ok())
    }
}

impl Source {
    /// Listens at a socket. One that is left from an engine that is gone is replaced.
    pub(super) fn listen(path: PathBuf) -> Result<Self> {
        let failed = |error: io::Error| {
            Failure::message(Kind::Environment, format!("--from unix:{}: cannot listen: {error}", path.display()))
        };
        if UnixStream::connect(&path).is_ok() {
            return Err(failed(io::Error::other("another engine listens there")));
        }
        let is_socket = fs::symlink_metadata(&path).is_ok_and(|facts| is_socket(&facts));
        if is_socket {
            fs::remove_file(&path).map_err(failed)?;
        }
        // A recorder without CAP_DAC_OVERRIDE is another user to this file; who it is is asked when it connects. It may do so
        // as soon as the file is there, so it is made for all. There is no other thread yet that would make files.
        let before = umask(Mode::XUSR | Mode::XGRP | Mode::XOTH);
        let listener = UnixListener::bind(&path);
        umask(before);
        let listener = listener.map_err(failed)?;
        Ok(Self::Socket(path, listener))
    }

    /// Opens a pipe that has a name. Waits for a writer, as opening a pipe does.
    pub(super) fn pipe(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| {
            Failure::message(Kind::Input, format!("--from {}: cannot be opened: {error}", path.display()))
        })?;
        Ok(Self::Pipe(path.into(), file))
    }

    /// Reads all tapes there are, until the end.
    pub(super) fn read(self, to: &SyncSender<Incoming>, interrupt: &Interrupt, peer: &Peer) {
        let ended = match self {
            Self::Child(pipe) => read_one("the recorder", Box::new(pipe), None, to).map(drop),
            Self::Stdin => read_one("standard input", Box::new(io::stdin()), None, to).map(drop),
            Self::Pipe(path, file) => read_one(&path.display().to_string(), Box::new(file), None, to).map(drop),
            Self::Socket(path, listener) => read_connections(&path, &listener, to, interrupt, peer),
            Self::Follow(path) => read_files(&path, to, interrupt),
        };
        // Nobody may be waiting for it any more.
        let _ = to.send(Incoming::End(ended));
    }
}

fn is_socket(facts: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    facts.file_type().is_socket()
}

/// How a tape ended.
struct Ended {
    /// Its place in a set.
    member: Option<SetMember>,
    reason: Option<CloseReason>,
    /// The time of its last event.
    last_time: MonoNanos,
}

impl Ended {
    /// The files that are missing between this one and one of the same set.
    fn gap(&self, next: Option<SetMember>) -> Option<SetGap> {
        let (SetMember { set, number }, next) = (self.member?, next?);
        let (from, to) = (number.checked_add(1)?, next.number.checked_sub(1)?);
        (set == next.set && from <= to).then_some(SetGap { set, from, to })
    }
}

/// Reads a tape to its end; `before` is the file of its set before it. `None` if the engine does not want more.
fn read_one(name: &str, bytes: Bytes, before: Option<&Ended>, to: &SyncSender<Incoming>) -> Result<Option<Ended>> {
    let mut reader = Reader::open(bytes).map_err(|error| open_failure(name, &error))?;
    let meta = reader.meta().clone();
    let member = meta.set;
    let mut last_time = MonoNanos::ZERO;
    if let Some(before) = before {
        last_time = before.last_time;
        if let Some(gap) = before.gap(member) {
            warn_of_gap(&gap);
            reader.after_missing_file(last_time);
        }
    }
    if to.send(Incoming::Tape(Box::new(meta))).is_err() {
        return Ok(None);
    }
    loop {
        let mut block = Box::<Block>::default();
        if !reader.read_block(&mut block).map_err(|error| read_failure(name, &error))? {
            break;
        }
        last_time = last_time.max(block.last_time());
        if to.send(Incoming::Block(block)).is_err() {
            return Ok(None);
        }
    }
    let report = *reader.report();
    let reason = report.totals.map(|totals| totals.reason);
    let sent = to.send(Incoming::TapeEnd(name.to_owned(), Box::new(report)));
    Ok(sent.ok().map(|()| Ended { member, reason, last_time }))
}

/// Reads what recorders send that connect, one after the other.
fn read_connections(
    path: &Path,
    listener: &UnixListener,
    to: &SyncSender<Incoming>,
    interrupt: &Interrupt,
    peer: &Peer,
) -> Result {
    let name = format!("unix:{}", path.display());
    let failed = |error| Failure::message(Kind::Environment, format!("{name}: users cannot be told: {error}"));
    let users = Users::new().map_err(failed)?;
    while !interrupt.asked() {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // Too few descriptors, or somebody who has gone again: that passes.
            Err(error) => {
                eprintln!("redtape: warning: {name}: a connection cannot be accepted: {error}");
                thread::sleep(ACCEPT_AGAIN);
                continue;
            }
        };
        if let Err(reason) = users.check(&stream) {
            eprintln!("redtape: warning: {name}: a connection was refused: {reason}");
            continue;
        }
        peer.set(stream.try_clone().ok());
        let read = read_one(&name, Box::new(stream), None, to);
        peer.set(None);
        match read {
            Ok(Some(_)) => {}
            Ok(None) => break,
            // The next one may do better.
            Err(failure) => eprintln!("redtape: warning: {failure}"),
        }
    }
    Ok(())
}

/// Reads a tape that is being written, and the files of its set that follow.
fn read_files(path: &Path, to: &SyncSender<Incoming>, interrupt: &Interrupt) -> Result {
    let failed = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::PermissionDenied => "; when started as root, --user names who reads it",
            _ => "",
        };
        Failure::message(Kind::Input, format!("{}: cannot be read: {error}{advice}", path.display()))
    };
    let mut next = follow::open(path, interrupt).map_err(failed)?;
    let mut before: Option<Ended> = None;
    while let Some((file, bytes)) = next.take() {
        let bytes: Box<dyn Read + Send> = Box::new(bytes);
        let Some(ended) = read_one(&file.display().to_string(), bytes, before.as_ref(), to)? else { break };
        if let (Some(member), Some(CloseReason::Rotated)) = (ended.member, ended.reason) {
            next = follow::open_after(path, member.number, interrupt).map_err(failed)?;
        }
        before = Some(ended);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use redtape_core::tape::{RotatingWriter, Rotation, Totals, WriterOptions};
    use redtape_core::{Body, Event, Ext, LossCause};

    use super::*;

    #[test]
    fn a_file_that_a_ring_has_dropped_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u32| folder.path().join(format!("shop.{number:04}.tape"));
        let open = |number: u32, _: Option<(Totals, File)>| File::create(path(number));
        let rotation = Rotation { nanos: Some(1), ..Rotation::default() };
        let mut set = RotatingWriter::new(Meta::default(), WriterOptions::FILE, rotation, open).unwrap();
        for seconds in 1..=3 {
            let time = MonoNanos::new(seconds * 1_000_000_000);
            set.push(&Event { time, cpu: 0, seq: seconds, late: false, body: Body::Tick, ext: Ext::default() })
                .unwrap();
        }
        set.finish(CloseReason::Done).unwrap();
        fs::remove_file(path(1)).unwrap();

        let (to, from) = sync_channel(64);
        read_files(&folder.path().join("shop.tape"), &to, &Interrupt::default()).unwrap();
        drop(to);
        let mut losses = Vec::new();
        for incoming in from {
            let Incoming::Block(block) = incoming else { continue };
            losses.extend(block.events().filter_map(|event| match event.body {
                Body::Loss(loss) => Some((loss.cause, loss.from.nanos(), loss.to.nanos())),
                _ => None,
            }));
        }
        assert_eq!(losses, [(LossCause::Corrupt, 1_000_000_000, 3_000_000_000)]);
    }
}
