//! Where spans and metrics go beside standard output: back ends and files.

mod exports;
mod openmetrics;
mod shift;

pub(crate) use exports::{Exports, Tee};
pub(crate) use openmetrics::OpenMetricsFile;
pub(crate) use shift::Shift;
