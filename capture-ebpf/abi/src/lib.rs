//! The records that the BPF programs send to the recorder, and the read-only data that the recorder gives to the
//! programs: `no_std`, no dependency, `#[repr(C)]`.
//!
//! Both sides are built apart, so this crate is their only contract. The programs write the structs in place; the
//! recorder decodes them from bytes, without `unsafe`. All integers are little-endian, as the `bpfel` target has them.
#![no_std]
#![forbid(unsafe_code)]

/// Programs that `sys_exit` goes on with: each is verified on its own.
pub mod after {
    /// Walks the HTTP/2 frames that the call moved.
    pub const FRAMES: u32 = 0;
    /// Tells the programs on TLS libraries of the call.
    pub const TLS: u32 = 1;
    /// How many there are.
    pub const COUNT: u32 = 2;
}
pub mod call;
pub mod counter;
mod decode;
pub mod layout;
pub mod limits;
pub mod option;
mod record;

pub use decode::{Captured, Malformed, Pieces, Record};
pub use record::{
    Arrival, Conn, Control, Data, Exec, Header, Life, Listen, Process, Socket, TlsClue, conn_flags, data_flags, kind,
    lane, role, tie,
};
