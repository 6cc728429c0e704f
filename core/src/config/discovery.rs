//! The discovery part of the configuration as it is written: which processes to record, and what to call them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::export::{SamplerConfig, Signal};
use super::metrics::Features;
use super::pattern::{GlobPattern, Pattern, RegexPattern};
use super::ports::PortList;
use super::routes::ServiceRoutes;
use super::scalar::Period;
use super::section::{Key, section};
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
    /// `system_wide`: all processes.
    pub system_wide: bool,
}

section! {
    /// The `discovery` section.
    DiscoveryConfig {
        /// Processes to record, by regular expressions. Ignored if `instrument` has entries.
        services: Vec<EntryConfig<RegexPattern>> = Vec::new(),
        /// Processes to record, by globs.
        instrument: Vec<EntryConfig<GlobPattern>> = Vec::new(),
        /// Processes never to record, by regular expressions.
        exclude_services: Vec<EntryConfig<RegexPattern>> = Vec::new(),
        /// Processes never to record, by globs.
        exclude_instrument: Vec<EntryConfig<GlobPattern>> = Vec::new(),
        /// Replaces the built-in list of observers that are not recorded unless chosen by id.
        default_exclude_services: Option<Vec<EntryConfig<RegexPattern>>> = None,
        /// Replaces the same list, by globs.
        default_exclude_instrument: Option<Vec<EntryConfig<GlobPattern>>> = None,
        /// How often to look for new processes and ports, as in `5s`.
        poll_interval: Option<Period> = None,
        /// Leaves out of a signal what processes export of it by OTLP themselves, from their first export on.
        exclude_otel_instrumented_services: bool = true,
        /// Processes whose executables are in one of these folders are not recorded unless chosen by id.
        excluded_linux_system_paths: Vec<String> = Vec::new(),
        /// All processes, on its own.
        system_wide: bool = false,
    }
    without effect {
        "a process is followed from its first request on, however young it is" => [min_process_age],
        "`exclude_otel_instrumented_services` leaves span metrics out, too, as Beyla does where this is set"
            => [exclude_otel_instrumented_services_span_metrics],
        "exports by OTLP are told by their paths, on any port" => [default_otlp_grpc_port],
        "Go programs are recorded at their sockets, as all others; `record --tls off` does without probes on functions"
            => [skip_go_specific_tracers],
        "the children of a process are told by the kernel" => [bpf_pid_filter_off],
        "redtape looks for no routes in programs: `redtape routes` and `unmatched: low-cardinality` find them in traffic"
            => [disabled_route_harvesters, route_harvester_advanced, route_harvester_timeout],
        "`redtape-capture doctor` and `record` tell what there is" => [survey],
    }
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
    /// The language that it is written in, where the name of its executable tells: that of an interpreter.
    pub languages: Option<P>,
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
    /// Any of the pod's owners.
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

/// The keys of an entry.
pub(super) const ENTRY_KEYS: &[Key] = &[
    entry("name", &["The `service.name` of what it chooses."]),
    entry("namespace", &["The `service.namespace` of what it chooses."]),
    entry("open_ports", &["The process listens on one of these, as in `80,443,8000-8999`; also `open_port`."]),
    entry("exe_path", &["The executable's path; also `exe_path_regexp`."]),
    entry("target_pids", &["The process, or an ancestor of it, has one of these ids; also `target_pid`."]),
    entry("cmd_args", &["The arguments, joined by spaces, without the program's name."]),
    entry(
        "languages",
        &[
            "The language, as the name of an interpreter tells it: `python`, `nodejs`, `java`, `ruby`, `php`, `dotnet`. Of programs of machine code it is not known, so that none of those fits.",
        ],
    ),
    entry("containers_only", &["The process is in another pid namespace than the recorder."]),
    entry("container_name", &["The container's name."]),
    entry("k8s_namespace", &["The pod's namespace."]),
    entry("k8s_pod_name", &["The pod's name."]),
    entry("k8s_deployment_name", &["The deployment's name."]),
    entry("k8s_replicaset_name", &["The replica set's name."]),
    entry("k8s_daemonset_name", &["The daemon set's name."]),
    entry("k8s_statefulset_name", &["The stateful set's name."]),
    entry("k8s_job_name", &["The job's name."]),
    entry("k8s_cronjob_name", &["The cron job's name."]),
    entry("k8s_owner_name", &["The name of any of the pod's owners."]),
    entry("k8s_container_name", &["The container's name in its pod."]),
    entry("k8s_pod_labels", &["Labels of the pod, each with a pattern of its value."]),
    entry("k8s_pod_annotations", &["Annotations of the pod, each with a pattern of its value."]),
    entry("exports", &["What to export of it: `metrics`, `traces`, or nothing, `[]`."]),
    entry("sampler", &["Which of its traces to export, in place of `otel_traces_export.sampler`."]),
    entry("routes", &["Routes of the service alone; it needs a `name`."]),
    entry("metrics", &["The metrics that it counts in: `features`, in place of those of all."]),
];

const fn entry(name: &'static str, about: &'static [&'static str]) -> Key {
    Key { name, about, works: true }
}

impl<P> EntryConfig<P> {
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
