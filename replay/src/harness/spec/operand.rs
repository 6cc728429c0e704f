//! What conditions compare: counts, lengths of time, and values of any kind.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use super::condition::Tolerance;
use super::decimal::Decimal;
use crate::write::nanos;

/// A kind of value that a condition is about.
pub(crate) trait Operand: Clone + fmt::Debug + fmt::Display + Sized {
    /// What it is called in the schema.
    const NAME: &'static str;
    /// What it may be in JSON.
    const TYPES: &'static [&'static str];
    /// What is expected, in words.
    const EXPECTED: &'static str;

    /// From a number.
    fn of_number(number: Decimal) -> Result<Self, String>;

    /// From a text, which may have a tolerance.
    fn of_text(text: &str) -> Result<(Self, Tolerance), String>;

    /// From `true` or `false`.
    fn of_bool(_: bool) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTED))
    }

    /// From nothing.
    fn of_null() -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTED))
    }

    /// Whether it stands for what is not there.
    fn is_null(&self) -> bool {
        false
    }

    /// What it is compared by, if it is a number or a length.
    fn quantity(&self) -> Option<Decimal> {
        None
    }

    /// Whether `found` is this one, or near enough.
    fn is(&self, found: &Self, tolerance: Tolerance) -> bool {
        self.quantity().zip(found.quantity()).is_some_and(|(wanted, found)| tolerance.admits(wanted, found))
    }

    /// How it compares, if it does.
    fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.quantity()?.cmp(&other.quantity()?))
    }

    /// As a text, to be matched.
    fn text(&self) -> Option<Cow<'_, str>> {
        Some(self.to_yaml().into())
    }

    /// As a spec has it.
    fn to_yaml(&self) -> String;

    /// A tolerance as a spec has it, to stand behind the value.
    fn tolerance_text(tolerance: Tolerance) -> String {
        match tolerance {
            Tolerance::None => String::new(),
            Tolerance::Percent(percent) => format!(" ±{percent}%"),
            Tolerance::By(most) => format!(" ±{most}"),
        }
    }
}

/// A number of something, or a metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) Decimal);

impl Count {
    /// Of a count.
    pub(crate) fn of(count: u64) -> Self {
        Self(Decimal::whole(count))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Operand for Count {
    const NAME: &'static str = "Count";
    const TYPES: &'static [&'static str] = &["number", "string"];
    const EXPECTED: &'static str = "a number, as in `812` or `812 ±1%`";

    fn of_number(number: Decimal) -> Result<Self, String> {
        Ok(Self(number))
    }

    fn of_text(text: &str) -> Result<(Self, Tolerance), String> {
        let number = |text: &str| text.parse().map_err(|error| format!("{error}"));
        let (value, tolerance) = with_tolerance(text, number)?;
        Ok((Self(value), tolerance))
    }

    fn quantity(&self) -> Option<Decimal> {
        Some(self.0)
    }

    fn to_yaml(&self) -> String {
        self.0.to_string()
    }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Decimal);

impl Length {
    /// Of nanoseconds.
    pub(crate) fn of_nanos(nanos: u64) -> Self {
        Self(Decimal::nanos(nanos))
    }

    /// In nanoseconds; less than none is none.
    pub(crate) fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos().max(0)).unwrap_or(u64::MAX)
    }

    /// Reads a number and a unit, as in `900ms` or `1.5s`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is no length of time: write a number and a unit, as in `12ms` or `1.5s`");
        let unit = text.find(|char: char| !char.is_ascii_digit() && char != '.').ok_or_else(invalid)?;
        let (number, unit) = text.split_at(unit);
        let nanos: i128 = match unit.trim() {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(invalid()),
        };
        let number: Decimal = number.parse().map_err(|_| invalid())?;
        Ok(Self(number.times(Decimal::nanos(nanos))))
    }
}

impl fmt::Display for Length {
    /// In nanoseconds, and where that is many, also in a unit that can be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.to_yaml();
        let readable = nanos(self.as_nanos());
        if exact.len() <= readable.len() { f.write_str(&exact) } else { write!(f, "{exact} ({readable})") }
    }
}

impl Operand for Length {
    const NAME: &'static str = "Length";
    const TYPES: &'static [&'static str] = &["string"];
    const EXPECTED: &'static str = "a length of time, as in `12ms` or `12ms ±1%`";

    fn of_number(_: Decimal) -> Result<Self, String> {
        Err("a length of time needs a unit, as in `12ms` or `1.5s`".into())
    }

    fn of_text(text: &str) -> Result<(Self, Tolerance), String> {
        let (value, tolerance) = with_tolerance(text, |text| Self::parse(text).map(|length| length.0))?;
        Ok((Self(value), tolerance))
    }

    fn quantity(&self) -> Option<Decimal> {
        Some(self.0)
    }

    /// In the largest unit in which it needs no more than three places.
    fn to_yaml(&self) -> String {
        let nanos = self.0.as_nanos();
        let (size, unit) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let number = Decimal::whole(nanos / size).plus(Decimal::nanos(nanos % size * (1_000_000_000 / size)));
        format!("{number}{unit}")
    }

    fn tolerance_text(tolerance: Tolerance) -> String {
        match tolerance {
            Tolerance::None => String::new(),
            Tolerance::Percent(percent) => format!(" ±{percent}%"),
            Tolerance::By(most) => format!(" ±{}", Self(most).to_yaml()),
        }
    }
}

/// A value of a span, of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Any {
    /// Nothing, where a key is there all the same.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A text.
    Text(String),
}

impl Any {
    /// Of a value of a span; a list or an object is no value.
    pub(crate) fn of_json(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string().parse().ok()?),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }
}

impl fmt::Display for Any {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_yaml())
    }
}

impl Operand for Any {
    const NAME: &'static str = "Value";
    const TYPES: &'static [&'static str] = &["string", "number", "boolean", "null"];
    const EXPECTED: &'static str = "a value";

    fn of_number(number: Decimal) -> Result<Self, String> {
        Ok(Self::Number(number))
    }

    fn of_text(text: &str) -> Result<(Self, Tolerance), String> {
        Ok((Self::Text(text.into()), Tolerance::None))
    }

    fn of_bool(value: bool) -> Result<Self, String> {
        Ok(Self::Bool(value))
    }

    fn of_null() -> Result<Self, String> {
        Ok(Self::Null)
    }

    fn is_null(&self) -> bool {
        *self == Self::Null
    }

    fn is(&self, found: &Self, _: Tolerance) -> bool {
        self == found
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(value.to_string().into()),
            Self::Number(number) => Some(number.to_string().into()),
            Self::Text(text) => Some(text.into()),
        }
    }

    fn to_yaml(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            // JSON's strings are YAML's.
            Self::Text(text) => Value::from(text.as_str()).to_string(),
        }
    }
}

/// Reads `VALUE`, `VALUE ±N%` or `VALUE ±VALUE`; `+-` may stand for `±`.
pub(crate) fn with_tolerance(
    text: &str,
    read: impl Fn(&str) -> Result<Decimal, String>,
) -> Result<(Decimal, Tolerance), String> {
    let Some((value, most)) = text.split_once('±').or_else(|| text.split_once("+-")) else {
        return Ok((read(text.trim())?, Tolerance::None));
    };
    let (value, most) = (read(value.trim())?, most.trim());
    let tolerance = match most.strip_suffix('%') {
        Some(percent) => Tolerance::Percent(percent.trim().parse().map_err(|error| format!("{error}"))?),
        None => Tolerance::By(read(most)?),
    };
    Ok((value, tolerance))
}
