//! The BPF programs of redtape's recorder. They transcribe system calls on TCP sockets, socket states, arrivals and the
//! life of processes into `redtape-abi` records, and parse no payload beyond comparing two bytes (is it TLS?).
//!
//! One object serves Linux 5.10 to 7.x. Where kernels differ, a switch in the read-only data (`OPTIONS`, `LAYOUT`) is a
//! constant to the verifier, so what the kernel lacks is never reached. Rules that keep it loadable:
//! - every function is inlined into its program: old kernels add up the stack frames of calls, 512 bytes in all;
//! - records are built in the ring buffer or in a per-CPU map, never on the stack;
//! - a size is bounded where it is used, after [`core::hint::black_box`]: LLVM knows too much and drops the check
//!   that the verifier needs.
#![no_std]
#![no_main]

mod arrivals;
mod calls;
mod control;
mod emit;
mod frames;
mod keep;
mod kernel;
mod maps;
mod payload;
mod processes;
mod socket;
mod states;
mod transfer;
mod walk;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
