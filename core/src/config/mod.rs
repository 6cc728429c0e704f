//! The configuration: Beyla's YAML, as types.

mod describe;
mod discovery;
mod engine;
mod environment;
mod expand;
mod export;
mod grafana;
mod histograms;
mod keys;
mod kubernetes;
mod load;
mod metrics;
mod name_template;
mod own;
mod pattern;
mod pod_selector;
mod ports;
mod redact;
mod root;
mod routes;
mod scalar;
mod section;
mod select;
mod settled;
mod text;
mod tree;

pub use discovery::{DiscoveryConfig, EntryConfig, Targets};
pub use engine::{Fault, Reloadable};
pub use environment::variable_keys;
pub use expand::expand;
pub use export::{
    Buckets, ExemplarFilter, HistogramAggregation, Instrumentation, InternalMetrics, InternalPrometheus,
    OtelMetricsExport, OtelTracesExport, PrometheusExport, Protocol, SamplerConfig, Signal,
};
pub use grafana::{Grafana, GrafanaOtlp};
pub use histograms::{ExponentialHistogram, NativeHistogram};
pub use keys::keys_markdown;
pub use kubernetes::{KubeMetadata, Kubernetes, MetaSourceLabels, PodNames};
pub use load::{ConfigError, Place, Warning, read};
pub use metrics::{Attributes, Feature, Features, HostId, InstanceId, MatchConfig, RedactConfig, SelectConfig};
pub use name_template::NameTemplate;
pub use own::{
    Compression, LimitsConfig, LinkHorizon, LinksConfig, LinksMode, Names, OtlpConfig, OtlpSignal, OwnConfig,
    OwnMetrics, Phases, RemoteWriteConfig, RpcNames, Temporality,
};
pub use pattern::{GlobPattern, Pattern, RegexPattern};
pub use ports::{PortFault, PortList, PortListError};
pub use redact::redact_secrets;
pub(crate) use redact::{is_secret_variable, without_comments};
pub use root::{Config, EbpfConfig, FilterConfig, LogLevel, NameResolver, TracePrinter};
pub use routes::{IgnoreMode, InvalidChoice, InvalidWildcard, RoutesConfig, ServiceRoutes, Unmatched, WildcardChar};
pub use scalar::{InvalidPeriod, InvalidSize, Period, Size, UnknownWord, did_you_mean, hint};
pub use section::{Inert, Key};
pub use select::{Choice, Discovery, DiscoveryError, Place as ProcessPlace, Rule};
pub use settled::Settled;
pub use text::ConfigText;
pub use tree::Tree;
