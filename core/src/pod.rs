//! What is known of a Kubernetes pod: learned from outside while a tape runs, and on the tape from then on.

use std::collections::BTreeMap;

/// A pod. On a tape it is facts from outside ([`Body::Enrich`](crate::Body::Enrich)) under the names of OpenTelemetry's
/// semantic conventions for Kubernetes resources; what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodInfo {
    /// `k8s.pod.uid`
    pub uid: String,
    /// `k8s.pod.name`
    pub name: String,
    /// `k8s.namespace.name`
    pub namespace: String,
    /// `k8s.node.name`
    pub node: String,
    /// `k8s.pod.start_time`, as in RFC 3339.
    pub start_time: String,
    /// Who made it, and who made that, by kind.
    pub owners: Owners,
    /// `k8s.container.name` by `container.id`.
    pub containers: BTreeMap<String, String>,
    /// `k8s.pod.label.KEY`
    pub labels: BTreeMap<String, String>,
    /// `k8s.pod.annotation.KEY`
    pub annotations: BTreeMap<String, String>,
}

/// The workloads that a pod belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// `k8s.deployment.name`
    pub deployment: String,
    /// `k8s.replicaset.name`
    pub replicaset: String,
    /// `k8s.daemonset.name`
    pub daemonset: String,
    /// `k8s.statefulset.name`
    pub statefulset: String,
    /// `k8s.job.name`
    pub job: String,
    /// `k8s.cronjob.name`
    pub cronjob: String,
}

const UID: &str = "k8s.pod.uid";
const CONTAINER_ID: &str = "container.id";
const CONTAINER_NAME: &str = "k8s.container.name";
const LABEL: &str = "k8s.pod.label.";
const ANNOTATION: &str = "k8s.pod.annotation.";

impl PodInfo {
    /// The pod among the facts of a tape; `None` if there is none. The name of a container follows its id.
    pub fn from_facts(facts: &[(String, String)]) -> Option<Self> {
        let mut pod = Self::default();
        let mut container = None;
        for (key, value) in facts {
            let value = value.clone();
            match key.as_str() {
                CONTAINER_ID => {
                    pod.containers.insert(value.clone(), String::new());
                    container = Some(value);
                }
                CONTAINER_NAME => {
                    if let Some(id) = container.take() {
                        pod.containers.insert(id, value);
                    }
                }
                key => {
                    if let Some((_, field)) = pod.fields_mut().into_iter().find(|(name, _)| *name == key) {
                        *field = value;
                    } else if let Some(key) = key.strip_prefix(LABEL) {
                        pod.labels.insert(key.into(), value);
                    } else if let Some(key) = key.strip_prefix(ANNOTATION) {
                        pod.annotations.insert(key.into(), value);
                    }
                }
            }
        }
        (!pod.uid.is_empty()).then_some(pod)
    }

    /// As facts of a tape.
    pub fn to_facts(&self) -> Vec<(String, String)> {
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let mut pod = self.clone();
        let fields = pod.fields_mut();
        let mut facts: Vec<_> = fields.iter().map(|(key, value)| pair((key, value))).collect();
        facts.extend(
            self.containers.iter().flat_map(|(id, name)| [(CONTAINER_ID, &**id), (CONTAINER_NAME, name)]).map(pair),
        );
        facts.extend(self.labels.iter().map(|(key, value)| (format!("{LABEL}{key}"), value.clone())));
        facts.extend(self.annotations.iter().map(|(key, value)| (format!("{ANNOTATION}{key}"), value.clone())));
        facts.retain(|(key, value)| !value.is_empty() || key.starts_with(LABEL) || key.starts_with(ANNOTATION));
        facts
    }

    /// What there is one of, by its name.
    fn fields_mut(&mut self) -> [(&'static str, &mut String); 11] {
        let Owners { deployment, replicaset, daemonset, statefulset, job, cronjob } = &mut self.owners;
        [
            (UID, &mut self.uid),
            ("k8s.pod.name", &mut self.name),
            ("k8s.namespace.name", &mut self.namespace),
            ("k8s.node.name", &mut self.node),
            ("k8s.pod.start_time", &mut self.start_time),
            ("k8s.deployment.name", deployment),
            ("k8s.replicaset.name", replicaset),
            ("k8s.daemonset.name", daemonset),
            ("k8s.statefulset.name", statefulset),
            ("k8s.job.name", job),
            ("k8s.cronjob.name", cronjob),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_the_same_from_its_facts() {
        let text = |text: &str| text.to_owned();
        let pod = PodInfo {
            uid: text("7f1c"),
            name: text("shop-5d9-x2"),
            namespace: text("prod"),
            owners: Owners { deployment: text("shop"), replicaset: text("shop-5d9"), ..Owners::default() },
            containers: [("c1", "shop"), ("c2", "proxy"), ("c3", "")].map(|(id, name)| (text(id), text(name))).into(),
            labels: [(text("app"), text("shop")), (text("canary"), text(""))].into(),
            annotations: [(text("team"), text("blue"))].into(),
            ..PodInfo::default()
        };
        assert_eq!(PodInfo::from_facts(&pod.to_facts()), Some(pod));
        assert_eq!(PodInfo::from_facts(&[(text("k8s.pod.name"), text("shop"))]), None);
    }
}
