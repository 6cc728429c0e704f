//! The decorator: for each request its route, and whether it is ignored.

use std::fmt;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::heuristic::{Judge, template};
use super::learned::{Evidence, Learned};
use super::matcher::{Matcher, PatternError};
use super::path::without_query;
use crate::config::{IgnoreMode, RoutesConfig, ServiceRoutes, Unmatched};
use crate::limits::Limits;
use crate::span::{Ignored, SpanKind};

/// Paths whose decision is remembered with `low-cardinality`, of all services. When there are more, all are forgotten.
const CACHED_PATHS: usize = 8 << 10;
/// Bytes of a path whose decision is remembered.
const CACHED_PATH_BYTES: usize = 256;
/// Distinct routes kept as shared text. Others are allocated anew each time.
const SHARED_ROUTES: usize = 64 << 10;

/// The rule that gave a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RouteRule {
    /// A pattern of `routes.patterns`.
    Pattern,
    /// A pattern of the service.
    ServicePattern,
    /// `unmatched: unset`, or a request without a path.
    Unset,
    /// `unmatched: path`
    Path,
    /// `unmatched: wildcard`
    Wildcard,
    /// `unmatched: heuristic`
    Heuristic,
    /// `unmatched: low-cardinality`
    LowCardinality,
}

impl fmt::Display for RouteRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern => "routes.patterns",
            Self::ServicePattern => "the service's own patterns",
            Self::Unset => "unmatched: unset",
            Self::Path => "unmatched: path",
            Self::Wildcard => "unmatched: wildcard",
            Self::Heuristic => "unmatched: heuristic",
            Self::LowCardinality => "unmatched: low-cardinality",
        })
    }
}

/// What is decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDecision {
    /// `http.route`, empty if there is none.
    pub route: Arc<str>,
    /// What the request is taken out of.
    pub ignored: Ignored,
    /// The rule that gave the route.
    pub rule: RouteRule,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}[{index}] `{pattern}`: {error}")]
pub struct RouteError {
    /// The key of the list.
    pub key: String,
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its text.
    pub pattern: String,
    /// What is wrong with it.
    pub error: PatternError,
}

/// Gives routes to requests. What it has seen is part of its state only with `unmatched: low-cardinality`.
#[derive(Debug)]
pub struct Decorator {
    patterns: Matcher,
    ignored_patterns: Matcher,
    ignored: Ignored,
    evidence: Evidence,
    pub(super) unmatched: Unmatched,
    pub(super) judge: Judge,
    /// The numbers of services by name and side.
    numbers: [FxHashMap<Box<str>, usize>; 2],
    configured: FxHashMap<Box<str>, [Matcher; 2]>,
    pub(super) learned: Learned,
    cache: Vec<FxHashMap<Box<str>, RouteDecision>>,
    cached: usize,
    routes: FxHashSet<Arc<str>>,
    /// Reused between calls.
    buffer: String,
}

