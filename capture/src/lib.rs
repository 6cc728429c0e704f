//! redtape's recorder: chooses processes, lets the BPF programs watch their TCP sockets, and writes what they say to a
//! tape. Nothing here parses a payload.
//!
//! It runs on Linux only; elsewhere the crate is empty and its program says so.

#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod sock_diag;

#[cfg(target_os = "linux")]
pub use {
    capabilities::{Need, Privileges, WriteAnywhere, drop_unneeded},
    process::{Change, Inode, PortIndex, ProcFs, ProcessTable, StartKey},
    snapshot::{Snapshot, Unreadable, snapshot},
    sock_diag::{TcpSocket, dump, dump_in_namespace_of},
};
