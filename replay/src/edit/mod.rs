//! Tapes made of tapes: `redact`, `slice`, `merge`, `filter`. What is decided of events is decided in core.

mod output;
mod redact;

pub use output::OutputArgs;
pub use redact::Redact;
pub(crate) use redact::run as redact;
