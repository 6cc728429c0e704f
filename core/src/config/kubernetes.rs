//! `attributes.kubernetes`: where facts of pods come from. Only `redtape live` asks for them; a replay has them from the tape.

use super::section::{section, words};

section! {
    /// `attributes.kubernetes`
    Kubernetes {
        /// Whether the cluster is asked for its pods.
        enable: KubeMetadata = KubeMetadata::Autodetect,
        /// The cluster's name, which no API tells.
        cluster_name: Option<String> = None,
        /// How to reach the API, where not by the service account of redtape's own pod.
        kubeconfig_path: Option<String> = None,
    }
    without effect {
        "each pod is asked for by itself, when a process of it is recorded" => [
            disable_informers, informers_resync_period, informers_sync_timeout, meta_cache_address,
            meta_restrict_local_node, reconnect_initial_interval,
        ],
        "redtape has no metrics of packets, TCP, processes or hosts" => [drop_external],
        "the service is named as `docs/deploy.md` says" => [
            meta_source_labels, resource_labels, service_name_template,
        ],
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
    use super::KubeMetadata;
    use crate::config::Config;

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
