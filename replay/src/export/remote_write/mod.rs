//! `--remote-write URL`: metrics with their times, by Prometheus' remote write 1.0
//! (<https://prometheus.io/docs/specs/prw/remote_write_spec/>).

mod args;
mod exporter;
mod message;
mod samples;
mod target;
mod way;

pub use args::RemoteWriteArgs;
pub(crate) use args::SAMPLES;
pub(crate) use exporter::{RemoteWrite, Sampling};
pub(crate) use target::Target;
