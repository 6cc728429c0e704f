//! What traffic suggests to write into `routes.patterns`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::heuristic::is_collection;
use super::matcher::Matcher;
use crate::span::Span;

/// Collects the routes that `low-cardinality` found, and says them as patterns. Its size is that of the learned trees, which
/// [`Limits::route_paths`](crate::Limits::route_paths) bounds.
#[derive(Debug, Default)]
pub struct Proposal {
    /// Patterns that are there already.
    known: BTreeSet<String>,
    routes: BTreeMap<String, Seen>,
    left_out: LeftOut,
}

/// What was seen of a route.
#[derive(Debug, Default)]
struct Seen {
    services: BTreeSet<Box<str>>,
    requests: u64,
    /// It was answered otherwise than that there is no such thing.
    exists: bool,
    example: String,
}

/// A pattern for `routes.patterns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProposedPattern {
    /// The pattern.
    pub pattern: String,
    /// The services that the requests were for, and those that made them.
    pub services: Vec<String>,
    /// How many requests it fits.
    pub requests: u64,
    /// The path of one of them.
    pub example: String,
}

/// Requests that no pattern was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Those that a pattern fits that was there already.
    pub matched: u64,
    /// Those of routes to which only 404 was ever answered: what scanners try, most of it.
    pub not_found: u64,
    /// Those whose path cannot be written as a pattern: percent-encoded or doubled slashes, or a name that begins like a
    /// placeholder.
    pub unwritable: u64,
}

impl Proposal {
    /// Nothing seen so far. `known` are the patterns that are there already.
    pub fn new(known: impl IntoIterator<Item = String>) -> Self {
        Self { known: known.into_iter().collect(), ..Self::default() }
    }

    /// Takes note of a span whose route is one of `low-cardinality` with `*` as wildcard, or a known pattern.
    pub fn observe(&mut self, span: &Span) {
        if span.route.is_empty() {
            return;
        }
        if self.known.contains(&*span.route) {
            self.left_out.matched += 1;
            return;
        }
        let seen = self.routes.entry(span.route.to_string()).or_default();
        seen.requests += 1;
        seen.exists |= span.http.status_code != Some(404);
        if seen.example.is_empty() {
            seen.example = span.http.path().to_owned();
        }
        if !seen.services.contains(&span.service.name) {
            seen.services.insert(span.service.name.clone());
        }
    }

    /// The patterns, in the order of their text, and what none was made of.
    pub fn finish(self) -> (Vec<ProposedPattern>, LeftOut) {
        let mut left_out = self.left_out;
        let mut patterns: BTreeMap<String, Seen> = BTreeMap::new();
        for (route, seen) in self.routes {
            let pattern = pattern(&route);
            if !seen.exists {
                left_out.not_found += seen.requests;
            } else if fits(&pattern, &seen.example) {
                let same = patterns.entry(pattern).or_insert_with(|| Seen { example: seen.example, ..Seen::default() });
                same.requests += seen.requests;
                same.services.extend(seen.services);
            } else {
                left_out.unwritable += seen.requests;
            }
        }
        let proposed = |(pattern, seen): (String, Seen)| ProposedPattern {
            pattern,
            services: seen.services.into_iter().map(String::from).collect(),
            requests: seen.requests,
            example: seen.example,
        };
        (patterns.into_iter().map(proposed).collect(), left_out)
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    Matcher::new(&[pattern]).is_ok_and(|matcher| matcher.find(path).is_some())
}

/// A route as a pattern: each wildcard gets a name.
fn pattern(route: &str) -> String {
    let mut pattern = String::new();
    let (mut names, mut before): (Vec<String>, &str) = (Vec::new(), "");
    for segment in route.split('/').skip(1) {
        pattern.push('/');
        match segment.strip_prefix('*') {
            // A value: what is behind the wildcard is an extension or a verb.
            Some(kept) if segment != "**" => {
                let mut name = if kept.starts_with('.') { "file".to_owned() } else { id_of(before) };
                let same = names.iter().filter(|other| **other == name).count();
                names.push(name.clone());
                if same > 0 {
                    name.push_str(&(same + 1).to_string());
                }
                pattern.push_str(&format!("{{{name}}}{kept}"));
            }
            _ => pattern.push_str(segment),
        }
        before = segment;
    }
    pattern
}

/// The name of what identifies one item of a collection: `user_id` of `users`.
fn id_of(collection: &str) -> String {
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !is_collection(collection) || !plain(collection) {
        return "id".to_owned();
    }
    let name = collection.to_ascii_lowercase().replace('-', "_");
    let without = |end: usize| name.get(..name.len().saturating_sub(end)).unwrap_or_default();
    let one = if name.len() > 4 && name.ends_with("ies") {
        format!("{}y", without(3))
    } else if ["sses", "ches", "shes", "xes"].iter().any(|end| name.ends_with(end)) {
        without(2).to_owned()
    } else {
        name.strip_suffix('s').unwrap_or(&name).to_owned()
    };
    format!("{one}_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_get_names() {
        for (route, expected) in [
            ("/", "/"),
            ("/users", "/users"),
            ("/users/*", "/users/{user_id}"),
            ("/user/*/orders/*", "/user/{user_id}/orders/{order_id}"),
            ("/categories/*", "/categories/{category_id}"),
            ("/boxes/*/addresses/*", "/boxes/{box_id}/addresses/{address_id}"),
            ("/order-items/*", "/order-items/{order_item_id}"),
            ("/*/*", "/{id}/{id2}"),
            ("/static/*.js", "/static/{file}.js"),
            ("/books/*:cancel", "/books/{book_id}:cancel"),
            ("/group/**", "/group/**"),
        ] {
            assert_eq!(pattern(route), expected);
        }
    }

    #[test]
    fn a_path_that_is_no_pattern_is_told_from_one_that_is() {
        assert!(fits("/users/{user_id}", "/users/7?full=1"));
        assert!(!fits("/a b", "/a%20b"), "patterns see paths as sent");
        assert!(!fits("/a/{b", "/a/{b"), "it does not compile");
    }
}
