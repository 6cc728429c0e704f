//! The arguments of `import`.

use std::path::PathBuf;

use clap::Args;

use super::kept::KeptPayload;

/// `import`
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The captures: pcap, pcapng or scap, also compressed with gzip or zstd; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where to write the tape; `-` is standard output. Of several files, a folder to write a tape of each in: a name
    /// that ends in `/` is made
    #[arg(long, short, value_name = "TAPE")]
    pub output: PathBuf,
    /// Overwrite existing files
    #[arg(long)]
    pub force: bool,
    /// Which payload to keep
    #[arg(long, value_enum, default_value_t)]
    pub payload: KeptPayload,
    /// A port that a server has, for connections whose beginning was not captured; may be given several times
    #[arg(long, value_name = "PORT")]
    pub server_port: Vec<u16>,
    /// Fail with exit code 3 if a file is truncated or damaged, or nothing of it is used, instead of warning
    #[arg(long)]
    pub strict: bool,
    /// Say on standard output, as one JSON object a file, what was imported
    #[arg(long)]
    pub json: bool,
    /// No warnings
    #[arg(long, short)]
    pub quiet: bool,
}
