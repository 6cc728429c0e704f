//! Processes: what `/proc` says of them, which of them are recorded, and the numbers they have on the tape.

mod facts;
mod ports;
mod table;

pub use facts::{ProcFs, StartKey};
pub use ports::{Inode, PortIndex};
pub use table::{Change, ProcessTable};
