//! The discovery part of the configuration as it is written: which processes to record, and what to call them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::export::{SamplerConfig, Signal};
use super::metrics::Features;
use super::pattern::{GlobPattern, Pattern, RegexPattern};
use super::ports::PortList;
use super::routes::ServiceRoutes;
use super::scalar::Period;
use crate::signals::Signals;

/// The keys beside `discovery` that choose processes, and their like on the command line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targets {
    /// Processes chosen by id, and their descendants: the rule that goes first.
    pub target_pids: Vec<u32>,
    /// `open_port`
    pub open_port: Option<PortList>,
    /// `executable_name` (a regular expression) or `auto_target_exe` (a glob), looked for in the executable's path.
    pub executable: Option<Pattern>,
    /// `service_name`: the name of what `open_port` and `executable` choose.
    pub service_name: Option<String>,
    /// `service_namespace`, in the same way.
    pub service_namespace: Option<String>,
}

/// The `discovery` section.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Processes to record, by regular expressions. Ignored if `instrument` has entries.
    pub services: Vec<EntryConfig<RegexPattern>>,
    /// Processes to record, by globs.
    pub instrument: Vec<EntryConfig<GlobPattern>>,
    /// Processes never to record, by regular expressions.
    pub exclude_services: Vec<EntryConfig<RegexPattern>>,
    /// Processes never to record, by globs.
    pub exclude_instrument: Vec<EntryConfig<GlobPattern>>,
    /// Replaces the built-in list of observers that are not recorded unless chosen by id.
    pub default_exclude_services: Option<Vec<EntryConfig<RegexPattern>>>,
    /// Replaces the same list, by globs.
    pub default_exclude_instrument: Option<Vec<EntryConfig<GlobPattern>>>,
    /// How often to look for new processes and ports, as in `5s`.
    pub poll_interval: Option<Period>,
    /// Known, without effect.
    pub min_process_age: Option<IgnoredAny>,
    /// Leaves out of a signal what processes export of it by themselves.
    pub exclude_otel_instrumented_services: bool,
    /// Known, without effect.
    pub excluded_linux_system_paths: Option<IgnoredAny>,
    /// Known, without effect.
    pub skip_go_specific_tracers: Option<IgnoredAny>,
    /// Known, without effect.
    pub route_harvester_timeout: Option<IgnoredAny>,
    /// Known, without effect.
    pub disabled_route_harvesters: Option<IgnoredAny>,
}

/// One entry of `services`, `instrument` or an exclude list. A process has to fit every selector that is given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "P: Deserialize<'de>"))]
pub struct EntryConfig<P> {
    /// The `service.name` of what it chooses.
    pub name: Option<String>,
    /// The `service.namespace` of what it chooses.
    pub namespace: Option<String>,
    /// The process listens on one of these.
    #[serde(alias = "open_port")]
    pub open_ports: Option<PortList>,
    /// The executable's path.
    #[serde(alias = "exe_path_regexp")]
    pub exe_path: Option<P>,
    /// The process, or an ancestor of it, has one of these ids.
    #[serde(alias = "target_pid")]
    pub target_pids: Option<Vec<u32>>,
    /// The arguments, joined by spaces, without the program's name.
    pub cmd_args: Option<P>,
    /// The process has another pid namespace than the recorder.
    pub containers_only: Option<bool>,
    /// Selector that the recorder cannot decide.
    pub languages: Option<IgnoredAny>,
    /// The container's name, as `k8s_container_name`.
    pub container_name: Option<P>,
    /// The pod's namespace.
    pub k8s_namespace: Option<P>,
    /// The pod's name.
    pub k8s_pod_name: Option<P>,
    /// The deployment that the pod belongs to.
    pub k8s_deployment_name: Option<P>,
    /// The replica set that the pod belongs to.
    pub k8s_replicaset_name: Option<P>,
    /// The daemon set that the pod belongs to.
    pub k8s_daemonset_name: Option<P>,
    /// The stateful set that the pod belongs to.
    pub k8s_statefulset_name: Option<P>,
    /// The job that the pod belongs to.
    pub k8s_job_name: Option<P>,
    /// The cron job that the pod belongs to.
    pub k8s_cronjob_name: Option<P>,
    /// What the pod belongs to at last, of whatever kind.
    pub k8s_owner_name: Option<P>,
    /// The container's name in its pod.
    pub k8s_container_name: Option<P>,
    /// The pod's labels, by key.
    #[serde(default)]
    pub k8s_pod_labels: BTreeMap<String, P>,
    /// The pod's annotations, by key.
    #[serde(default)]
    pub k8s_pod_annotations: BTreeMap<String, P>,
    /// Which signals to export of the service: `metrics`, `traces`; an empty list means none.
    pub exports: Option<Vec<Signal>>,
    /// Routes of this service alone.
    pub routes: Option<ServiceRoutes>,
    /// Which of its traces to export.
    pub sampler: Option<SamplerConfig>,
    /// Which metrics it counts in.
    pub metrics: Option<Features>,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            instrument: Vec::new(),
            exclude_services: Vec::new(),
            exclude_instrument: Vec::new(),
            default_exclude_services: None,
            default_exclude_instrument: None,
            poll_interval: None,
            min_process_age: None,
            exclude_otel_instrumented_services: true,
            excluded_linux_system_paths: None,
            skip_go_specific_tracers: None,
            route_harvester_timeout: None,
            disabled_route_harvesters: None,
        }
    }
}

impl DiscoveryConfig {
    /// Keys that are set and known, but without effect here.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let keys = [
            ("min_process_age", self.min_process_age.is_some()),
            ("excluded_linux_system_paths", self.excluded_linux_system_paths.is_some()),
            ("skip_go_specific_tracers", self.skip_go_specific_tracers.is_some()),
            ("route_harvester_timeout", self.route_harvester_timeout.is_some()),
            ("disabled_route_harvesters", self.disabled_route_harvesters.is_some()),
            ("services", !self.services.is_empty() && !self.instrument.is_empty()),
        ];
        set_keys(&keys)
    }
}

impl<P> EntryConfig<P> {
    /// Selectors that are set but cannot be decided from what the recorder knows of a process.
    pub fn undecidable(&self) -> Vec<&'static str> {
        set_keys(&[("languages", self.languages.is_some())])
    }

    /// What to export of what it chooses.
    ///
    /// # Errors
    ///
    /// The key that is at fault, and what is wrong with it.
    pub(super) fn signals(&self) -> Result<Signals, (String, String)> {
        let exports = |signal| self.exports.as_ref().is_none_or(|exports| exports.contains(&signal));
        let sampler = self.sampler.as_ref().map(SamplerConfig::sampler).transpose();
        let features = self.metrics.as_ref().and_then(|metrics| metrics.features.as_ref());
        Ok(Signals {
            metrics: exports(Signal::Metrics),
            traces: exports(Signal::Traces),
            sampler: sampler.map_err(|(key, message)| (format!("sampler.{key}"), message))?,
            features: features.map(|listed| listed.iter().flat_map(|feature| feature.metrics()).copied().collect()),
        })
    }
}

fn set_keys(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect()
}
