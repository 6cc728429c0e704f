//! The `redtape` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use redtape_replay::{Cli, run};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("redtape: {failure}");
            failure.exit_code()
        }
    }
}
