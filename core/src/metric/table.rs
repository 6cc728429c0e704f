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
        self.fill_named(labels, span, None);
    }

    /// As [`fill`](Self::fill), with another name of the span if there is one.
    pub(super) fn fill_named(&mut self, labels: &[Label], span: &Span, span_name: Option<&str>) {
        self.clear();
        for label in labels {
            match span_name {
                Some(name) if *label == Label::SpanName => self.text.push_str(name),
                _ => label.write(span, &mut self.text),
            }
            self.end();
        }
    }

    /// Takes values as they are.
    pub(super) fn fill_with<'a>(&mut self, values: impl Iterator<Item = &'a str>) {
        self.clear();
        for value in values {
            self.text.push_str(value);
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

/// Where a row of a [`Table`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Among the rows.
    Row(u32),
    /// It is the overflow row.
    Overflow,
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

    /// Where the row of `values` is, which `new` makes if there is none yet. The answer for the same values never
    /// changes: rows are not removed, and what once overflowed always does.
    pub(super) fn slot(&mut self, values: &Values, ordinal: u64, new: impl FnOnce() -> T) -> Slot {
        let hash = values.hash();
        let first = self.index.get(&hash).copied();
        if let Some(at) = self.position(first, values) {
            return Slot::Row(at);
        }
        let fresh = |values, next| Row { values, born: ordinal, updated: MonoNanos::ZERO, data: new(), next };
        if self.rows.len() >= self.limit {
            self.overflow.get_or_insert_with(|| Box::new(fresh(None, None)));
            return Slot::Overflow;
        }
        let at = u32::try_from(self.rows.len()).expect("invariant: the limit is within 32 bits");
        self.index.insert(hash, at);
        self.rows.push(fresh(Some(values.clone()), first));
        Slot::Row(at)
    }

    /// The row of `values`, if there is one of their own.
    pub(super) fn find(&self, values: &Values) -> Option<&Row<T>> {
        let first = self.index.get(&values.hash()).copied();
        self.rows.get(self.position(first, values)? as usize)
    }

    /// Looks among the rows of one hash, from `first` on.
    fn position(&self, first: Option<u32>, values: &Values) -> Option<u32> {
        std::iter::successors(first, |&at| self.rows.get(at as usize)?.next)
            .find(|&at| self.rows.get(at as usize).is_some_and(|row| row.values.as_ref() == Some(values)))
    }

    /// The row at a slot of this table.
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Row<T>> {
        match slot {
            Slot::Row(at) => self.rows.get_mut(at as usize),
            Slot::Overflow => self.overflow.as_deref_mut(),
        }
    }

    /// All rows, the overflow row last.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row<T>> {
        self.rows.iter().chain(self.overflow.as_deref())
    }
}
