//! Tapes made of tapes: `redact`, `slice`, `merge`, `filter`. What is decided of events is decided in core.

mod filter;
mod merge;
mod output;
mod redact;
mod slice;
mod source;

pub use filter::{FilterTape, parse_expr};
pub(crate) use filter::{fields, run as filter};
pub(crate) use merge::run as merge;
pub use merge::{AlignBy, MergeTapes};
pub use output::OutputArgs;
pub use redact::Redact;
pub(crate) use redact::run as redact;
pub use slice::Slice;
pub(crate) use slice::run as slice;
pub(crate) use source::warn_of_forgotten;
