//! Where a new tape goes.

use std::path::PathBuf;

use clap::Args;

use crate::destination::Destination;
use crate::failure::Result;

/// Where a new tape goes.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// Where to write the tape; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

impl OutputArgs {
    /// Begins it. It may be none of `inputs`.
    pub(super) fn create(&self, inputs: &[PathBuf]) -> Result<Destination> {
        Destination::create(&self.output, self.force, inputs)
    }
}
