//! Distributions that a scenario draws durations, sizes and counts from, in integers alone.
//!
//! Floating-point functions differ between machines in their last digits, so there are none here: logarithms and powers are
//! computed bit by bit in fixed point, and the normal variable behind `lognormal` is the sum of twelve uniform ones.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::rng::Rng;
use crate::config::{Period, Size};

/// What a number counts.
pub trait Unit: Copy + fmt::Debug + Eq {
    /// What such a number is called in messages, with examples.
    const WORDS: &'static str;
    /// The largest number.
    const MOST: u64;
    /// The same in words.
    const MOST_WORDS: &'static str;

    /// Reads a number.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn parse(text: &str) -> Result<u64, String>;
}

/// Durations, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nanos {}
/// Sizes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {}
/// Counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {}

impl Unit for Nanos {
    const WORDS: &'static str = "a duration such as `500us` or `2ms`";
    const MOST: u64 = 3_600_000_000_000;
    const MOST_WORDS: &'static str = "an hour";

    fn parse(text: &str) -> Result<u64, String> {
        match text.trim() {
            negative if negative.starts_with('-') => Err(format!("`{text}` is negative; time only goes forward")),
            "0" => Ok(0),
            text => text.parse().map(Period::nanos).map_err(|error| error.to_string()),
        }
    }
}

impl Unit for Bytes {
    const WORDS: &'static str = "a size such as `300` or `2KiB`";
    const MOST: u64 = 64 << 20;
    const MOST_WORDS: &'static str = "64 MiB";

    fn parse(text: &str) -> Result<u64, String> {
        text.parse().map(|Size(bytes)| bytes).map_err(|error| error.to_string())
    }
}

impl Unit for Count {
    const WORDS: &'static str = "a whole number";
    const MOST: u64 = 10_000;
    const MOST_WORDS: &'static str = "10000";

    fn parse(text: &str) -> Result<u64, String> {
        text.parse().map_err(|_| format!("`{text}` is no whole number"))
    }
}

/// A number of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount<U>(pub u64, PhantomData<U>);

impl<U> Amount<U> {
    /// So many.
    pub const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }
}

impl<'de, U: Unit> Deserialize<'de> for Amount<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSpread::<U>(PhantomData)).and_then(|distribution| match distribution {
            Distribution::Constant(amount) => Ok(amount),
            _ => Err(D::Error::custom(format!("expected {}, found a distribution", U::WORDS))),
        })
    }
}

impl<U: Unit> JsonSchema for Amount<U> {
    fn schema_name() -> Cow<'static, str> {
        match U::MOST {
            Nanos::MOST => "Duration".into(),
            Bytes::MOST => "Size".into(),
            _ => "Count".into(),
        }
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": U::WORDS, "type": ["string", "integer"], "minimum": 0 })
    }
}

/// How numbers of a unit are distributed. In YAML a number by itself is a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution<U> {
    /// Always the same.
    Constant(Amount<U>),
    /// All from the first to the second are equally likely.
    Uniform([Amount<U>; 2]),
    /// Times between independent happenings: small ones are likely. The number is the mean.
    Exponential(Amount<U>),
    /// What latencies look like: half are below the median, one in a hundred is above `p99`.
    Lognormal(Lognormal<U>),
    /// Now this, now that.
    Mixed(Vec<Part<U>>),
}

/// A lognormal distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound = "U: Unit")]
#[schemars(bound = "U: Unit")]
pub struct Lognormal<U> {
    /// Half of the numbers are smaller.
    pub median: Amount<U>,
    /// One in a hundred is larger.
    pub p99: Amount<U>,
}

/// One of several distributions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound = "U: Unit")]
#[schemars(bound = "U: Unit")]
pub struct Part<U> {
    /// How often it is drawn from, relative to the others.
    pub weight: u32,
    /// The distribution.
    pub of: Distribution<U>,
}

/// The names of forms.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Uniform,
    Exponential,
    Lognormal,
    Mixed,
}

const FORMS: [&str; 4] = ["uniform", "exponential", "lognormal", "mixed"];

/// The forms that have a name.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(bound = "U: Unit")]
#[expect(dead_code, reason = "it is there for its schema")]
enum Spread<U> {
    /// All from the first to the second are equally likely.
    Uniform([Amount<U>; 2]),
    /// Times between independent happenings; the number is the mean.
    Exponential(Amount<U>),
    /// What latencies look like.
    Lognormal(Lognormal<U>),
    /// Now this, now that, by weight.
    Mixed(Vec<Part<U>>),
}

impl<'de, U: Unit> Deserialize<'de> for Distribution<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSpread(PhantomData))
    }
}

