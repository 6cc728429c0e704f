//! redtape's recorder: chooses processes, lets the BPF programs watch their TCP sockets, and writes what they say to a
//! tape. Nothing here parses a payload.
//!
//! It runs on Linux only; elsewhere the crate is empty and its program says so.

#[cfg(target_os = "linux")]
mod process;

#[cfg(target_os = "linux")]
pub use process::{Change, Inode, PortIndex, ProcFs, ProcessTable, StartKey};
