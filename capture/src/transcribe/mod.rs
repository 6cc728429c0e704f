//! From the programs' records to the tape's events: translated one to one and put in order, never interpreted.

mod carriers;
mod conns;
mod losses;
mod plaintext;
#[cfg(test)]
mod tests;
mod transcriber;
mod window;

pub use transcriber::{Transcriber, TranscriberCounts};
pub(crate) use window::WINDOW_NANOS;
