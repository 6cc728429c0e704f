//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use redtape_core::config::{Period, PortList, RegexPattern, Size};

/// Records the HTTP traffic of chosen processes on a tape, by eBPF.
#[derive(Debug, Parser)]
#[command(name = "redtape-capture", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit status: 0 the tape is complete; 2 the command line or the configuration is wrong; 5 this machine does not allow it \
(privileges, kernel, disk); 130 aborted by a second signal.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record a tape.
    Record(Box<RecordArgs>),
    /// Say what this host supports, and what to do about what is missing.
    Doctor(DoctorArgs),
    /// Write what a shell completes the command line with, to be sourced or put where the shell looks for it.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the man pages of all commands.
    Man {
        /// The folder for the pages, one a command; it is made if it is not there.
        #[arg(short, long, value_name = "FOLDER")]
        output: PathBuf,
    },
    /// Start the process that redacts, and end.
    #[command(hide = true)]
    StartRedactor,
    /// Redact a tape for the recorder.
    #[command(hide = true)]
    Redact,
    /// Become a command as soon as the recorder lets it.
    #[command(hide = true)]
    Hold {
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Options of `record`.
///
/// Processes are chosen by --pid, by a command, by the entries of a configuration, and by --port with --exe (both have to
/// fit, where both are given). The first that fits counts.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct RecordArgs {
    /// Where to write the tape; `-` is standard output, `unix:PATH` the socket of `redtape live --from unix:PATH`, which is
    /// waited for, also when it comes again [default: redtape-DATE.tape]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Overwrite the output if it exists; of a rotation, all files of the older one are removed
    #[arg(long)]
    pub force: bool,

    /// Record processes that listen on one of these ports, as in 80,443,8000-8999
    #[arg(long, value_name = "LIST")]
    pub port: Option<PortList>,

    /// Record processes in whose executable's path this is found
    #[arg(long, value_name = "REGEX")]
    pub exe: Option<RegexPattern>,

    /// Record this process and its descendants; may be given several times
    #[arg(long = "pid", value_name = "N")]
    pub pids: Vec<u32>,

    /// Choose processes by a configuration file in Beyla's form; it is taken up anew on SIGHUP, and when it has changed
    #[arg(long, value_name = "FILE", env = "BEYLA_CONFIG_PATH")]
    pub config: Option<PathBuf>,

    /// End after this time, as in 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// Take secrets out before anything is written, in a process without privileges: by this policy, or by `default`
    #[arg(long, value_name = "POLICY")]
    pub redact: Option<PathBuf>,

    /// The key of the policy's hashes: a file with at least 16 random bytes. It is stored nowhere
    #[arg(long, value_name = "FILE", requires = "redact")]
    pub redact_key: Option<PathBuf>,

    /// How much of the beginning of each message to keep
    #[arg(long, value_name = "BYTES", default_value = "8K")]
    pub payload: Size,

    /// The buffer between kernel and recorder, rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub ring_size: Size,

    /// Whether to record the plaintext of TLS libraries; each of their calls costs the recorded programs some microseconds
    #[arg(long, value_name = "MODE", value_enum, default_value_t = TlsMode::Auto)]
    pub tls: TlsMode,

    /// Begin a new file when one has this size
    #[arg(long, value_name = "SIZE")]
    pub rotate_size: Option<Size>,

    /// Begin a new file when one has this age
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub rotate_age: Option<Duration>,

    /// Keep only the last N files of a rotation
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub ring: Option<u32>,

    /// End when standard input does
    #[arg(long)]
    pub end_with_stdin: bool,

    /// Show neither progress nor summary
    #[arg(short, long)]
    pub quiet: bool,

    /// Run this command and record it, from its first instruction to the end of its last descendant
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Whether the plaintext of TLS is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsMode {
    /// Of the libraries that are found in the recorded processes
    Auto,
    /// Not at all
    Off,
}

/// Options of `doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DoctorArgs {
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match text.parse::<Period>() {
        Ok(Period(Duration::ZERO)) => Err("it has to be longer than nothing".to_owned()),
        Ok(Period(duration)) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
