//! How the program ends: the exit codes of both redtape programs, and errors that carry one.

use std::fmt;

/// What a caller can tell from the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// The command line or the configuration is wrong.
    Usage,
    /// The machine does not allow it: privileges, kernel, disk.
    Environment,
    /// A second signal came before the recording was closed. What was written is readable.
    Interrupted,
}

impl ExitStatus {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Environment => 5,
            Self::Interrupted => 130,
        }
    }
}

/// An error that ends the program: what, where, and what to do.
#[derive(Debug)]
pub struct Failure {
    /// The exit status that goes with it.
    pub status: ExitStatus,
    message: String,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { status: ExitStatus::Usage, message: message.to_string() }
    }

    /// The machine does not allow it.
    pub fn environment(message: impl fmt::Display) -> Self {
        Self { status: ExitStatus::Environment, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
