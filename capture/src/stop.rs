//! What ends a recording from outside: the first signal cleanly, the second at once; or the end of an input.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::read;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::ExitStatus;

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// The terminal is gone.
    Ends,
    /// The configuration file is to be read anew.
    Reloads,
}

/// An input that says nothing: when it ends, the recording ends.
#[derive(Debug)]
pub(crate) struct EndOfInput(OwnedFd);

impl EndOfInput {
    /// Standard input, or what a reader of the tape closes when it wants no more of it.
    pub(crate) const fn new(input: OwnedFd) -> Self {
        Self(input)
    }

    /// Whether it has ended. Does not wait.
    pub(crate) fn has_come(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0);
        // What cannot be read any more has ended, too. What it does say is passed over.
        ready && read(&self.0, &mut [0; 64]).map_or(true, |read| read == 0)
    }
}

/// Whether the user wants the recording to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    signal: Arc<AtomicBool>,
    /// An input whose end says it, too.
    input: Option<Arc<EndOfInput>>,
}

impl Stop {
    /// Watches for SIGINT and SIGTERM from now on; and for SIGHUP, unless that has another meaning.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn on_signals(hangup: Hangup) -> io::Result<Self> {
        let stop = Self::default();
        let signals: &[i32] = match hangup {
            Hangup::Ends => &[SIGINT, SIGTERM, SIGHUP],
            Hangup::Reloads => &[SIGINT, SIGTERM],
        };
        for &signal in signals {
            // In this order: the handler that aborts sees whether an earlier signal has set the flag.
            let status = ExitStatus::Interrupted.code().into();
            flag::register_conditional_shutdown(signal, status, Arc::clone(&stop.signal))?;
            flag::register(signal, Arc::clone(&stop.signal))?;
        }
        Ok(stop)
    }

    /// The end of `input` says it, too.
    #[must_use]
    pub fn or_at_end_of(self, input: OwnedFd) -> Self {
        Self { input: Some(Arc::new(EndOfInput::new(input))), ..self }
    }

    /// Whether a signal has come, or the end of the input.
    pub fn wanted(&self) -> bool {
        self.signal.load(Ordering::Relaxed) || self.input.as_ref().is_some_and(|input| input.has_come())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use super::EndOfInput;

    #[test]
    fn an_input_ends_when_nobody_can_write_to_it() {
        let (reader, mut writer) = pipe().unwrap();
        let end = EndOfInput::new(reader.into());
        assert!(!end.has_come());
        writer.write_all(b"x").unwrap();
        assert!(!end.has_come() && !end.has_come());
        drop(writer);
        assert!(end.has_come());
    }
}
