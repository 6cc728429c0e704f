//! The records that the BPF programs send to the recorder, and the read-only data that the recorder gives to the
//! programs: `no_std`, no dependency, `#[repr(C)]`.
//!
//! Both sides are built apart, so this crate is their only contract. The programs write the structs in place; the
//! recorder decodes them from bytes, without `unsafe`. All integers are little-endian, as the `bpfel` target has them.
#![no_std]
#![forbid(unsafe_code)]

pub mod call;
pub mod counter;
mod decode;
pub mod layout;
pub mod limits;
pub mod option;
mod record;

pub use decode::{Malformed, Pieces, Record};
pub use record::{
    Arrival, Conn, Control, Data, Exec, Header, Listen, Process, Socket, TlsClue, TlsData, conn_flags, data_flags,
    kind, lane, role, tie,
};
