//! The recorder's side: starts the redactor, hands it files, and gives them their names.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use redtape_core::edit::RedactPolicy;
use redtape_core::tape::Rotation;

use crate::capabilities::{ProbeFunctions, WriteAnywhere, drop_unneeded};

use super::channel::{Message, Setup, send_file};
use super::child::START;

/// Where redacted tapes go. Runs on a thread of its own.
pub(crate) trait Files: Send {
    /// The file of this number; those before are complete.
    fn open(&mut self, number: u32) -> io::Result<OwnedFd>;

    /// All files are complete.
    fn complete(&mut self) -> io::Result<()>;
}

/// A redactor at work.
#[derive(Debug)]
pub struct Redacting {
    /// The socket, until a recording begins.
    socket: UnixStream,
    serving: Option<JoinHandle<io::Result<u64>>>,
}

impl Redacting {
    /// Starts a redactor. Returns also where the tape is to be written to.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        policy: &RedactPolicy,
        key: Option<Vec<u8>>,
        rotation: Rotation,
        pipe: bool,
    ) -> io::Result<(Self, File)> {
        let (socket, theirs) = UnixStream::pair()?;
        let (read, write) = io::pipe()?;
        let mut starter = Command::new(env::current_exe()?);
        starter.arg(START).stdin(Stdio::from(OwnedFd::from(read))).stdout(Stdio::from(OwnedFd::from(theirs)));
        // Ctrl-C is for the recorder, whose end is the redactor's, too. The environment may have secrets.
        std::os::unix::process::CommandExt::process_group(&mut starter, 0);
        if !starter.env_clear().status()?.success() {
            return Err(io::Error::other("the process that redacts cannot be started"));
        }
        let rotates = rotation != Rotation::default();
        let rotation = rotates.then_some((rotation.bytes, rotation.nanos));
        Setup { policy: policy.to_yaml(), key, pipe, rotation }.send(&socket)?;
        Ok((Self { socket, serving: None }, File::from(OwnedFd::from(write))))
    }

    /// Begins to hand over files.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn serve(&mut self, mut files: impl Files + 'static) -> io::Result<()> {
        let socket = self.socket.try_clone()?;
        let serve = move || {
            // Rights are a matter of the thread, and this one only makes, renames and deletes files.
            drop_unneeded(WriteAnywhere::Yes, ProbeFunctions::No)?;
            loop {
                match Message::receive(&socket) {
                    Ok(Message::Open(number)) => {
                        let file = files.open(number)?;
                        send_file(&socket, file)?;
                    }
                    Ok(Message::Done(bytes)) => return files.complete().map(|()| bytes),
                    Err(_) => return Err(ended()),
                }
            }
        };
        self.serving = Some(thread::Builder::new().name("redacted".into()).spawn(serve)?);
        Ok(())
    }

    /// Waits until all is written, after the tape was closed; returns how many bytes.
    ///
    /// # Errors
    /// The redactor has ended before, or a file could not be made.
    pub(crate) fn finish(&mut self) -> io::Result<u64> {
        self.serving.take().map_or(Ok(0), |serving| serving.join().unwrap_or_else(|_| Err(ended())))
    }
}

/// The redactor is gone.
fn ended() -> io::Error {
    io::Error::other("the process that redacts has ended; nothing is written that it has not redacted")
}
