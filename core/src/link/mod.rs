//! Linking: which span is whose parent, decided from the wire and from what threads and connections did.
//!
//! The rules, in their order: a `traceparent` on the wire names the trace; the two ends of one connection are one request
//! ([`ends`]); a thread that read a request, blocking, and then writes one, blocking, does so on its behalf ([`threads`]);
//! and, only where asked for, a call inside exactly one request of its process belongs to it ([`enclosing`]). A case with
//! several candidates stays unlinked and is counted: a wrong link is worse than none.

mod enclosing;
mod ends;
mod linker;
mod node;
mod threads;

#[cfg(test)]
mod tests;

pub use linker::{Horizon, LinkMode, LinkOptions, Linked, Linker};
