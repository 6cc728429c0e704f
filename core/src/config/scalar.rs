//! Small values of the configuration: durations, and words out of a fixed set.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

/// A length of time, as in `500ms`, `5s` or `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// In nanoseconds, at most `u64::MAX`.
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no duration: write a number and a unit, as in `500ms`, `5s` or `1m30s`")]
pub struct InvalidPeriod(String);

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        humantime::parse_duration(text).map(Self).map_err(|_| InvalidPeriod(text.into()))
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidPeriod;

    fn try_from(text: String) -> Result<Self, InvalidPeriod> {
        text.parse()
    }
}

/// A number of bytes, as in `4096`, `64M` or `64 MiB`: units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSize {
    /// It has another form.
    #[error("`{0}` is no size: write bytes, or a number with K, M or G, as in `64M`")]
    Form(String),
    /// It is more than can be counted.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(InvalidSize::Form(text.into())),
        };
        if number.is_empty() {
            return Err(InvalidSize::Form(text.into()));
        }
        let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| InvalidSize::TooLarge(text.into()))
    }
}

/// A word that is none of those expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{word}` is not possible here; {hint}")]
pub struct UnknownWord {
    word: String,
    hint: String,
}

impl UnknownWord {
    /// `word`, where one of `expected` was. An empty one of those means the default, which nobody has to write.
    pub(super) fn new(word: &str, expected: &[&str]) -> Self {
        let expected: Vec<_> = expected.iter().copied().filter(|word| !word.is_empty()).collect();
        Self { word: word.into(), hint: hint(word, &expected) }
    }
}

/// What to write instead of `word`: the one that is nearly the same, or else all there are.
pub fn hint(word: &str, expected: &[&str]) -> String {
    const LISTED: usize = 12;
    match did_you_mean(word, expected) {
        Some(near) => format!("did you mean `{near}`?"),
        None if expected.is_empty() => "nothing is expected".into(),
        None if expected.len() <= LISTED => format!("expected one of {}", quoted(expected)),
        None => {
            let (first, rest) = expected.split_at(LISTED);
            format!("expected one of {} and {} more", quoted(first), rest.len())
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The word of `expected` that is most like `word`, if at most a third of its letters differ.
pub fn did_you_mean<'a>(word: &str, expected: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&candidate.to_lowercase(), &word);
    let near = expected.iter().copied().min_by_key(|candidate| distance(candidate))?;
    (distance(near) <= near.len().div_ceil(3)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("64M", 64 << 20), ("64 MiB", 64 << 20), ("1k", 1024), (" 2Gb ", 2 << 30)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text:?}");
        }
        for text in ["", "M", "12X", "1.5M", "-1", "1µ"] {
            assert_eq!(text.parse::<Size>(), Err(InvalidSize::Form(text.into())));
        }
        for text in ["18014398509481984G", "18446744073709551616"] {
            assert_eq!(text.parse::<Size>(), Err(InvalidSize::TooLarge(text.into())));
        }
    }
}
