//! A histogram whose buckets grow by a factor, as wide as what it holds needs it
//! (OpenTelemetry, "Base2 Exponential Bucket Histogram Aggregation"; Prometheus calls it native).

use super::snapshot::Scale;

/// How fine and how large exponential histograms may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The scale to begin with, from -10 to 20.
    pub max_scale: i8,
    /// Buckets at most, from 2 to 160: what bounds the memory, with eight bytes each.
    pub max_size: u16,
}

impl Resolution {
    /// OpenTelemetry's default, and the finest there is.
    pub const FINEST: Self = Self { max_scale: 20, max_size: 160 };
}

/// Counts of values by buckets whose bounds are powers of 2<sup>2<sup>-scale</sup></sup>, in the unit that metrics are told
/// in: seconds, for values in nanoseconds.
///
/// Bucket `i` has what is above base<sup>i</sup> and not above base<sup>i+1</sup>. Where more than `max_size` of them would be
/// needed the scale goes down, which joins each two neighbours. All of it is integers, so the same values are in the same
/// buckets on any machine. A value that is nearer than 2<sup>-42</sup> of itself above a bound may be in the bucket below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exponential {
    /// How many integers make one unit.
    unit: u64,
    scale: i8,
    max_size: u16,
    zeros: u64,
    /// The index of the first of `counts`.
    offset: i32,
    /// From the first bucket that holds something to the last.
    counts: Vec<u64>,
}

impl Exponential {
    /// An empty one, of integers as in families of `scale`.
    pub fn new(resolution: Resolution, scale: Scale) -> Self {
        let unit = if scale == Scale::Seconds { 1_000_000_000 } else { 1 };
        let scale = resolution.max_scale.clamp(-10, 20);
        let max_size = resolution.max_size.clamp(2, Resolution::FINEST.max_size);
        Self { unit, scale, max_size, zeros: 0, offset: 0, counts: Vec::new() }
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        if value == 0 {
            self.zeros += 1;
            return;
        }
        let mut index = index(value, self.unit, self.scale);
        let excess = self.excess(index, index);
        self.reduce(excess);
        index >>= excess;
        *self.at(index) += 1;
    }

    /// Adds what `other` has counted, which must be of the same unit. Both are as coarse as the coarser of them then.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.unit, other.unit, "histograms of one metric have the same unit");
        self.zeros += other.zeros;
        let mut other = other.clone();
        other.reduce(u32::from(other.scale.abs_diff(self.scale.min(other.scale))));
        self.reduce(u32::from(self.scale.abs_diff(self.scale.min(other.scale))));
        if let Some((first, last)) = other.ends() {
            let excess = self.excess(first, last);
            self.reduce(excess);
            other.reduce(excess);
        }
        for (index, &count) in (other.offset..).zip(&other.counts) {
            *self.at(index) += count;
        }
    }

    /// What was counted since it was as `earlier`, from which it must have grown: so that is at least as fine.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut earlier = earlier.clone();
        earlier.reduce(u32::from(earlier.scale.abs_diff(self.scale)));
        let mut grown = self.clone();
        grown.zeros = grown.zeros.saturating_sub(earlier.zeros);
        for (index, count) in (earlier.offset..).zip(earlier.counts) {
            let at = usize::try_from(index - grown.offset).ok();
            if let Some(grown) = at.and_then(|at| grown.counts.get_mut(at)) {
                *grown = grown.saturating_sub(count);
            }
        }
        grown
    }

    /// The same, with at most this resolution.
    pub fn coarser(&self, resolution: Resolution) -> Self {
        let mut coarser = self.clone();
        coarser.max_size = self.max_size.min(resolution.max_size.max(2));
        coarser.reduce(u32::try_from(self.scale.saturating_sub(resolution.max_scale)).unwrap_or(0));
        if let Some((first, last)) = coarser.ends() {
            let excess = coarser.excess(first, last);
            coarser.reduce(excess);
        }
        coarser
    }

    /// Each unit higher doubles the number of buckets.
    pub const fn scale(&self) -> i8 {
        self.scale
    }

    /// How many values are zero.
    pub const fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The index of the first of [`counts`](Self::counts).
    pub const fn offset(&self) -> i32 {
        self.offset
    }

    /// How many values each bucket holds, from the first that holds any to the last.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// First and last index; `None` if all is empty.
    fn ends(&self) -> Option<(i32, i32)> {
        let after = i32::try_from(self.counts.len()).unwrap_or(i32::MAX);
        (after > 0).then(|| (self.offset, self.offset + after - 1))
    }

    /// How often neighbours have to be joined so that buckets from `first` to `last` have room, too.
    fn excess(&self, first: i32, last: i32) -> u32 {
        let (mut low, mut high) = self.ends().map_or((first, last), |(low, high)| (low.min(first), high.max(last)));
        let mut excess = 0;
        while high - low >= i32::from(self.max_size) {
            (low, high, excess) = (low >> 1, high >> 1, excess + 1);
        }
        excess
    }

    /// Joins neighbours, so often.
    fn reduce(&mut self, times: u32) {
        if times == 0 {
            return;
        }
        let offset = self.offset >> times;
        let mut joined = Vec::with_capacity(self.counts.len());
        for (index, count) in (self.offset..).zip(&self.counts) {
            let at = usize::try_from((index >> times) - offset).unwrap_or(0);
            joined.resize(joined.len().max(at + 1), 0);
            if let Some(sum) = joined.get_mut(at) {
                *sum += count;
            }
        }
        (self.offset, self.counts) = (offset, joined);
        self.scale = self.scale.saturating_sub(i8::try_from(times).unwrap_or(i8::MAX));
    }

    /// The count of a bucket for which there is room.
    fn at(&mut self, index: i32) -> &mut u64 {
        if self.counts.is_empty() {
            self.offset = index;
        }
        let before = usize::try_from(self.offset - index).unwrap_or(0);
        if before > 0 {
            self.counts.splice(0..0, std::iter::repeat_n(0, before));
            self.offset = index;
        }
        let at = usize::try_from(index - self.offset).unwrap_or(0);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts.get_mut(at).expect("invariant: there are as many as it takes")
    }
}