impl Decorator {
    /// A decorator for a configuration, with the patterns of single services.
    ///
    /// # Errors
    ///
    /// A pattern that cannot be used.
    pub fn new<'a>(
        config: &RoutesConfig,
        services: impl IntoIterator<Item = (&'a str, &'a ServiceRoutes)>,
        evidence: Evidence,
        limits: &Limits,
    ) -> Result<Self, RouteError> {
        let mut configured = FxHashMap::default();
        for (name, routes) in services {
            let incoming = matcher(&routes.incoming, || format!("routes.incoming of service `{name}`"))?;
            let outgoing = matcher(&routes.outgoing, || format!("routes.outgoing of service `{name}`"))?;
            configured.insert(name.into(), [incoming, outgoing]);
        }
        Ok(Self {
            patterns: matcher(&config.patterns, || "routes.patterns".into())?,
            ignored_patterns: matcher(&config.ignored_patterns, || "routes.ignored_patterns".into())?,
            ignored: match config.ignore_mode {
                IgnoreMode::All => Ignored { traces: true, metrics: true },
                IgnoreMode::Traces => Ignored { traces: true, metrics: false },
                IgnoreMode::Metrics => Ignored { traces: false, metrics: true },
            },
            evidence,
            unmatched: config.unmatched,
            judge: Judge::new(config.wildcard_char.get()),
            numbers: [FxHashMap::default(), FxHashMap::default()],
            configured,
            learned: Learned::new(
                evidence,
                config.wildcard_char.get(),
                config.max_path_segment_cardinality,
                limits.route_paths,
            ),
            cache: Vec::new(),
            cached: 0,
            routes: FxHashSet::default(),
            buffer: String::new(),
        })
    }

    /// A decorator without patterns that goes by the shape of paths.
    pub fn with_defaults(limits: &Limits) -> Self {
        Self::new(&RoutesConfig::default(), [], Evidence::Online, limits)
            .expect("invariant: there is no pattern to be wrong")
    }

    /// Goes on in the place of `before`. Of what that one has learned it keeps all, if both learn in the same way, and
    /// otherwise nothing: what was learned under other settings would be another's. With nothing to go by, it learns from
    /// what comes, whatever it was told to go by.
    #[must_use]
    pub fn after(mut self, before: Self) -> Self {
        if self.unmatched == before.unmatched && self.learned.learns_as(&before.learned) {
            (self.numbers, self.learned, self.judge) = (before.numbers, before.learned, before.judge);
            self.cache.resize_with(before.cache.len(), FxHashMap::default);
            (self.evidence, self.routes) = (before.evidence, before.routes);
        } else {
            self.evidence = Evidence::Online;
            self.learned.learn_online();
        }
        self
    }

    /// What it goes by.
    pub const fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The decision about one request. `target` is the request target: a path, with or without a query.
    pub fn decorate(&mut self, service: &str, kind: SpanKind, method: &str, target: &str) -> RouteDecision {
        if self.unmatched != Unmatched::LowCardinality || is_tunnel(method, target) {
            // The request alone decides. To remember paths with ids in them would take more than to decide anew.
            return self.decide(service, kind, method, target);
        }
        let number = self.number(service, kind);
        if let Some(decision) = self.cache.get(number).and_then(|cache| cache.get(target)) {
            return decision.clone();
        }
        let decision = self.decide(service, kind, method, target);
        if target.len() <= CACHED_PATH_BYTES {
            if self.cached >= CACHED_PATHS {
                self.cache.iter_mut().for_each(FxHashMap::clear);
                self.cached = 0;
            }
            if let Some(cache) = self.cache.get_mut(number) {
                cache.insert(target.into(), decision.clone());
                self.cached += 1;
            }
        }
        decision
    }

    /// Takes note of a request in the first pass of [`Evidence::Whole`].
    pub fn observe(&mut self, service: &str, kind: SpanKind, method: &str, target: &str) {
        if self.unmatched != Unmatched::LowCardinality || is_tunnel(method, target) {
            return;
        }
        if self.by_pattern(service, kind, target).is_none() {
            let number = self.number(service, kind);
            self.learned.observe(number, &mut self.judge, target);
        }
    }

    /// What `ignored_patterns` take a request for this path out of.
    pub fn ignored(&self, target: &str) -> Ignored {
        match self.ignored_patterns.find(target) {
            Some(_) => self.ignored,
            None => Ignored::default(),
        }
    }

    /// The text of the pattern of `ignored_patterns` that fits.
    pub(super) fn ignored_by(&self, target: &str) -> Option<&str> {
        self.ignored_patterns.find(target).map(|pattern| &**pattern)
    }

    pub(super) fn known_number(&self, service: &str, kind: SpanKind) -> Option<usize> {
        self.numbers[side(kind)].get(service).copied()
    }

    fn number(&mut self, service: &str, kind: SpanKind) -> usize {
        if let Some(number) = self.known_number(service, kind) {
            return number;
        }
        let number = self.learned.open();
        self.cache.push(FxHashMap::default());
        self.numbers[side(kind)].insert(service.into(), number);
        number
    }

    fn decide(&mut self, service: &str, kind: SpanKind, method: &str, target: &str) -> RouteDecision {
        let ignored = self.ignored(target);
        if is_tunnel(method, target) {
            return RouteDecision { route: self.shared(""), ignored, rule: RouteRule::Unset };
        }
        if let Some((route, rule)) = self.by_pattern(service, kind, target) {
            return RouteDecision { route: route.clone(), ignored, rule };
        }
        let mut route = std::mem::take(&mut self.buffer);
        route.clear();
        let rule = match self.unmatched {
            Unmatched::Unset => RouteRule::Unset,
            Unmatched::Path => {
                route.push_str(without_query(target));
                RouteRule::Path
            }
            Unmatched::Wildcard => {
                route.push_str("/**");
                RouteRule::Wildcard
            }
            Unmatched::Heuristic => {
                template(&mut self.judge, target, &mut route);
                RouteRule::Heuristic
            }
            Unmatched::LowCardinality => {
                let number = self.number(service, kind);
                self.learn(number, target);
                self.learned.route(number, &mut self.judge, target, &mut route);
                RouteRule::LowCardinality
            }
        };
        let shared = self.shared(&route);
        self.buffer = route;
        RouteDecision { route: shared, ignored, rule }
    }

    fn by_pattern(&self, service: &str, kind: SpanKind, target: &str) -> Option<(&Arc<str>, RouteRule)> {
        if let Some(route) = self.patterns.find(target) {
            return Some((route, RouteRule::Pattern));
        }
        let matcher = &self.configured.get(service)?[side(kind)];
        matcher.find(target).map(|route| (route, RouteRule::ServicePattern))
    }

    fn shared(&mut self, route: &str) -> Arc<str> {
        if let Some(shared) = self.routes.get(route) {
            return shared.clone();
        }
        let new: Arc<str> = route.into();
        if self.routes.len() < SHARED_ROUTES {
            self.routes.insert(new.clone());
        }
        new
    }

    fn learn(&mut self, number: usize, target: &str) {
        if self.evidence == Evidence::Online {
            self.learned.observe(number, &mut self.judge, target);
        }
        if self.learned.update(number, &mut self.judge)
            && let Some(cache) = self.cache.get_mut(number)
        {
            self.cached -= cache.len();
            cache.clear();
        }
    }

    /// Paths that could not be learned from, because there were too many
    /// ([`RouteOverflow`](crate::DiagnosticKind::RouteOverflow)).
    pub const fn left_out(&self) -> u64 {
        self.learned.left_out()
    }
}

/// Whether the target is an authority, not a path. (That of the extended CONNECT of HTTP/2, RFC 8441, is a path.)
fn is_tunnel(method: &str, target: &str) -> bool {
    method == "CONNECT" && !target.starts_with('/')
}

const fn side(kind: SpanKind) -> usize {
    match kind {
        SpanKind::Server => 0,
        SpanKind::Client => 1,
    }
}

fn matcher(patterns: &[String], key: impl FnOnce() -> String) -> Result<Matcher, RouteError> {
    Matcher::new(patterns).map_err(|(index, error)| RouteError {
        key: key(),
        index,
        pattern: patterns.get(index).cloned().unwrap_or_default(),
        error,
    })
}
