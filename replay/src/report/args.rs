//! The command line of `report`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Input, Settings};
use crate::diff::Tolerance;

/// `report`
#[derive(Args, Debug)]
pub struct Report {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// What the engine goes by
    #[command(flatten)]
    pub settings: Settings,
    /// Where to write the page; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Say, too, what has changed since this tape
    #[arg(long, value_name = "TAPE")]
    pub compare: Option<PathBuf>,
    /// By how many per cent rates, errors and durations may differ before that is told
    #[arg(long, value_name = "PERCENT", default_value = "0", requires = "compare")]
    pub tolerance: Tolerance,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// No progress, no warnings
    #[arg(long, short)]
    pub quiet: bool,
}
