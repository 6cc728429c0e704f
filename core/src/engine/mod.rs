//! The engine: events in, spans and metrics out.
//!
//! Stage 1 ([`Stage1`]) follows each connection on its own, in [`SHARDS`](crate::SHARDS) virtual shards. Stage 2
//! ([`Stage2`]) takes what the shards found in one total order and does all that looks across connections: links,
//! routes, metrics. [`Engine`] is both, in one thread; whoever has more threads runs several parts of stage 1 side by
//! side and [`Stage2`] behind them, with the same result.

mod order;
mod otlp;
mod run;
mod services;
mod stage1;
mod stage2;

pub use order::{Merge, Watermark};
pub use run::{Engine, Output};
pub use stage1::{Part, Stage1};
pub use stage2::{EngineOptions, Stage2, Totals};

#[cfg(test)]
mod tests;
