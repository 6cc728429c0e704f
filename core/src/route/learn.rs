//! Learns from a set of paths which segments are names and which are values.
//!
//! The paths, with their obvious values already replaced, form a tree. From the root down, each place of the tree is
//! judged: what its children look like, how many there are, in how many contexts each was seen, and whether they go on
//! alike. Children found to be values are merged, so that the place below them is judged from all of them together.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::class::Class;
use super::heuristic::{Judged, is_collection};
use super::lexicon::Familiarity;
use super::tree::{Place, Tree};

/// A segment that occurs in the paths.
#[derive(Debug)]
struct Symbol {
    text: Box<str>,
    kind: Kind,
    /// The number of the same text in small letters.
    folded: usize,
}

/// What a segment is, before there is evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A value, replaced.
    Value,
    /// A file whose name was replaced.
    File,
    /// Letters that may be a word.
    Unknown,
    /// Words.
    Known,
    /// A word for an action, or a version.
    Fixed,
}

/// A node of the tree of paths as they are.
#[derive(Debug, Default)]
struct Raw {
    children: FxHashMap<usize, usize>,
    /// Paths that go through it or end here.
    weight: usize,
}

/// The tree of paths as they are.
#[derive(Debug)]
pub(super) struct Learner {
    symbols: Vec<Symbol>,
    numbers: FxHashMap<Box<str>, usize>,
    folds: FxHashMap<Box<str>, usize>,
    raw: Vec<Raw>,
    max: usize,
}

/// A child of a place: one segment in any letter case.
#[derive(Debug, Default)]
struct Child {
    /// How it is written, with the weight of each spelling.
    spellings: BTreeMap<usize, usize>,
    raw: Vec<usize>,
}

impl Learner {
    /// `max` is how many unknown words are accepted in one place; 0 is no limit.
    pub(super) fn new(max: usize) -> Self {
        let max = if max == 0 { usize::MAX } else { max };
        Self {
            symbols: Vec::new(),
            numbers: FxHashMap::default(),
            folds: FxHashMap::default(),
            raw: vec![Raw::default()],
            max,
        }
    }

