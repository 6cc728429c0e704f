//! The learned tree of routes: at each place the names that are known there, and what becomes of others.

use rustc_hash::FxHashMap;

use super::class::Class;
use super::heuristic::Judged;
use super::lexicon::Familiarity;

/// Routes of one service in one direction.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Nodes added since the tree was learned.
    grown: usize,
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
    /// It takes no more names.
    closed: bool,
}

/// What was found out about a place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Unknown words are values here.
    pub(super) open: bool,
    /// Unknown words that were seen here.
    pub(super) unknown: usize,
    /// Known words that were seen here.
    pub(super) known: usize,
}

/// A step down the tree.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// A name, as it stands in the route.
    Name(&'a str, usize),
    /// A value of this shape, or at this place, with what it leads to.
    Value(Option<usize>),
    /// A word that stands at a place of values.
    Word(Option<usize>, Place),
}

impl Step<'_> {
    /// Where it leads.
    pub(super) const fn next(&self) -> Option<usize> {
        match self {
            Self::Name(_, next) => Some(*next),
            Self::Value(next) | Self::Word(next, _) => *next,
        }
    }

    /// Writes the segment as it stands in the route.
    pub(super) fn write(&self, wildcard: char, route: &mut String) {
        route.push('/');
        match self {
            Self::Name(text, _) => route.push_str(text),
            Self::Value(_) | Self::Word(..) => route.push(wildcard),
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], grown: 0 }
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

    /// Where a segment leads from `at`. `None` if it is a word that the tree does not know, at a place for words.
    /// `key` is the segment with what its shape alone gives away replaced.
    pub(super) fn step(&self, at: usize, judged: &Judged<'_>, key: &str) -> Option<Step<'_>> {
        let node = self.nodes.get(at)?;
        let replaced = judged.class.is_value() || judged.class == Class::Templated;
        if replaced && judged.kept().is_empty() {
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
            _ if node.closed => true,
            _ if replaced => node.wildcard.is_some(),
            Class::UnknownWord => node.place.open || judged.in_collection,
            _ => node.place.open && judged.familiarity != Familiarity::Action,
        };
        value.then_some(Step::Word(node.wildcard, node.place))
    }

    /// Takes a segment for a name that the tree did not know. Once there are `most` of them at a place, or too many in
    /// all, the place takes no more.
    pub(super) fn grow(&mut self, at: usize, key: &str, most: usize) {
        let full = self.grown >= MAX_GROWN;
        let Some(node) = self.nodes.get_mut(at) else { return };
        if full || node.added >= most {
            node.closed = true;
            return;
        }
        node.added += 1;
        self.grown += 1;
        self.add_name(at, key, std::iter::once(key));
    }

    /// Goes on below the values of a place. `None` if the tree takes no more.
    pub(super) fn grow_wildcard(&mut self, at: usize) -> Option<usize> {
        if self.grown >= MAX_GROWN {
            return None;
        }
        self.grown += 1;
        Some(self.add_wildcard(at))
    }
}

/// Nodes that a tree takes between two lessons.
const MAX_GROWN: usize = 4096;
