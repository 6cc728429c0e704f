//! A child process that never outlives its test, and bounded waits for what it says and for its end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Result;

const POLL: Duration = Duration::from_millis(5);

/// A running child. It is killed, by its own id, when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: TempDir,
}

/// A child that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl Process {
    /// Starts `command` with no input. Its output goes to files, so that it can neither block nor be lost.
    pub fn start(command: &mut Command) -> Result<Self> {
        let output = TempDir::new()?;
        let stdout = File::create(output.path().join("stdout"))?;
        Self::spawn(command, Stdio::null(), stdout.into(), output)
    }

    /// The same with a standard input and output of its own, which [`Process::stdout`] does not see.
    pub fn start_between(command: &mut Command, stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> Result<Self> {
        Self::spawn(command, stdin.into(), stdout.into(), TempDir::new()?)
    }

    fn spawn(command: &mut Command, stdin: Stdio, stdout: Stdio, output: TempDir) -> Result<Self> {
        let child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(File::create(output.path().join("stderr"))?)
            .spawn()
            .map_err(|error| format!("failed to start {}: {error}", command.get_program().display()))?;
        let name = PathBuf::from(command.get_program());
        let name = name.file_name().unwrap_or_else(|| OsStr::new("?")).display().to_string();
        Ok(Self { name, child, output })
    }

    /// Runs `command` to its end, which must come within `limit`.
    pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
        Self::start(command)?.finish(limit)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits until `found` has found something in what the process wrote so far (stdout, stderr).
    pub fn wait_for<T>(&mut self, what: &str, limit: Duration, found: impl Fn(&str, &str) -> Option<T>) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait()?;
            if let Some(value) = found(&self.stdout(), &self.stderr()) {
                return Ok(value);
            }
            if ended.is_some() || Instant::now() > end {
                let state = ended.map_or("is still running".to_owned(), |status| format!("ended with {status}"));
                return Err(format!("waited for {what}; {} {state}: {}", self.name, self.stderr()).into());
            }
            thread::sleep(POLL);
        }
    }

    /// Sends a signal to this one process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).ok_or("the process has no id")?;
        Ok(kill_process(id, signal)?)
    }

    /// Waits for the process to end by itself.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Finished { status, stdout: self.stdout(), stderr: self.stderr() });
            }
            if Instant::now() > end {
                return Err(format!("{} did not end within {limit:?}: {}", self.name, self.stderr()).into());
            }
            thread::sleep(POLL);
        }
    }

    fn read(&self, stream: &str) -> String {
        let bytes = fs::read(self.output.path().join(stream)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the process has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Finished {
    /// This, if it ended with `code`; else an error with what it said.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        if self.status.code() == Some(code) {
            return Ok(self);
        }
        Err(format!("ended with {}, not with {code}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr)
            .into())
    }
}
