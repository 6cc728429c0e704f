//! The discovery part of the configuration as it is written: which processes to record, and what to call them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::pattern::{GlobPattern, Pattern, RegexPattern};
use super::ports::PortList;
use super::routes::ServiceRoutes;
use super::scalar::Period;

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
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
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
    /// Known, without effect.
    pub exclude_otel_instrumented_services: Option<IgnoredAny>,
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
    /// Selector that the recorder cannot decide.
    pub container_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_namespace: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_pod_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_deployment_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_replicaset_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_daemonset_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_statefulset_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_job_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_cronjob_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_owner_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_container_name: Option<IgnoredAny>,
    /// Selector that the recorder cannot decide.
    pub k8s_pod_labels: Option<BTreeMap<String, IgnoredAny>>,
    /// Selector that the recorder cannot decide.
    pub k8s_pod_annotations: Option<BTreeMap<String, IgnoredAny>>,
    /// Which signals to export of the service: `metrics`, `traces`; an empty list means none.
    pub exports: Option<Vec<String>>,
    /// Routes of this service alone.
    pub routes: Option<ServiceRoutes>,
    /// Known, without effect.
    pub sampler: Option<IgnoredAny>,
    /// Known, without effect.
    pub metrics: Option<IgnoredAny>,
}

impl DiscoveryConfig {
    /// Keys that are set and known, but without effect here.
    pub fn without_effect(&self) -> Vec<&'static str> {
        let keys = [
            ("min_process_age", self.min_process_age.is_some()),
            ("exclude_otel_instrumented_services", self.exclude_otel_instrumented_services.is_some()),
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
        let keys = [
            ("languages", self.languages.is_some()),
            ("container_name", self.container_name.is_some()),
            ("k8s_namespace", self.k8s_namespace.is_some()),
            ("k8s_pod_name", self.k8s_pod_name.is_some()),
            ("k8s_deployment_name", self.k8s_deployment_name.is_some()),
            ("k8s_replicaset_name", self.k8s_replicaset_name.is_some()),
            ("k8s_daemonset_name", self.k8s_daemonset_name.is_some()),
            ("k8s_statefulset_name", self.k8s_statefulset_name.is_some()),
            ("k8s_job_name", self.k8s_job_name.is_some()),
            ("k8s_cronjob_name", self.k8s_cronjob_name.is_some()),
            ("k8s_owner_name", self.k8s_owner_name.is_some()),
            ("k8s_container_name", self.k8s_container_name.is_some()),
            ("k8s_pod_labels", self.k8s_pod_labels.is_some()),
            ("k8s_pod_annotations", self.k8s_pod_annotations.is_some()),
        ];
        set_keys(&keys)
    }

    /// Keys that are set and known, but without effect here.
    pub fn without_effect(&self) -> Vec<&'static str> {
        set_keys(&[("sampler", self.sampler.is_some()), ("metrics", self.metrics.is_some())])
    }
}

fn set_keys(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, set)| *set).map(|(key, _)| *key).collect()
}
