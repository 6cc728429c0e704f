//! Synthetic traffic with its ground truth: what tests, benches and `redtape synth` replay when no recording will do.
//!
//! A [`Scenario`] is a small world of services and a seed, written in YAML or made in Rust. What happens in it is computed, not
//! sampled from a machine: the same scenario gives the same events on any host, and with them the [`Truth`] of each exchange, known
//! from the simulation and not from parsing. [`transform`] then damages the events in known ways (loss, duplicates, cuts),
//! and [`Workload`] is the fixed and fast traffic that the speed of a replay is measured with.
//!
//! ```
//! use redtape_core::synth::Scenario;
//!
//! let yaml = "
//! requests: 20
//! services:
//!   web:
//!     routes: [{path: '/users/{int}', status: {200: 9, 404: 1}, calls: [{to: db}]}]
//!   db: {}
//! ";
//! let scenario = Scenario::from_yaml(yaml, "example.yaml")?;
//! let events = scenario.events().count();
//! // 20 requests to `web`; for each, `web` is a client of `db` and `db` a server.
//! assert_eq!(scenario.truth().count(), 60);
//! assert!(events > 60 * 2);
//! # Ok::<(), redtape_core::config::ConfigError>(())
//! ```

mod account;
mod builtin;
mod capture;
mod channel;
mod conversation;
mod distribution;
pub(crate) mod frames;
mod grpc_workload;
mod line;
mod message;
mod multiplex;
mod per_mille;
mod plan;
mod recording;
mod rng;
mod route;
mod scenario;
mod serving;
mod sessions;
mod simulation;
mod template;
#[cfg(test)]
mod tests;
mod tls;
pub mod transform;
mod truth;
mod verdict;
mod workload;
mod world;

pub use builtin::SCENARIOS;
pub use capture::CapturePolicy;
pub use distribution::{Amount, Bytes, Count, Distribution, Lognormal, Nanos, Part, Unit};
pub use grpc_workload::GrpcWorkload;
pub use per_mille::PerMille;
pub use recording::Recording;
pub use rng::Rng;
pub use scenario::{
    Call, Clients, Host, Network, Protocol, Recorder, Route, Scenario, Service, Skew, Threads, Weights,
};
pub use truth::{ExchangeId, Truth, Unknowable};
pub use verdict::Verdict;
pub use workload::{RouteTotals, Workload, WorkloadEvents};
