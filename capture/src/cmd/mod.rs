//! The subcommands.

mod doctor;
mod manual;
mod record;

pub(crate) use doctor::doctor;
pub(crate) use manual::{completions, man};
pub(crate) use record::record;
