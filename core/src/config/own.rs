//! The section `redtape`: what Beyla has no key for.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::scalar::Period;
use super::section::{section, words};
use crate::limits::Limits;

section! {
    /// `redtape`: what Beyla has no key for.
    OwnConfig {
        /// How spans are linked.
        links: LinksConfig = LinksConfig::default(),
        /// Whether spans have the children `in queue` and `processing`.
        phases: Phases = Phases::Auto,
        /// Bounds of memory.
        limits: LimitsConfig = LimitsConfig::default(),
        /// Metrics.
        metrics: OwnMetrics = OwnMetrics::default(),
        /// OTLP, beside `otel_traces_export` and `otel_metrics_export`.
        otlp: OtlpConfig = OtlpConfig::default(),
        /// Metrics by Prometheus' remote write.
        remote_write: RemoteWriteConfig = RemoteWriteConfig::default(),
    }
    without effect {}
}

section! {
    /// `redtape.remote_write`: metrics by Prometheus' remote write.
    RemoteWriteConfig {
        /// The receiver's URL, as in `http://prometheus:9090/api/v1/write`; empty for none.
        url: String = String::new(),
        /// Headers of each request.
        headers: BTreeMap<String, String> = BTreeMap::new(),
        /// How long the receiver may take to answer a request.
        timeout: Period = Period::seconds(10),
        /// How long to go on trying, where the receiver is down or busy.
        retry: Period = Period::seconds(30),
        /// How far apart samples are, in tape time.
        interval: Period = Period::seconds(15),
    }
    without effect {}
}

section! {
    /// `redtape.links`
    LinksConfig {
        /// Which rules there are.
        mode: LinksMode = LinksMode::Default,
        /// How long a span may wait for its links; by default 1 s live and until the end for a file.
        horizon: Option<LinkHorizon> = None,
    }
    without effect {}
}

words! {
    /// Which rules link spans.
    LinksMode {
        /// Those that follow from facts.
        Default = "default",
        /// Also those that guess.
        All = "all",
        /// Only what is on the wire.
        Off = "off",
    }
}

/// How long a finished span may wait for its links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LinkHorizon {
    /// Until the end of the tape.
    End,
    /// So much tape time.
    After(Period),
}

impl TryFrom<String> for LinkHorizon {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "end" => Ok(Self::End),
            _ => text.parse().map(Self::After).map_err(|error| format!("{error}, or `end`")),
        }
    }
}

words! {
    /// When spans have the children `in queue` and `processing`.
    Phases {
        /// From 100 us of waiting on.
        Auto = "auto",
        /// Whenever it is known how long the request waited.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

section! {
    /// `redtape.metrics`
    OwnMetrics {
        /// Which names metrics have.
        names: Names = Names::Default,
        /// Which names the durations of gRPC calls have.
        rpc_names: RpcNames = RpcNames::Duration,
        /// Series of one metric; what comes after goes to the overflow series.
        series_limit: Option<usize> = None,
    }
    without effect {}
}

words! {
    /// Which names the durations of gRPC calls have.
    RpcNames {
        /// `rpc_server_duration_seconds`, which public dashboards query.
        Duration = "duration",
        /// `rpc_server_call_duration_seconds`, of OpenTelemetry's newer conventions.
        CallDuration = "call-duration",
    }
}

words! {
    /// Which names metrics have.
    Names {
        /// Those of OpenTelemetry's stable conventions.
        Default = "default",
        /// Those of Beyla 1.0.
        Beyla10 = "beyla-1.0",
    }
}

section! {
    /// `redtape.otlp`: what OpenTelemetry's variables tell of OTLP and Beyla has no key for.
    OtlpConfig {
        /// Of spans.
        traces: OtlpSignal = OtlpSignal::default(),
        /// Of metrics.
        metrics: OtlpSignal = OtlpSignal::default(),
        /// What the values of metrics count.
        temporality: Temporality = Temporality::Cumulative,
    }
    without effect {}
}

words! {
    /// What the values of metrics that go out by OTLP count.
    Temporality {
        /// All since the start.
        Cumulative = "cumulative",
        /// What is new since the last export.
        Delta = "delta",
        /// As `delta`, for all that redtape counts.
        LowMemory = "lowmemory",
    }
}

section! {
    /// `redtape.otlp.traces` and `redtape.otlp.metrics`
    OtlpSignal {
        /// How long the receiver may take to answer a request.
        timeout: Period = Period::seconds(10),
        /// How requests are compressed.
        compression: Compression = Compression::None,
        /// A file of the certificates (PEM) that the receiver's must come from, instead of those that the system trusts.
        certificate: Option<String> = None,
        /// A file with the certificate (PEM) to show to the receiver.
        client_certificate: Option<String> = None,
        /// A file with its key (PEM).
        client_key: Option<String> = None,
        /// Whether an endpoint without `http://` or `https://` is spoken to without TLS.
        insecure: Option<bool> = None,
    }
    without effect {}
}

words! {
    /// How requests are compressed.
    Compression {
        /// Not at all.
        None = "none" | "",
        /// By gzip.
        Gzip = "gzip",
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $field:ident,)*) => {
        section! {
            /// `redtape.limits`: bounds of memory, each as in [`Limits`].
            LimitsConfig {
                $($(#[doc = $doc])* $field: Option<usize> = None,)*
            }
            without effect {}
        }

        impl LimitsConfig {
            /// The limits, with their defaults where nothing is set.
            pub fn limits(&self) -> Limits {
                let mut limits = Limits::default();
                $(if let Some(limit) = self.$field { limits.$field = limit; })*
                limits
            }
        }
    };
}

limits! {
    /// Connections in one virtual shard.
    shard_connections,
    /// Bytes buffered in one virtual shard.
    shard_buffered_bytes,
    /// Bytes of what one virtual shard finds at one moment.
    shard_moment_bytes,
    /// Bytes of one head.
    head_bytes,
    /// Lines of one head.
    head_lines,
    /// Streams under way on one connection of HTTP/2.
    streams,
    /// Bytes of one direction's table of header fields of HTTP/2.
    header_table_bytes,
    /// Requests that wait for a response on one connection.
    pipelined_requests,
    /// Out-of-order pieces of one direction.
    reorder_pieces,
    /// Arrivals of one connection.
    arrivals,
    /// Requests under way that are to be linked.
    open_requests,
    /// Spans that wait for their links.
    held_spans,
    /// Connections whose ends are to be joined.
    linked_connections,
    /// Recordings whose clocks are known.
    origins,
    /// Pods.
    pods,
    /// Processes.
    processes,
    /// Series of one metric.
    series_per_metric,
    /// Rows of the RED table.
    red_rows,
    /// Distinct paths that routes are learned from.
    route_paths,
}