impl<U: Unit> JsonSchema for Distribution<U> {
    fn schema_name() -> Cow<'static, str> {
        format!("DistributionOf{}", Amount::<U>::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Amount<U>>();
        let spread = generator.subschema_for::<Spread<U>>();
        json_schema!({ "description": "A constant, or a distribution", "anyOf": [one, spread] })
    }
}

struct OneOrSpread<U>(PhantomData<U>);

impl<'de, U: Unit> Visitor<'de> for OneOrSpread<U> {
    type Value = Distribution<U>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or `uniform`, `exponential`, `lognormal` or `mixed`", U::WORDS)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        U::parse(text).map(|number| Distribution::Constant(Amount::new(number))).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(form) = map.next_key()? else {
            return Err(A::Error::custom(format!("a form lacks: one of `{}`", FORMS.join("`, `"))));
        };
        let distribution = match form {
            Form::Uniform => Distribution::Uniform(map.next_value()?),
            Form::Exponential => Distribution::Exponential(map.next_value()?),
            Form::Lognormal => Distribution::Lognormal(map.next_value()?),
            Form::Mixed => Distribution::Mixed(map.next_value()?),
        };
        match map.next_key::<Form>()? {
            None => Ok(distribution),
            Some(_) => Err(A::Error::custom("one form is all that a distribution has; `mixed` makes one of several")),
        }
    }
}

impl<U: Unit> Distribution<U> {
    /// Always `number`.
    pub const fn constant(number: u64) -> Self {
        Self::Constant(Amount::new(number))
    }

    /// From `low` to `high`, both included.
    pub const fn uniform(low: u64, high: u64) -> Self {
        Self::Uniform([Amount::new(low), Amount::new(high)])
    }

    /// Draws a number, at most [`Unit::MOST`].
    pub fn draw(&self, rng: &mut Rng) -> u64 {
        let number = match self {
            Self::Constant(amount) => amount.0,
            Self::Uniform([low, high]) => rng.between(low.0, high.0),
            Self::Exponential(mean) => exponential(rng, mean.0),
            Self::Lognormal(Lognormal { median, p99 }) => lognormal(rng, median.0, p99.0),
            Self::Mixed(parts) => {
                let drawn = rng.weighted(parts.iter().map(|part| part.weight));
                parts.get(drawn).map_or(0, |part| part.of.draw(rng))
            }
        };
        number.min(U::MOST)
    }

    /// What is drawn is hardly ever more.
    pub(super) fn most(&self) -> u64 {
        let most = match self {
            Self::Constant(amount) | Self::Uniform([_, amount]) => amount.0,
            Self::Exponential(mean) => mean.0.saturating_mul(8),
            Self::Lognormal(Lognormal { p99, .. }) => p99.0.saturating_mul(2),
            Self::Mixed(parts) => parts.iter().map(|part| part.of.most()).max().unwrap_or(0),
        };
        most.min(U::MOST)
    }

    /// What of it is not possible, in words.
    pub(super) fn fault(&self) -> Option<String> {
        let most = |amount: &Amount<U>| {
            (amount.0 > U::MOST).then(|| format!("{} is the most that is possible", U::MOST_WORDS))
        };
        match self {
            Self::Constant(amount) | Self::Exponential(amount) => most(amount),
            Self::Uniform([low, high]) if low.0 > high.0 => {
                Some("the range ends before it begins; write the smaller number first".to_owned())
            }
            Self::Uniform([_, high]) => most(high),
            Self::Lognormal(Lognormal { median, p99 }) if median.0 == 0 || p99.0 < median.0 => {
                Some("a lognormal distribution has a median above 0, and a p99 that is no less".to_owned())
            }
            Self::Lognormal(Lognormal { p99, .. }) => most(p99),
            Self::Mixed(parts) if parts.iter().all(|part| part.weight == 0) => {
                Some("all weights are 0, so none can be drawn".to_owned())
            }
            Self::Mixed(parts) => parts.iter().find_map(|part| part.of.fault()),
        }
    }
}

/// One, in numbers with 32 bits behind the point.
const ONE: u64 = 1 << 32;
/// How many bits of a logarithm or power are computed.
const BITS: u32 = 20;

/// The logarithm of `x` > 0 to base 2, with 32 bits behind the point, cut after [`BITS`] of them.
fn log2(x: u64) -> u64 {
    let zeros = x.leading_zeros();
    // From 1 to 2, with 63 bits behind the point: each squaring shows the logarithm's next bit.
    let (mut mantissa, mut fraction) = (x << zeros, 0);
    for bit in 1..=BITS {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let carry = square >> 64 != 0;
        fraction |= u64::from(carry) << (32 - bit);
        mantissa = u64::try_from(square >> u32::from(carry)).unwrap_or(u64::MAX);
    }
    u64::from(63 - zeros) * ONE + fraction
}

