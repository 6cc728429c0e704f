//! What of a configuration's route patterns is of no use to the requests of a tape, or leaves open which of them counts.

use std::collections::BTreeMap;
use std::fmt;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::decorator::RouteError;
use super::matcher::Matcher;
use crate::config::{RoutesConfig, ServiceRoutes};
use crate::count::Count;
use crate::span::SpanKind;

/// Holds patterns against requests, as many as there are.
#[derive(Debug)]
pub struct RouteLint {
    lists: Vec<List>,
    /// The lists of single services: those of requests that it answers, and that it makes.
    own: FxHashMap<Box<str>, [usize; 2]>,
    requests: u64,
    unmatched: u64,
}

/// One list of patterns.
#[derive(Debug)]
struct List {
    key: String,
    all: Matcher,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    alone: Matcher,
    /// Requests that it fits, and those of them whose route it gave.
    fits: u64,
    chosen: u64,
    /// The patterns that gave the others theirs, with one such path each.
    taken: BTreeMap<At, String>,
    /// Those among these that are not more specific in each segment.
    ambiguous: BTreeMap<At, (u64, String)>,
}

/// A list, and a place in it.
type At = (usize, usize);

const PATTERNS: usize = 0;
const IGNORED: usize = 1;

/// Something that is not as whoever wrote the pattern must have thought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteFinding {
    /// The pattern's place, such as `routes.patterns[2]`.
    pub key: String,
    /// Its text.
    pub pattern: String,
    /// What is the trouble with it.
    #[serde(flatten)]
    pub trouble: PatternTrouble,
}

/// What may be the trouble with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "finding")]
pub enum PatternTrouble {
    /// No request has a path that it fits.
    Unused,
    /// Each request that it fits was given its route by other patterns.
    Shadowed {
        /// The first of these, and its place.
        by: PatternAt,
        /// The path of a request that both fit; none, if the two fit the same paths whatever comes.
        example: Option<String>,
    },
    /// It and another one fit the same paths, and neither says more of all their segments than the other.
    Ambiguous {
        /// The other one, whose route these requests were given.
        with: PatternAt,
        /// How many requests.
        requests: u64,
        /// The path of one of them.
        example: String,
    },
}

/// A pattern and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatternAt {
    /// Its place.
    pub key: String,
    /// Its text.
    pub pattern: String,
}

