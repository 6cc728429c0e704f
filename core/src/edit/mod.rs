//! What is made of tapes: redacted ones, and parts of them. Pure: events in, events out.

mod redact;

pub use redact::{
    Change, Counts, HeaderPolicy, Key, PathClass, PathPolicy, PolicyError, ProcessPolicy, RedactError, RedactPolicy,
    Redacted, RedactedTape, Redactor, Remains, Rule, Treatment, ValueMode, ValuePolicy,
};
