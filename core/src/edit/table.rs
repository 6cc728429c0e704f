//! What is remembered of connections and processes: of so many, and of more those that are in use.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::limits::EDIT_KNOWN;
use crate::track::Lru;

/// Values by key, [`EDIT_KNOWN`] at most: where there are more, what was not in use for longest is forgotten, and counted.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    index: FxHashMap<K, u32>,
    values: Lru<(K, V)>,
    most: usize,
    forgotten: u64,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { index: FxHashMap::default(), values: Lru::new(), most: EDIT_KNOWN, forgotten: 0 }
    }
}

impl<K: Copy + Eq + Hash + Ord, V> Table<K, V> {
    /// How many were forgotten though they may be asked for.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.values.get(*self.index.get(&key)?).map(|(_, value)| value)
    }

    /// The value, which is in use now.
    pub(super) fn touch(&mut self, key: K) -> Option<&mut V> {
        let at = *self.index.get(&key)?;
        self.values.touch(at);
        self.values.get_mut(at).map(|(_, value)| value)
    }

    /// Puts a value in the place of the one that was known, if any.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some(known) = self.touch(key) {
            *known = value;
            return;
        }
        let idle = self.values.iter().next().map(|(at, _)| at).filter(|_| self.values.len() >= self.most);
        if let Some((idle, _)) = idle.and_then(|at| self.values.remove(at)) {
            self.index.remove(&idle);
            self.forgotten += 1;
        }
        self.index.insert(key, self.values.insert((key, value)));
    }

    pub(super) fn remove(&mut self, key: K) {
        if let Some(at) = self.index.remove(&key) {
            self.values.remove(at);
        }
    }

    /// All that is known, by key.
    pub(super) fn sorted(&self) -> Vec<(K, &V)> {
        let mut all: Vec<_> = self.values.iter().map(|(_, (key, value))| (*key, value)).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_for_longest_is_forgotten_and_counted() {
        let mut table = Table { most: 2, ..Table::default() };
        table.insert(1, "one");
        table.insert(2, "two");
        assert_eq!(table.touch(1), Some(&mut "one"));
        table.insert(3, "three");
        assert_eq!((table.sorted(), table.forgotten()), (vec![(1, &"one"), (3, &"three")], 1));
        table.insert(3, "drei");
        table.remove(1);
        table.insert(4, "four");
        assert_eq!((table.sorted(), table.forgotten()), (vec![(3, &"drei"), (4, &"four")], 1));
        assert_eq!((table.get(2), table.get(4)), (None, Some(&"four")));
    }
}
