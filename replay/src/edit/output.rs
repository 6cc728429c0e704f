//! Where a new tape goes: a file, or standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use redtape_core::tape::WriterOptions;

use crate::failure::{Failure, Kind, Result};
use crate::part_file::PartFile;
use crate::stdout::Output;

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

/// A tape that is being written.
pub(super) enum NewTape<'a> {
    File(PartFile),
    Stdout(&'a mut Output),
}

impl<'a> NewTape<'a> {
    /// Begins it. It may be none of `inputs`.
    pub(super) fn create(args: &OutputArgs, inputs: &[PathBuf], stdout: &'a mut Output) -> Result<Self> {
        let OutputArgs { output, force } = args;
        if output == Path::new("-") {
            return Ok(Self::Stdout(stdout));
        }
        let same =
            |input: &PathBuf| input.canonicalize().ok().zip(output.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        if inputs.iter().any(same) {
            let message = format!("{}: is read itself; name another file", output.display());
            return Err(Failure::message(Kind::Usage, message));
        }
        PartFile::create(output, *force).map(Self::File)
    }

    /// How its blocks are cut.
    pub(super) const fn options(&self) -> WriterOptions {
        match self {
            Self::File(_) => WriterOptions::FILE,
            Self::Stdout(_) => WriterOptions::PIPE,
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(self) -> Result {
        match self {
            Self::File(file) => file.finish(),
            Self::Stdout(_) => Ok(()),
        }
    }
}

impl Write for NewTape<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}
