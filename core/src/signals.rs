//! Which signals go out: what the configuration says of all spans, and what a discovery entry says of its service.

use std::collections::BTreeSet;

use crate::metric::MetricFeature;
use crate::sample::Sampler;
use crate::span::Span;

/// What is exported of one service, and how: what its discovery entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals {
    /// Its spans count in metrics.
    pub metrics: bool,
    /// Its spans are exported.
    pub traces: bool,
    /// What samples its spans, instead of [`TraceOptions::sampler`].
    pub sampler: Option<Sampler>,
    /// The metrics that it counts in, instead of [`MetricsConfig::features`](crate::metric::MetricsConfig::features).
    pub features: Option<BTreeSet<MetricFeature>>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { metrics: true, traces: true, sampler: None, features: None }
    }
}

/// The protocols that a signal is about (Beyla's `instrumentations`, as far as redtape knows them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// Plain HTTP.
    pub http: bool,
    /// gRPC.
    pub grpc: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { http: true, grpc: true }
    }
}

/// Which spans are exported as traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// What samples them.
    pub sampler: Sampler,
    /// Of which protocols.
    pub protocols: Protocols,
}

impl TraceOptions {
    /// Whether `span` is exported; `flag` is the `sampled` flag that its trace came with, if it came by the wire.
    pub(crate) fn samples(&self, span: &Span, flag: Option<bool>) -> bool {
        let wanted = if span.is_grpc() { self.protocols.grpc } else { self.protocols.http };
        wanted && span.service.signals.sampler.unwrap_or(self.sampler).samples(span.trace_id, flag)
    }
}
