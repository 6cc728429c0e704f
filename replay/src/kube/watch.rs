//! The watch: a thread that tells of each pod of a node, when it is there and whenever what is told of it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::thread;

use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use redtape_core::config::{KubeMetadata, Kubernetes};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

use super::facts::{Facts, of_pod};
use crate::failure::{Failure, Kind, Result};
use crate::tls;

/// What is asked of the cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Whether, and where.
    pub(crate) kubernetes: Kubernetes,
    /// The node whose pods are asked for, by `NODE_NAME`.
    pub(crate) node: Option<String>,
    /// Whether this process runs in a cluster, by `KUBERNETES_SERVICE_HOST`.
    pub(crate) in_cluster: bool,
    /// The annotations that the configuration asks for.
    pub(crate) annotations: BTreeSet<String>,
}

/// A watch under way. Dropping it ends it.
pub(crate) struct PodWatch {
    _end: watch::Sender<()>,
}

impl Wanted {
    /// What a configuration wants, in this process's environment.
    pub(crate) fn new(kubernetes: &Kubernetes, annotations: BTreeSet<String>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            kubernetes: kubernetes.clone(),
            node: variable("NODE_NAME"),
            in_cluster: variable("KUBERNETES_SERVICE_HOST").is_some(),
            annotations,
        }
    }

    fn is_enabled(&self) -> bool {
        match self.kubernetes.enable {
            KubeMetadata::Always => true,
            KubeMetadata::Autodetect => self.in_cluster,
            KubeMetadata::Never => false,
        }
    }

    async fn client(&self) -> anyhow::Result<Client> {
        tls::choose();
        let options = KubeConfigOptions::default();
        let config = match &self.kubernetes.kubeconfig_path {
            Some(path) => kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None if self.in_cluster => kube::Config::incluster()?,
            None => kube::Config::from_kubeconfig(&options).await?,
        };
        Ok(Client::try_from(config)?)
    }
}

impl PodWatch {
    /// Starts to watch, if that is wanted; `None` where it is not. `deliver` gets the facts of each pod, on a thread of
    /// its own, for which it may make the watch wait, and says whether it wants more of them.
    ///
    /// Whatever goes wrong later is said on stderr, once as long as it stays the same, and tried again.
    ///
    /// # Errors
    /// The configuration wants it for certain, and nothing says how to reach a cluster, or which node this is.
    pub(crate) fn start(wanted: Wanted, deliver: impl FnMut(Facts) -> bool + Send + 'static) -> Result<Option<Self>> {
        if !wanted.is_enabled() {
            return Ok(None);
        }
        let failed = |message: String| {
            Failure::message(Kind::Environment, format!("attributes.kubernetes: pods cannot be watched: {message}"))
        };
        let without = |message: String| {
            if wanted.kubernetes.enable == KubeMetadata::Always {
                return Err(failed(message));
            }
            eprintln!("redtape: warning: nothing is known of pods: {message}");
            Ok(None)
        };
        let Some(node) = wanted.node.clone() else {
            return without("NODE_NAME is not set; have the pod set it from spec.nodeName".into());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        // A pod may have no account, and have been given none on purpose.
        let client = match runtime.block_on(wanted.client()) {
            Ok(client) => client,
            Err(error) => return without(format!("{error:#}")),
        };
        let (end, mut ended) = watch::channel(());
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = Watch::new(wanted, deliver).run(client, &node) => {}
                    _ = ended.changed() => {}
                }
            });
        };
        thread::Builder::new().name("kubernetes".into()).spawn(run).map_err(|error| failed(error.to_string()))?;
        Ok(Some(Self { _end: end }))
    }
}

/// What the thread has.
struct Watch<F> {
    wanted: Wanted,
    deliver: F,
    /// What was told last of each pod that is there, by uid.
    told: BTreeMap<String, Facts>,
    /// The pods of a list that is not complete yet.
    listed: Option<BTreeSet<String>>,
    /// What went wrong last.
    trouble: String,
}

impl<F: FnMut(Facts) -> bool> Watch<F> {
    fn new(wanted: Wanted, deliver: F) -> Self {
        Self { wanted, deliver, told: BTreeMap::new(), listed: None, trouble: String::new() }
    }

    async fn run(mut self, client: Client, node: &str) {
        let config = watcher::Config::default().fields(&format!("spec.nodeName={node}")).any_semantic();
        let mut events = pin!(watcher(Api::<Pod>::all(client), config).default_backoff());
        while let Some(event) = events.next().await {
            let goes_on = match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => self.tell(&pod),
                Ok(Event::Delete(pod)) => {
                    self.told.remove(pod.metadata.uid.as_deref().unwrap_or_default());
                    true
                }
                Ok(Event::Init) => {
                    self.listed = Some(BTreeSet::new());
                    true
                }
                Ok(Event::InitDone) => {
                    let listed = self.listed.take().unwrap_or_default();
                    self.told.retain(|uid, _| listed.contains(uid));
                    self.trouble.clear();
                    true
                }
                Err(error) => {
                    self.complain(&error);
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Tells of a pod, unless nothing has changed of what a tape says: the status of most changes all the time.
    fn tell(&mut self, pod: &Pod) -> bool {
        let Kubernetes { cluster_name, .. } = &self.wanted.kubernetes;
        let Some(facts) = of_pod(pod, cluster_name.as_deref(), &self.wanted.annotations) else { return true };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.listed.iter_mut().for_each(|listed| {
            listed.insert(uid.clone());
        });
        if self.told.get(&uid) == Some(&facts) {
            return true;
        }
        self.told.insert(uid, facts.clone());
        (self.deliver)(facts)
    }

    fn complain(&mut self, error: &watcher::Error) {
        let error = format!("{:#}", anyhow::anyhow!("{error}"));
        if self.trouble != error {
            eprintln!("redtape: warning: pods cannot be watched, and it is tried again: {error}");
            self.trouble = error;
        }
    }
}