impl RouteLint {
    /// The patterns of a configuration, none held against anything so far.
    ///
    /// # Errors
    ///
    /// A pattern that cannot be used.
    pub fn new<'a>(
        config: &RoutesConfig,
        services: impl IntoIterator<Item = (&'a str, &'a ServiceRoutes)>,
    ) -> Result<Self, RouteError> {
        let mut lists = vec![
            List::new("routes.patterns".into(), &config.patterns)?,
            List::new("routes.ignored_patterns".into(), &config.ignored_patterns)?,
        ];
        let mut own = FxHashMap::default();
        for (name, routes) in services {
            own.insert(name.into(), [lists.len(), lists.len() + 1]);
            lists.push(List::new(format!("routes.incoming of service `{name}`"), &routes.incoming)?);
            lists.push(List::new(format!("routes.outgoing of service `{name}`"), &routes.outgoing)?);
        }
        Ok(Self { lists, own, requests: 0, unmatched: 0 })
    }

    /// How many patterns there are.
    pub fn patterns(&self) -> usize {
        self.lists.iter().map(|list| list.patterns.len()).sum()
    }

    /// Requests that were observed, and those of them that no pattern fits.
    pub const fn requests(&self) -> (u64, u64) {
        (self.requests, self.unmatched)
    }

    /// Holds a request against all patterns that it might be given its route by. `target` may have a query.
    pub fn observe(&mut self, service: &str, kind: SpanKind, target: &str) {
        self.requests += 1;
        let side = usize::from(kind == SpanKind::Client);
        let own = self.own.get(service).map(|lists| lists[side]);
        let ignored = self.winner(IGNORED, target);
        self.hold(IGNORED, ignored, target);
        // The patterns of all services come before those of one, as in the decorator.
        let winner = self.winner(PATTERNS, target).or_else(|| self.winner(own?, target));
        self.hold(PATTERNS, winner, target);
        own.into_iter().for_each(|list| self.hold(list, winner, target));
        self.unmatched += u64::from(winner.or(ignored).is_none());
    }

    /// The pattern of a list that a request is given its route by.
    fn winner(&self, list: usize, target: &str) -> Option<At> {
        let list_of = self.lists.get(list)?;
        let text = list_of.all.find(target)?;
        Some((list, list_of.patterns.iter().position(|pattern| *pattern.text == **text)?))
    }

    fn hold(&mut self, list: usize, winner: Option<At>, target: &str) {
        // What was not won by anything fits no pattern of any list that was asked.
        let Some(winner) = winner else { return };
        let best = self.pattern(winner).map(|pattern| pattern.alone.specificity()).unwrap_or_default();
        let Some(List { patterns, .. }) = self.lists.get_mut(list) else { return };
        for (index, pattern) in patterns.iter_mut().enumerate() {
            if pattern.alone.find(target).is_none() {
                continue;
            }
            pattern.fits += 1;
            if winner == (list, index) {
                pattern.chosen += 1;
                continue;
            }
            pattern.taken.entry(winner).or_insert_with(|| target.to_owned());
            if winner.0 == list && !best.says_no_less_than(&pattern.alone.specificity()) {
                pattern.ambiguous.entry(winner).or_insert_with(|| (0, target.to_owned())).0 += 1;
            }
        }
    }

    fn pattern(&self, (list, index): At) -> Option<&Pattern> {
        self.lists.get(list)?.patterns.get(index)
    }

    fn other(&self, at: At) -> PatternAt {
        let text = |pattern: &Pattern| pattern.text.clone();
        PatternAt { key: self.key(at), pattern: self.pattern(at).map(text).unwrap_or_default() }
    }

    fn key(&self, (list, index): At) -> String {
        format!("{}[{index}]", self.lists.get(list).map_or("", |list| &list.key))
    }

    /// What was found, in the order of the configuration.
    pub fn findings(&self) -> Vec<RouteFinding> {
        let places = self.lists.iter().enumerate();
        let places = places.flat_map(|(list, patterns)| (0..patterns.patterns.len()).map(move |index| (list, index)));
        places
            .flat_map(|at| self.troubles(at).into_iter().map(move |trouble| (at, trouble)))
            .map(|(at, trouble)| {
                let PatternAt { key, pattern } = self.other(at);
                RouteFinding { key, pattern, trouble }
            })
            .collect()
    }

    fn troubles(&self, at: At) -> Vec<PatternTrouble> {
        let Some(pattern) = self.pattern(at) else { return Vec::new() };
        if let Some(first) = self.twin(at) {
            return vec![PatternTrouble::Shadowed { by: self.other(first), example: None }];
        }
        if pattern.fits == 0 {
            return vec![PatternTrouble::Unused];
        }
        let taken = pattern.taken.first_key_value().filter(|_| pattern.chosen == 0);
        let shadowed =
            taken.map(|(by, path)| PatternTrouble::Shadowed { by: self.other(*by), example: Some(path.clone()) });
        let ambiguous = pattern.ambiguous.iter().map(|(with, (requests, path))| PatternTrouble::Ambiguous {
            with: self.other(*with),
            requests: *requests,
            example: path.clone(),
        });
        shadowed.into_iter().chain(ambiguous).collect()
    }

    /// A pattern before this one that fits exactly the same paths.
    fn twin(&self, at: At) -> Option<At> {
        let own = self.pattern(at)?.alone.specificity();
        let before = (0..at.1).map(|index| (at.0, index));
        // A service's own patterns come after those of all services.
        let common = (0..self.lists.first()?.patterns.len()).map(|index| (PATTERNS, index)).filter(|_| at.0 > IGNORED);
        before.chain(common).find(|other| self.pattern(*other).is_some_and(|other| other.alone.specificity() == own))
    }
}

impl List {
    fn new(key: String, patterns: &[String]) -> Result<Self, RouteError> {
        let error = |index: usize, error| RouteError {
            key: key.clone(),
            index,
            pattern: patterns.get(index).cloned().unwrap_or_default(),
            error,
        };
        let all = Matcher::new(patterns).map_err(|(index, fault)| error(index, fault))?;
        let patterns = patterns.iter().enumerate().map(|(index, text)| {
            let alone = Matcher::new(&[text]).map_err(|(_, fault)| error(index, fault))?;
            let (taken, ambiguous) = (BTreeMap::new(), BTreeMap::new());
            Ok(Pattern { text: text.clone(), alone, fits: 0, chosen: 0, taken, ambiguous })
        });
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()?, all, key })
    }
}

