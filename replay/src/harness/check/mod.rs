//! What is checked of a replay: a file a part of the expectations.

mod buckets;
mod cardinality;
mod fault;
mod golden;
mod metrics;
mod redaction;
mod routes;
mod select;
mod spans;
mod summary;
mod truth;

pub(crate) use cardinality::check_cardinality;
pub(crate) use fault::{Accept, Check, Checks, Fault};
pub(crate) use golden::is_golden;
pub(crate) use metrics::check_metrics;
pub(crate) use redaction::check_redaction;
pub(crate) use routes::check_routes;
pub(crate) use spans::check_spans;
pub(crate) use summary::check_summary;
pub(crate) use truth::check_truth;
