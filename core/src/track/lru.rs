//! A slab of connections that knows which was used least recently.

/// Values at stable indices, in a list by last use.
#[derive(Debug)]
pub(crate) struct Lru<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot; free slots are chained by `next`.
    free: u32,
    oldest: u32,
    newest: u32,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    /// Used less recently.
    prev: u32,
    /// Used more recently.
    next: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl<T> Lru<T> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: NONE, oldest: NONE, newest: NONE, len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Slots in use or free again.
    pub(crate) const fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Adds a value, as the one used last, and returns its index.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let slot = Slot { value: Some(value), prev: NONE, next: NONE };
        let at = self.free;
        let at = match self.slot(at) {
            Some(free) => {
                let next = free.next;
                *free = slot;
                self.free = next;
                at
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        self.len += 1;
        self.append(at);
        at
    }

    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        self.slots.get(at as usize)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.slot(at)?.value.as_mut()
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.slot(at)?.value.take()?;
        self.unlink(at);
        let free = std::mem::replace(&mut self.free, at);
        if let Some(slot) = self.slot(at) {
            slot.next = free;
        }
        self.len -= 1;
        Some(value)
    }

    /// Makes it the one used last.
    pub(crate) fn touch(&mut self, at: u32) {
        if self.newest != at && self.get_mut(at).is_some() {
            self.unlink(at);
            self.append(at);
        }
    }

    /// The indices, the least recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            let index = std::mem::replace(&mut at, slot.next);
            Some((index, slot.value.as_ref()?))
        })
    }

    fn slot(&mut self, at: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(at as usize)
    }

    fn append(&mut self, at: u32) {
        let last = std::mem::replace(&mut self.newest, at);
        match self.slot(last) {
            Some(slot) => slot.next = at,
            None => self.oldest = at,
        }
        if let Some(slot) = self.slot(at) {
            (slot.prev, slot.next) = (last, NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some(&mut Slot { prev, next, .. }) = self.slot(at) else { return };
        match self.slot(prev) {
            Some(slot) => slot.next = next,
            None => self.oldest = next,
        }
        match self.slot(next) {
            Some(slot) => slot.prev = prev,
            None => self.newest = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_last_use_and_slots_are_used_again() {
        let mut lru = Lru::new();
        let [a, b, c] = [1, 2, 3].map(|value| lru.insert(value));
        lru.touch(a);
        let order = |lru: &Lru<i32>| lru.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!(order(&lru), [2, 3, 1]);
        assert_eq!((lru.remove(c), lru.remove(c)), (Some(3), None));
        assert_eq!(lru.insert(4), c);
        assert_eq!(order(&lru), [2, 1, 4]);
        assert_eq!((lru.remove(b), lru.remove(a), lru.remove(c)), (Some(2), Some(1), Some(4)));
        assert_eq!((order(&lru), lru.len()), (vec![], 0));
        assert_eq!((lru.insert(5), lru.insert(6), lru.insert(7), lru.insert(8)), (c, a, b, 3));
        assert_eq!(order(&lru), [5, 6, 7, 8]);
    }
}
