//! Where the tapes of a live run come from, and the thread that reads them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use redtape_core::tape::{Block, CloseReason, Meta, ReadReport, Reader};
use rustix::process::geteuid;

use super::follow;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Bytes, open_failure, read_failure};
use crate::interrupt::Interrupt;

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
        let listener = UnixListener::bind(&path).map_err(failed)?;
        // A recorder without CAP_DAC_OVERRIDE is another user to this file; who it is is asked when it connects.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).map_err(failed)?;
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
            Self::Child(pipe) => read_one("the recorder", Box::new(pipe), to).map(drop),
            Self::Stdin => read_one("standard input", Box::new(io::stdin()), to).map(drop),
            Self::Pipe(path, file) => read_one(&path.display().to_string(), Box::new(file), to).map(drop),
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
    /// Its number in a set.
    number: Option<u32>,
    reason: Option<CloseReason>,
}

/// Reads a tape to its end. `None` if the engine does not want more.
fn read_one(name: &str, bytes: Bytes, to: &SyncSender<Incoming>) -> Result<Option<Ended>> {
    let mut reader = Reader::open(bytes).map_err(|error| open_failure(name, &error))?;
    let meta = reader.meta().clone();
    let number = meta.set.map(|member| member.number);
    if to.send(Incoming::Tape(Box::new(meta))).is_err() {
        return Ok(None);
    }
    loop {
        let mut block = Box::<Block>::default();
        if !reader.read_block(&mut block).map_err(|error| read_failure(name, &error))? {
            break;
        }
        if to.send(Incoming::Block(block)).is_err() {
            return Ok(None);
        }
    }
    let report = *reader.report();
    let reason = report.totals.map(|totals| totals.reason);
    let sent = to.send(Incoming::TapeEnd(name.to_owned(), Box::new(report)));
    Ok(sent.ok().map(|()| Ended { number, reason }))
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
    while !interrupt.asked() {
        let accepted = listener.accept().map_err(|error| {
            Failure::message(Kind::Environment, format!("{name}: no connection can be accepted: {error}"))
        })?;
        let stream = accepted.0;
        if let Err(reason) = check_peer(&stream) {
            eprintln!("redtape: warning: {name}: a connection was refused: {reason}");
            continue;
        }
        peer.set(stream.try_clone().ok());
        let read = read_one(&name, Box::new(stream), to);
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

/// Only root and this process's own user may send tapes.
#[cfg(target_os = "linux")]
fn check_peer(stream: &UnixStream) -> std::result::Result<(), String> {
    match peer_uid(stream).map_err(|error| error.to_string())? {
        uid if uid == 0 || uid == geteuid().as_raw() => Ok(()),
        uid => Err(format!("it is from user {uid}, which is neither root nor this program's")),
    }
}

/// The user at the other end. (rustix does not tell of one in another container, which has no process id here.)
#[cfg(target_os = "linux")]
fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    let copy = stream.try_clone()?;
    copy.set_nonblocking(true)?;
    let peer = tokio::net::UnixStream::from_std(copy).and_then(|copy| copy.peer_cred());
    // The two share this.
    stream.set_nonblocking(false)?;
    Ok(peer?.uid())
}

/// Without a way to ask, the file's permissions have to do.
#[cfg(not(target_os = "linux"))]
fn check_peer(_: &UnixStream) -> std::result::Result<(), String> {
    let _ = geteuid();
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
    while let Some((file, bytes)) = next.take() {
        let bytes: Box<dyn Read + Send> = Box::new(bytes);
        let Some(Ended { number, reason }) = read_one(&file.display().to_string(), bytes, to)? else { break };
        if let (Some(number), Some(CloseReason::Rotated)) = (number, reason) {
            next = follow::open_after(path, number, interrupt).map_err(failed)?;
        }
    }
    Ok(())
}
