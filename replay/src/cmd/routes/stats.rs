//! `routes apply --stats`: how the requests are spread over routes.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::io::{self, Write};

use redtape_core::{Count, RouteDecision};

use crate::distinct::Distinct;
use crate::write::{Table, printable};

/// Distinct paths that are told apart, by their hashes, of all routes together. What comes later counts as a request only.
const PATHS: usize = 4 << 20;

/// Counts distinct paths.
#[derive(Default)]
pub(super) struct Paths(Distinct);

impl Paths {
    /// Takes a path, with what else tells it apart. Says whether it is known to be new.
    pub(super) fn insert(&mut self, path: impl Hash) -> bool {
        self.0.insert(path, PATHS)
    }
}

impl fmt::Display for Paths {
    /// How many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.0.is_full() { "at least " } else { "" }, Count(self.0.len() as u64, "path"))
    }
}

/// Counts requests and paths by route.
#[derive(Default)]
pub(super) struct Stats {
    routes: BTreeMap<String, Route>,
    seen: Paths,
    requests: u64,
    ignored: u64,
}

struct Route {
    rule: String,
    requests: u64,
    paths: u64,
    example: String,
}

impl Stats {
    /// Counts a request.
    pub(super) fn add(&mut self, path: &str, decision: &RouteDecision) {
        self.requests += 1;
        if decision.ignored.traces && decision.ignored.metrics {
            self.ignored += 1;
            return;
        }
        if !self.routes.contains_key(&*decision.route) {
            let rule = decision.rule.to_string();
            let new = Route { rule, requests: 0, paths: 0, example: path.to_owned() };
            self.routes.insert(decision.route.to_string(), new);
        }
        let Some(route) = self.routes.get_mut(&*decision.route) else { return };
        route.requests += 1;
        route.paths += u64::from(self.seen.insert((path, &decision.route)));
    }

    /// The routes with the most requests first, and the sums.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then(a.0.cmp(b.0)));
        let mut table = Table::new(&["route", "by", "such as", "requests", "paths"], 3);
        for (name, route) in routes {
            let name = if name.is_empty() { "(none)" } else { name };
            let numbers = [route.requests, route.paths].map(|number| number.to_string());
            table.push([&[printable(name), route.rule.clone(), printable(&route.example)], &numbers[..]].concat());
        }
        table.write(out)?;
        let (routes, requests) = (Count(self.routes.len() as u64, "route"), Count(self.requests, "request"));
        write!(out, "\n{routes} for {}, of {requests}", self.seen)?;
        if self.ignored > 0 {
            write!(out, ", {} ignored", self.ignored)?;
        }
        writeln!(out)
    }
}
