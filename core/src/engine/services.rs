//! Which service a process is, by the latest facts of it and of its pod.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::otlp::Signal;
use crate::config::{Choice, Discovery, PodNames, ProcessPlace};
use crate::facts::ProcessInfo;
use crate::ids::{Origin, ProcKey, Tgid};
use crate::kubernetes::{Container, ContainerRef, Pod, Pods};
use crate::limits::Limits;
use crate::span::{Ignored, Service};

/// The processes of the tape and their services.
#[derive(Debug)]
pub(super) struct Services {
    discovery: Discovery,
    hosts: FxHashMap<Origin, Box<str>>,
    pods: Pods,
    known: FxHashMap<ProcKey, Known>,
    by_tgid: FxHashMap<(Origin, Tgid), ProcKey>,
    /// In the order of their first sight: the oldest goes first.
    order: VecDeque<ProcKey>,
    limit: usize,
    unknown: Arc<Service>,
}

/// Whether the spans of a process are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Yes: a rule chose it, or nothing in the configuration tells why it is on the tape.
    Yes,
    /// No: the recorder could not tell that its pod would not fit.
    No,
    /// That depends on its pod, which is not known.
    Undecided,
}

#[derive(Debug)]
struct Known {
    info: Arc<ProcessInfo>,
    standing: Standing,
    service: Arc<Service>,
    /// The signals that it exports by itself.
    own: Ignored,
}

/// What the rules say of a process.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// The rule that the recorder went by, who knows of no pods.
    recorded_by: Option<usize>,
    rule: Option<usize>,
    wanted: Wanted,
}

impl Services {
    pub(super) fn new(discovery: Discovery, limits: &Limits) -> Self {
        Self {
            discovery,
            hosts: FxHashMap::default(),
            pods: Pods::new(limits.pods),
            known: FxHashMap::default(),
            by_tgid: FxHashMap::default(),
            order: VecDeque::new(),
            limit: limits.processes.max(1),
            unknown: Arc::new(Service::new(Arc::default(), None, "unknown", None, &PodNames::default())),
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
        let info = Arc::new(info.clone());
        let key = info.key;
        let known = self.judge(Arc::clone(&info));
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
        if self.discovery != discovery {
            self.discovery = discovery;
            self.judge_anew(|_| true);
        }
    }

    /// Takes facts of a pod in: they hold for its processes from now on. Returns whether another pod had to be forgotten.
    pub(super) fn pod(&mut self, pod: Pod) -> bool {
        // Each file of a rotated set repeats what is known.
        if self.pods.has(&pod) {
            return false;
        }
        let pod = Arc::new(pod);
        let evicted = self.pods.insert(Arc::clone(&pod));
        self.judge_anew(|container| container.is_some_and(|found| Arc::ptr_eq(found, &pod)));
        evicted
    }

    /// Decides anew of the processes in pods that `concerned` is true of.
    fn judge_anew(&mut self, concerned: impl Fn(Option<&Arc<Pod>>) -> bool) {
        // In the order of their first sight, which mostly is parents before children.
        for key in self.order.clone() {
            let Some((info, own)) = self.known.get(&key).map(|known| (Arc::clone(&known.info), known.own)) else {
                continue;
            };
            if concerned(self.pods.of(&ContainerRef::of_cgroup(&info.cgroup))) {
                let known = self.judge(info);
                self.known.insert(key, Known { own, ..known });
            }
        }
    }

    /// The service of a process, and whether its spans are wanted.
    pub(super) fn service(&self, process: ProcKey) -> (Arc<Service>, Wanted) {
        match self.known.get(&process) {
            Some(known) => (Arc::clone(&known.service), known.standing.wanted),
            None => (Arc::clone(&self.unknown), Wanted::Yes),
        }
    }

    fn judge(&self, info: Arc<ProcessInfo>) -> Known {
        let found = ContainerRef::of_cgroup(&info.cgroup);
        let container = found
            .is_some()
            .then(|| Container { id: found.id.unwrap_or_default().into(), pod: self.pods.of(&found).map(Arc::clone) });
        let standing = self.standing(&info, container.as_ref());
        let rule = standing.rule.and_then(|rule| self.discovery.rule(rule));
        let on_tape = || self.hosts.get(&info.origin).map_or("", |host| host);
        let host = self.discovery.host_name().unwrap_or_else(on_tape);
        let mut service = Service::new(Arc::clone(&info), rule, host, container, self.discovery.pod_names());
        service.host_id = self.discovery.host_id().map(Into::into);
        let service = Arc::new(service);
        Known { info, standing, service, own: Ignored::default() }
    }

    fn standing(&self, info: &ProcessInfo, container: Option<&Container>) -> Standing {
        let parent = self.by_tgid.get(&(info.origin, info.parent)).and_then(|parent| self.known.get(parent));
        let place = match container {
            None => ProcessPlace::Host,
            Some(Container { pod: None, .. }) => ProcessPlace::Unknown,
            Some(container) => ProcessPlace::Pod(container),
        };
        let recorded_by = self.discovery.select_child(info, parent.and_then(|parent| parent.standing.recorded_by));
        let choice = self.discovery.decide(info, parent.and_then(|parent| parent.standing.rule), place);
        let (rule, wanted) = match choice {
            Choice::Rule(rule) => (Some(rule), Wanted::Yes),
            Choice::Undecided => (None, Wanted::Undecided),
            Choice::Nothing if recorded_by.is_some() => (None, Wanted::No),
            Choice::Nothing => (None, Wanted::Yes),
        };
        Standing { recorded_by, rule, wanted }
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
