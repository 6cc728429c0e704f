//! Where the tapes of a live run come from, and the thread that reads them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use redtape_core::MonoNanos;
use redtape_core::tape::{Block, CloseReason, Meta, ReadReport, Reader, SetGap, SetMember};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::umask;

use super::follow::{self, Found, Growing};
use super::users::Users;
use super::users::own_name;
use crate::export::ExportCounters;
use crate::failure::{Failure, Kind, Result};
use crate::import::Bytes;
use crate::input::{open_failure, read_failure};
use crate::interrupt::Interrupt;
use crate::run::warn_of_gap;

/// How long it is waited after a connection that could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether somebody has opened a pipe, or the run is to end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Where tapes come from.
pub(super) enum Source {
    /// A recorder that this process has started.
    Child(ChildStdout),
    Stdin,
    Pipe(PathBuf, File),
    Socket(PathBuf, UnixListener),
    /// A tape that is being written; opened already, if it was there.
    Follow(PathBuf, Option<Found>),
}

/// What a live run waits for.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    /// As in `waiting for {what}`; `None` where the tape is there.
    pub(super) what: Option<String>,
    /// What is said as long as nothing has come.
    pub(super) missing: String,
    /// What is said when it has gone, where another one may come.
    pub(super) gone: Option<String>,
    /// Whether it comes soon, unless something is wrong.
    pub(super) due: bool,
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

/// The way of blocks to the engine, which counts those that wait.
pub(super) struct ToEngine {
    queue: SyncSender<Incoming>,
    counters: Arc<ExportCounters>,
}

impl ToEngine {
    pub(super) fn new(queue: SyncSender<Incoming>, counters: &Arc<ExportCounters>) -> Self {
        Self { queue, counters: Arc::clone(counters) }
    }

    fn send(&self, incoming: Incoming) -> std::result::Result<(), ()> {
        let blocks = u64::from(matches!(incoming, Incoming::Block(_)));
        // Before it is there, for who takes it out counts it off.
        self.counters.blocks.fetch_add(blocks, Ordering::Relaxed);
        self.queue.send(incoming).map_err(drop)
    }
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
    /// What is waited for before there is a tape.
    pub(super) fn awaited(&self) -> Awaited {
        let (what, missing) = match self {
            Self::Child(_) => (None, "the recorder has not begun yet".into()),
            Self::Stdin => (Some("a tape on standard input".into()), "no tape has come on standard input yet".into()),
            Self::Pipe(path, _) => {
                let path = path.display();
                (Some(format!("a tape in {path}")), format!("no tape has come in {path} yet"))
            }
            Self::Socket(path, _) => {
                let path = path.display();
                (Some(format!("a recorder at unix:{path}")), format!("no recorder has connected to unix:{path} yet"))
            }
            Self::Follow(path, found) => {
                let path = path.display();
                match found {
                    Some(_) => (None, format!("{path} has no beginning yet")),
                    None => (Some(format!("{path}, which is not there yet")), format!("{path} is not there yet")),
                }
            }
        };
        let gone = match self {
            Self::Socket(path, _) => Some(format!("the recorder at unix:{} has gone", path.display())),
            _ => None,
        };
        Awaited { what, missing, gone, due: matches!(self, Self::Child(_)) }
    }

    /// Opens a tape that is being written, if it is there: it may be its owner's alone.
    pub(super) fn follow(path: PathBuf) -> Result<Self> {
        let found = follow::find(&path).map_err(|error| unreadable(&path, &error))?;
        Ok(Self::Follow(path, found))
    }

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

    /// Opens a pipe that has a name. Nobody needs to write to it yet.
    pub(super) fn pipe(path: &Path) -> Result<Self> {
        let pipe = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        let pipe = pipe.map_err(|error| {
            let error = io::Error::from(error);
            Failure::message(Kind::Input, format!("--from {}: cannot be opened: {error}", path.display()))
        })?;
        Ok(Self::Pipe(path.into(), pipe.into()))
    }

