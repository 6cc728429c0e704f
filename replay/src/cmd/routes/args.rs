//! The command line of `routes`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::{Evidence, Input, Settings};

/// `routes`
#[derive(Debug, Subcommand)]
pub enum Routes {
    /// Read paths on standard input, write `path<TAB>route`
    ///
    /// A line is `path`, `service<TAB>path` or `service<TAB>METHOD<TAB>path`. Ignored paths get an empty route.
    Apply(RoutesApply),
    /// Say for each segment of a path which rule, pattern or class decided
    Explain(RoutesExplain),
    /// Propose `routes.patterns` from the traffic on tapes, with the cardinality before and after
    ///
    /// Patterns that the configuration has already stay, and are proposed nothing for. Reads the tapes several times.
    Learn(RoutesLearn),
    /// Hold the patterns of a configuration against the traffic on tapes: which are unused, shadowed or ambiguous
    ///
    /// Exits with 1 if there are any.
    Lint(RoutesLint),
}

/// What the routes commands that read no tape take.
#[derive(Args, Debug)]
pub struct RoutesSettings {
    /// Configuration in Beyla's YAML
    #[arg(long, value_name = "FILE", env = "BEYLA_CONFIG_PATH")]
    pub config: Option<PathBuf>,
    /// Decide as for this service, where a line names none
    #[arg(long, default_value = "")]
    pub service: String,
    /// Decide as for requests that the service sends, not receives
    #[arg(long)]
    pub outgoing: bool,
}

/// `routes apply`
#[derive(Args, Debug)]
pub struct RoutesApply {
    /// What the engine goes by
    #[command(flatten)]
    pub settings: RoutesSettings,
    /// Whether a path is decided by what came before it, or by the whole input
    #[arg(long, value_enum, default_value_t = Evidence::Online)]
    pub evidence: Evidence,
    /// Write a table of the routes instead: how many requests and distinct paths each has, by which rule
    #[arg(long)]
    pub stats: bool,
}

/// `routes explain`
#[derive(Args, Debug)]
pub struct RoutesExplain {
    /// What the engine goes by
    #[command(flatten)]
    pub settings: RoutesSettings,
    /// The paths
    #[arg(required = true)]
    pub paths: Vec<String>,
}

/// `routes learn`
#[derive(Args, Debug)]
pub struct RoutesLearn {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// What the engine goes by
    #[command(flatten)]
    pub settings: Settings,
    /// Where to write the section `routes`; `-`, the default, is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// Write one JSON object to standard output: the patterns, and the cardinality before and after
    #[arg(long)]
    pub json: bool,
}

/// `routes lint`
#[derive(Args, Debug)]
pub struct RoutesLint {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// What the engine goes by
    #[command(flatten)]
    pub settings: Settings,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}
