//! The outer part of a spec: its input, and how it is run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use redtape_core::synth::Scenario;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::expect::{Expect, OneOrMany};
use super::mutate::Mutation;

/// A test of telemetry: a tape or another input, and what is expected of its replay. Paths are relative to the spec's folder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "redtape test", extend("$id" = "https://redtape.dev/schema/test.json"))]
pub(crate) struct Spec {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) version: u32,
    /// What is tested, in a few words.
    pub(crate) name: Option<String>,
    /// The tape or tapes; a name may have `*` and `?`. Several are merged.
    pub(crate) tape: Option<Files>,
    /// Captures of packets, in the same way.
    pub(crate) pcap: Option<Files>,
    /// Synthetic traffic: the file of a scenario, or a scenario.
    pub(crate) synth: Option<ScenarioSource>,
    /// The content hash of the input, as `redtape info` tells it. `redtape test --bless` fills it in.
    pub(crate) sha: Option<String>,
    /// What the program must be able to do; a spec that asks for more is skipped.
    #[serde(default)]
    pub(crate) requires: Requires,
    /// The configuration: a file in Beyla's YAML, or a configuration. Without one, the tape's is used.
    pub(crate) config: Option<ConfigSource>,
    /// Keys that are set over the configuration, as in `routes.unmatched: heuristic`.
    #[serde(default)]
    pub(crate) overrides: BTreeMap<String, Value>,
    /// How the replay is run.
    #[serde(default)]
    pub(crate) settings: RunSettings,
    /// Further runs with a changed input; the same is expected of them, unless they say otherwise.
    #[serde(default)]
    pub(crate) mutate: Vec<Mutation>,
    /// What is expected.
    pub(crate) expect: Expect,
}

/// One or several names of files; each may have `*` and `?`.
pub(crate) type Files = OneOrMany<String>;

/// A scenario.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum ScenarioSource {
    /// The file it is in, or the name of an included one.
    File(PathBuf),
    /// The scenario itself.
    Inline(Box<Scenario>),
}

/// A configuration.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum ConfigSource {
    /// The file it is in.
    File(PathBuf),
    /// The configuration itself, in Beyla's YAML.
    Inline(Map<String, Value>),
}

/// What the program must be able to do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requires {
    /// Names of features.
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// The oldest version of redtape that will do.
    pub(crate) min_version: Option<String>,
}

/// How the replay is run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunSettings {
    /// Threads. Whatever is set, a second run with another number must give the same.
    #[schemars(range(min = 1, max = 64))]
    pub(crate) jobs: Option<u16>,
    /// Link as if no request carried a traceparent.
    #[serde(default)]
    pub(crate) ignore_traceparent: bool,
    /// What routes may learn from.
    #[serde(default)]
    pub(crate) evidence: EvidenceKind,
}

/// What routes may learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EvidenceKind {
    /// What came before, as when live.
    #[default]
    Online,
    /// The whole input.
    Whole,
}
