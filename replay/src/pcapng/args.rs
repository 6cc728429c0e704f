//! The arguments of `export`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Input;

/// `export`
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// Write a packet capture (pcapng) that Wireshark and tshark read; `-` is standard output
    #[arg(long, value_name = "FILE", required = true)]
    pub pcapng: PathBuf,
    /// Write a script that starts Wireshark or tshark so that they read HTTP/2 where the capture has it
    #[arg(long, value_name = "FILE")]
    pub decode_as_script: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
    /// No warnings
    #[arg(long, short)]
    pub quiet: bool,
}
