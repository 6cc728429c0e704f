//! The selectors of a discovery entry that ask about the pod that a process is in.

use super::discovery::EntryConfig;
use super::pattern::Pattern;
use crate::kubernetes::{Container, PodFact};

/// Patterns that a pod has to fit, all of them. Without any, every process fits, also one in no pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PodSelector {
    pub(super) facts: Vec<(PodFact, Pattern)>,
    pub(super) labels: Vec<(String, Pattern)>,
    pub(super) annotations: Vec<(String, Pattern)>,
}

const OWNERS: &[PodFact] = &[
    PodFact::Owner,
    PodFact::CronJob,
    PodFact::DaemonSet,
    PodFact::Deployment,
    PodFact::Job,
    PodFact::ReplicaSet,
    PodFact::StatefulSet,
];

impl PodSelector {
    pub(super) fn new<P: Clone + Into<Pattern>>(entry: &EntryConfig<P>) -> Self {
        let facts = [
            (PodFact::Container, &entry.container_name),
            (PodFact::Container, &entry.k8s_container_name),
            (PodFact::CronJob, &entry.k8s_cronjob_name),
            (PodFact::DaemonSet, &entry.k8s_daemonset_name),
            (PodFact::Deployment, &entry.k8s_deployment_name),
            (PodFact::Job, &entry.k8s_job_name),
            (PodFact::Namespace, &entry.k8s_namespace),
            (PodFact::Owner, &entry.k8s_owner_name),
            (PodFact::Name, &entry.k8s_pod_name),
            (PodFact::ReplicaSet, &entry.k8s_replicaset_name),
            (PodFact::StatefulSet, &entry.k8s_statefulset_name),
        ];
        let pattern = |pattern: &P| pattern.clone().into();
        let by_key = |patterns: &std::collections::BTreeMap<String, P>| {
            patterns.iter().map(|(key, value)| (key.clone(), pattern(value))).collect()
        };
        Self {
            facts: facts.into_iter().filter_map(|(fact, value)| Some((fact, pattern(value.as_ref()?)))).collect(),
            labels: by_key(&entry.k8s_pod_labels),
            annotations: by_key(&entry.k8s_pod_annotations),
        }
    }

    /// A selector of namespaces alone.
    pub(super) fn of_namespaces(namespaces: Pattern) -> Self {
        Self { facts: vec![(PodFact::Namespace, namespaces)], ..Self::default() }
    }

    /// The annotations that it asks about.
    pub(super) fn annotations(&self) -> impl Iterator<Item = &str> {
        self.annotations.iter().map(|(key, _)| key.as_str())
    }

    /// Whether it asks anything.
    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.labels.is_empty() && self.annotations.is_empty()
    }

    /// Whether the pod of `container` fits all of it.
    pub(super) fn matches(&self, container: &Container) -> bool {
        let Some(pod) = &container.pod else { return self.is_empty() };
        let fits = |value: Option<&str>, pattern: &Pattern| value.is_some_and(|value| pattern.matches(value));
        let fits_fact = |(fact, pattern): &(PodFact, Pattern)| {
            // An owner is whoever owns the pod, or owns that.
            let asked = if *fact == PodFact::Owner { OWNERS } else { std::slice::from_ref(fact) };
            asked.iter().any(|fact| fits(container.fact(*fact), pattern))
        };
        self.facts.iter().all(fits_fact)
            && self.labels.iter().all(|(key, pattern)| fits(pod.label(key), pattern))
            && self.annotations.iter().all(|(key, pattern)| fits(pod.annotation(key), pattern))
    }
}
