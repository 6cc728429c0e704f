//! RED metrics: what is counted of spans, how it is kept, and how it is written.
//!
//! All of it is integers: nanoseconds, bytes and counts. [`Registry::observe`] runs in the ordered stage alone, so the
//! series that a limit keeps and the ones that it merges do not depend on threads.

mod by_series;
mod cardinality;
mod catalog;
#[cfg(test)]
mod documented;
mod exemplar;
mod exponential;
mod graph;
mod histogram;
mod history;
mod json;
mod label;
mod openmetrics;
mod quantile;
mod registry;
mod select;
mod settings;
mod snapshot;
mod span_names;
#[cfg(test)]
pub(crate) mod spans;
mod summary;
mod table;

pub use by_series::BySeries;
pub use cardinality::{Cardinality, LabelCardinality, LabelValue, MetricCardinality};
pub use catalog::{Measure, MetricNames};
pub use exemplar::{Exemplar, ExemplarFilter};
pub use exponential::{Exponential, Resolution};
pub use histogram::Histogram;
pub use history::History;
pub use label::Label;
pub use openmetrics::{Text, TextFormat, bucket_bound, write_text};
pub use quantile::Quantiles;
pub use registry::Registry;
pub(crate) use select::name_glob;
pub use select::{Select, SelectError, SelectSection};
pub(crate) use settings::DEFAULT_SPAN_NAMES_LIMIT;
pub use settings::{DEFAULT_DURATION_BUCKETS, DEFAULT_SIZE_BUCKETS, MetricFeature, MetricsConfig, Unresolved};
pub use snapshot::{Family, FamilyKind, OVERFLOW_LABEL, Scale, Series, Snapshot, Value};
pub use summary::{RedKey, RedRow, RedTable};
