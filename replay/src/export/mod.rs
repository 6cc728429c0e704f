//! Where spans and metrics go beside standard output: back ends and files.

mod counters;
mod exports;
mod openmetrics;
mod shift;

pub(crate) use counters::{Counted, ExportCounters};
pub(crate) use exports::{Exporter, Exports, Sent, Tee};
pub(crate) use openmetrics::OpenMetricsFile;
pub(crate) use shift::Shift;
