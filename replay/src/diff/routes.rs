//! Which routes split, merged, or have another name: by the paths that both sides saw.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::side::Spans;

/// Paths that are shown of a change.
const EXAMPLES: usize = 3;

/// Routes of one service that became others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RouteChange {
    pub(crate) service: String,
    pub(crate) kind: String,
    pub(crate) change: How,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    /// How many of the paths that both sides saw are theirs.
    pub(crate) paths: usize,
    pub(crate) examples: Vec<String>,
}

/// What became of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// One became several.
    Split,
    /// Several became one.
    Merged,
    /// One has another name.
    Renamed,
    /// Several became several others, or paths moved between them.
    Regrouped,
}

impl How {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Merged => "merged",
            Self::Renamed => "renamed",
            Self::Regrouped => "regrouped",
        }
    }
}

/// Routes that hang together by their paths: each side's.
#[derive(Default)]
struct Together {
    before: BTreeSet<String>,
    after: BTreeSet<String>,
    paths: BTreeSet<String>,
    /// Those whose routes are others now.
    moved: BTreeSet<String>,
}

/// The routes of one service on both sides, and which of them hang together: a forest (union-find).
#[derive(Default)]
struct Forest<'a> {
    /// The number of a route; those of the two sides are told apart.
    numbers: BTreeMap<(bool, &'a str), usize>,
    parents: Vec<usize>,
    /// Each path, with the number of one of its routes, and whether its routes are others now.
    paths: Vec<(&'a str, usize, bool)>,
}

/// All changes, by service, and those of the most paths first.
pub(super) fn changes(before: &Spans, after: &Spans) -> Vec<RouteChange> {
    let mut scopes: BTreeMap<(&str, &str), Forest<'_>> = BTreeMap::new();
    for (path, old) in &before.paths {
        let Some(new) = after.paths.get(path) else { continue };
        scopes.entry((&path.service, &path.kind)).or_default().join(old, new, &path.path);
    }
    let mut changes: Vec<_> = scopes
        .into_iter()
        .flat_map(|((service, kind), forest)| {
            forest.trees().into_iter().filter_map(move |one| one.change(service, kind))
        })
        .collect();
    changes.sort_by(|a, b| (&a.service, &a.kind, b.paths, &a.before).cmp(&(&b.service, &b.kind, a.paths, &b.before)));
    changes
}

impl<'a> Forest<'a> {
    /// The routes of one path hang together.
    fn join(&mut self, old: &'a BTreeSet<String>, new: &'a BTreeSet<String>, path: &'a str) {
        let routes = old.iter().map(|route| (false, &**route)).chain(new.iter().map(|route| (true, &**route)));
        let numbers: Vec<_> = routes.map(|route| self.number(route)).collect();
        let Some(&first) = numbers.first() else { return };
        let root = self.root(first);
        for number in numbers {
            let other = self.root(number);
            if let Some(parent) = self.parents.get_mut(other) {
                *parent = root;
            }
        }
        self.paths.push((path, first, old != new));
    }

    fn number(&mut self, route: (bool, &'a str)) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(route).or_insert(next);
        if number == next {
            self.parents.push(next);
        }
        number
    }

    fn root(&mut self, mut number: usize) -> usize {
        while let Some(&parent) = self.parents.get(number).filter(|parent| **parent != number) {
            // Halves the way for whoever asks next.
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(own) = self.parents.get_mut(number) {
                *own = above;
            }
            number = above;
        }
        number
    }

    fn trees(mut self) -> Vec<Together> {
        let mut trees: BTreeMap<usize, Together> = BTreeMap::new();
        for ((is_new, route), number) in std::mem::take(&mut self.numbers) {
            let tree = trees.entry(self.root(number)).or_default();
            if is_new { &mut tree.after } else { &mut tree.before }.insert(route.to_owned());
        }
        for (path, number, has_moved) in std::mem::take(&mut self.paths) {
            let tree = trees.entry(self.root(number)).or_default();
            tree.paths.insert(path.to_owned());
            if has_moved {
                tree.moved.insert(path.to_owned());
            }
        }
        trees.into_values().collect()
    }
}

impl Together {
    fn change(self, service: &str, kind: &str) -> Option<RouteChange> {
        if self.moved.is_empty() {
            return None;
        }
        let change = match (self.before.len(), self.after.len()) {
            (1, 1) => How::Renamed,
            (1, _) => How::Split,
            (_, 1) => How::Merged,
            _ => How::Regrouped,
        };
        let named = |routes: BTreeSet<String>| routes.into_iter().collect();
        Some(RouteChange {
            service: service.to_owned(),
            kind: kind.to_owned(),
            change,
            before: named(self.before),
            after: named(self.after),
            paths: self.paths.len(),
            examples: self.moved.into_iter().take(EXAMPLES).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::side::Path;

    fn spans(routes: &[(&str, &str)]) -> Spans {
        let path = |path: &str| Path {
            service: "shop".into(),
            kind: "server".into(),
            method: "GET".into(),
            path: path.into(),
        };
        let paths = routes.iter().map(|(from, route)| (path(from), BTreeSet::from([(*route).to_owned()]))).collect();
        Spans { paths, ..Spans::default() }
    }

    #[test]
    fn what_becomes_of_routes() {
        let before = spans(&[
            ("/a/1", "/a/*"),
            ("/a/x", "/a/*"),
            ("/b", "/b"),
            ("/c/1", "/c/1"),
            ("/c/2", "/c/2"),
            ("/d", "/d"),
        ]);
        let after = spans(&[
            ("/a/1", "/a/{id}"),
            ("/a/x", "/a/x"),
            ("/b", "/bee"),
            ("/c/1", "/c/*"),
            ("/c/2", "/c/*"),
            ("/d", "/d"),
        ]);
        let found: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|one| (one.change, one.before.join(" "), one.after.join(" ")))
            .collect();
        let expected =
            [(How::Split, "/a/*", "/a/x /a/{id}"), (How::Merged, "/c/1 /c/2", "/c/*"), (How::Renamed, "/b", "/bee")];
        assert_eq!(found, expected.map(|(how, old, new)| (how, old.to_owned(), new.to_owned())));
        assert_eq!(changes(&before, &before), []);
    }

    #[test]
    fn paths_that_move_between_routes_that_stay_are_a_change() {
        let before = spans(&[("/v/1", "/v/{id}"), ("/v/2", "/v/*"), ("/v/3", "/v/*")]);
        let after = spans(&[("/v/1", "/v/{id}"), ("/v/2", "/v/{id}"), ("/v/3", "/v/*")]);
        let found = changes(&before, &after);
        assert_eq!((found.len(), found[0].change, found[0].paths), (1, How::Regrouped, 3));
        assert_eq!(found[0].examples, ["/v/2"]);
    }

    #[test]
    fn routes_that_hang_together_are_one_change() {
        let before = spans(&[("/1", "a"), ("/2", "a"), ("/3", "b")]);
        let after = spans(&[("/1", "x"), ("/2", "y"), ("/3", "y")]);
        let found = changes(&before, &after);
        assert_eq!((found.len(), found[0].change, found[0].paths), (1, How::Regrouped, 3));
    }
}
