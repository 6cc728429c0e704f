//! Distinct values, counted by their hashes in bounded memory.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Distinct values.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    seen: HashSet<u64>,
    full: bool,
}

impl Distinct {
    /// Counts a value; whether it is known to be new. With `limit` values, no more are told apart.
    pub(crate) fn insert(&mut self, value: impl Hash, limit: usize) -> bool {
        // The keys of this hash are fixed, so that the same tape gives the same counts.
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.len() >= limit {
            self.full |= !self.seen.contains(&hash);
            return false;
        }
        self.seen.insert(hash)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether there are more.
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }
}