    /// Reads all tapes there are, until the end.
    pub(super) fn read(self, to: &ToEngine, interrupt: &Interrupt, peer: &Peer) {
        let ended = match self {
            Self::Child(pipe) => read_one("the recorder", Box::new(pipe), None, to).map(drop),
            Self::Stdin => read_one("standard input", Box::new(io::stdin()), None, to).map(drop),
            Self::Pipe(path, file) => read_pipe(&path, file, to, interrupt),
            Self::Socket(path, listener) => read_connections(&path, &listener, to, interrupt, peer),
            Self::Follow(path, found) => read_files(&path, found, to, interrupt),
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
fn read_one(name: &str, bytes: Bytes, before: Option<&Ended>, to: &ToEngine) -> Result<Option<Ended>> {
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
fn read_connections(path: &Path, listener: &UnixListener, to: &ToEngine, interrupt: &Interrupt, peer: &Peer) -> Result {
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
        let read = read_connection(&name, stream, to);
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

/// Reads what a recorder sends, or passes over who only looked whether somebody listens.
fn read_connection(name: &str, mut stream: UnixStream, to: &ToEngine) -> Result<Option<()>> {
    let mut first = [0];
    if stream.read_exact(&mut first).is_err() {
        return Ok(Some(()));
    }
    read_one(name, Box::new(io::Cursor::new(first).chain(stream)), None, to).map(|ended| ended.map(drop))
}

/// Reads what comes through a pipe that has a name.
fn read_pipe(path: &Path, file: File, to: &ToEngine, interrupt: &Interrupt) -> Result {
    let name = path.display().to_string();
    let failed = |error: io::Error| Failure::message(Kind::Input, format!("{name}: cannot be read: {error}"));
    // Until somebody has written, or opened it and gone again.
    while !interrupt.asked() {
        match poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(failed(error.into())),
        }
    }
    if interrupt.asked() {
        return Ok(());
    }
    // From here on, who reads waits.
    let flags = fcntl_getfl(&file).map_err(|error| failed(error.into()))?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| failed(error.into()))?;
    read_one(&name, Box::new(file), None, to).map(drop)
}

/// Why a file of `path` cannot be read, and what to do.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "; a tape is its owner's alone, and {}: --user names whom live becomes instead of nobody when started as root",
            own_name()
        ),
        _ => String::new(),
    };
    Failure::message(Kind::Input, format!("{}: cannot be read: {error}{advice}", path.display()))
}

/// Reads a tape that is being written, and the files of its set that follow.
fn read_files(path: &Path, found: Option<Found>, to: &ToEngine, interrupt: &Interrupt) -> Result {
    let failed = |error: io::Error| unreadable(path, &error);
    let mut next = match found {
        Some(found) => Some(found),
        None => follow::open(path, interrupt).map_err(failed)?,
    };
    let mut before: Option<Ended> = None;
    while let Some((file, bytes)) = next.take() {
        let bytes: Box<dyn Read + Send> = Box::new(Growing::new(bytes, interrupt));
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

    fn to_engine(queue: SyncSender<Incoming>) -> ToEngine {
        ToEngine::new(queue, &Arc::default())
    }

    #[test]
    fn a_pipe_is_opened_before_there_is_a_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let source = Source::pipe(&path).unwrap();
        let mut tape = Vec::new();
        let writer = redtape_core::tape::Writer::new(&mut tape, &Meta::default(), WriterOptions::PIPE).unwrap();
        writer.finish(CloseReason::Done).unwrap();
        let writing = thread::spawn(move || fs::write(path, tape));
        let (to, from) = sync_channel(64);
        source.read(&to_engine(to), &Interrupt::default(), &Peer::default());
        writing.join().unwrap().unwrap();
        let all: Vec<_> = from.into_iter().collect();
        assert!(matches!(all.first(), Some(Incoming::Tape(_))));
        assert!(matches!(all.last(), Some(Incoming::End(Ok(())))));
    }

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
        read_files(&folder.path().join("shop.tape"), None, &to_engine(to), &Interrupt::default()).unwrap();
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
