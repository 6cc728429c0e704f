//! Properties of core over generated conversations whose truth is known.
//!
//! A failing case names its scenario and seeds: that is the bug report.

mod engine;
mod generate;
mod oracle;
mod redact;
mod slice;
mod stage1;
mod synth;
mod tape;
mod worlds;
