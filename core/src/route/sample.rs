//! What routes are learned from: a bounded sample of the distinct paths of each service.
//!
//! The sample keeps the paths with the smallest hashes, so it depends on the set of paths that were offered and not on
//! their order. When all services together have more paths than the limit, each may keep the same number, the largest
//! number that fits; a service with few paths keeps them all.

use std::collections::BTreeMap;

/// The paths of all services.
#[derive(Debug)]
pub(super) struct Sample {
    limit: usize,
    /// Paths that each set may keep.
    level: usize,
    total: usize,
    sets: Vec<BTreeMap<u64, Box<str>>>,
    left_out: u64,
}

impl Sample {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, level: limit, total: 0, sets: Vec::new(), left_out: 0 }
    }

    /// Opens a set, and gives its number.
    pub(super) fn open(&mut self) -> usize {
        self.sets.push(BTreeMap::new());
        self.sets.len() - 1
    }

    /// Paths of a set, in a fixed order.
    pub(super) fn paths(&self, set: usize) -> impl Iterator<Item = &str> {
        self.sets.get(set).into_iter().flat_map(|paths| paths.values().map(|path| &**path))
    }

    /// How many paths a set has.
    pub(super) fn len(&self, set: usize) -> usize {
        self.sets.get(set).map_or(0, BTreeMap::len)
    }

    /// Paths that were offered and are not in the sample.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Offers a path to a set. Says whether it is new there and was kept.
    pub(super) fn offer(&mut self, set: usize, path: &str) -> bool {
        let hash = hash(path.as_bytes());
        let Some(paths) = self.sets.get_mut(set) else { return false };
        if paths.contains_key(&hash) {
            return false;
        }
        if paths.len() >= self.level && paths.last_key_value().is_none_or(|(last, _)| hash > *last) {
            self.left_out += 1;
            return false;
        }
        paths.insert(hash, path.into());
        self.total += 1;
        if paths.len() > self.level {
            paths.pop_last();
            self.total -= 1;
            self.left_out += 1;
        }
        while self.total > self.limit {
            self.lower();
        }
        true
    }

    /// Takes one path from each of the largest sets.
    fn lower(&mut self) {
        let most = self.sets.iter().map(BTreeMap::len).max().unwrap_or_default();
        self.level = most.saturating_sub(1);
        for paths in &mut self.sets {
            if paths.len() == most && paths.pop_last().is_some() {
                self.total -= 1;
                self.left_out += 1;
            }
        }
    }
}

/// FNV-1a, then mixed: the same on every machine.
fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}
