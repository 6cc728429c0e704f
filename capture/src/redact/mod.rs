//! Redaction between ring and file, in a process of its own: the recorder, which has privileges, parses nothing, and the
//! process that parses has none.
//!
//! ```text
//! recorder ── tape, as in a pipe ──▶ redactor ── redacted tape ──▶ file
//!    ▲                                   │
//!    └── "the file of number N, please" ─┘   the file is opened, named and deleted by the recorder
//! ```

mod channel;
mod child;
mod confine;
mod parent;

pub(crate) use child::{redact, start};
pub(crate) use parent::Files;
pub use parent::Redacting;
