//! `diff`: what changed between two tapes, two configurations, or the outputs of two releases.

mod args;
mod command;
mod compare;
mod markdown;
mod routes;
mod series;
mod side;
mod sink;
mod spans;
mod text;

pub use args::{Diff, Part};
pub(crate) use command::run;
pub use compare::Tolerance;
pub(crate) use compare::{Changes, compare};
pub(crate) use series::of_instances;
pub(crate) use side::Side;
pub(crate) use sink::Gather;
