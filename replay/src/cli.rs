//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use redtape_core::config::{Period, TracePrinter};

pub use crate::cmd::{Completions, Man, Routes, RoutesApply, RoutesExplain, RoutesLearn, RoutesLint, RoutesSettings};
use crate::export::SAMPLES;
pub use crate::export::{OtlpArgs, RemoteWriteArgs, TimeArgs};
use crate::moment::Moment;
pub use crate::pace::Speed;
pub use crate::rebase::{Rebase, When};
use crate::serve::Endpoint;

/// Exit codes, as `--help` shows them.
const EXIT_CODES: &str = "\
Exit codes:
  0    fine (a truncated tape is a warning; see --strict)
  1    checks failed or differences found
  2    wrong usage or configuration
  3    input unreadable
  4    input of a version that this program does not read
  5    the environment lacks something
  130  interrupted";

/// Replays tapes of recorded HTTP traffic: spans, RED metrics, routes and cardinality, without root or kernel.
#[derive(Debug, Parser)]
#[command(name = "redtape", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what metrics would cost: series per metric, values per label, the worst offenders, growth over the tape
    Cardinality(Cardinality),
    /// Write what a shell completes the command line with, to be sourced or put where the shell looks for it
    Completions(Completions),
    /// Explain a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what changed between two tapes, two configurations, or the outputs of two releases
    Diff(Box<crate::Diff>),
    /// List what is on a tape, event by event, and what it tells of connections and processes, which are no events and not counted as such
    Events(Events),
    /// Write tapes in formats of other tools: packets for Wireshark
    Export(crate::ExportArgs),
    /// Keep the events of a tape of which an expression holds, and what they need to be read
    Filter(crate::edit::FilterTape),
    /// Make tapes of captures of other tools: pcap, pcapng, and sysdig's scap
    Import(crate::import::ImportArgs),
    /// Say what a tape is: when and where recorded, how much, what is missing
    Info(Info),
    /// Watch a host: the engine on what is being recorded, as spans, traces and metrics
    #[cfg(unix)]
    Live(Box<crate::Live>),
    /// Write the man pages of all commands
    Man(Man),
    /// Make one tape of several
    Merge(crate::edit::MergeTapes),
    /// Take secrets out of a tape, or check that it has none: headers, cookies, query values, bodies
    Redact(crate::edit::Redact),
    /// Rewrite a damaged or unfinished tape so that nothing readable is lost
    Repair(Repair),
    /// Turn tapes into spans and RED metrics
    Replay(Box<Replay>),
    /// Write a page about tapes: RED over time, routes, traces, the service graph, cardinality and losses
    Report(crate::Report),
    /// Apply or explain the routes decorator; propose its patterns from traffic, and hold them against it
    #[command(subcommand)]
    Routes(Routes),
    /// Cut a part out of a tape: some time, some connections, a service, a trace, the first requests
    Slice(Box<crate::edit::Slice>),
    /// Make a tape of synthetic traffic, by a scenario: services, routes, calls, latencies, losses; with the truth about it
    Synth(crate::SynthArgs),
    /// Test telemetry: run specs of what tapes have to give, and say what differs
    Test(Box<crate::harness::Test>),
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what a configuration does: what is recorded, routes, exports, metrics, and all that has no effect
    Check(ConfigCheck),
    /// Print a configuration as it takes effect: placeholders filled in, secrets hidden, with the environment's part
    Show(ConfigFile),
    /// List all keys and environment variables, as Markdown
    Keys,
}

/// The configuration that a command is about.
#[derive(Args, Debug)]
pub struct ConfigFile {
    /// The file, in Beyla's YAML; without one, what the environment alone says
    #[arg(value_name = "FILE", env = "BEYLA_CONFIG_PATH")]
    pub file: Option<PathBuf>,
}

/// `config check`
#[derive(Args, Debug)]
pub struct ConfigCheck {
    /// The configuration
    #[command(flatten)]
    pub file: ConfigFile,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// What every command that reads tapes takes.
#[derive(Args, Debug)]
pub struct Input {
    /// The tapes; `-` is standard input
    #[arg(required = true, value_name = "TAPE")]
    pub tapes: Vec<PathBuf>,
    /// Fail with exit code 3 if a tape is truncated or damaged, instead of warning
    #[arg(long)]
    pub strict: bool,
}

/// What every command that runs the engine takes.
#[derive(Args, Debug)]
pub struct Settings {
    /// Configuration in Beyla's YAML; without it, the one on the tape is used
    #[arg(long, value_name = "FILE", env = "BEYLA_CONFIG_PATH")]
    pub config: Option<PathBuf>,
    /// Threads to work with; the result does not depend on their number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Link as if no request carried a traceparent
    #[arg(long)]
    pub ignore_traceparent: bool,
    /// How routes use what they have seen: as live does, or with all of the tape known beforehand (reads the tape twice)
    #[arg(long, value_enum, default_value_t = Evidence::Online)]
    pub evidence: Evidence,
}

/// What routes may learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Evidence {
    /// What came before, as when live
    Online,
    /// The whole tape
    Whole,
}

