//! When received bytes became readable: a bounded list of arrivals that are not read yet.

use std::collections::VecDeque;

use crate::time::MonoNanos;

/// Arrivals of one connection, by ascending position.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// The position behind the last byte of each, and when it came; `None` where that was not kept.
    list: VecDeque<(u64, Option<MonoNanos>)>,
}

impl Arrivals {
    /// Bytes up to `end` became readable. Returns false if there was no room to remember when.
    pub(crate) fn push(&mut self, end: u64, at: MonoNanos, limit: usize) -> bool {
        let full = self.list.len() >= limit.max(1);
        match self.list.back_mut() {
            Some(last) if last.0 >= end => true,
            // The last entry stands for all that found no room: they are known to have come, not when.
            Some(last) if full => {
                *last = (end, None);
                false
            }
            _ => {
                self.list.push_back((end, Some(at)));
                true
            }
        }
    }

    /// Those of which it is known when they were.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, MonoNanos)> {
        self.list.iter().filter_map(|&(end, at)| Some((end, at?)))
    }

    /// When the byte at `pos` became readable.
    pub(crate) fn at(&self, pos: u64) -> Option<MonoNanos> {
        self.list.iter().find(|(end, _)| *end > pos)?.1
    }

    /// All bytes before `pos` were read.
    pub(crate) fn read_up_to(&mut self, pos: u64) {
        while self.list.front().is_some_and(|(end, _)| *end <= pos) {
            self.list.pop_front();
        }
    }

    /// Heap memory in use, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.list.len() * size_of::<(u64, Option<MonoNanos>)>()
    }
}
