//! Whose series a metric's points are: series know their services by name alone, so what else resources say is remembered of
//! the spans.

use std::collections::BTreeMap;
use std::sync::Arc;

use redtape_core::{Service, Span};

/// Services that are remembered.
const SERVICES_MAX: usize = 1 << 14;

/// `service.name`, `service.namespace` and `service.instance.id`. Empty for what is redtape's own.
pub(super) type Owner = [String; 3];

/// The latest service of each owner.
pub(super) type Services = BTreeMap<Owner, Arc<Service>>;

/// Remembers the services of spans.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// By address, which is quick to look up; they are kept, so that no other service ever has it.
    seen: BTreeMap<usize, Arc<Service>>,
    services: Arc<Services>,
}

impl Owners {
    /// Takes the service of a span in. What is beyond the bound is not remembered, and its resources say what series say.
    pub(super) fn see(&mut self, span: &Span) {
        let service = &span.service;
        let address = Arc::as_ptr(service).addr();
        if self.seen.contains_key(&address) || self.seen.len() >= SERVICES_MAX {
            return;
        }
        self.seen.insert(address, Arc::clone(service));
        let owner = [&service.name, &service.namespace, &service.instance].map(|text| text.to_string());
        Arc::make_mut(&mut self.services).insert(owner, Arc::clone(service));
    }

    /// The services so far.
    pub(super) fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }
}
