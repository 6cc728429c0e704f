//! From the programs' records to the tape's events: translated one to one and put in order, never interpreted.

mod conns;
mod losses;
#[cfg(test)]
mod tests;
mod transcriber;
mod window;

pub use transcriber::{Transcriber, TranscriberCounts};
