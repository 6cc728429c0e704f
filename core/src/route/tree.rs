//! The learned tree of routes: at each place the names that are known there, and what becomes of others.

use rustc_hash::FxHashMap;

use super::class::Class;
use super::heuristic::Judged;
use super::lexicon::Familiarity;

/// Routes of one service in one direction.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// As it stands in the route; empty below a wildcard.
    text: Box<str>,
    names: FxHashMap<Box<str>, usize>,
    wildcard: Option<usize>,
    place: Place,
    /// Names added since the tree was learned.
    added: usize,
}

/// What was found out about a place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Unknown words are values here.
    pub(super) unknown_are_values: bool,
    /// Unknown words that were seen here.
    pub(super) unknown: usize,
    /// Known words that were seen here.
    pub(super) known: usize,
}

/// A step down the tree.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A name, as it stands in the route.
    Name(&'a str, usize),
    /// A value.
    Value(Option<usize>),
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Tree {
    pub(super) fn add_name<'a>(&mut self, at: usize, text: &str, spellings: impl Iterator<Item = &'a str>) -> usize {
        let new = self.push(Node { text: text.into(), ..Node::default() });
        if let Some(node) = self.nodes.get_mut(at) {
            node.names.extend(spellings.map(|spelling| (spelling.into(), new)));
            // Any other mixture of letter cases is the same name too.
            node.names.entry(text.to_ascii_lowercase().into()).or_insert(new);
        }
        new
    }

    pub(super) fn add_wildcard(&mut self, at: usize) -> usize {
        let new = self.push(Node::default());
        if let Some(node) = self.nodes.get_mut(at) {
            node.wildcard = Some(new);
        }
        new
    }

    pub(super) fn set_place(&mut self, at: usize, place: Place) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.place = place;
        }
    }

    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Where a segment leads from `at`, as far as the tree knows. `None` if it does not.
    pub(super) fn step(&self, at: usize, judged: &Judged<'_>, key: &str) -> Option<Step<'_>> {
        let node = self.nodes.get(at)?;
        if judged.class.is_value() && judged.kept().is_empty()
            || key.chars().count() == 1 && judged.class == Class::Templated
        {
            return Some(Step::Value(node.wildcard));
        }
        let known = node.names.get(key).or_else(|| {
            let folded = key.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| key.to_ascii_lowercase());
            node.names.get(folded?.as_str())
        });
        if let Some(child) = known {
            return Some(Step::Name(&self.nodes.get(*child)?.text, *child));
        }
        let value = match judged.class {
            Class::Templated | Class::File => node.wildcard.is_some(),
            Class::UnknownWord => node.place.unknown_are_values || judged.in_collection,
            _ => node.place.unknown_are_values && judged.familiarity != Familiarity::Action,
        };
        value.then_some(Step::Value(node.wildcard))
    }

    /// Takes a segment for a name that the tree did not know, as long as there are not too many of them.
    pub(super) fn grow(&mut self, at: usize, key: &str, max: usize) -> Step<'_> {
        let Some(node) = self.nodes.get_mut(at) else { return Step::Value(None) };
        if node.added >= max {
            let child = node.wildcard;
            return Step::Value(Some(child.unwrap_or_else(|| self.add_wildcard(at))));
        }
        node.added += 1;
        let child = self.add_name(at, key, std::iter::once(key));
        Step::Name(self.nodes.get(child).map_or("", |node| &node.text), child)
    }
}