impl fmt::Display for RouteFinding {
    /// In one line, with what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, pattern, trouble } = self;
        write!(f, "{key} `{pattern}`: ")?;
        match trouble {
            PatternTrouble::Unused => write!(f, "unused: no request on these tapes has such a path"),
            PatternTrouble::Shadowed { by, example: None } => {
                write!(f, "shadowed: {} `{}` fits the same paths and comes first; remove one", by.key, by.pattern)
            }
            PatternTrouble::Shadowed { by, example: Some(path) } => {
                write!(
                    f,
                    "shadowed: others gave all requests their route that it fits, as {} `{}` ",
                    by.key, by.pattern
                )?;
                write!(f, "did for {path}; requests that are not on these tapes may need it")
            }
            PatternTrouble::Ambiguous { with, requests, example } => {
                let requests = Count(*requests, "request");
                write!(
                    f,
                    "ambiguous: {} `{}` fits, too, and took {requests} such as {example}; ",
                    with.key, with.pattern
                )?;
                write!(f, "write a pattern that says more of these paths than either")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lint(patterns: &[&str], own: &[&str], paths: &[&str]) -> Vec<String> {
        let texts = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        let config = RoutesConfig { patterns: texts(patterns), ..RoutesConfig::default() };
        let shop = ServiceRoutes { incoming: texts(own), ..ServiceRoutes::default() };
        let mut lint = RouteLint::new(&config, [("shop", &shop)]).unwrap();
        paths.iter().for_each(|path| lint.observe("shop", SpanKind::Server, path));
        let findings = lint.findings();
        findings.iter().map(|finding| finding.to_string().split(';').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn patterns_that_all_give_routes_are_well() {
        let patterns = ["/users/{id}", "/users/me", "/users/{id}/orders", "/static/**", "/static/{file}.js"];
        let paths = ["/users/7", "/users/me?full=1", "/users/7/orders/", "/static/a.css", "/static/a.js"];
        assert_eq!(lint(&patterns, &["/cart"], &[&paths[..], &["/cart"]].concat()), [""; 0]);
    }

    #[test]
    fn unused() {
        assert_eq!(
            lint(&["/user/{id}", "/users/{id}"], &[], &["/users/7"]),
            ["routes.patterns[0] `/user/{id}`: unused: no request on these tapes has such a path"]
        );
    }

    #[test]
    fn shadowed_by_one_that_fits_the_same_paths() {
        assert_eq!(
            lint(&["/users/{id}", "/users/{name}"], &[], &[]),
            [
                "routes.patterns[0] `/users/{id}`: unused: no request on these tapes has such a path",
                "routes.patterns[1] `/users/{name}`: shadowed: routes.patterns[0] `/users/{id}` fits the same paths and comes \
                 first",
            ]
        );
        assert_eq!(
            lint(&["/cart"], &["/cart/"], &["/cart"]),
            [
                "routes.incoming of service `shop`[0] `/cart/`: shadowed: routes.patterns[0] `/cart` fits the same paths and \
              comes first"
            ]
        );
    }

    #[test]
    fn shadowed_by_others_on_this_traffic() {
        assert_eq!(
            lint(&["/users/me", "/users/{id}"], &["/users/**"], &["/users/me"]),
            [
                "routes.patterns[1] `/users/{id}`: shadowed: others gave all requests their route that it fits, as \
                 routes.patterns[0] `/users/me` did for /users/me",
                "routes.incoming of service `shop`[0] `/users/**`: shadowed: others gave all requests their route that it \
                 fits, as routes.patterns[0] `/users/me` did for /users/me",
            ]
        );
    }

    #[test]
    fn ambiguous() {
        assert_eq!(
            lint(&["/{tenant}/users", "/acme/{thing}"], &[], &["/acme/users", "/acme/users", "/zeta/users", "/acme/x"]),
            [
                "routes.patterns[0] `/{tenant}/users`: ambiguous: routes.patterns[1] `/acme/{thing}` fits, too, and took 2 \
              requests such as /acme/users"
            ]
        );
    }

    #[test]
    fn requests_without_a_pattern_are_counted() {
        let config = RoutesConfig { ignored_patterns: vec!["/healthz".into()], ..RoutesConfig::default() };
        let mut lint = RouteLint::new(&config, []).unwrap();
        ["/healthz", "/a", "/b"].iter().for_each(|path| lint.observe("shop", SpanKind::Client, path));
        assert_eq!((lint.requests(), lint.findings()), ((3, 2), Vec::new()));
    }
}
