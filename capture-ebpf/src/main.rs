//! The BPF programs of redtape's recorder. They transcribe system calls on TCP sockets, socket states, arrivals and the
//! life of processes into `redtape-abi` records, and so the plaintext that TLS libraries move. Of payload they compare the first
//! bytes (is it TLS? is it HTTP/2?) and read the lengths and types of TLS records and HTTP/2 frames, to choose what to copy.
//!
//! One object serves Linux 5.10 to 7.x. Where kernels differ, a switch in the read-only data (`OPTIONS`, `LAYOUT`) is a
//! constant to the verifier, so what the kernel lacks is never reached. Rules that keep it loadable:
//! - every function is inlined into its program, `memset` included (hence the linker's option in ci/build-ebpf), so no closure is
//!   used in several places. Kernels add up the stack frames of calls, 512 bytes in all, and of a program that has any call older
//!   ones verify many more steps (`sys_exit` on Linux 6.1: 302,063 instead of 176,602 of the million that are allowed);
//! - records are built in the ring buffer or in a per-CPU map, never on the stack;
//! - a size is bounded where it is used, after [`core::hint::black_box`]: LLVM knows too much and drops the check
//!   that the verifier needs;
//! - what was bounded is not needed behind the helper call that it was bounded for: LLVM would save it on the stack before
//!   the check, and older kernels know nothing of what was saved;
//! - a loop's values lie in a map, and what is needed behind the loop, too: values in registers that differ make the verifier
//!   follow the loop once for each;
//! - where that is not enough, the rest of the work is a program of its own behind a tail call, which is verified once.
#![no_std]
#![no_main]

mod arrivals;
mod calls;
mod control;
mod emit;
mod frames;
mod go_tls;
mod keep;
mod kernel;
mod maps;
mod payload;
mod plaintext;
mod processes;
mod socket;
mod states;
mod tls;
mod tls_functions;
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
