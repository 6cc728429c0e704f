//! Which service a process is, by the latest facts of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::otlp::Signal;
use crate::config::Discovery;
use crate::facts::ProcessInfo;
use crate::ids::{Origin, ProcKey, Tgid};
use crate::pod::PodInfo;
use crate::span::{Ignored, Service};

/// The processes of the tape and their services.
#[derive(Debug)]
pub(super) struct Services {
    /// Pods by their id; the oldest goes first.
    pods: BTreeMap<String, Arc<PodInfo>>,
    pod_order: VecDeque<String>,
    discovery: Discovery,
    hosts: FxHashMap<Origin, Box<str>>,
    known: FxHashMap<ProcKey, Known>,
    by_tgid: FxHashMap<(Origin, Tgid), ProcKey>,
    /// In the order of their first sight: the oldest goes first.
    order: VecDeque<ProcKey>,
    limit: usize,
    unknown: Arc<Service>,
}

#[derive(Debug)]
struct Known {
    info: Arc<ProcessInfo>,
    rule: Option<usize>,
    service: Arc<Service>,
    /// The signals that it exports by itself.
    own: Ignored,
}

impl Services {
    pub(super) fn new(discovery: Discovery, limit: usize) -> Self {
        Self {
            pods: BTreeMap::new(),
            pod_order: VecDeque::new(),
            discovery,
            hosts: FxHashMap::default(),
            known: FxHashMap::default(),
            by_tgid: FxHashMap::default(),
            order: VecDeque::new(),
            limit: limit.max(1),
            unknown: Arc::new(Service::new(Arc::default(), None, "unknown")),
        }
    }

    /// The name of the host of a recording.
    pub(super) fn host(&mut self, origin: Origin, name: &str) {
        self.hosts.insert(origin, name.into());
    }

    /// Takes facts of a process in. Returns whether another had to be forgotten.
    pub(super) fn process(&mut self, info: &ProcessInfo) -> bool {
        // Dictionaries repeat themselves block by block.
        if self.known.get(&info.key).is_some_and(|known| *known.info == *info) {
            return false;
        }
        let known = self.judge(Arc::new(info.clone()));
        let key = info.key;
        let mut own = Ignored::default();
        if let Some(before) = self.known.get(&key).map(|known| (Arc::clone(&known.info), known.own)) {
            self.forget_tgid(&before.0);
            // Another program may export nothing.
            own = if before.0.exe == info.exe { before.1 } else { own };
        } else {
            self.order.push_back(key);
        }
        self.by_tgid.insert((info.origin, info.tgid), key);
        self.known.insert(key, Known { own, ..known });
        self.evict()
    }

    /// Goes by other rules from now on, also for the processes that are known.
    pub(super) fn reload(&mut self, discovery: Discovery) {
        if self.discovery == discovery {
            return;
        }
        self.discovery = discovery;
        // In the order of their first sight, which mostly is parents before children.
        for key in self.order.clone() {
            let Some((info, own)) = self.known.get(&key).map(|known| (Arc::clone(&known.info), known.own)) else {
                continue;
            };
            let known = self.judge(info);
            self.known.insert(key, Known { own, ..known });
        }
    }

    /// Takes facts of a pod in.
    pub(super) fn pod(&mut self, pod: PodInfo) {
        let uid = pod.uid.clone();
        if self.pods.insert(uid.clone(), Arc::new(pod)).is_none() {
            self.pod_order.push_back(uid);
        }
        if self.pods.len() > self.limit
            && let Some(oldest) = self.pod_order.pop_front()
        {
            self.pods.remove(&oldest);
        }
    }

    /// What is to be said of a process.
    fn judge(&self, info: Arc<ProcessInfo>) -> Known {
        let parent = self.by_tgid.get(&(info.origin, info.parent)).and_then(|parent| self.known.get(parent)?.rule);
        let rule = self.discovery.select_child(&info, parent);
        let host = self.hosts.get(&info.origin).map_or("", |host| host);
        let named = rule.and_then(|rule| self.discovery.rule(rule));
        let service = Arc::new(Service::new(Arc::clone(&info), named, host));
        Known { info, rule, service, own: Ignored::default() }
    }

    /// The service of a process.
    pub(super) fn service(&self, process: ProcKey) -> Arc<Service> {
        Arc::clone(self.known.get(&process).map_or(&self.unknown, |known| &known.service))
    }

    /// The signals that a process has been seen to export by itself.
    pub(super) fn own_signals(&self, process: ProcKey) -> Ignored {
        self.known.get(&process).map_or_else(Ignored::default, |known| known.own)
    }

    /// A process exports a signal by itself.
    pub(super) fn instrumented(&mut self, process: ProcKey, signal: Signal) {
        let Some(known) = self.known.get_mut(&process) else { return };
        match signal {
            Signal::Traces => known.own.traces = true,
            Signal::Metrics => known.own.metrics = true,
        }
    }

    fn evict(&mut self) -> bool {
        if self.known.len() <= self.limit {
            return false;
        }
        if let Some(oldest) = self.order.pop_front().and_then(|key| self.known.remove(&key)) {
            self.forget_tgid(&oldest.info);
        }
        true
    }

    /// The process does not have its process id any more, unless another has got it.
    fn forget_tgid(&mut self, info: &ProcessInfo) {
        let id = (info.origin, info.tgid);
        if self.by_tgid.get(&id) == Some(&info.key) {
            self.by_tgid.remove(&id);
        }
    }
}
