//! OTLP: to receivers over gRPC or HTTP, and to files.

mod courier;
mod deltas;
mod exporter;
mod file;
mod message;
mod metrics;
mod owners;
mod points;
mod settings;
mod spans;
mod transport;
mod verify;

pub(crate) use courier::Duty;
pub(crate) use exporter::{Batching, OtlpMetrics, OtlpSpans};
pub(crate) use file::OtlpFile;
pub(crate) use points::MetricForm;
pub(crate) use settings::{Signal, configured, receivers};
pub(super) use transport::{retry_after, short};
