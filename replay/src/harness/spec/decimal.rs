//! Numbers of specs: decimals of nine places, which hold every value of a metric and every duration without rounding.

use std::fmt;
use std::str::FromStr;

/// So many parts one is made of.
const ONE: i128 = 1_000_000_000;

/// A decimal number with nine places; of a length of time, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Decimal(i128);

impl Decimal {
    /// A whole number.
    pub(crate) fn whole(number: impl Into<i128>) -> Self {
        Self(number.into().saturating_mul(ONE))
    }

    /// So many parts of a thousand millionth: of a length of time, nanoseconds.
    pub(crate) fn nanos(nanos: impl Into<i128>) -> Self {
        Self(nanos.into())
    }

    /// The same in parts of a thousand millionth.
    pub(crate) const fn as_nanos(self) -> i128 {
        self.0
    }

    /// `self` times `percent` / 100, rounded down.
    pub(crate) fn percent(self, percent: Self) -> Self {
        Self(self.0.saturating_mul(percent.0) / ONE / 100)
    }

    /// How far apart two are.
    pub(crate) fn distance(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).saturating_abs())
    }

    /// The sum, at most the largest number there is.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self` times `other`, rounded towards zero.
    #[must_use]
    pub(crate) fn times(self, other: Self) -> Self {
        Self(self.0.saturating_mul(other.0) / ONE)
    }
}

/// A text that is no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidDecimal(String);

impl fmt::Display for InvalidDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no number of at most nine places, as in `812` or `9.81`", self.0)
    }
}

impl FromStr for Decimal {
    type Err = InvalidDecimal;

    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        let invalid = || InvalidDecimal(text.into());
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, places) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(places) || places.len() > 9 {
            return Err(invalid());
        }
        let whole: i128 = whole.parse().map_err(|_| invalid())?;
        let places: i128 = format!("{places:0<9}").parse().map_err(|_| invalid())?;
        let value = whole.checked_mul(ONE).and_then(|whole| whole.checked_add(places)).ok_or_else(invalid)?;
        Ok(Self(if negative { -value } else { value }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        let (whole, places) = (value / ONE.unsigned_abs(), value % ONE.unsigned_abs());
        if places == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{places:09}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for text in ["0", "812", "9.81", "-0.000000001", "0.1", "123456789012345678.000000001"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        assert_eq!("1.50".parse::<Decimal>().unwrap().to_string(), "1.5");
        for text in ["", "-", "1.", ".5", "1e3", "0.0000000001", "1 ", "170141183460469231731687303715884105727"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }
}
