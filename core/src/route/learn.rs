//! Learns from a set of paths which segments are names and which are values.
//!
//! The paths, with their obvious values already replaced, form a tree. From the root down, each place of the tree is
//! judged: what its children look like, how many there are, in how many contexts each was seen, and whether they go on
//! alike. Children found to be values are merged, so that the place below them is judged from all of them together.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

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
    /// Folded names of known words.
    known: FxHashSet<usize>,
    max: usize,
    paths: usize,
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
            known: FxHashSet::default(),
            max,
            paths: 0,
        }
    }

    /// Adds a path.
    pub(super) fn add<'a>(&mut self, path: impl Iterator<Item = Judged<'a>>) {
        self.paths += 1;
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
        if kind >= Kind::Known {
            self.known.insert(folded);
        }
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
        by_weight.max_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(b.1))).map_or("", |(_, text)| text)
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

    /// Paths that go through a child.
    fn weight(&self, child: &Child) -> usize {
        child.spellings.values().sum()
    }

    /// Whether a folded name is a word that interfaces use.
    fn is_known(&self, name: usize) -> bool {
        self.known.contains(&name)
    }

    /// What a child goes on with: folded names, and one number for all values.
    fn below(&self, child: &Child) -> Vec<usize> {
        let mut names: Vec<usize> = self
            .edges(&child.raw)
            .filter_map(|(symbol, _)| self.symbols.get(symbol))
            .map(|symbol| if symbol.kind <= Kind::File { ANY_VALUE } else { symbol.folded })
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
    /// In how many contexts an unknown word was seen, all of them together.
    unknown_support: usize,
    /// Paths that lead here.
    weight: usize,
    /// Values stand here.
    values: bool,
    /// Unknown words are values here.
    open: bool,
    /// Unknown and known words that nothing goes on from.
    leaves: (usize, usize),
    /// The children go on alike.
    alike: bool,
    /// How many children go on with each name: all, and those that are values or may be.
    below: FxHashMap<usize, (usize, usize)>,
}

impl Judgement {
    fn new(learner: &Learner, children: &BTreeMap<usize, Child>, contexts: usize, in_collection: bool) -> Self {
        let of = |kind| children.values().filter(move |child| learner.kind(child) == kind);
        let (unknown, known) = (of(Kind::Unknown).count(), of(Kind::Known).count());
        let unknown_support = of(Kind::Unknown).map(|child| child.raw.len()).sum();
        let known_support: usize = of(Kind::Known).map(|child| child.raw.len()).sum();
        let values = of(Kind::Value).count() > 0;
        let weight = children.values().map(|child| learner.weight(child)).sum();
        // A parameter would have shown more than one or two values in so many paths.
        let names = unknown <= 2 && !values && learner.paths >= ENOUGH_PATHS;
        let scattered = contexts >= MANY_CONTEXTS
            && unknown + known > learner.max
            && 2 * (unknown_support + known_support) < 3 * (unknown + known);
        let mut below: FxHashMap<usize, (usize, usize)> = FxHashMap::default();
        let (mut parents, mut pairs) = (0, 0);
        for child in children.values().filter(|child| learner.kind(child) != Kind::Fixed) {
            let names = learner.below(child);
            let named = names.iter().filter(|name| **name != ANY_VALUE).count();
            parents += usize::from(named > 0);
            pairs += named;
            for name in names {
                let (all, values) = below.entry(name).or_default();
                *all += 1;
                *values += usize::from(learner.kind(child) <= Kind::Unknown);
            }
        }
        let leaves = |kind| of(kind).filter(|child| learner.below(child).is_empty()).count();
        let leaves = (leaves(Kind::Unknown), leaves(Kind::Known));
        let names_below = below.len() - usize::from(below.contains_key(&ANY_VALUE));
        // Values go on alike, or end here. Where words go on each in its own way, it takes many more of them.
        let shared = names_below > 0 && pairs >= 2 * names_below;
        let enough = if shared || leaves.0 * 2 > unknown { learner.max } else { learner.max.saturating_mul(10) };
        let many = unknown > enough && unknown > known;
        let alike = in_collection && parents >= 3 && names_below >= 2 && pairs * 2 > names_below * parents;
        let open = alike || unknown > 0 && (in_collection && !names || many || scattered);
        Self { contexts, unknown, known, unknown_support, weight, values, open, leaves, alike, below }
    }

    fn is_value(&self, learner: &Learner, child: &Child) -> bool {
        match learner.kind(child) {
            Kind::Value => true,
            Kind::File => self.values || self.open,
            Kind::Unknown => self.open && !self.goes_its_own_way(learner, child),
            Kind::Fixed => {
                self.open && self.unknown > learner.max && self.contexts >= 2 * MANY_CONTEXTS && child.raw.len() <= 2
            }
            Kind::Known => self.open && !self.is_common(child) && self.is_like_values(learner, child),
        }
    }

    /// Whether a child was seen in far more contexts than the unknown words beside it.
    fn is_common(&self, child: &Child) -> bool {
        child.raw.len() >= 3 && child.raw.len() * self.unknown > 4 * self.unknown_support
    }

    /// Whether a child has several names below it, most of which no other child has.
    fn goes_its_own_way(&self, learner: &Learner, child: &Child) -> bool {
        let below = learner.below(child);
        let names = || below.iter().filter(|name| learner.is_known(**name));
        let own = names().filter(|name| self.below.get(name).is_none_or(|(all, _)| *all < 2)).count();
        if own >= 2 && own * 2 > names().count() {
            return true;
        }
        // Or it is where most of the traffic goes: `/api` among what scanners try.
        let weight = learner.weight(child);
        let strange = |name: &&usize| **name == ANY_VALUE || self.below.get(name).is_none_or(|(all, _)| *all < 2);
        weight >= HEAVY && weight * 10 >= self.weight && below.iter().filter(strange).count() * 2 > below.len()
    }

    /// Whether a child goes on as the values beside it do.
    fn is_like_values(&self, learner: &Learner, child: &Child) -> bool {
        let below = learner.below(child);
        if below.is_empty() {
            let (unknown, known) = self.leaves;
            return unknown + known > learner.max && unknown * 2 > known;
        }
        // A plural that goes on with values is a collection beside the values: `/users/groups/7`.
        let collection = is_collection(learner.spelling(child));
        let shared = |name: &&usize| {
            !(collection && **name == ANY_VALUE)
                && self.below.get(name).is_some_and(|(all, values)| *values > 0 || (self.alike && *all > 1))
        };
        below.iter().filter(shared).count() * 2 > below.len()
    }

    fn place(&self) -> Place {
        Place { open: self.open, unknown: self.unknown, known: self.known }
    }
}

/// Paths through a child that make it more than one value among others.
const HEAVY: usize = 16;
/// Stands for all values among names.
const ANY_VALUE: usize = usize::MAX;
/// Paths of a service from which on it counts what was not seen.
const ENOUGH_PATHS: usize = 200;
/// Contexts of a place from which on it counts in how many of them a name was seen.
const MANY_CONTEXTS: usize = 8;