/// The bucket of `value`, which is not zero, in units of `unit`.
///
/// The bits of log2(value / unit) come one by one: the whole ones by comparing, the others by squaring, since
/// log2(x²) = 2 log2(x). What is cut off makes a result too low at most.
fn index(value: u64, unit: u64, scale: i8) -> i32 {
    let (value, unit) = (u128::from(value), u128::from(unit));
    // x = value / unit is in [2^power, 2^(power + 1)).
    let mut power = i32::try_from(value.ilog2()).unwrap_or(0) - i32::try_from(unit.ilog2()).unwrap_or(0);
    let shifted = |power: i32| match u32::try_from(power) {
        Ok(power) => (value, unit << power),
        Err(_) => (value << power.unsigned_abs(), unit),
    };
    let (mut high, mut low) = shifted(power);
    if high < low {
        power -= 1;
        (high, low) = shifted(power);
    }
    // Upper bounds belong to their buckets, and no bound but powers of two is a fraction of integers.
    if high == low {
        return if scale >= 0 { (power << scale) - 1 } else { (power - 1) >> -scale };
    }
    // x / 2^power, in [1, 2), as a multiple of 2^-63. Neither value nor twice the unit reaches 2^64, so `high` does not.
    let mut fraction = u64::try_from((high << 63) / low).unwrap_or(u64::MAX);
    let mut index = power;
    for _ in 0..scale {
        let square = (u128::from(fraction) * u128::from(fraction)) >> 63;
        let bit = square >> 64;
        fraction = u64::try_from(square >> bit).unwrap_or(u64::MAX);
        index = (index << 1) | i32::from(bit != 0);
    }
    if scale < 0 { index >> -scale } else { index }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn of(values: &[u64], resolution: Resolution, scale: Scale) -> Exponential {
        let mut all = Exponential::new(resolution, scale);
        values.iter().for_each(|&value| all.record(value));
        all
    }

    fn bytes(values: &[u64]) -> Exponential {
        of(values, Resolution::FINEST, Scale::Bytes)
    }

    /// The bounds of the bucket `at` of `counts`, in units.
    fn bounds(histogram: &Exponential, at: usize) -> (f64, f64) {
        let bound = |index: i32| (f64::from(index) * f64::from(-histogram.scale).exp2()).exp2();
        let index = histogram.offset + i32::try_from(at).unwrap();
        (bound(index), bound(index + 1))
    }

    /// The power of two that a bound is, if it is one.
    fn power_of_two(index: i32, scale: i8) -> Option<i32> {
        match u32::try_from(scale) {
            Ok(scale) => (index % (1 << scale) == 0).then(|| index >> scale),
            Err(_) => Some(index << -scale),
        }
    }

    /// Whether a value is above 2<sup>power</sup> units.
    fn is_above(value: u64, unit: u64, power: i32) -> bool {
        let (value, unit) = (u128::from(value), u128::from(unit));
        if power < 0 { value << -power > unit } else { value > unit << power }
    }

    #[test]
    fn upper_bounds_belong_to_their_buckets() {
        for (value, scale, expected) in [
            (1, 0, -1),
            (2, 0, 0),
            (3, 0, 1),
            (4, 0, 1),
            (5, 0, 2),
            (4, 1, 3),
            (5, 1, 4),
            (6, 1, 5),
            (4, -1, 0),
            (5, -1, 1),
        ] {
            assert_eq!(index(value, 1, scale), expected, "{value} at scale {scale}");
        }
        for (nanos, scale, expected) in [
            (SECOND, 0, -1),
            (SECOND + 1, 0, 0),
            (SECOND / 2, 20, -(1 << 20) - 1),
            (SECOND / 2 + 1, 20, -(1 << 20)),
            (2 * SECOND, 3, 7),
            (1, 0, -30),
            (u64::MAX, 0, 34),
        ] {
            assert_eq!(index(nanos, SECOND, scale), expected, "{nanos} ns at scale {scale}");
        }
    }

    #[test]
    fn the_scale_is_as_fine_as_there_is_room_for() {
        assert_eq!(bytes(&[7]).scale(), 20);
        assert_eq!((bytes(&[7]).counts(), bytes(&[7, 7]).counts()), (&[1][..], &[2][..]));
        // 1 to 1024 is ten powers of two: at scale 4 they are 160 buckets, and the one below 1 is one more.
        assert_eq!((bytes(&[2, 1024]).scale(), bytes(&[1, 1024]).scale()), (4, 3));
        assert_eq!(bytes(&[1, u64::MAX]).scale(), 1);
        let two = of(&[1, u64::MAX], Resolution { max_scale: 20, max_size: 2 }, Scale::Seconds);
        assert_eq!((two.counts(), two.offset()), (&[1, 1][..], -1));
        assert_eq!((bytes(&[0, 0]).zeros(), bytes(&[0]).counts()), (2, &[][..]));
    }

    #[test]
    fn what_was_counted_since_is_the_difference() {
        let (earlier, later) = (bytes(&[0, 100, 101]), bytes(&[0, 100, 101, 0, 100, 5_000_000]));
        let since = later.since(&earlier);
        let held: Vec<_> = since.counts().iter().filter(|count| **count > 0).collect();
        assert_eq!((since.zeros(), held, since.scale()), (1, vec![&1, &1], later.scale()));
    }

    fn values() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec((any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift), 0..200)
    }

    proptest! {
        #[test]
        fn each_value_is_within_its_buckets_bounds(value in 1..u64::MAX, shift in 0..64_u32, seconds: bool) {
            let (scale, unit) = if seconds { (Scale::Seconds, SECOND) } else { (Scale::Bytes, 1) };
            let bound = unit << (shift % 34);
            for (value, max_scale) in [(value >> shift).max(1), bound - 1, bound, bound + 1]
                .into_iter()
                .filter(|value| *value > 0)
                .flat_map(|value| [-3, 0, 3, 8, 20].map(|max_scale| (value, max_scale)))
            {
                let histogram = of(&[value], Resolution { max_scale, max_size: 160 }, scale);
                let ((low, high), float) = (bounds(&histogram, 0), value as f64 / unit as f64);
                let above_low = match power_of_two(histogram.offset, max_scale) {
                    Some(power) => is_above(value, unit, power),
                    None => float > low * (1.0 - 1e-14),
                };
                let above_high = match power_of_two(histogram.offset + 1, max_scale) {
                    Some(power) => is_above(value, unit, power),
                    None => float > high * (1.0 + (-42_f64).exp2() + 1e-14),
                };
                prop_assert!(above_low && !above_high, "{low} {value} {high} at scale {max_scale}");
            }
        }

        #[test]
        fn a_quantile_is_within_the_bound_of_its_scale(mut values in values(), permille in 1..=1000_u64) {
            let histogram = bytes(&values);
            values.sort_unstable();
            let Some(rank) = (values.len() as u64 * permille).div_ceil(1000).checked_sub(1) else { return Ok(()) };
            let truth = values[usize::try_from(rank).unwrap()];
            let mut below = histogram.zeros();
            if rank < below {
                prop_assert_eq!(truth, 0);
                return Ok(());
            }
            let at = histogram.counts().iter().position(|count| { below += count; rank < below }).unwrap();
            let (low, high) = bounds(&histogram, at);
            // Both ends of a bucket are a factor apart, so that its middle is wrong by its root at most.
            let (middle, error) = ((low * high).sqrt(), f64::from(-i32::from(histogram.scale()) - 1).exp2().exp2());
            let wrong = (middle / truth as f64).max(truth as f64 / middle);
            prop_assert!(wrong <= error * (1.0 + 1e-9), "{middle} for {truth}, at scale {}", histogram.scale());
        }

        #[test]
        fn the_order_of_values_and_merging_make_no_difference(one in values(), other in values(), max_size in 2..160_u16) {
            let resolution = Resolution { max_scale: 20, max_size };
            let make = |values: &[u64]| of(values, resolution, Scale::Seconds);
            let mut all = one.clone();
            all.extend(&other);
            let mut merged = make(&one);
            merged.merge(&make(&other));
            prop_assert_eq!(&merged, &make(&all));
            all.reverse();
            prop_assert_eq!(&merged, &make(&all));
            prop_assert!(merged.counts().len() <= usize::from(max_size));
            prop_assert_eq!(merged.zeros() + merged.counts().iter().sum::<u64>(), all.len() as u64);
            let coarse = Resolution { max_scale: 2, max_size: 20.min(max_size) };
            let fresh = of(&all, coarse, Scale::Seconds);
            let coarser = merged.coarser(coarse);
            prop_assert_eq!((coarser.scale(), coarser.offset(), coarser.counts()), (fresh.scale(), fresh.offset(), fresh.counts()));
            let grown = merged.since(&make(&one));
            prop_assert_eq!(grown.zeros() + grown.counts().iter().sum::<u64>(), other.len() as u64);
        }
    }
}
