//! The subcommands.

mod doctor;
mod record;

pub(crate) use doctor::doctor;
pub(crate) use record::record;
