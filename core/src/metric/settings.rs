//! What of the configuration concerns metrics, checked and ready to use.

use std::collections::BTreeSet;

use super::catalog::MetricNames;
use super::exemplar::ExemplarFilter;
use super::exponential::Resolution;
use super::select::Select;
use crate::signals::Protocols;

/// Upper bounds of durations, in nanoseconds: Beyla's default.
pub const DEFAULT_DURATION_BUCKETS: [u64; 15] = [
    0,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Upper bounds of sizes, in bytes: Beyla's default.
pub const DEFAULT_SIZE_BUCKETS: [u64; 10] = [0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192];

/// Names of one service's spans in span metrics: Beyla's default.
pub(crate) const DEFAULT_SPAN_NAMES_LIMIT: usize = 100;

/// How long a series is shown after its last change: Beyla's default, 5 minutes.
const DEFAULT_TTL_NANOS: u64 = 300_000_000_000;

/// A set of metrics that can be switched on (Beyla's `features`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricFeature {
    /// `application`: request durations and body sizes.
    Application,
    /// `application_span`: `traces_spanmetrics_*`.
    ApplicationSpan,
    /// `application_span_otel`: `traces_span_metrics_*`.
    ApplicationSpanOtel,
    /// `application_span_sizes`: body sizes of span metrics.
    ApplicationSpanSizes,
    /// `application_service_graph`: `traces_service_graph_*`.
    ApplicationServiceGraph,
}

/// What becomes of ends of the service graph of which only an address is known: they get names (`rename_unresolved_hosts_*`;
/// empty ones are none), or else their edges may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unresolved {
    /// Of clients.
    pub incoming: String,
    /// Of servers.
    pub outgoing: String,
    /// Whether edges of ends without a name are left out.
    pub drop: bool,
}

impl Unresolved {
    /// Whether what servers see of clients, addresses alone, is left out.
    pub(super) const fn drops_clients(&self) -> bool {
        self.drop && self.incoming.is_empty()
    }
}

/// What of the configuration concerns metrics.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// Which names they have.
    pub names: MetricNames,
    /// Whether gRPC calls are counted as `rpc_*_call_duration_seconds`, the newer names.
    pub rpc_call_duration: bool,
    /// Which there are, for services that have none of their own.
    pub features: BTreeSet<MetricFeature>,
    /// Those that only some services have, as their discovery entries say.
    pub some_features: BTreeSet<MetricFeature>,
    /// What `application` metrics are about.
    pub protocols: Protocols,
    /// Upper bounds of durations in nanoseconds, ascending.
    pub duration_buckets: Vec<u64>,
    /// Upper bounds of request body sizes in bytes, ascending.
    pub request_size_buckets: Vec<u64>,
    /// Upper bounds of response body sizes in bytes, ascending.
    pub response_size_buckets: Vec<u64>,
    /// Whether histograms also have exponential buckets, and how fine they may be.
    pub exponential: Option<Resolution>,
    /// `report_target`: adds `url_path` to server metrics.
    pub report_target: bool,
    /// `report_peer`: adds `client_address` to server metrics, and with the names of Beyla 1.0 the server's address and
    /// port to client metrics.
    pub report_peer: bool,
    /// Whether the service graph has edges from a service to itself.
    pub self_references: bool,
    /// What becomes of ends of the service graph of which only an address is known.
    pub unresolved: Unresolved,
    /// `attributes.select`
    pub select: Select,
    /// Names of one service's spans in span metrics, beyond which all are one; 0 is no limit.
    pub span_names_limit: usize,
    /// How long a service has to be silent until its span names are forgotten, in nanoseconds.
    pub ttl_nanos: u64,
    /// Which spans are remembered as exemplars.
    pub exemplars: ExemplarFilter,
    /// Series of one metric, where it is lower than the limit of [`Limits`](crate::Limits).
    pub series_limit: Option<usize>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            names: MetricNames::default(),
            rpc_call_duration: false,
            features: BTreeSet::from([MetricFeature::Application]),
            some_features: BTreeSet::new(),
            protocols: Protocols::default(),
            duration_buckets: DEFAULT_DURATION_BUCKETS.into(),
            request_size_buckets: DEFAULT_SIZE_BUCKETS.into(),
            response_size_buckets: DEFAULT_SIZE_BUCKETS.into(),
            exponential: None,
            report_target: false,
            report_peer: false,
            self_references: false,
            unresolved: Unresolved::default(),
            select: Select::default(),
            span_names_limit: DEFAULT_SPAN_NAMES_LIMIT,
            ttl_nanos: DEFAULT_TTL_NANOS,
            exemplars: ExemplarFilter::default(),
            series_limit: None,
        }
    }
}
