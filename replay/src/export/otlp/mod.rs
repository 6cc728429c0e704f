//! OTLP: to receivers over gRPC or HTTP, and to files.

mod client;
mod deltas;
mod exporter;
mod file;
mod grpc;
mod http;
mod message;
mod metrics;
mod owners;
mod points;
mod settings;
mod spans;
mod texts;
mod verify;

pub(crate) use exporter::{Batching, OtlpMetrics, OtlpSpans};
pub(crate) use file::OtlpFile;
pub(crate) use points::MetricForm;
pub(crate) use settings::{Receiver, Signal, configured, endpoint_fault, receivers};
pub(crate) use texts::OtlpTexts;
