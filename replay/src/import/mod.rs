//! Captures of other tools as tapes: packets (pcap, pcapng) and system calls (sysdig's scap).
//!
//! [`open`] tells what a file is by its first bytes and makes a tape of it while it is read, in bounded memory. So every command
//! that reads tapes reads these files, too, and `redtape import` only writes down what the others would have read.

mod args;
mod command;
mod found;
mod imported;
mod kept;
mod limits;
mod notice;
mod oldest;
mod options;
mod pcap;
mod scap;
mod transcript;

pub use args::ImportArgs;
pub(crate) use command::run;
pub use found::{Cut, Found};
pub use imported::{Bytes, Form, FoundSoFar, Imported, Opened, open};
pub use kept::KeptPayload;
pub(crate) use notice::Notice;
pub use options::ImportOptions;
pub(crate) use transcript::TapeBytes;

#[cfg(test)]
mod tests;
