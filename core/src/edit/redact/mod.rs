//! Redaction: takes secrets out of a tape and leaves everything else where it is.
//!
//! Bytes of payload are overwritten, never taken out: positions, lengths, framing and HPACK's tables stay as they are, so a
//! replay finds the same messages at the same moments. What is kept is what was understood and no rule names; what was not
//! understood is masked.
//!
//! [`Redactor`] follows each connection as stage 1 does, event by event. An event waits for those after it where it holds a
//! part of a message's head; all such waiting is bounded.

#[cfg(test)]
mod attacks;
mod conn;
mod facts;
mod hpack;
mod http1;
mod http2;
mod key;
mod mask;
mod policy;
mod queue;
mod reason;
mod redactor;
mod rules;
mod tape;
#[cfg(test)]
mod tests;

pub use key::Key;
pub use policy::{
    ClassPolicy, HeaderPolicy, NamePolicy, PathClass, PathPolicy, PolicyError, ProcessPolicy, RedactPolicy, Treatment,
    ValueMode, ValuePolicy,
};
pub use queue::{Change, Redacted, Spot};
pub use redactor::{Counts, Redactor};
pub use rules::Rule;
pub use tape::{Left, RedactError, RedactedTape, Remains};
