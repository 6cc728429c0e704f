//! The recorder as a child: found, started, told to end, waited for.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::args::Live;
use crate::failure::{Failure, Kind, Result};

const PROGRAM: &str = "redtape-capture";
const POLL: Duration = Duration::from_millis(10);
/// What the pipe between recorder and engine holds, if the kernel allows it: some hundred milliseconds of much traffic.
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 1 << 20;

/// A recorder that was started. It ends when its standard input is closed, since a user who is not root cannot send it a
/// signal; so it also ends when the engine does, however that ends.
#[derive(Debug)]
pub(super) struct Recorder {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Recorder {
    /// Starts it, and gives the pipe that its tape comes through.
    pub(super) fn start(args: &Live) -> Result<(Self, ChildStdout)> {
        let program = args.recorder.recorder.clone().unwrap_or_else(find);
        let mut command = Command::new(&program);
        command.args(["record", "--quiet", "--end-with-stdin", "-o", "-"]).args(args.recorder.to_args());
        if let Some(config) = &args.config {
            command.args([OsString::from("--config"), config.into()]);
        }
        // Ctrl-C is for the engine, which then ends the recorder in its turn.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|error| {
            let message = format!("the recorder {} cannot be started: {error}; --recorder names it", program.display());
            Failure::message(Kind::Environment, message)
        })?;
        let stdin = child.stdin.take();
        let pipe = child.stdout.take().expect("invariant: it was asked for");
        #[cfg(target_os = "linux")]
        {
            // A smaller one does, too.
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
        }
        Ok((Self { child, stdin }, pipe))
    }

    /// Tells it to end.
    pub(super) fn end(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end, for so long at most.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<Option<ExitStatus>> {
        self.end();
        let begun = Instant::now();
        loop {
            match self.child.try_wait()? {
                None if begun.elapsed() < time => std::thread::sleep(POLL),
                status => return Ok(status),
            }
        }
    }
}

/// The program beside this one, else the one in `PATH`.
fn find() -> PathBuf {
    let beside = env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| Path::new(PROGRAM).into())
}
