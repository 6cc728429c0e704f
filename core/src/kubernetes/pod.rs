//! A pod, as an ENRICH event tells it, and the place of a process in it.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A fact of a pod, or of a container in it, that spans and metrics carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodFact {
    /// The cluster's name, which no API tells: it is configured.
    Cluster,
    /// The container's name.
    Container,
    /// The cron job whose job it belongs to.
    CronJob,
    /// The daemon set that it belongs to.
    DaemonSet,
    /// The deployment whose replica set it belongs to.
    Deployment,
    /// The job that it belongs to.
    Job,
    /// Its namespace.
    Namespace,
    /// The node that it runs on.
    Node,
    /// What it belongs to at last: the deployment or cron job, else the replica set, daemon set, stateful set or job.
    Owner,
    /// Its name.
    Name,
    /// When it was started, in RFC 3339.
    StartTime,
    /// Its uid.
    Uid,
    /// The replica set that it belongs to.
    ReplicaSet,
    /// The stateful set that it belongs to.
    StatefulSet,
}

impl PodFact {
    /// All of them, sorted by key.
    pub const ALL: [Self; 14] = [
        Self::Cluster,
        Self::Container,
        Self::CronJob,
        Self::DaemonSet,
        Self::Deployment,
        Self::Job,
        Self::Namespace,
        Self::Node,
        Self::Owner,
        Self::Name,
        Self::StartTime,
        Self::Uid,
        Self::ReplicaSet,
        Self::StatefulSet,
    ];

    /// The attribute: its name in OpenTelemetry's semantic conventions for Kubernetes, where they have it.
    pub const fn key(self) -> &'static str {
        self.names().0
    }

    /// The label: its name in Prometheus.
    pub const fn label(self) -> &'static str {
        self.names().1
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Cluster => ("k8s.cluster.name", "k8s_cluster_name"),
            Self::Container => ("k8s.container.name", "k8s_container_name"),
            Self::CronJob => ("k8s.cronjob.name", "k8s_cronjob_name"),
            Self::DaemonSet => ("k8s.daemonset.name", "k8s_daemonset_name"),
            Self::Deployment => ("k8s.deployment.name", "k8s_deployment_name"),
            Self::Job => ("k8s.job.name", "k8s_job_name"),
            Self::Namespace => ("k8s.namespace.name", "k8s_namespace_name"),
            Self::Node => ("k8s.node.name", "k8s_node_name"),
            Self::Owner => ("k8s.owner.name", "k8s_owner_name"),
            Self::Name => ("k8s.pod.name", "k8s_pod_name"),
            Self::StartTime => ("k8s.pod.start_time", "k8s_pod_start_time"),
            Self::Uid => ("k8s.pod.uid", "k8s_pod_uid"),
            Self::ReplicaSet => ("k8s.replicaset.name", "k8s_replicaset_name"),
            Self::StatefulSet => ("k8s.statefulset.name", "k8s_statefulset_name"),
        }
    }
}

/// What is known of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    facts: BTreeMap<PodFact, Box<str>>,
    labels: BTreeMap<Box<str>, Box<str>>,
    annotations: BTreeMap<Box<str>, Box<str>>,
    /// Names by container id.
    containers: BTreeMap<Box<str>, Box<str>>,
}

