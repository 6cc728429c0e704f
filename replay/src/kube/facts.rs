//! What a tape says of a pod, as far as the API tells it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use redtape_core::PodFact;

/// Facts from outside: keys and values, as `redtape_core::Pod::from_facts` takes them.
pub(crate) type Facts = Vec<(String, String)>;

/// The annotations by which pods name their service; others only where the configuration asks for them.
const NAMING_ANNOTATIONS: &str = "resource.opentelemetry.io/";

/// Bytes of an annotation's value: what is longer is left out. (Labels are 63 bytes at most.)
const ANNOTATION_BYTES_MAX: usize = 4 << 10;

/// The facts of `pod`; `None` where it has no uid, which no server sends.
pub(super) fn of_pod(pod: &Pod, cluster: Option<&str>, annotations: &BTreeSet<String>) -> Option<Facts> {
    let meta = &pod.metadata;
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    let owners = Owners::of(pod);
    let mut facts: Facts = [
        (PodFact::Uid, Some(meta.uid.clone()?)),
        (PodFact::Name, meta.name.clone()),
        (PodFact::Namespace, meta.namespace.clone()),
        (PodFact::Node, spec.and_then(|spec| spec.node_name.clone())),
        (PodFact::StartTime, status.and_then(|status| Some(status.start_time.as_ref()?.0.to_string()))),
        (PodFact::Cluster, cluster.map(str::to_owned)),
        (PodFact::Deployment, owners.deployment),
        (PodFact::ReplicaSet, owners.replica_set),
        (PodFact::DaemonSet, owners.daemon_set),
        (PodFact::StatefulSet, owners.stateful_set),
        (PodFact::CronJob, owners.cron_job),
        (PodFact::Job, owners.job),
        (PodFact::Owner, owners.last),
    ]
    .into_iter()
    .filter_map(|(fact, value)| Some((fact.key().to_owned(), value.filter(|value| !value.is_empty())?)))
    .collect();

    let lists = status.map(|status| {
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses]
    });
    for container in lists.into_iter().flatten().flatten().flatten() {
        if let Some(id) = container_id(container) {
            facts.push(("container.id".into(), id.into()));
            facts.push((PodFact::Container.key().into(), container.name.clone()));
        }
    }
    let labels = meta.labels.iter().flatten();
    facts.extend(labels.map(|(key, value)| (format!("k8s.pod.label.{key}"), value.clone())));
    let wanted = |key: &str| key.starts_with(NAMING_ANNOTATIONS) || annotations.contains(key);
    let said = meta.annotations.iter().flatten();
    let said = said.filter(|(key, value)| wanted(key) && value.len() <= ANNOTATION_BYTES_MAX);
    facts.extend(said.map(|(key, value)| (format!("k8s.pod.annotation.{key}"), value.clone())));
    Some(facts)
}

/// `containerd://ID`, `cri-o://ID`, `docker://ID`; nothing before the container has been started.
fn container_id(container: &ContainerStatus) -> Option<&str> {
    let (_, id) = container.container_id.as_deref()?.split_once("://")?;
    Some(id).filter(|id| !id.is_empty())
}

/// What a pod belongs to, and what that belongs to.
#[derive(Default)]
struct Owners {
    deployment: Option<String>,
    replica_set: Option<String>,
    daemon_set: Option<String>,
    stateful_set: Option<String>,
    cron_job: Option<String>,
    job: Option<String>,
    last: Option<String>,
}

impl Owners {
    /// A pod names its owner alone. The owner's owner is in the owner's name, as its controller makes it, so that no right
    /// to read replica sets and jobs is needed.
    fn of(pod: &Pod) -> Self {
        let mut owners = Self::default();
        let references = pod.metadata.owner_references.iter().flatten();
        let Some(owner) = references.into_iter().find(|owner| owner.controller == Some(true)) else { return owners };
        let name = Some(owner.name.clone());
        match owner.kind.as_str() {
            "ReplicaSet" => {
                owners.deployment = deployment(pod, &owner.name).map(str::to_owned);
                owners.replica_set = name;
            }
            "DaemonSet" => owners.daemon_set = name,
            "StatefulSet" => owners.stateful_set = name,
            "Job" => {
                owners.cron_job = cron_job(&owner.name).map(str::to_owned);
                owners.job = name;
            }
            _ => {}
        }
        let above = owners.deployment.clone().or_else(|| owners.cron_job.clone());
        owners.last = above.or_else(|| Some(owner.name.clone()));
        owners
    }
}

/// The deployment whose replica set this is: its name is the deployment's and the hash that is also in the pod's labels.
fn deployment<'a>(pod: &Pod, replica_set: &'a str) -> Option<&'a str> {
    let hash = pod.metadata.labels.as_ref()?.get("pod-template-hash")?;
    let name = replica_set.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    Some(name).filter(|name| !name.is_empty())
}

/// The cron job whose job this is: its name is the cron job's and the time that it was due, in minutes (before Kubernetes
/// 1.21, in seconds).
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}
