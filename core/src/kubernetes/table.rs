//! The pods that the tape has told of so far.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cgroup::ContainerRef;
use super::pod::Pod;

/// At most `limit` pods; the one that was first told of longest ago goes first.
#[derive(Debug)]
pub(crate) struct Pods {
    limit: usize,
    by_uid: FxHashMap<Box<str>, Arc<Pod>>,
    /// The uid by container id.
    by_container: FxHashMap<Box<str>, Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Pods {
    pub(crate) fn new(limit: usize) -> Self {
        let (by_uid, by_container) = (FxHashMap::default(), FxHashMap::default());
        Self { limit: limit.max(1), by_uid, by_container, order: VecDeque::new() }
    }

    /// Takes a pod in, in place of what was known of it. Returns whether another had to be forgotten.
    pub(crate) fn insert(&mut self, pod: Arc<Pod>) -> bool {
        let uid: Box<str> = pod.uid().into();
        match self.by_uid.insert(uid.clone(), Arc::clone(&pod)) {
            Some(before) => self.forget_containers(&before),
            None => self.order.push_back(uid.clone()),
        }
        self.by_container.extend(pod.container_ids().map(|id| (id.into(), uid.clone())));
        if self.by_uid.len() <= self.limit {
            return false;
        }
        if let Some(oldest) = self.order.pop_front().and_then(|uid| self.by_uid.remove(&uid)) {
            self.forget_containers(&oldest);
        }
        true
    }

    /// Whether exactly this is known of a pod already.
    pub(crate) fn has(&self, pod: &Pod) -> bool {
        self.by_uid.get(pod.uid()).is_some_and(|known| **known == *pod)
    }

    /// The pod of a container: the one that has it, else the one with its uid.
    pub(crate) fn of(&self, container: &ContainerRef<'_>) -> Option<&Arc<Pod>> {
        let by_id = container.id.and_then(|id| self.by_container.get(id)).and_then(|uid| self.by_uid.get(uid));
        by_id.or_else(|| self.by_uid.get(container.pod_uid.as_deref()?))
    }

    fn forget_containers(&mut self, pod: &Pod) {
        for id in pod.container_ids() {
            if self.by_container.get(id).is_some_and(|uid| **uid == *pod.uid()) {
                self.by_container.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, container: &str) -> Arc<Pod> {
        Arc::new(Pod::from_facts([("k8s.pod.uid", uid), ("container.id", container)]).unwrap())
    }

    #[test]
    fn pods_are_found_by_container_and_by_uid_and_are_bounded() {
        let mut pods = Pods::new(2);
        let found = |pods: &Pods, id: &'static str, uid: &'static str| {
            let container = ContainerRef { id: Some(id), pod_uid: Some(uid.into()) };
            pods.of(&container).map(|pod| pod.uid().to_owned())
        };
        assert!(!pods.insert(pod("1", "a")) && !pods.insert(pod("2", "b")));
        assert_eq!(found(&pods, "a", "hash of a static pod").as_deref(), Some("1"));
        assert_eq!(found(&pods, "starts later", "2").as_deref(), Some("2"));
        // Its container was restarted: the old one is not its any more.
        assert!(!pods.insert(pod("1", "c")));
        assert_eq!((found(&pods, "a", ""), found(&pods, "c", "").as_deref()), (None, Some("1")));
        assert!(pods.insert(pod("3", "d")));
        assert_eq!((found(&pods, "c", "1"), found(&pods, "d", "").as_deref()), (None, Some("3")));
    }
}
