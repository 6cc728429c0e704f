//! TLS: which TCP connection carries the plaintext of which TLS object.

mod rule;
mod ties;

pub use rule::TieRule;
pub use ties::{APPLICATION_DATA, Clue, Finding, Ties};
