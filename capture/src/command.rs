//! Runs a command to be recorded: held until the probes are on, and waited for with all its descendants.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use redtape_core::Tgid;
use rustix::fs::{Access, access};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, set_parent_process_death_signal,
    wait, waitpid,
};

use crate::exit::Failure;

/// The hidden subcommand that this program runs itself with, in order to become the command.
const HOLD: &str = "hold";

/// A command that has been started, but stands still before its first instruction until [`HeldCommand::release`].
#[derive(Debug)]
pub struct HeldCommand {
    name: String,
    pid: Pid,
    outcome: Option<WaitStatus>,
}

impl HeldCommand {
    /// Starts this program again as the command's stand-in, which stops itself. From then on the descendants of the
    /// command that lose their parent become children of the recorder, so that it can wait for the last of them.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &[OsString]) -> Result<Self, Failure> {
        let name = command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |error: io::Error| Failure::environment(format!("cannot start {name}: {error}"));

        set_child_subreaper(Some(getpid())).map_err(|error| failed(error.into()))?;
        let stand_in = env::current_exe().map_err(failed)?;
        let child = Command::new(stand_in).arg(HOLD).arg("--").args(command).spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("invariant: a child has a process id");
        let status = waitpid(Some(pid), WaitOptions::UNTRACED).map_err(|error| failed(error.into()))?;
        match status {
            Some((_, status)) if status.stopped() => Ok(Self { name, pid, outcome: None }),
            _ => Err(failed(io::Error::other("it ended before it was recorded"))),
        }
    }

    /// The process that is going to be the command.
    pub fn tgid(&self) -> Tgid {
        Tgid(self.pid.as_raw_nonzero().get().cast_unsigned())
    }

    /// Lets it run.
    ///
    /// # Errors
    /// It has been killed meanwhile.
    pub fn release(&self) -> io::Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    /// Whether the command and all its descendants have ended. Does not wait.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => self.outcome = Some(status),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                Err(rustix::io::Errno::CHILD) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks the command to end, if it still runs.
    pub fn terminate(&self) {
        if self.outcome.is_none() {
            // It may have ended in this moment, which is as good. One that was never released has to run to end.
            let _ = kill_process(self.pid, Signal::TERM);
            let _ = kill_process(self.pid, Signal::CONT);
        }
    }

    /// How it ended, as a sentence; `None` while it runs.
    pub fn outcome(&self) -> Option<String> {
        let status = self.outcome?;
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("{} exited with {code}", self.name),
            (None, Some(signal)) => format!("{} was ended by signal {signal}", self.name),
            (None, None) => format!("{} ended", self.name),
        })
    }
}

/// What the stand-in does: stops, and becomes the command when it is let go.
///
/// # Errors
/// The command cannot be run after all.
pub fn hold(command: &[OsString]) -> io::Result<Infallible> {
    // Nobody else would let it go, were the recorder killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    kill_process(getpid(), Signal::STOP)?;
    set_parent_process_death_signal(None)?;
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    Err(Command::new(program).args(arguments).exec())
}

/// Looks a program up as execvp(3) does.
pub(crate) fn find_program(program: &Path) -> Option<PathBuf> {
    let runnable = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.components().count() != 1 || program.is_absolute() {
        return runnable(program).then(|| program.to_owned());
    }
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| runnable(path))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::find_program;

    #[test]
    fn programs_are_looked_up() {
        assert!(find_program(Path::new("sh")).is_some_and(|path| path.is_absolute()));
        assert!(find_program(Path::new("/bin/sh")).is_some());
        assert_eq!(find_program(Path::new("no-such-program")), None);
        assert_eq!(find_program(Path::new("/etc/passwd")), None);
        assert_eq!(find_program(Path::new("/")), None);
        assert_eq!(find_program(Path::new("")), None);
    }
}