impl Pod {
    /// The pod that facts from outside ([`Body::Enrich`](crate::Body::Enrich)) tell of; `None` where they have no
    /// `k8s.pod.uid`, and tell of something else.
    ///
    /// Keys are those of [`PodFact`], `k8s.pod.label.KEY` and `k8s.pod.annotation.KEY`; and for each container
    /// `container.id`, and behind that its `k8s.container.name`. Others are left for newer versions.
    pub fn from_facts<'a>(facts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut pod = Self::default();
        let mut container = None;
        for (key, value) in facts {
            if key == "container.id" {
                pod.containers.insert(value.into(), Box::default());
                container = Some(value);
            } else if key == PodFact::Container.key() {
                if let Some(name) = container.and_then(|id| pod.containers.get_mut(id)) {
                    *name = value.into();
                }
            } else if let Some(label) = key.strip_prefix("k8s.pod.label.") {
                pod.labels.insert(label.into(), value.into());
            } else if let Some(annotation) = key.strip_prefix("k8s.pod.annotation.") {
                pod.annotations.insert(annotation.into(), value.into());
            } else if let Some(fact) = PodFact::ALL.into_iter().find(|fact| fact.key() == key) {
                pod.facts.insert(fact, value.into());
            }
        }
        pod.fact(PodFact::Uid).is_some().then_some(pod)
    }

    /// A fact of it; not [`PodFact::Container`], of which a pod may have several.
    pub fn fact(&self, fact: PodFact) -> Option<&str> {
        self.facts.get(&fact).map(|value| &**value).filter(|value| !value.is_empty())
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(|value| &**value)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(|value| &**value)
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.fact(PodFact::Uid).unwrap_or_default()
    }

    /// The ids of its containers.
    pub(crate) fn container_ids(&self) -> impl Iterator<Item = &str> {
        self.containers.keys().map(|id| &**id)
    }
}

/// The container that a process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id; empty where only its pod is known.
    pub id: Box<str>,
    /// The pod around it; `None` where there is none, or nobody has told of it so far.
    pub pod: Option<Arc<Pod>>,
}

impl Container {
    /// A fact of its pod, or its name.
    pub fn fact(&self, fact: PodFact) -> Option<&str> {
        let pod = self.pod.as_ref()?;
        match fact {
            PodFact::Container => pod.containers.get(&self.id).map(|name| &**name).filter(|name| !name.is_empty()),
            _ => pod.fact(fact),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: [(&str, &str); 11] = [
        ("k8s.pod.uid", "u"),
        ("k8s.pod.name", "web-1"),
        ("k8s.namespace.name", "shop"),
        ("k8s.container.name", "of no container"),
        ("container.id", "a"),
        ("k8s.container.name", "app"),
        ("container.id", "b"),
        ("k8s.pod.label.app.kubernetes.io/name", "web"),
        ("k8s.pod.annotation.note", "x"),
        ("k8s.deployment.name", ""),
        ("of a newer version", "y"),
    ];

    #[test]
    fn facts_make_a_pod() {
        let pod = Arc::new(Pod::from_facts(FACTS).unwrap());
        assert_eq!((pod.uid(), pod.fact(PodFact::Namespace), pod.fact(PodFact::Node)), ("u", Some("shop"), None));
        assert_eq!((pod.label("app.kubernetes.io/name"), pod.annotation("note")), (Some("web"), Some("x")));
        assert_eq!(pod.fact(PodFact::Deployment), None, "an empty value is none");
        let container = |id: &str| Container { id: id.into(), pod: Some(Arc::clone(&pod)) };
        assert_eq!(container("a").fact(PodFact::Container), Some("app"));
        assert_eq!(container("a").fact(PodFact::Name), Some("web-1"));
        assert_eq!((container("b").fact(PodFact::Container), container("c").fact(PodFact::Container)), (None, None));
        assert_eq!(Container { id: "a".into(), pod: None }.fact(PodFact::Name), None);
    }

    #[test]
    fn what_has_no_uid_is_no_pod() {
        assert_eq!(Pod::from_facts([("config", "open_port: 80")]), None);
        assert_eq!(Pod::from_facts([("k8s.pod.uid", "")]), None);
    }

    #[test]
    fn keys_are_sorted_and_labels_are_keys() {
        assert!(PodFact::ALL.is_sorted_by_key(|fact| fact.key()));
        assert!(PodFact::ALL.is_sorted());
        for fact in PodFact::ALL {
            assert_eq!(fact.key().replace('.', "_"), fact.label());
        }
    }
}
