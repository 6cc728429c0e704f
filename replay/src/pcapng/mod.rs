//! Tapes as packet captures, which Wireshark and its relatives read: `export --pcapng`.
//!
//! Each call that moved bytes becomes TCP segments with the sequence numbers that the socket had. What packets have no place for (threads,
//! processes, arrivals, clocks) stands beside them: for people in the packets' comments, and for [`crate::import`] as the tape itself
//! without its payload, in blocks that other programs skip. So importing the file gives the same spans again.

mod args;
mod command;
mod convert;
mod decode_as;
mod file;
mod frame;
mod local;
mod talk;

pub use args::ExportArgs;
pub(crate) use command::run;
pub(crate) use local::{OPTION, Place, TAPE_BLOCK};

#[cfg(test)]
mod tests;
