//! The records that the BPF programs send to the recorder: `no_std`, no dependency, `#[repr(C)]`.
#![no_std]
#![forbid(unsafe_code)]
