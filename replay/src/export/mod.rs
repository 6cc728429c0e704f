//! Where spans and metrics go beside standard output: back ends and files.

mod advice;
mod args;
mod counters;
mod exports;
mod native;
mod openmetrics;
mod otlp;
mod remote_write;
mod replayed;
mod send;
mod shift;
mod steps;
mod times;

pub use args::{OtlpArgs, TimeArgs};
pub(crate) use counters::{Counted, ExportCounters, SignalCounters};
pub(crate) use exports::{Exporter, Exports, Sent, Tee};
pub(crate) use native::{BucketSpan, Native, ZERO_THRESHOLD, scaled};
pub(crate) use openmetrics::OpenMetricsFile;
pub(crate) use otlp::{
    Batching, MetricForm, OtlpFile, OtlpMetrics, OtlpSpans, OtlpTexts, Receiver, Signal, configured, endpoint_fault,
    receivers,
};
pub use remote_write::RemoteWriteArgs;
pub(crate) use remote_write::SAMPLES;
pub(crate) use remote_write::{RemoteWrite, Sampling, Target};
pub(crate) use replayed::Replayed;
pub(crate) use send::Duty;
pub(crate) use shift::Shift;
pub(crate) use times::Times;
