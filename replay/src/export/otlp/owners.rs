//! Whose series a metric's points are: series know their services by name alone, so what else resources say is remembered of
//! the spans.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use redtape_core::{AttributeValue, Service};

/// Services that are remembered.
const SERVICES_MAX: usize = 1 << 14;

/// `service.name`, `service.namespace` and `service.instance.id`. Empty for what is redtape's own.
pub(super) type Owner = [String; 3];

/// What is known of each owner.
pub(super) type Services = BTreeMap<Owner, Arc<Known>>;

/// What the resource of an owner says. Processes may have one owner in common, and a resource that told now of the one, now of
/// the other would break the streams of cumulative points: of several, it tells what they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    latest: Arc<Service>,
    /// Attributes by their keys; `None` where processes have differed.
    attributes: BTreeMap<&'static str, Option<AttributeValue<'static>>>,
    several: bool,
}

impl Known {
    fn of(service: &Arc<Service>) -> Self {
        Self { latest: Arc::clone(service), attributes: resource(service), several: false }
    }

    /// The same owner, after one more service of its.
    fn and(&self, service: &Arc<Service>) -> Self {
        if !self.several && self.latest.process.key == service.process.key {
            return Self::of(service);
        }
        let (mut fresh, mut attributes) = (resource(service), self.attributes.clone());
        for (key, value) in &mut attributes {
            let other = fresh.remove(key);
            if !(is_of_container(key) && other.is_none()) && other.as_ref() != Some(&*value) {
                *value = None;
            }
        }
        attributes.extend(fresh.into_iter().map(|(key, value)| (key, value.filter(|_| is_of_container(key)))));
        Self { latest: Arc::clone(service), attributes, several: true }
    }

    /// The attributes of its resource, by their keys.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'static str, &AttributeValue<'static>)> {
        self.attributes.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?)))
    }
}

/// Whether an attribute is of the container, which is learned later than the process: not to have it says nothing.
fn is_of_container(key: &str) -> bool {
    key.starts_with("k8s.") || key.starts_with("container.")
}

fn resource(service: &Service) -> BTreeMap<&'static str, Option<AttributeValue<'static>>> {
    let owned = |value| match value {
        AttributeValue::Int(number) => AttributeValue::Int(number),
        AttributeValue::Text(text) => AttributeValue::Text(text.into_owned().into()),
    };
    service.resource().into_iter().map(|(key, value)| (key, Some(owned(value)))).collect()
}

/// Remembers the services of spans.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// By address, which is quick to look up; they are kept, so that no other service ever has it.
    seen: BTreeMap<usize, Arc<Service>>,
    /// The addresses, the oldest first.
    order: VecDeque<usize>,
    services: Arc<Services>,
}

impl Owners {
    /// Takes the service of a span in. Beyond the bound the oldest is forgotten until it has another span, and its resource
    /// says what series say.
    pub(super) fn see(&mut self, service: &Arc<Service>) {
        let address = Arc::as_ptr(service).addr();
        if self.seen.contains_key(&address) {
            return;
        }
        if self.seen.len() >= SERVICES_MAX {
            self.forget_oldest();
        }
        self.seen.insert(address, Arc::clone(service));
        self.order.push_back(address);
        // It is copied once for each snapshot that waits to be sent, at most.
        let services = Arc::make_mut(&mut self.services);
        let owner = owner(service);
        let known = services.get(&owner).map_or_else(|| Known::of(service), |known| known.and(service));
        services.insert(owner, Arc::new(known));
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front().and_then(|address| self.seen.remove(&address)) else { return };
        let owner = owner(&oldest);
        // Otherwise a later service of the same owner is remembered.
        if self.services.get(&owner).is_some_and(|known| Arc::ptr_eq(&known.latest, &oldest)) {
            Arc::make_mut(&mut self.services).remove(&owner);
        }
    }

    /// The services so far.
    pub(super) fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }
}

fn owner(service: &Service) -> Owner {
    [&service.name, &service.namespace, &service.instance].map(|text| text.to_string())
}

#[cfg(test)]
mod tests {
    use redtape_core::{Container, Origin, ProcKey, ProcessInfo, Signals, Tgid};

    use super::*;

    /// A process of the instance `instance`, in the container `container` if that is known.
    fn service(instance: usize, pid: u32, container: &str) -> Arc<Service> {
        let container =
            Some(Container { id: container.into(), pod: None }).filter(|container| !container.id.is_empty());
        let process = ProcessInfo {
            key: ProcKey::new(Origin::default(), pid.into()),
            tgid: Tgid(pid),
            exe: "/bin/a".into(),
            ..ProcessInfo::default()
        };
        Arc::new(Service {
            name: "cart".into(),
            namespace: "shop".into(),
            instance: instance.to_string().into(),
            host_id: None,
            signals: Signals::default(),
            host: "".into(),
            process: Arc::new(process),
            container,
        })
    }

    /// The keys of the only owner's resource that tell processes and containers apart.
    fn keys(owners: &Owners) -> Vec<&'static str> {
        let services = owners.services();
        let known = services.values().next().unwrap();
        let keys = known.attributes().map(|(key, _)| key);
        keys.filter(|key| ["container.id", "process.executable.path", "process.pid"].contains(key)).collect()
    }

    #[test]
    fn a_resource_tells_what_all_processes_of_its_owner_share() {
        let mut owners = Owners::default();
        owners.see(&service(1, 7, ""));
        assert_eq!(keys(&owners), ["process.executable.path", "process.pid"]);
        owners.see(&service(1, 7, "c0"));
        assert_eq!(keys(&owners), ["container.id", "process.executable.path", "process.pid"]);
        for (pid, container) in [(8, ""), (7, "c0"), (8, "c0"), (8, "c0")] {
            owners.see(&service(1, pid, container));
            assert_eq!(keys(&owners), ["container.id", "process.executable.path"], "{pid}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut owners = Owners::default();
        let first = service(0, 1, "");
        owners.see(&first);
        let known = |owners: &Owners, at: usize| {
            owners.services().contains_key(&["cart".to_owned(), "shop".to_owned(), at.to_string()])
        };
        (1..=SERVICES_MAX).for_each(|at| owners.see(&service(at, 1, "")));
        assert_eq!([0, 1, SERVICES_MAX].map(|at| known(&owners, at)), [false, true, true]);
        owners.see(&first);
        assert_eq!([0, 1, SERVICES_MAX].map(|at| known(&owners, at)), [true, false, true]);
        // The same ones, as after a reload, take the place of those before.
        (2..=SERVICES_MAX).for_each(|at| owners.see(&service(at, 1, "")));
        assert!((2..=SERVICES_MAX).all(|at| known(&owners, at)));
        assert_eq!((owners.seen.len(), owners.order.len()), (SERVICES_MAX, SERVICES_MAX));
    }
}
