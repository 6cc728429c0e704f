//! Replays tapes: the commands of the `redtape` program.
//!
//! Everything that decides anything is in `redtape-core`; this crate reads files, runs threads and writes results.
#![forbid(unsafe_code)]

pub mod cli;
mod cmd;
mod conn_name;
mod destination;
mod diff;
mod distinct;
pub mod edit;
mod export;
mod failure;
mod harness;
pub mod import;
mod input;
mod interrupt;
#[cfg(unix)]
mod kube;
#[cfg(unix)]
mod live;
mod moment;
mod openmetrics;
mod pace;
mod parallel;
mod pcapng;
mod printer;
mod progress;
mod rebase;
mod report;
mod run;
mod serve;
mod settings;
mod sink;
mod stdout;
mod synth;
pub mod testing;
mod tls;
mod url;
mod write;

pub use cli::Cli;
pub use cmd::run;
pub use diff::{Diff, Part, Tolerance};
pub use failure::{Failure, Kind};
pub use harness::Test;
#[cfg(unix)]
pub use live::{FromWhere, KeepArgs, Live, PeriodArg, RecorderArgs};
pub use moment::Moment;
pub use pcapng::ExportArgs;
pub use report::Report;
pub use serve::Endpoint;
pub use synth::SynthArgs;
