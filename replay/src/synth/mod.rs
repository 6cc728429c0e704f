//! `synth`: tapes of traffic that never was, with what is true of it.

mod args;
mod command;
mod totals;
mod truth;

pub use args::SynthArgs;
pub(crate) use command::run;
