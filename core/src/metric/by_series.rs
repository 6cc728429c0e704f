//! Something for each series of a family.

use std::collections::BTreeMap;

use super::snapshot::Series;

/// One `T` for each series of one family, in the order in which a snapshot has them.
#[derive(Clone, Debug)]
pub struct BySeries<T> {
    ordinary: BTreeMap<Vec<String>, T>,
    overflow: Option<T>,
}

impl<T> Default for BySeries<T> {
    fn default() -> Self {
        Self { ordinary: BTreeMap::new(), overflow: None }
    }
}

impl<T> BySeries<T> {
    /// That of `series`, which `new` makes if there is none. Allocates for new series alone.
    pub fn entry(&mut self, series: &Series, new: impl FnOnce() -> T) -> &mut T {
        if series.overflow {
            return self.overflow.get_or_insert_with(new);
        }
        if !self.ordinary.contains_key(series.values.as_slice()) {
            self.ordinary.insert(series.values.clone(), new());
        }
        self.ordinary.get_mut(series.values.as_slice()).expect("invariant: it was there, or was put there")
    }

    /// That of `series`.
    pub fn get(&self, series: &Series) -> Option<&T> {
        if series.overflow { self.overflow.as_ref() } else { self.ordinary.get(series.values.as_slice()) }
    }

    /// All of them, with the values of their labels; the overflow series, which has none, comes last.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&[String]>, &T)> {
        let ordinary = self.ordinary.iter().map(|(values, data)| (Some(values.as_slice()), data));
        ordinary.chain(self.overflow.iter().map(|data| (None, data)))
    }
}
