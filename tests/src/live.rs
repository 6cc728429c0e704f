//! A running `redtape live`, and the recorder that it has started.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Finished, Process, Result, Span, binary};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(20);

/// `redtape live`, with spans as JSON on its standard output.
#[derive(Debug)]
pub struct Live {
    process: Process,
}

impl Live {
    /// Starts it with a recorder of its own, and waits until that records.
    pub fn start(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        let mut command = Command::new(binary("redtape")?);
        command.arg("live").arg("--recorder").arg(binary("redtape-capture")?).args(["--spans", "json"]).args(arguments);
        Self::start_command(&mut command)?.ready()
    }

    /// Starts it as it is given.
    pub fn start_command(command: &mut Command) -> Result<Self> {
        Ok(Self { process: Process::start(command)? })
    }

    /// Waits until a recorder records.
    pub fn ready(mut self) -> Result<Self> {
        let ready = |_: &str, stderr: &str| stderr.contains("live: recording").then_some(());
        self.process.wait_for("live to record", START, ready)?;
        Ok(self)
    }

    /// The engine.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process id of the recorder.
    pub fn recorder(&self) -> Result<Pid> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.process.id()))?;
        let first = children.split_whitespace().next().ok_or("live has no child")?;
        Pid::from_raw(first.parse()?).ok_or_else(|| "no process id".into())
    }

    /// Sends a signal to the recorder.
    pub fn signal_recorder(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.recorder()?, signal)?)
    }

    /// Waits until there are as many server spans.
    pub fn wait_for_served(&mut self, count: u64) -> Result<()> {
        self.process.wait_for(&format!("{count} server spans"), STOP, |stdout, _| {
            let served = stdout.lines().filter(|line| line.contains(r#""kind":"server""#)).count();
            (served as u64 >= count).then_some(())
        })
    }

    /// Ends it as Ctrl-C does, and waits.
    pub fn stop(self) -> Result<Finished> {
        self.process.signal(Signal::INT)?;
        self.process.finish(STOP)
    }

    /// Waits for it to end by itself.
    pub fn wait(self) -> Result<Finished> {
        self.process.finish(STOP)
    }
}

impl Finished {
    /// The spans on its standard output.
    pub fn spans(&self) -> Result<Vec<Span>> {
        let parse = |line| serde_json::from_str(line).map_err(|error| format!("not a span: {error}: {line}").into());
        self.stdout.lines().map(parse).collect()
    }
}
