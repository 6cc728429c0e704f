//! Why a command failed, and the exit code that says so.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The kinds of failure, each with its exit code. The codes are part of the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Checks failed, or differences were found.
    Check = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The input cannot be read.
    Input = 3,
    /// The input is of a version that this program does not read.
    Version = 4,
    /// The environment lacks something: a privilege, space on a disk, a back end.
    Environment = 5,
    /// Interrupted.
    Interrupted = 130,
}

/// A failure: its kind, and what to print.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: anyhow::Error,
}

impl Failure {
    /// A failure of this kind, for this reason.
    pub fn new(kind: Kind, error: impl Into<anyhow::Error>) -> Self {
        Self { kind, error: error.into() }
    }

    /// A failure of this kind with this message.
    pub fn message(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, error: anyhow::anyhow!("{message}") }
    }

    /// The same once more, for whoever tells it in another place.
    pub(crate) fn again(&self) -> Self {
        Self::message(self.kind, self)
    }

    /// Both, told one after the other; of the kind of the first.
    fn and(self, other: Self) -> Self {
        Self::message(self.kind, format_args!("{self}; {other}"))
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The kind.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code, as a number.
    pub(crate) const fn code(&self) -> u8 {
        self.kind as u8
    }
}

impl fmt::Display for Failure {
    /// The message and its causes, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// What commands return.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// Whether all went well. If not, all that failed is told, and the kind is that of the first.
pub(crate) fn all(results: impl IntoIterator<Item = Result>) -> Result {
    results.into_iter().filter_map(Result::err).reduce(Failure::and).map_or(Ok(()), Err)
}

/// An error and its causes in one line, each said once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.fold(String::new(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause if text.is_empty() => cause,
        cause => format!("{text}: {cause}"),
    })
}
