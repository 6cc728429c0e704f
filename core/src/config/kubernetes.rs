//! `attributes.kubernetes`: where facts of pods come from, and which of them name services. Only `redtape live` asks for them; a
//! replay has them from the tape.

use std::collections::BTreeMap;

use super::name_template::NameTemplate;
use super::section::{section, words};

/// The labels that name services unless others are given.
const NAME_LABEL: &str = "app.kubernetes.io/name";
const NAMESPACE_LABEL: &str = "app.kubernetes.io/part-of";

section! {
    /// `attributes.kubernetes`
    Kubernetes {
        /// Whether the cluster is asked for its pods.
        enable: KubeMetadata = KubeMetadata::Autodetect,
        /// The cluster's name, which no API tells.
        cluster_name: Option<String> = None,
        /// How to reach the API, where not by the service account of redtape's own pod.
        kubeconfig_path: Option<String> = None,
        /// Labels of pods that give `service.name` and `service.namespace`, the first there is; `app.kubernetes.io/name` and
        /// `app.kubernetes.io/part-of` if not given.
        resource_labels: BTreeMap<String, Vec<String>> = BTreeMap::new(),
        /// Labels before those, as older files have them.
        meta_source_labels: MetaSourceLabels = MetaSourceLabels::default(),
        /// A template of `service.name`, in place of pods' annotations, labels and owners:
        /// `{{ .Meta.Namespace }}/{{ index .Meta.Labels "app" }}`, also with `.Meta.Name`, `.Meta.Annotations`,
        /// `.ContainerName`, `if` and `else`.
        service_name_template: Option<NameTemplate> = None,
    }
    without effect {
        "each pod is asked for by itself, when a process of it is recorded" => [
            disable_informers, informers_resync_period, informers_sync_timeout, meta_cache_address,
            meta_restrict_local_node, reconnect_initial_interval,
        ],
        "redtape has no metrics of packets, TCP, processes or hosts" => [drop_external],
    }
}

section! {
    /// `attributes.kubernetes.meta_source_labels`
    MetaSourceLabels {
        /// A label of pods that gives `service.name`.
        service_name: String = String::new(),
        /// A label of pods that gives `service.namespace`.
        service_namespace: String = String::new(),
    }
    without effect {}
}

/// What of a pod names its service, beside the annotations `resource.opentelemetry.io/*`.
#[derive(Clone, Debug, PartialEq)]
pub struct PodNames {
    /// Makes the name, in place of annotations, labels and owners.
    pub(crate) template: Option<NameTemplate>,
    /// The labels for the name, the first there is.
    pub(crate) name_labels: Vec<String>,
    /// The labels for the namespace.
    pub(crate) namespace_labels: Vec<String>,
}

impl Default for PodNames {
    fn default() -> Self {
        Kubernetes::default().names()
    }
}

impl Kubernetes {
    /// What of a pod names its service.
    pub(super) fn names(&self) -> PodNames {
        let labels = |attribute: &str, before: &String, or: &str| {
            let given = self.resource_labels.get(attribute).cloned().unwrap_or_else(|| vec![or.to_owned()]);
            let before = Some(before.clone()).filter(|label| !label.is_empty());
            before.into_iter().chain(given).collect()
        };
        let MetaSourceLabels { service_name, service_namespace } = &self.meta_source_labels;
        PodNames {
            template: self.service_name_template.clone(),
            name_labels: labels("service.name", service_name, NAME_LABEL),
            namespace_labels: labels("service.namespace", service_namespace, NAMESPACE_LABEL),
        }
    }

    /// The attributes in `resource_labels` that no label is taken for.
    pub(super) fn labels_without_effect(&self) -> impl Iterator<Item = (String, String)> {
        let others =
            self.resource_labels.keys().filter(|key| !["service.name", "service.namespace"].contains(&key.as_str()));
        others.map(|attribute| {
            let path = format!("attributes.kubernetes.resource_labels.{attribute}");
            (path, "has no effect: labels give `service.name` and `service.namespace` alone".into())
        })
    }
}

words! {
    /// Whether the cluster is asked for its pods.
    KubeMetadata {
        /// Where redtape itself runs in a pod.
        Autodetect = "autodetect",
        /// Always; it is an error that there is no cluster.
        Always = "true",
        /// Never.
        Never = "false",
    }
}

#[cfg(test)]
mod tests {
    use super::{KubeMetadata, PodNames};
    use crate::config::Config;

    #[test]
    fn labels_that_name_services() {
        let names = |yaml: &str| {
            let text = format!("attributes: {{kubernetes: {{{yaml}}}}}");
            let (config, warnings) = Config::from_yaml(&text, "c.yml").unwrap();
            let PodNames { name_labels, namespace_labels, .. } = config.attributes.kubernetes.names();
            let warned: Vec<_> = warnings.into_iter().map(|warning| warning.place.path).collect();
            (name_labels.join(" "), namespace_labels.join(" "), warned.join(" "))
        };
        let (name, namespace) = ("app.kubernetes.io/name", "app.kubernetes.io/part-of");
        for (yaml, expected) in [
            ("", [name, namespace, ""]),
            ("resource_labels: {service.name: [app, run]}", ["app run", namespace, ""]),
            ("resource_labels: {service.namespace: []}", [name, "", ""]),
            ("meta_source_labels: {service_namespace: team}", [name, "team app.kubernetes.io/part-of", ""]),
            (
                "resource_labels: {service.version: [v]}",
                [name, namespace, "attributes.kubernetes.resource_labels.service.version"],
            ),
        ] {
            assert_eq!(names(yaml), expected.map(str::to_owned).into(), "{yaml}");
        }
        let error = Config::from_yaml("attributes:\n  kubernetes:\n    service_name_template: '{{ .Host }}'", "c.yml");
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("c.yml:3:28: attributes.kubernetes.service_name_template: `{{ .Host }}` is not"),
            "{error}"
        );
    }

    #[test]
    fn yes_and_no_are_yamls_own() {
        for (value, expected) in [
            ("true", KubeMetadata::Always),
            ("false", KubeMetadata::Never),
            ("autodetect", KubeMetadata::Autodetect),
            ("\"true\"", KubeMetadata::Always),
        ] {
            let text = format!("attributes: {{kubernetes: {{enable: {value}, cluster_name: east}}}}");
            let (config, warnings) = Config::from_yaml(&text, "c.yml").unwrap();
            assert_eq!((config.attributes.kubernetes.enable, warnings), (expected, Vec::new()), "{value}");
        }
        assert!(Config::from_yaml("attributes: {kubernetes: {enable: maybe}}", "c.yml").is_err());
    }
}
