//! `redtape test`: specs of telemetry, and whether they hold. `docs/testing.md` describes their format.

mod advice;
mod args;
mod behind;
mod bless;
mod check;
mod command;
mod files;
mod input;
mod junit;
mod observe;
mod rechunk;
mod report;
mod requires;
mod run;
mod scenario;
mod schema;
mod spec;
mod suite;
mod unused;

pub use args::Test;
pub(crate) use bless::is_ci;
pub(crate) use command::run;
pub(crate) use report::{Ran, Tally, write_ran};
pub(crate) use suite::{Suite, accept, run_all};
