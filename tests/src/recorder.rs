//! A running `redtape-capture record`, and the tape it leaves.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Finished, Info, Process, Result, Span, binary, info, spans};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(20);

/// A recorder whose probes are on.
#[derive(Debug)]
pub struct Recorder {
    process: Process,
    folder: TempDir,
}

/// A recording that has ended.
#[derive(Debug)]
pub struct Recording {
    folder: TempDir,
    /// How the recorder ended, and what it said.
    pub recorder: Finished,
}

impl Recorder {
    /// Starts recording with `arguments` and waits until the probes are on.
    pub fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        Self::start_with(&mut Command::new(binary("redtape-capture")?), arguments)
    }

    /// The same through another program, such as `setpriv … redtape-capture`.
    pub fn start_with(command: &mut Command, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        let folder = TempDir::new()?;
        let process = Process::start(command.arg("record").arg("-o").arg(tape(&folder)).args(arguments))?;
        Self { process, folder }.ready()
    }

    fn ready(mut self) -> Result<Self> {
        let ready = |_: &str, stderr: &str| stderr.lines().any(|line| line.starts_with("recording")).then_some(());
        self.process.wait_for("the recorder's probes to be on", START, ready)?;
        Ok(self)
    }

    /// The recorder itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where the tape is written before it is complete.
    pub fn part(&self) -> PathBuf {
        tape(&self.folder).with_extension("tape.part")
    }

    /// Ends the recording as Ctrl-C does.
    pub fn stop(self) -> Result<Recording> {
        self.process.signal(Signal::INT)?;
        self.wait()
    }

    /// Waits for the recording to end by itself.
    pub fn wait(self) -> Result<Recording> {
        Ok(Recording { recorder: self.process.finish(STOP)?, folder: self.folder })
    }

    /// Ends the recorder with a signal that it cannot see, and gives the folder of the tape's torn part.
    pub fn kill(self) -> Result<(TempDir, PathBuf)> {
        let part = self.part();
        self.process.signal(Signal::KILL)?;
        drop(self.process.finish(STOP)?);
        Ok((self.folder, part))
    }
}

impl Recording {
    /// The tape.
    pub fn tape(&self) -> PathBuf {
        tape(&self.folder)
    }

    /// What `redtape info --json` says of it.
    pub fn info(&self) -> Result<Info> {
        info(&self.tape())
    }

    /// The spans of a replay.
    pub fn spans(&self) -> Result<Vec<Span>> {
        spans(&self.tape(), &[])
    }
}

fn tape(folder: &TempDir) -> PathBuf {
    Path::new(folder.path()).join("test.tape")
}
