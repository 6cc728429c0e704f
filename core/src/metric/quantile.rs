//! Quantiles of integers from a bounded number of counts.

/// Sub-buckets of each power of two: what bounds the error.
const SUB: u32 = 6;

/// Counts of values in buckets whose width grows with the value.
///
/// Values below 128 are exact. Above, each power of two has 64 buckets of equal width, so that a quantile is at most 0.8 %
/// from a true one (half the width of a bucket, over its start). There are at most 3776 buckets, and only those that
/// hold something take memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Bucket and count, ascending.
    counts: Vec<(u16, u64)>,
    count: u64,
    max: u64,
}

impl Quantiles {
    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket(value);
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (bucket, 1)),
        }
        self.count += 1;
        self.max = self.max.max(value);
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, more) in &other.counts {
            match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
                Ok(at) => self.counts[at].1 += more,
                Err(at) => self.counts.insert(at, (bucket, more)),
            }
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The middle of each bucket that holds something, and how many values it holds, ascending.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter().map(|&(bucket, count)| (middle(bucket).min(self.max), count))
    }

    /// How many values there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly; 0 if there is none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The value that `permille` of a thousand values do not exceed: the middle of the bucket of the value with the rank
    /// ceil(count * permille / 1000), and never more than the largest; 0 if there is none.
    pub fn quantile(&self, permille: u64) -> u64 {
        let rank = (u128::from(self.count) * u128::from(permille)).div_ceil(1000).max(1);
        let mut below = 0;
        for &(bucket, count) in &self.counts {
            below += u128::from(count);
            if below >= rank {
                return middle(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> u16 {
    let power = (value >> SUB).checked_ilog2().map_or(0, |power| power + 1);
    // With `power` p > 0 the value is in [2^(p+5), 2^(p+6)), and shifted by p-1 in [64, 128).
    let shift = power.saturating_sub(1);
    let within = value >> shift;
    u16::try_from(u64::from(shift) * (1 << SUB) + within).unwrap_or(u16::MAX)
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < 2 << SUB {
        return bucket;
    }
    let shift = bucket / (1 << SUB) - 1;
    let within = bucket % (1 << SUB) + (1 << SUB);
    (within << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_quantile_but_zero() {
        assert_eq!(Quantiles::default().quantile(500), 0);
    }

    #[test]
    fn small_values_are_exact() {
        let mut quantiles = Quantiles::default();
        (1..=100).for_each(|value| quantiles.record(value));
        let all = [0, 10, 500, 501, 950, 990, 1000].map(|permille| quantiles.quantile(permille));
        assert_eq!(all, [1, 1, 50, 51, 95, 99, 100]);
    }

    #[test]
    fn the_largest_value_has_a_bucket() {
        assert_eq!(bucket(u64::MAX), 3775);
        let mut quantiles = Quantiles::default();
        quantiles.record(u64::MAX);
        assert!(quantiles.quantile(1000) > u64::MAX / 128 * 127);
    }

    proptest! {
        #[test]
        fn a_quantile_is_near_a_true_one(
            mut values in proptest::collection::vec((any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift), 1..200),
            permille in 1..=1000_u64,
        ) {
            let mut quantiles = Quantiles::default();
            values.iter().for_each(|&value| quantiles.record(value));
            values.sort_unstable();
            let rank = (values.len() as u64 * permille).div_ceil(1000) as usize;
            let truth = values[rank - 1];
            let estimate = quantiles.quantile(permille);
            prop_assert!(truth.abs_diff(estimate) <= truth / 128 + 1, "{truth} {estimate}");
            prop_assert_eq!(quantiles.max(), *values.last().unwrap());
            prop_assert_eq!(quantiles.counts.iter().map(|(_, count)| count).sum::<u64>(), quantiles.count());
        }

        #[test]
        fn merging_is_counting_all(a: Vec<u64>, b: Vec<u64>) {
            let of = |values: &[u64]| {
                let mut quantiles = Quantiles::default();
                values.iter().for_each(|&value| quantiles.record(value));
                quantiles
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged.counts().map(|(_, count)| count).sum::<u64>(), merged.count());
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn buckets_ascend(a: u64, b: u64) {
            prop_assert_eq!(bucket(a.min(b)).cmp(&bucket(a.max(b))).is_gt(), false);
        }
    }
}
