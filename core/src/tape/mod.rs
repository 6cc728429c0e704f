//! The tape: events in blocks, on disk or in a pipe. `core/FORMAT.md` specifies the bytes.

mod block;
mod codec;
mod compress;
mod dictionary;
mod entry;
mod format;
mod hash;
mod index;
mod input;
mod merge;
mod meta;
mod outside;
mod reader;
mod record;
mod repair;
mod roster;
mod rotate;
mod seek;
mod source;
mod v1;
mod writer;

pub use block::{Block, Events};
pub use format::{BlockKind, FormatVersion};
pub use hash::{ContentHash, ContentHasher};
pub use index::{CloseReason, Totals};
pub use merge::{Align, Merge, SetGap};
pub(crate) use meta::host_of;
pub use meta::{Meta, SetMember};
pub use outside::Outside;
pub use reader::{OpenError, ReadError, ReadReport, Reader};
pub use repair::{RepairError, Repaired, repair};
pub use rotate::{RotatingWriter, Rotation};
pub use seek::Place;
pub use source::{EventSource, TapeSource};
pub use writer::{Writer, WriterOptions};

#[cfg(test)]
mod tests;
