//! `low-cardinality`: what is remembered of each service, when it is learned from, and the way of a path down the tree.

use super::heuristic::{Judge, Judged, MAX_SEGMENTS};
use super::learn::Learner;
use super::sample::Sample;
use super::tree::{Step, Tree};

/// What `low-cardinality` judges by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// What was seen so far, in the order of the tape: what a live run does.
    #[default]
    Online,
    /// All paths, observed in a first pass: the result depends on the set of paths alone.
    Whole,
}

/// New paths of a service after which its first tree is learned.
const FIRST_LESSON: usize = 8;
/// A tree is learned anew when the paths it was learned from have grown by this fraction.
const GROWTH: usize = 4;

/// The trees of all services, and the paths they are learned from.
#[derive(Debug)]
pub(super) struct Learned {
    evidence: Evidence,
    wildcard: char,
    max: usize,
    sample: Sample,
    trees: Vec<ServiceTree>,
    /// Reused between calls.
    path: String,
    key: String,
}

/// One service, one direction.
#[derive(Debug, Default)]
struct ServiceTree {
    tree: Tree,
    learned_from: usize,
    /// Paths that came since.
    fresh: usize,
}

impl Learned {
    pub(super) fn new(evidence: Evidence, wildcard: char, max: usize, paths: usize) -> Self {
        let (sample, trees, path, key) = (Sample::new(paths), Vec::new(), String::new(), String::new());
        Self { evidence, wildcard, max, sample, trees, path, key }
    }

    /// Whether it was told the same as another one.
    pub(super) const fn learns_as(&self, other: &Self) -> bool {
        self.wildcard == other.wildcard && self.max == other.max
    }

    /// Learns from what comes from now on.
    pub(super) const fn learn_online(&mut self) {
        self.evidence = Evidence::Online;
    }

    /// Opens a service, and gives its number.
    pub(super) fn open(&mut self) -> usize {
        self.trees.push(ServiceTree::default());
        self.sample.open()
    }

    /// Paths that were seen and are not learned from, because there were too many.
    pub(super) const fn left_out(&self) -> u64 {
        self.sample.left_out()
    }

    /// Takes note of a path.
    pub(super) fn observe(&mut self, service: usize, judge: &mut Judge, target: &str) {
        self.path.clear();
        for judged in judge.path(target).take(MAX_SEGMENTS) {
            judged.write(judged.class.is_value(), self.wildcard, &mut self.path);
        }
        let new = self.sample.offer(service, &self.path);
        if let Some(state) = self.trees.get_mut(service).filter(|_| new) {
            state.fresh += 1;
        }
    }

    /// Learns a service's tree anew if it is time to. Says whether it did.
    pub(super) fn update(&mut self, service: usize, judge: &mut Judge) -> bool {
        let Some(state) = self.trees.get_mut(service) else { return false };
        let due = match self.evidence {
            Evidence::Online => (state.learned_from / GROWTH).max(FIRST_LESSON),
            Evidence::Whole => 1,
        };
        if state.fresh < due {
            return false;
        }
        let mut learner = Learner::new(self.max);
        for path in self.sample.paths(service) {
            learner.add(judge.path(path));
        }
        let learned_from = self.sample.len(service);
        *state = ServiceTree { tree: learner.learn(), learned_from, fresh: 0 };
        true
    }

    /// Appends the route of a path.
    pub(super) fn route(&mut self, service: usize, judge: &mut Judge, target: &str, route: &mut String) {
        let Some(state) = self.trees.get_mut(service) else { return };
        let most = match self.evidence {
            // What the first pass left out is a value, or else there were no bound.
            Evidence::Whole => 0,
            Evidence::Online if self.max == 0 => usize::MAX,
            Evidence::Online => self.max,
        };
        let mut at = Some(0);
        for (index, judged) in judge.path(target).enumerate() {
            // Beyond what the tree knows and may still take, nothing is told apart: that keeps the routes bounded.
            let Some(here) = at.filter(|_| index < MAX_SEGMENTS) else {
                route.extend(['/', self.wildcard, self.wildcard]);
                return;
            };
            key(&judged, self.wildcard, &mut self.key);
            if state.tree.step(here, &judged, &self.key).is_none() {
                state.tree.grow(here, &self.key, most);
            }
            let step = state.tree.step(here, &judged, &self.key).unwrap_or(Step::Value(None));
            step.write(self.wildcard, route);
            at = match step.next() {
                None if most > 0 => state.tree.grow_wildcard(here),
                next => next,
            };
        }
        if route.is_empty() {
            route.push('/');
        }
    }

    /// The step that a segment takes from a place of a service's tree; `None` where the tree does not know it.
    pub(super) fn step(&self, service: usize, at: usize, judged: &Judged<'_>) -> Option<Step<'_>> {
        let mut text = String::new();
        key(judged, self.wildcard, &mut text);
        self.trees.get(service)?.tree.step(at, judged, &text)
    }
}

/// A segment as the tree knows it: what its shape alone gives away is replaced.
fn key(judged: &Judged<'_>, wildcard: char, key: &mut String) {
    key.clear();
    if judged.class.is_value() {
        key.push(wildcard);
        key.push_str(judged.kept());
    } else {
        key.push_str(&judged.text);
    }
}
