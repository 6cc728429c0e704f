//! A histogram with fixed upper bounds, of integers.

use std::sync::Arc;

use super::exemplar::Exemplar;
use super::exponential::{Exponential, Resolution};
use super::snapshot::Scale;

/// Counts of values by explicit upper bounds, and their exact sum.
///
/// A value belongs to the first bucket whose bound is not below it (Prometheus' `le`); what is above all bounds belongs to
/// the last bucket, `+Inf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: Arc<[u64]>,
    counts: Box<[u64]>,
    sum: u128,
    /// Of each bucket the latest; `None` as long as there is none at all.
    exemplars: Option<Box<[Option<Exemplar>]>>,
    /// The same values once more, where that is asked for.
    exponential: Option<Box<Exponential>>,
}

impl Histogram {
    /// An empty histogram. `bounds` must ascend.
    pub fn new(bounds: Arc<[u64]>) -> Self {
        debug_assert!(bounds.is_sorted(), "bucket bounds ascend");
        let counts = vec![0; bounds.len() + 1].into();
        Self { bounds, counts, sum: 0, exemplars: None, exponential: None }
    }

    /// One that also counts in exponential buckets, of integers as in families of `scale`; `None` for one that does not.
    pub fn with_exponential(self, resolution: Option<Resolution>, scale: Scale) -> Self {
        let exponential = resolution.map(|resolution| Box::new(Exponential::new(resolution, scale)));
        Self { exponential, ..self }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.record_with(value, None);
    }

    /// Counts a value, and remembers who it is of.
    pub(super) fn record_with(&mut self, value: u64, exemplar: Option<Exemplar>) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        if let Some(exemplar) = exemplar {
            let all = self.exemplars.get_or_insert_with(|| vec![None; self.counts.len()].into());
            if let Some(latest) = all.get_mut(bucket) {
                *latest = Some(Exemplar { value, ..exemplar });
            }
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += u128::from(value);
        if let Some(exponential) = &mut self.exponential {
            exponential.record(value);
        }
    }

    /// Adds what `other` has counted, which must have the same bounds.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "histograms of one metric have the same bounds");
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
        if let (Some(own), Some(other)) = (&mut self.exponential, &other.exponential) {
            own.merge(other);
        }
    }

    /// What was counted since it was as `earlier`, from which it must have grown. Of exemplars, those that are new.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut grown = self.clone();
        for (count, before) in grown.counts.iter_mut().zip(&earlier.counts) {
            *count = count.saturating_sub(*before);
        }
        grown.sum = self.sum.saturating_sub(earlier.sum);
        for (at, exemplar) in grown.exemplars.iter_mut().flatten().enumerate() {
            if exemplar.as_ref() == earlier.exemplar(at) {
                *exemplar = None;
            }
        }
        if let (Some(own), Some(earlier)) = (&mut grown.exponential, &earlier.exponential) {
            **own = own.since(earlier);
        }
        grown
    }

    /// Adds to each of its numbers what `next` gives, the sum last.
    pub(super) fn grow(&mut self, mut next: impl FnMut() -> u128) {
        for count in &mut self.counts {
            *count = count.saturating_add(u64::try_from(next()).unwrap_or(u64::MAX));
        }
        self.sum = self.sum.saturating_add(next());
    }

    /// The upper bounds, without `+Inf`.
    pub fn bounds(&self) -> &[u64] {
        &self.bounds
    }

    /// How many values each bucket holds (not cumulative); one more than there are bounds.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The same values in exponential buckets.
    pub fn exponential(&self) -> Option<&Exponential> {
        self.exponential.as_deref()
    }

    /// The latest exemplar of a bucket.
    pub fn exemplar(&self, bucket: usize) -> Option<&Exemplar> {
        self.exemplars.as_ref()?.get(bucket)?.as_ref()
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub const fn sum(&self) -> u128 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let mut histogram = Histogram::new(Arc::from([0, 5, 10]));
        [0, 1, 5, 6, 10, 11, u64::MAX].into_iter().for_each(|value| histogram.record(value));
        assert_eq!(histogram.counts(), [1, 2, 2, 2]);
        assert_eq!(histogram.sum(), 33 + u128::from(u64::MAX));
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let resolution = Some(Resolution::FINEST);
        let mut histogram = Histogram::new(Arc::from([5])).with_exponential(resolution, Scale::Bytes);
        [1, 9].into_iter().for_each(|value| histogram.record(value));
        let earlier = histogram.clone();
        histogram.record(9);
        let grown = histogram.since(&earlier);
        assert_eq!((grown.counts(), grown.sum(), grown.bounds()), (&[0, 1][..], 9, &[5][..]));
        assert_eq!(grown.exponential().unwrap().counts().iter().sum::<u64>(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(mut bounds: Vec<u64>, values: Vec<u64>) {
            bounds.sort_unstable();
            let mut histogram = Histogram::new(bounds.clone().into());
            values.iter().for_each(|&value| histogram.record(value));
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert_eq!(histogram.sum(), values.iter().map(|&value| u128::from(value)).sum::<u128>());
            for (at, bound) in bounds.iter().enumerate() {
                let below = values.iter().filter(|&value| value <= bound).count() as u64;
                // Equal bounds share one bucket: the cumulative count is right at the last of them.
                if bounds.get(at + 1) != Some(bound) {
                    prop_assert_eq!(histogram.counts()[..=at].iter().sum::<u64>(), below);
                }
            }
        }
    }
}
