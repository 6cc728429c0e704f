//! The command line of `diff`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::compare::Tolerance;
use crate::cli::Evidence;

/// `diff`
#[derive(Args, Debug)]
pub struct Diff {
    /// What was before: a tape, or a file of `replay --spans json` or `replay --metrics openmetrics`
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// What is now, in any of these forms; without it, BEFORE is looked at under two configurations
    #[arg(value_name = "AFTER", required_unless_present_any = ["config_a", "config_b"])]
    pub after: Option<PathBuf>,
    /// Configuration of both sides, in Beyla's YAML; without it, the one on the tape is used
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_a", "config_b"])]
    pub config: Option<PathBuf>,
    /// Configuration of what was before
    #[arg(long, value_name = "FILE")]
    pub config_a: Option<PathBuf>,
    /// Configuration of what is now
    #[arg(long, value_name = "FILE")]
    pub config_b: Option<PathBuf>,
    /// By how many per cent rates, errors and durations may differ
    #[arg(long, value_name = "PERCENT", default_value = "0")]
    pub tolerance: Tolerance,
    /// Compare these alone
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Labels that do not tell series apart, beside those of instances, pods and containers
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub ignore_label: Vec<String>,
    /// One JSON object
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Markdown, for a comment on a pull request: 60,000 characters at most
    #[arg(long)]
    pub markdown: bool,
    /// How many rows of each table are shown, as text and as Markdown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// How routes use what they have seen: as live does, or with all of the tape known beforehand (reads the tape twice)
    #[arg(long, value_enum, default_value_t = Evidence::Online)]
    pub evidence: Evidence,
    /// Threads to work with; the result does not depend on their number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Fail with exit code 3 if a tape is truncated or damaged, instead of warning
    #[arg(long)]
    pub strict: bool,
    /// No progress, no warnings
    #[arg(long, short)]
    pub quiet: bool,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Routes that split, merged or have another name
    Routes,
    /// Series that are new or gone
    Series,
    /// How many spans of each kind there are, and what became of the same span
    Spans,
    /// Rates, errors and durations
    Red,
}
