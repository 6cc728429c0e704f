//! The commands, a file each.

mod cardinality;
mod config;
mod event_bytes;
mod event_json;
mod events;
mod exporters;
mod info;
mod manual;
mod repair;
mod replay;
mod routes;
mod serving;
mod summary;

use crate::cli::{Cli, Command};
use crate::failure::{Failure, Result};
use crate::stdout::Output;

/// Runs a command.
///
/// # Errors
///
/// What the command failed of, with its exit code.
pub fn run(cli: Cli) -> Result {
    let mut out = Output::stdout();
    match cli.command {
        Command::Cardinality(args) => cardinality::run(&args, &mut out),
        Command::Completions(args) => {
            manual::completions(&args, &mut out);
            Ok(())
        }
        Command::Config(args) => config::run(&args, &mut out),
        Command::Diff(args) => crate::diff::run(&args, &mut out),
        Command::Events(args) => events::run(&args, &mut out),
        Command::Export(args) => crate::pcapng::run(&args),
        Command::Filter(args) => crate::edit::filter(&args),
        Command::Import(args) => crate::import::run(&args, &mut out),
        Command::Info(args) => info::run(&args, &mut out),
        #[cfg(unix)]
        Command::Live(args) => crate::live::run(&args, &mut out),
        Command::Man(args) => manual::man(&args),
        Command::Merge(args) => crate::edit::merge(&args),
        Command::Redact(args) => crate::edit::redact(&args, &mut out),
        Command::Repair(args) => repair::run(&args),
        Command::Replay(args) => replay::run(&args, &mut out),
        Command::Report(args) => crate::report::run(&args),
        Command::Routes(args) => routes::run(&args, &mut out),
        Command::Slice(args) => crate::edit::slice(&args),
        Command::Synth(args) => crate::synth::run(&args, &mut out),
        Command::Test(args) => crate::harness::run(&args, &mut out),
    }?;
    out.finish()
}

pub(crate) use config::exports;
pub(crate) use events::write_event;
pub use manual::{Completions, Man};
pub(crate) use replay::{learn, with_evidence, write_metrics};
pub use routes::{Routes, RoutesApply, RoutesExplain, RoutesLearn, RoutesLint, RoutesSettings};
pub(crate) use summary::summary;

/// Standard output failed, other than by being closed: a full disk, most likely.
pub(crate) fn unwritable(error: std::io::Error) -> Failure {
    crate::destination::unwritable("standard output", &error)
}
