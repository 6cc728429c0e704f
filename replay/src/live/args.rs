//! The command line of `live`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use redtape_core::config::{InvalidSize, Period, Size};

use crate::cli::{MetricFormat, SpanFormat};

/// `live`
#[derive(Args, Debug)]
pub struct Live {
    /// Configuration in Beyla's YAML, for the recorder and for the engine; both take it up anew when it changes
    #[arg(long, value_name = "FILE", env = "BEYLA_CONFIG_PATH")]
    pub config: Option<PathBuf>,
    /// Take tapes from elsewhere instead of starting a recorder: `-` is standard input, `unix:PATH` a socket to listen at
    /// for `redtape-capture record -o unix:PATH`, anything else a pipe
    #[arg(long, value_name = "WHERE", conflicts_with = "follow")]
    pub from: Option<FromWhere>,
    /// Read a tape that is still being written, and the files of its set that follow, until it is closed
    #[arg(long, value_name = "TAPE")]
    pub follow: Option<PathBuf>,
    /// Print spans as they come
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "metrics")]
    pub spans: Option<SpanFormat>,
    /// Print the metrics at the end
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub metrics: Option<MetricFormat>,
    /// Link as if no request carried a traceparent
    #[arg(long)]
    pub ignore_traceparent: bool,
    /// The user to become when started as root, by name or number
    #[arg(long, value_name = "NAME", default_value = "nobody")]
    pub user: String,
    /// Only errors on standard error
    #[arg(long, short)]
    pub quiet: bool,
    /// The ring of tapes
    #[command(flatten)]
    pub keep: KeepArgs,
    /// What the recorder is told
    #[command(flatten)]
    pub recorder: RecorderArgs,
}

/// The tapes that are kept of what live got.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tapes that are kept")]
pub struct KeepArgs {
    /// Keep the last tapes of all that is recorded in this folder
    #[arg(long = "keep", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Begin a new tape when one has this size
    #[arg(long = "keep-size", value_name = "SIZE", default_value = "64M", value_parser = size, requires = "folder")]
    pub size: u64,
    /// Begin a new tape when one has this age
    #[arg(long = "keep-age", value_name = "TIME", requires = "folder")]
    pub age: Option<PeriodArg>,
    /// How many tapes to keep; the oldest are removed, also those of earlier runs
    #[arg(long = "keep-files", value_name = "N", default_value_t = 16, requires = "folder",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub files: u32,
}

/// Options that go to the recorder as they are.
#[derive(Args, Debug)]
#[command(next_help_heading = "Recorder (see `redtape-capture record --help`)")]
pub struct RecorderArgs {
    /// The recorder's program; by default the one beside this program, else the one in PATH
    #[arg(long, value_name = "PATH")]
    pub recorder: Option<PathBuf>,
    /// Record processes that listen on one of these ports
    #[arg(long, value_name = "LIST")]
    pub port: Option<OsString>,
    /// Record processes in whose executable's path this is found
    #[arg(long, value_name = "REGEX")]
    pub exe: Option<OsString>,
    /// Record this process and its descendants; may be given several times
    #[arg(long = "pid", value_name = "N")]
    pub pids: Vec<OsString>,
    /// How much of the beginning of each message to keep
    #[arg(long, value_name = "BYTES")]
    pub payload: Option<OsString>,
    /// The buffer between kernel and recorder
    #[arg(long, value_name = "SIZE")]
    pub ring_size: Option<OsString>,
    /// `auto` or `off`: whether to record the plaintext of TLS libraries
    #[arg(long, value_name = "MODE")]
    pub tls: Option<OsString>,
}

impl RecorderArgs {
    /// As the recorder takes them.
    pub(super) fn to_args(&self) -> Vec<OsString> {
        let single = [
            ("--port", &self.port),
            ("--exe", &self.exe),
            ("--payload", &self.payload),
            ("--ring-size", &self.ring_size),
            ("--tls", &self.tls),
        ];
        let single = single.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let all = single.chain(self.pids.iter().map(|pid| ("--pid", pid)));
        all.flat_map(|(name, value)| [name.into(), value.clone()]).collect()
    }

    /// Whether something is asked of a recorder.
    pub(super) fn is_used(&self) -> bool {
        self.recorder.is_some() || !self.to_args().is_empty()
    }
}

/// Where tapes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromWhere {
    /// Standard input.
    Stdin,
    /// A pipe with a name.
    Pipe(PathBuf),
    /// A socket that recorders connect to.
    Socket(PathBuf),
}

impl FromStr for FromWhere {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("unix:")) {
            ("-", _) => Ok(Self::Stdin),
            ("", _) | (_, Some("")) => Err("a path is missing".into()),
            (_, Some(path)) => Ok(Self::Socket(path.into())),
            (path, None) => Ok(Self::Pipe(path.into())),
        }
    }
}

/// A length of time, longer than nothing.
#[derive(Clone, Copy, Debug)]
pub struct PeriodArg(pub Period);

impl FromStr for PeriodArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let period: Period = text.parse().map_err(|error| format!("{error}"))?;
        if period.nanos() == 0 { Err("it has to be longer than nothing".into()) } else { Ok(Self(period)) }
    }
}

/// At least a megabyte, as files of a rotation are.
fn size(text: &str) -> Result<u64, String> {
    let Size(bytes) = text.parse().map_err(|error: InvalidSize| error.to_string())?;
    if bytes < 1 << 20 { Err("it is at least 1M".into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_sizes() {
        assert_eq!("-".parse(), Ok(FromWhere::Stdin));
        assert_eq!("unix:/run/a".parse(), Ok(FromWhere::Socket("/run/a".into())));
        assert_eq!("/run/a".parse(), Ok(FromWhere::Pipe("/run/a".into())));
        assert!("unix:".parse::<FromWhere>().is_err() && "".parse::<FromWhere>().is_err());
        assert_eq!(size("64M"), Ok(64 << 20));
        assert!(size("1M").is_ok() && size("1K").is_err() && size("M").is_err());
    }
}
