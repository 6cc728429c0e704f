//! Synthetic traffic with its ground truth: what tests, benches and `redtape synth` replay when no recording will do.
//!
//! A [`Scenario`] is a small world of services and a seed. Its conversations are computed, not sampled from a machine:
//! the same scenario gives the same events on any host, and with them the [`Truth`] of each exchange, known from the
//! simulation and not from parsing. [`transform`] then damages the events in known ways (loss, duplicates, cuts),
//! and [`Workload`] is the fixed and fast traffic that the speed of a replay is measured with.
//!
//! ```
//! use redtape_core::synth::Scenario;
//!
//! let scenario = Scenario { seed: 7, connections: 3, ..Scenario::default() };
//! let events = scenario.events().count();
//! let exchanges = scenario.truth().count();
//! assert!(events > exchanges && exchanges >= 3);
//! ```

mod account;
mod capture;
mod conversation;
pub(crate) mod frames;
mod grpc_workload;
mod line;
mod merge;
mod message;
mod multiplex;
mod plan;
mod rng;
mod scenario;
#[cfg(test)]
mod tests;
pub mod transform;
mod truth;
mod workload;
mod world;

pub use capture::CapturePolicy;
pub use conversation::Conversation;
pub use grpc_workload::GrpcWorkload;
pub use rng::Rng;
pub use scenario::{Mix, Scenario};
pub use truth::{ExchangeId, Truth};
pub use workload::{RouteTotals, Workload, WorkloadEvents};
