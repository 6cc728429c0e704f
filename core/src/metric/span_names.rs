//! `attributes.metric_span_names_limit`: how many span names one service may have in span metrics.

use rustc_hash::{FxHashMap, FxHashSet};

use super::label::Label;
use crate::span::Span;
use crate::time::MonoNanos;

/// The name of all spans of a service that has too many names.
pub(super) const AGGREGATED: &str = "AGGREGATED";

/// The names that each service has shown.
///
/// Once a service has as many names as the limit, all of its further spans count as [`AGGREGATED`], those with names from
/// before too, until it has been silent for the metrics' `ttl`.
#[derive(Clone, Debug)]
pub(super) struct SpanNames {
    /// Names of one service; 0 is no limit.
    limit: usize,
    /// Services.
    services_max: usize,
    ttl_nanos: u64,
    services: FxHashMap<[Box<str>; 2], Names>,
    name: String,
}

#[derive(Clone, Debug, Default)]
struct Names {
    seen: FxHashSet<Box<str>>,
    last: MonoNanos,
}

impl SpanNames {
    pub(super) fn new(limit: usize, services_max: usize, ttl_nanos: u64) -> Self {
        Self { limit, services_max, ttl_nanos, services: FxHashMap::default(), name: String::new() }
    }

    /// Takes a span in; whether it counts as aggregated.
    pub(super) fn aggregates(&mut self, span: &Span) -> bool {
        if self.limit == 0 {
            return false;
        }
        let service = [span.service.namespace.clone(), span.service.name.clone()];
        if self.services.len() >= self.services_max && !self.services.contains_key(&service) {
            self.services.retain(|_, names| span.end.since(names.last) <= self.ttl_nanos);
            if self.services.len() >= self.services_max {
                return true;
            }
        }
        let Names { seen, last } = self.services.entry(service).or_default();
        if span.end.since(*last) > self.ttl_nanos {
            seen.clear();
        }
        *last = span.end.max(*last);
        if seen.len() >= self.limit {
            return true;
        }
        self.name.clear();
        Label::SpanName.write(span, &mut self.name);
        if !seen.contains(self.name.as_str()) {
            seen.insert(self.name.as_str().into());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metric::spans::server;
    use crate::span::Service;

    #[test]
    fn names_beyond_the_limit_are_one_until_the_service_is_silent() {
        let mut names = SpanNames::new(2, 2, 1_000);
        let mut aggregates = |service: &str, route: &str, at: u64| {
            let mut span = server(route);
            span.service = Arc::new(Service { name: service.into(), ..(*span.service).clone() });
            span.end = MonoNanos::new(at);
            names.aggregates(&span)
        };
        let seen = [
            aggregates("a", "/1", 10),
            aggregates("a", "/1", 20),
            aggregates("a", "/2", 30),
            aggregates("a", "/1", 40),
            aggregates("b", "/1", 50),
            // No room for a third, until one of the others has been silent.
            aggregates("c", "/1", 60),
            aggregates("a", "/1", 900),
            aggregates("c", "/1", 1_100),
            aggregates("a", "/1", 1_901),
            aggregates("a", "/3", 1_901),
            aggregates("a", "/4", 1_901),
        ];
        assert_eq!(seen, [false, false, false, true, false, true, true, false, false, false, true]);
    }
}
