//! What is made of tapes: redacted ones, and parts of them. Pure: events in, events out.

mod before;
mod census;
mod expr;
mod filter;
mod merge;
mod redact;
mod slice;
mod table;

pub use census::Census;
pub use expr::{Expr, ExprError, Field, Known, Subject};
pub use filter::Sieve;
pub use merge::{duplicates, merged_meta};
pub use redact::{
    Change, ClassPolicy, Counts, HeaderPolicy, Key, Left, NamePolicy, PathClass, PathPolicy, PolicyError,
    ProcessPolicy, RedactError, RedactPolicy, Redacted, RedactedTape, Redactor, Remains, Rule, Spot, Treatment,
    ValueMode, ValuePolicy,
};
pub use slice::{CutCounts, Selection, Slicer};
