//! Live: the engine on tapes that are still being written.

mod args;
mod child;
mod follow;
mod keep;
#[cfg(target_os = "linux")]
mod privileges;
mod session;
mod start;
mod tapes;
mod users;
mod watch;

pub use args::{FromWhere, KeepArgs, Live, PeriodArg, RecorderArgs};
pub(crate) use start::run;
