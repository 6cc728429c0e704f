//! The command line of `report`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Input, Settings};

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
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// No progress, no warnings
    #[arg(long, short)]
    pub quiet: bool,
}
