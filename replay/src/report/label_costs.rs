//! What labels would do to the number of series that metrics do not have: distinct values, counted in bounded memory.

use std::collections::BTreeMap;

use redtape_core::{Span, SpanKind};
use serde::Serialize;

use crate::distinct::Distinct;

/// Distinct values of one thing that are told apart.
const DISTINCT_MAX: usize = 100_000;
/// Routes whose paths are counted, and how many of them are told apart in all.
const ROUTES_MAX: usize = 1_000;
/// Routes on the page, those with the most paths.
const ROUTES_SHOWN: usize = 30;
/// Paths that are shown of a route.
const EXAMPLES: usize = 3;

/// Counts distinct values of attributes of server spans.
#[derive(Debug, Default)]
pub(super) struct LabelCosts {
    /// What the metrics have: service, method, route and status.
    series: Distinct,
    attributes: BTreeMap<&'static str, (Distinct, Distinct)>,
    routes: BTreeMap<(String, String), Paths>,
    paths: usize,
}

#[derive(Debug, Default)]
struct Paths {
    seen: Distinct,
    examples: Vec<String>,
}

/// The same for the page.
#[derive(Debug, Serialize)]
pub(super) struct WouldBe {
    /// Combinations of service, method, route and status: what a metric of requests has a series for.
    series: usize,
    /// Attributes that are no labels, those with the most series first.
    attributes: Vec<Attribute>,
    /// Routes by how many paths they stand for.
    routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
struct Attribute {
    name: &'static str,
    values: usize,
    /// Combinations of service, method, route, status and this.
    series: usize,
    /// There are more of either.
    at_least: bool,
}

#[derive(Debug, Serialize)]
struct Route {
    service: String,
    route: String,
    paths: usize,
    /// There are more.
    at_least: bool,
    examples: Vec<String>,
}

impl LabelCosts {
    /// Counts a span.
    pub(super) fn observe(&mut self, span: &Span) {
        if span.kind != SpanKind::Server || span.is_grpc() {
            return;
        }
        let http = &span.http;
        let labels = (&span.service.name, span.method(), &span.route, http.status_code);
        self.series.insert(labels, DISTINCT_MAX);
        let client = span.client_address();
        let server = span.server_address();
        let attributes = [
            ("client.address", client.as_deref()),
            ("server.address", server.as_deref()),
            ("url.path", Some(http.path())),
            ("url.query", http.query()),
            ("user_agent.original", http.user_agent()),
        ];
        for (name, value) in attributes {
            let (values, series) = self.attributes.entry(name).or_default();
            if let Some(value) = value {
                values.insert(value, DISTINCT_MAX);
            }
            // Without a value the label is empty, which is a series, too.
            series.insert((labels, value), DISTINCT_MAX);
        }
        if span.has_path() {
            self.path(span);
        }
    }

    fn path(&mut self, span: &Span) {
        let key = (span.service.name.to_string(), span.route.to_string());
        if self.routes.len() >= ROUTES_MAX && !self.routes.contains_key(&key) {
            return;
        }
        let paths = self.routes.entry(key).or_default();
        let room = DISTINCT_MAX.saturating_sub(self.paths);
        let limit = paths.seen.len() + room;
        if paths.seen.insert(span.http.path(), limit) {
            self.paths += 1;
            if paths.examples.len() < EXAMPLES {
                paths.examples.push(span.http.path().chars().take(200).collect());
            }
        }
    }

    /// What the page shows.
    pub(super) fn would_be(&self) -> WouldBe {
        let attribute = |(name, (values, series)): (&&'static str, &(Distinct, Distinct))| Attribute {
            name,
            values: values.len(),
            series: series.len(),
            at_least: values.is_full() || series.is_full(),
        };
        let known = self.attributes.iter().filter(|(_, (values, _))| values.len() > 0);
        let mut attributes: Vec<_> = known.map(attribute).collect();
        attributes.sort_by(|a, b| (b.series, a.name).cmp(&(a.series, b.name)));
        let route = |((service, route), paths): (&(String, String), &Paths)| Route {
            service: service.clone(),
            route: route.clone(),
            paths: paths.seen.len(),
            at_least: paths.seen.is_full(),
            examples: paths.examples.clone(),
        };
        let mut routes: Vec<_> = self.routes.iter().map(route).collect();
        routes.sort_by(|a, b| (b.paths, &a.service, &a.route).cmp(&(a.paths, &b.service, &b.route)));
        routes.truncate(ROUTES_SHOWN);
        WouldBe { series: self.series.len(), attributes, routes }
    }
}
