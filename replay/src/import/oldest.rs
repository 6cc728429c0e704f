//! A map of bounded size: a new entry takes the place of the oldest.

use std::collections::BTreeMap;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// At most `LIMIT` entries. What is forgotten is decided by the order in which keys came, and so the same way each time.
#[derive(Debug)]
pub(super) struct Oldest<K, V, const LIMIT: usize> {
    entries: FxHashMap<K, (u64, V)>,
    /// The keys, in the order in which they came.
    ages: BTreeMap<u64, K>,
    inserted: u64,
}

impl<K, V, const LIMIT: usize> Default for Oldest<K, V, LIMIT> {
    fn default() -> Self {
        Self { entries: FxHashMap::default(), ages: BTreeMap::new(), inserted: 0 }
    }
}

/// What an entry took the place of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Replaced<K, V> {
    Nothing,
    /// The value that the key had.
    Value(V),
    /// Another entry, which is forgotten.
    Oldest(K, V),
}

impl<K: Copy + Eq + Hash, V, const LIMIT: usize> Oldest<K, V, LIMIT> {
    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.get_mut(&key).map(|(_, value)| value)
    }

    /// Whether another key takes the place of the oldest.
    pub(super) fn is_full(&self) -> bool {
        self.ages.len() >= LIMIT
    }

    /// Gives a key a value. One that has one stays as old as it is.
    pub(super) fn insert(&mut self, key: K, value: V) -> Replaced<K, V> {
        if let Some((_, known)) = self.entries.get_mut(&key) {
            return Replaced::Value(std::mem::replace(known, value));
        }
        let forgotten = self.make_room(key);
        self.entries.insert(key, (self.inserted, value));
        forgotten.map_or(Replaced::Nothing, |(key, value)| Replaced::Oldest(key, value))
    }

    /// The value of a key, made where it has none. Returns also what was forgotten for it.
    pub(super) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> (&mut V, Option<(K, V)>) {
        let forgotten = if self.entries.contains_key(&key) { None } else { self.make_room(key) };
        let age = self.inserted;
        (&mut self.entries.entry(key).or_insert_with(|| (age, make())).1, forgotten)
    }

    /// Notes that a key comes, and forgets the oldest if there is no room for it.
    fn make_room(&mut self, key: K) -> Option<(K, V)> {
        let oldest = if self.is_full() { self.ages.pop_first() } else { None };
        self.inserted += 1;
        self.ages.insert(self.inserted, key);
        oldest.and_then(|(_, key)| Some((key, self.entries.remove(&key)?.1)))
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (age, value) = self.entries.remove(&key)?;
        self.ages.remove(&age);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let mut map = Oldest::<u8, char, 2>::default();
        assert_eq!(map.insert(1, 'a'), Replaced::Nothing);
        assert_eq!(map.insert(2, 'b'), Replaced::Nothing);
        assert_eq!(map.insert(1, 'c'), Replaced::Value('a'));
        assert_eq!(map.insert(3, 'd'), Replaced::Oldest(1, 'c'));
        assert_eq!((map.get(1).copied(), map.remove(2), map.get_mut(3).copied()), (None, Some('b'), Some('d')));
        assert_eq!(map.insert(1, 'e'), Replaced::Nothing, "there is room again");
        assert_eq!(map.insert(4, 'f'), Replaced::Oldest(3, 'd'));
    }
}
