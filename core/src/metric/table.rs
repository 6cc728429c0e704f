//! The series of metrics that share their labels: found by label values, without allocating for those that exist.

use std::hash::Hasher as _;

use rustc_hash::{FxHashMap, FxHasher};

use super::label::Label;
use crate::span::Span;
use crate::time::MonoNanos;

/// Label values, one after the other. Reused for each look-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    text: String,
    ends: Vec<u32>,
}

impl Values {
    /// Takes what `labels` say of `span`.
    pub(super) fn fill(&mut self, labels: &[Label], span: &Span) {
        self.clear();
        for label in labels {
            label.write(span, &mut self.text);
            self.end();
        }
    }

    /// The values, in the order of their labels.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let value = self.text.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            value
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn end(&mut self) {
        // Values beyond 4 GiB would run into one another; heads are bounded far below.
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        hasher.write(self.text.as_bytes());
        for &end in &self.ends {
            hasher.write_u32(end);
        }
        hasher.finish()
    }
}

/// One row of a [`Table`].
#[derive(Clone, Debug)]
pub(super) struct Row<T> {
    /// The label values; `None` for the overflow row.
    pub(super) values: Option<Values>,
    /// The number of the observation that made it.
    pub(super) born: u64,
    /// The latest moment that it was observed at.
    pub(super) updated: MonoNanos,
    /// What is counted.
    pub(super) data: T,
    /// Another row with the same hash.
    next: Option<u32>,
}

/// At most `limit` rows, and one more that takes what comes after.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    limit: usize,
    index: FxHashMap<u64, u32>,
    rows: Vec<Row<T>>,
    overflow: Option<Box<Row<T>>>,
}

impl<T> Table<T> {
    pub(super) fn new(limit: usize) -> Self {
        // Rows are numbered in 32 bits.
        Self { limit: limit.min(u32::MAX as usize), index: FxHashMap::default(), rows: Vec::new(), overflow: None }
    }

    /// The row of `values`, made by `new` where there is none yet, and whether it is the overflow row.
    pub(super) fn row(&mut self, values: &Values, ordinal: u64, new: impl FnOnce() -> T) -> (&mut Row<T>, bool) {
        let hash = values.hash();
        let first = self.index.get(&hash).copied();
        let found = std::iter::successors(first, |&at| self.rows.get(at as usize)?.next)
            .map(|at| at as usize)
            .find(|&at| self.rows.get(at).is_some_and(|row| row.values.as_ref() == Some(values)));
        let fresh = |values, next| Row { values, born: ordinal, updated: MonoNanos::ZERO, data: new(), next };
        if let Some(at) = found {
            return (&mut self.rows[at], false);
        }
        if self.rows.len() >= self.limit {
            return (self.overflow.get_or_insert_with(|| Box::new(fresh(None, None))), true);
        }
        let at = u32::try_from(self.rows.len()).expect("invariant: the limit is within 32 bits");
        self.index.insert(hash, at);
        (self.rows.push_mut(fresh(Some(values.clone()), first)), false)
    }

    /// All rows, the overflow row last.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row<T>> {
        self.rows.iter().chain(self.overflow.as_deref())
    }
}
