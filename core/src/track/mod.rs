//! Stage 1: follows connections, puts their bytes in order and has them parsed.

mod arrivals;
mod conn;
mod detect;
mod losses;
mod lru;
mod parser;
mod protocol;
mod reorder;
mod shard;
mod standstill;

pub(crate) use conn::Conn;
pub(crate) use detect::{Detected, METHOD_BYTES, detect, is_target_start, is_token, is_usual_method};
pub(crate) use lru::Lru;
pub(crate) use parser::{Call, Chunk, End, EndKind, Found, Gap, Parser, Side};
pub use shard::{Shard, shard_of};

#[cfg(test)]
mod tests;
