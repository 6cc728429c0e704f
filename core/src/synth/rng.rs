//! The generator of pseudo-random numbers: splitmix64, because it is five lines, fast, and splits into streams.

/// A seeded stream of numbers. Equal seeds give equal streams, on any machine and in any version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The `n`th of the independent streams that belong to this seed.
    #[must_use]
    pub const fn stream(seed: u64, n: u64) -> Self {
        Self(mix(seed ^ mix(n.wrapping_add(0x5eed))))
    }

    /// The next number of 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 to `bound` - 1; 0 if `bound` is 0. (Its bias is below 2^-32 for bounds below 2^32.)
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.bits() as u128 * bound as u128) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True `per_mille` times of 1000.
    pub const fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille as u64
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(items.len() as u64)).expect("invariant: below a usize");
        &items[at]
    }

    /// The place of one of several things, each drawn as often as its weight says; the first if all weights are 0.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let mut left = self.below(weights.clone().map(u64::from).sum());
        let drawn = weights.map(u64::from).position(|weight| {
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        });
        drawn.unwrap_or(0)
    }

    /// Where to cut `len` bytes into at most `pieces` pieces: ascending offsets, the last of them `len`.
    pub(super) fn cuts(&mut self, len: usize, pieces: u64) -> Vec<usize> {
        let mut cuts: Vec<usize> = (1..self.between(1, pieces)).map(|_| self.below(len as u64) as usize).collect();
        cuts.push(len);
        cuts.retain(|&cut| cut > 0);
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

/// splitmix64's finalizer.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_reference_stream() {
        // The first outputs of splitmix64 for seed 1234567, as published with the reference implementation.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn cuts_cover_all_bytes() {
        let mut rng = Rng::new(1);
        for len in 1..200 {
            let cuts = rng.cuts(len, 5);
            assert!(cuts.is_sorted() && cuts.last() == Some(&len) && cuts.len() <= 5, "{cuts:?}");
        }
    }
}