    /// Adds a path.
    pub(super) fn add<'a>(&mut self, path: impl Iterator<Item = Judged<'a>>) {
        let mut at = 0;
        for judged in path {
            let symbol = self.symbol(&judged);
            let new = self.raw.len();
            let Some(node) = self.raw.get_mut(at) else { return };
            node.weight += 1;
            at = *node.children.entry(symbol).or_insert(new);
            if at == new {
                self.raw.push(Raw::default());
            }
        }
        if let Some(node) = self.raw.get_mut(at) {
            node.weight += 1;
        }
    }

    fn symbol(&mut self, judged: &Judged<'_>) -> usize {
        if let Some(number) = self.numbers.get(&*judged.text) {
            return *number;
        }
        let kind = match (judged.class, judged.familiarity) {
            (Class::Templated, _) if judged.kept().is_empty() => Kind::Value,
            (Class::Templated, _) if judged.kept().starts_with('.') => Kind::File,
            (Class::Version, _) | (_, Familiarity::Action) => Kind::Fixed,
            (Class::UnknownWord, _) => Kind::Unknown,
            _ => Kind::Known,
        };
        let next = self.folds.len();
        let folded = *self.folds.entry(judged.text.to_lowercase().into()).or_insert(next);
        self.symbols.push(Symbol { text: (&*judged.text).into(), kind, folded });
        self.numbers.insert((&*judged.text).into(), self.symbols.len() - 1);
        self.symbols.len() - 1
    }

    /// The tree of routes.
    pub(super) fn learn(&self) -> Tree {
        let mut tree = Tree::default();
        let mut places = vec![(0, vec![0], false)];
        while let Some((at, raw, in_collection)) = places.pop() {
            let children = self.children(&raw);
            let judgement = Judgement::new(self, &children, raw.len(), in_collection);
            let mut values = Vec::new();
            for child in children.values() {
                if judgement.is_value(self, child) {
                    values.extend_from_slice(&child.raw);
                    continue;
                }
                let text = self.spelling(child);
                let spellings = child.spellings.keys().filter_map(|symbol| self.text(*symbol));
                let node = tree.add_name(at, text, spellings);
                places.push((node, child.raw.clone(), is_collection(text)));
            }
            if !values.is_empty() {
                places.push((tree.add_wildcard(at), values, false));
            }
            tree.set_place(at, judgement.place());
        }
        tree
    }

    fn text(&self, symbol: usize) -> Option<&str> {
        self.symbols.get(symbol).map(|symbol| &*symbol.text)
    }

    fn kind(&self, child: &Child) -> Kind {
        let kinds = child.spellings.keys().filter_map(|symbol| self.symbols.get(*symbol)).map(|symbol| symbol.kind);
        kinds.max().unwrap_or(Kind::Value)
    }

    /// The spelling that most paths use.
    fn spelling(&self, child: &Child) -> &str {
        let by_weight = child.spellings.iter().filter_map(|(symbol, weight)| Some((*weight, self.text(*symbol)?)));
        by_weight.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1))).map_or("", |(_, text)| text)
    }

    fn children(&self, raw: &[usize]) -> BTreeMap<usize, Child> {
        let mut children: BTreeMap<usize, Child> = BTreeMap::new();
        for (symbol, node) in self.edges(raw) {
            let Some(folded) = self.symbols.get(symbol).map(|symbol| symbol.folded) else { continue };
            let child = children.entry(folded).or_default();
            *child.spellings.entry(symbol).or_default() += self.raw.get(node).map_or(0, |node| node.weight);
            child.raw.push(node);
        }
        children
    }

    fn edges(&self, raw: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        raw.iter().filter_map(|node| self.raw.get(*node)).flat_map(|node| {
            let mut edges: Vec<(usize, usize)> = node.children.iter().map(|(symbol, node)| (*symbol, *node)).collect();
            edges.sort_unstable();
            edges
        })
    }

    /// The folded names below a child.
    fn below(&self, child: &Child) -> Vec<usize> {
        let mut names: Vec<usize> = self
            .edges(&child.raw)
            .filter_map(|(symbol, _)| self.symbols.get(symbol))
            .filter(|symbol| !matches!(symbol.kind, Kind::Value | Kind::File))
            .map(|symbol| symbol.folded)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// What a place is found to be.
#[derive(Debug)]
struct Judgement {
    contexts: usize,
    unknown: usize,
    known: usize,
    /// Values stand here.
    values: bool,
    /// Unknown words are values here.
    open: bool,
    /// How many values go on with each name.
    below_values: FxHashMap<usize, usize>,
}

impl Judgement {
    fn new(learner: &Learner, children: &BTreeMap<usize, Child>, contexts: usize, in_collection: bool) -> Self {
        let count = |kind| children.values().filter(|child| learner.kind(child) == kind).count();
        let (unknown, known) = (count(Kind::Unknown), count(Kind::Known));
        let values = count(Kind::Value) > 0;
        let open = unknown > 0 && (in_collection || unknown > learner.max && unknown > known);
        let mut below_values: FxHashMap<usize, usize> = FxHashMap::default();
        for child in children.values().filter(|child| learner.kind(child) <= Kind::Unknown) {
            for name in learner.below(child) {
                *below_values.entry(name).or_default() += 1;
            }
        }
        Self { contexts, unknown, known, values, open, below_values }
    }

    fn is_value(&self, learner: &Learner, child: &Child) -> bool {
        match learner.kind(child) {
            Kind::Value => true,
            Kind::Fixed => false,
            Kind::File => self.values || self.open,
            Kind::Unknown => self.open,
            Kind::Known => {
                if !self.open {
                    return false;
                }
                let below = learner.below(child);
                if below.is_empty() {
                    return self.unknown > 3 * self.known && self.unknown > 3;
                }
                let shared = below.iter().filter(|name| self.below_values.contains_key(name)).count();
                shared * 2 > below.len() && self.contexts > 0
            }
        }
    }

    fn place(&self) -> Place {
        Place { unknown_are_values: self.open, unknown: self.unknown, known: self.known }
    }
}
