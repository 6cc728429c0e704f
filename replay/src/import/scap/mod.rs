//! Captures of system calls by sysdig and Falco: scap files.
//!
//! Blocks are framed as in pcapng, and their kinds have numbers of their own. What is known of processes and their
//! descriptors stands at the beginning; then come events, at the entry and the exit of each call.

mod blocks;
mod calls;
mod connections;
mod event;
mod order;
mod processes;
mod sockets;
mod source;

pub(super) use source::ScapSource;