/// `replay`
#[derive(Args, Debug)]
pub struct Replay {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// What the engine goes by
    #[command(flatten)]
    pub settings: Settings,
    /// Print the spans instead of the summary
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "metrics")]
    pub spans: Option<SpanFormat>,
    /// Print the spans as Beyla's `trace_printer` does: `text`, `json`, `json_indent` or `counter`
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["spans", "metrics"])]
    pub trace_printer: Option<TracePrinter>,
    /// Print the metrics instead of the summary
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub metrics: Option<MetricFormat>,
    /// Where to export to
    #[command(flatten)]
    pub export: Export,
    /// Metrics by remote write
    #[command(flatten)]
    pub remote_write: RemoteWriteArgs,
    /// Spans and metrics by OTLP
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// When, and with what times
    #[command(flatten)]
    pub time: TimeArgs,
    /// Print spans in the order of their ends instead of the order in which they become final (keeps them all in memory)
    #[arg(long, value_enum, requires = "spans")]
    pub sort: Option<Sort>,
    /// No progress, no warnings
    #[arg(long, short)]
    pub quiet: bool,
}

impl Replay {
    /// Whether standard output has the spans.
    pub(crate) const fn prints_spans(&self) -> bool {
        self.spans.is_some() || self.trace_printer.is_some()
    }
}

/// Where spans and metrics go beside standard output.
#[derive(Args, Debug)]
#[command(next_help_heading = "Export")]
pub struct Export {
    /// Write all metrics with their times to a file, for `promtool tsdb create-blocks-from openmetrics`; `-` is standard
    /// output
    #[arg(long, value_name = "FILE", group = SAMPLES)]
    pub openmetrics: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
    /// How far apart samples are that are exported with their times, in tape time [default: 15s]; for OTLP, the configuration
    /// says
    #[arg(long, value_name = "DURATION", requires = SAMPLES)]
    pub metrics_step: Option<Period>,
    /// Serve all metrics to be scraped, as in `:9090` or `127.0.0.1:9090/metrics`; without an address, where the
    /// configuration says
    #[arg(long, value_name = "[HOST]:PORT[/PATH]", num_args = 0..=1)]
    pub prometheus: Option<Option<Endpoint>>,
    /// Serve what redtape says of itself, as in `:9091` or `:9090/internal/metrics`; without an address, where the
    /// configuration says
    #[arg(long, value_name = "[HOST]:PORT[/PATH]", num_args = 0..=1)]
    pub internal_metrics: Option<Option<Endpoint>>,
    /// Go on serving for so long after the end, or `forever`: until SIGINT or SIGTERM
    #[arg(long, value_name = "DURATION")]
    pub linger: Option<Linger>,
}

impl Export {
    /// Whether anything is served.
    pub(crate) const fn serves(&self) -> bool {
        self.prometheus.is_some() || self.internal_metrics.is_some()
    }

    /// Whether standard output has OpenMetrics with times.
    pub(crate) fn is_on_stdout(&self) -> bool {
        self.openmetrics.as_deref().is_some_and(crate::destination::is_stdout)
    }
}

/// How long a replay goes on serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linger {
    /// So long.
    For(Period),
    /// Until it is told to end.
    Forever,
}

impl FromStr for Linger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "forever" => Ok(Self::Forever),
            _ => text.parse().map(Self::For).map_err(|error| format!("{error}, or `forever`")),
        }
    }
}

/// Forms of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpanFormat {
    /// One object a line
    Json,
    /// One line a span
    Text,
}

/// Forms of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MetricFormat {
    /// One object
    Json,
    /// The OpenMetrics text format
    Openmetrics,
}

/// Orders of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// By the end of the span
    End,
}

/// `info`
#[derive(Args, Debug)]
pub struct Info {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// One JSON object a tape
    #[arg(long)]
    pub json: bool,
}

/// `events`
#[derive(Args, Debug)]
#[command(after_long_help = crate::edit::fields())]
pub struct Events {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// Show the captured payload, too: printable text, everything else escaped
    #[arg(long)]
    pub payload: bool,
    /// Only events from this moment on: RFC 3339, or an offset from the first event such as `+1.5s`
    #[arg(long, value_name = "TIME")]
    pub from: Option<Moment>,
    /// Only events up to this moment, in the same forms
    #[arg(long, value_name = "TIME")]
    pub to: Option<Moment>,
    /// Only events of which an expression holds, as in 'kind == data and port == 8080'
    #[arg(long, value_name = "EXPR", value_parser = crate::edit::parse_expr)]
    pub filter: Option<(String, redtape_core::edit::Expr)>,
    /// Only events of this connection, as the list shows it (`c1a2b3c4d`), or its number; may be given several times
    #[arg(long, value_name = "CONN", value_parser = crate::conn_name::conn_name)]
    pub conn: Vec<String>,
    /// Show the captured payload in hexadecimal; offsets are positions in the stream
    #[arg(long, conflicts_with_all = ["payload", "json"])]
    pub hex: bool,
    /// One JSON object an event; with `--payload`, captured bytes in base64
    #[arg(long)]
    pub json: bool,
}

/// `repair`
#[derive(Args, Debug)]
pub struct Repair {
    /// The damaged tape
    pub tape: PathBuf,
    /// Where to write the repaired one
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// `cardinality`
#[derive(Args, Debug)]
pub struct Cardinality {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// What the engine goes by
    #[command(flatten)]
    pub settings: Settings,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// How many offenders to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
}
