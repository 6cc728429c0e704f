//! `completions` and `man`: what shells and `man` know of the command line, made from the command line itself.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::{Failure, Kind, Result};
use crate::stdout::Output;

/// `completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `man`
#[derive(Args, Debug)]
pub struct Man {
    /// The folder for the pages, one a command; it is made if it is not there
    #[arg(long, short, value_name = "FOLDER")]
    pub output: PathBuf,
}

pub(super) fn completions(args: &Completions, out: &mut Output) {
    clap_complete::generate(args.shell, &mut Cli::command(), "redtape", out);
}

pub(super) fn man(args: &Man) -> Result {
    fs::create_dir_all(&args.output).and_then(|()| clap_mangen::generate_to(Cli::command(), &args.output)).map_err(
        |error| {
            let folder = args.output.display();
            Failure::message(Kind::Environment, format!("{folder}: man pages cannot be written there: {error}"))
        },
    )
}
