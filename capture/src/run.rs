//! The program: from the command line to the exit status.

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::cmd;
use crate::command::hold;
use crate::exit::Failure;

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Record(args) => cmd::record(&args),
        Command::Doctor(args) => cmd::doctor(args),
        Command::Completions { shell } => cmd::completions(shell),
        Command::Man { output } => cmd::man(&output),
        Command::StartRedactor => crate::redact::start().map_err(|error| redaction(&error)),
        Command::Redact => crate::redact::redact().map_err(|error| redaction(&error)),
        Command::Hold { command } => match hold(&command) {
            Err(error) => Err(Failure::environment(format!("cannot run the command: {error}"))),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("redtape-capture: {failure}");
            ExitCode::from(failure.status.code())
        }
    }
}

fn redaction(error: &std::io::Error) -> Failure {
    Failure::environment(format!("redaction: {error}"))
}