/// 2 to the power of 1/2, 1/4, 1/8 ..., with 62 bits behind the point.
const ROOTS: [u64; BITS as usize] = {
    let (mut roots, mut root, mut at) = ([0; BITS as usize], 2_u128 << 62, 0);
    while at < roots.len() {
        root = (root << 62_u32).isqrt();
        roots[at] = root as u64;
        at += 1;
    }
    roots
};

/// `number` times 2 to the power of `exponent`, which has 32 bits behind the point.
fn times_power_of_2(number: u64, exponent: i64) -> u64 {
    let (whole, fraction) = (exponent >> 32, exponent & (ONE as i64 - 1));
    let mut product = u128::from(number) << 32;
    for (bit, root) in (1..=BITS).zip(ROOTS) {
        if fraction >> (32 - bit) & 1 == 1 {
            product = (product * u128::from(root)) >> 62;
        }
    }
    let shifted = match u32::try_from(whole) {
        Ok(left) => product.checked_shl(left.min(40)).unwrap_or(u128::MAX),
        Err(_) => product.checked_shr(u32::try_from(-whole).unwrap_or(u32::MAX)).unwrap_or(0),
    };
    u64::try_from(shifted >> 32).unwrap_or(u64::MAX)
}

/// The logarithm of 2, with 32 bits behind the point.
const LN_2: u128 = 2_977_044_472;

fn exponential(rng: &mut Rng, mean: u64) -> u64 {
    let surprise = 64 * ONE - log2(rng.bits() | 1);
    let scaled = (u128::from(mean.min(Nanos::MOST)) * u128::from(surprise)) >> 32;
    u64::try_from((scaled * LN_2) >> 32).unwrap_or(u64::MAX)
}

/// One divided by 2.326, the normal distribution's 99th percentile, with 32 bits behind the point.
const PER_P99: i128 = 1_846_227_447;

fn lognormal(rng: &mut Rng, median: u64, p99: u64) -> u64 {
    let octaves = i128::from(log2(p99.max(1)).saturating_sub(log2(median.max(1))));
    let normal = (0..12).map(|_| i128::from(rng.bits() >> 32)).sum::<i128>() - i128::from(6 * ONE);
    let exponent = (((octaves * PER_P99) >> 32) * normal) >> 32;
    times_power_of_2(median, i64::try_from(exponent).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(distribution: &Distribution<Nanos>) -> Vec<u64> {
        let mut rng = Rng::new(7);
        let mut drawn: Vec<u64> = (0..20_000).map(|_| distribution.draw(&mut rng)).collect();
        drawn.sort_unstable();
        drawn
    }

    #[test]
    fn logarithms_and_powers_are_inverse() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(8), 3 * ONE);
        for number in [3, 1000, 123_456_789, 9_876_543_210] {
            let back = times_power_of_2(1 << 20, i64::try_from(log2(number)).unwrap()) >> 20;
            assert!(back.abs_diff(number) <= 1 + number / 500_000, "{number} {back}");
        }
        assert_eq!(times_power_of_2(4_000, -2 * ONE as i64), 1_000);
    }

    #[test]
    fn distributions_have_their_shape() {
        let exponential = drawn(&Distribution::Exponential(Amount::new(1_000_000)));
        let mean = exponential.iter().sum::<u64>() / 20_000;
        assert!(mean.abs_diff(1_000_000) < 20_000, "{mean}");
        assert!(exponential[10_000].abs_diff(693_147) < 20_000, "{}", exponential[10_000]);

        let (median, p99) = (Amount::new(2_000_000), Amount::new(30_000_000));
        let lognormal = drawn(&Distribution::Lognormal(Lognormal { median, p99 }));
        assert!(lognormal[10_000].abs_diff(2_000_000) < 60_000, "{}", lognormal[10_000]);
        assert!(lognormal[19_800].abs_diff(30_000_000) < 3_000_000, "{}", lognormal[19_800]);

        let uniform = drawn(&Distribution::uniform(5, 8));
        assert_eq!((uniform[0], uniform[19_999]), (5, 8));
    }

    #[test]
    fn draws_are_the_same_everywhere() {
        // Known values: any other on any machine or in any version would change tapes.
        let (median, p99) = (Amount::new(2_000_000), Amount::new(30_000_000));
        let mut rng = Rng::new(1);
        let lognormal = Distribution::<Nanos>::Lognormal(Lognormal { median, p99 });
        let exponential = Distribution::<Nanos>::Exponential(Amount::new(1_000_000));
        let drawn = [lognormal.draw(&mut rng), lognormal.draw(&mut rng), exponential.draw(&mut rng)];
        assert_eq!(drawn, [10_498_149, 973_063, 1_248_581]);
    }
}
