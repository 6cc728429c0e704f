//! Conditions: a value, or comparisons with values, as in `812`, `12ms ±1%`, `{"<=": 120}` or `{matches: "^/cart"}`.

use std::fmt;
use std::marker::PhantomData;

use redtape_core::config::did_you_mean;
use regex::Regex;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::decimal::Decimal;
use super::operand::Operand;

/// What a found value has to be: all of the clauses.
#[derive(Clone, Debug)]
pub(crate) struct Condition<T> {
    clauses: Vec<Clause<T>>,
    /// It was written as a value alone, so it can be written anew.
    plain: bool,
}

#[derive(Clone, Debug)]
enum Clause<T> {
    Is(T, Tolerance),
    IsNot(T),
    Less(T),
    AtMost(T),
    More(T),
    AtLeast(T),
    Exists(bool),
    Matches(Regex),
    In(Vec<T>),
}

/// How far a number may be from the one that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Not at all.
    None,
    /// By a part of the expected number.
    Percent(Decimal),
    /// By so much.
    By(Decimal),
}

impl Tolerance {
    /// Whether `found` is near enough to `expected`.
    pub(crate) fn admits(self, expected: Decimal, found: Decimal) -> bool {
        let most = match self {
            Self::None => Decimal::default(),
            Self::Percent(percent) => expected.percent(percent).distance(Decimal::default()),
            Self::By(most) => most,
        };
        expected.distance(found) <= most
    }
}

/// The comparisons that there are, in the order in which messages list them.
const OPERATORS: [&str; 9] = ["<=", ">=", "<", ">", "==", "!=", "exists", "matches", "in"];

impl<T: Operand> Condition<T> {
    /// Whether what was found, if anything was, is as it has to be.
    pub(crate) fn holds(&self, found: Option<&T>) -> bool {
        self.clauses.iter().all(|clause| clause.holds(found))
    }

    /// How the condition would be written if `found` were right; `None` where it is no single value.
    pub(crate) fn accepting(&self, found: &T) -> Option<String> {
        match self.clauses.as_slice() {
            [Clause::Is(_, tolerance)] if self.plain => Some(match tolerance {
                Tolerance::None => found.to_yaml(),
                tolerance => format!("{}{}", found.to_yaml(), T::tolerance_text(*tolerance)),
            }),
            _ => None,
        }
    }

    /// Whether what was found is too much: not what it has to be, and no less than that.
    pub(crate) fn is_exceeded_by(&self, found: &T) -> bool {
        let reaches = |value: &T| found.order(value).is_some_and(std::cmp::Ordering::is_ge);
        self.clauses.iter().filter(|clause| !clause.holds(Some(found))).any(|clause| match clause {
            Clause::Is(value, _) | Clause::IsNot(value) | Clause::Less(value) | Clause::AtMost(value) => reaches(value),
            Clause::In(values) => values.iter().all(reaches),
            Clause::More(_) | Clause::AtLeast(_) | Clause::Exists(_) | Clause::Matches(_) => false,
        })
    }

    /// The one value that is asked for, if it is one.
    pub(crate) fn value(&self) -> Option<&T> {
        match self.clauses.as_slice() {
            [Clause::Is(value, _)] => Some(value),
            _ => None,
        }
    }

    /// Whether nothing but `exists: false` is asked.
    pub(crate) fn wants_absence(&self) -> bool {
        self.clauses.iter().any(|clause| matches!(clause, Clause::Exists(false)))
    }

    fn of_value(value: T, tolerance: Tolerance) -> Self {
        Self { clauses: vec![Clause::Is(value, tolerance)], plain: true }
    }
}

impl<T: Operand> Clause<T> {
    fn holds(&self, found: Option<&T>) -> bool {
        if let Self::Exists(exists) = self {
            return found.is_some() == *exists;
        }
        // What is not there is `null`, different from everything else, and neither less nor more than anything.
        let Some(found) = found else {
            return match self {
                Self::Is(value, _) => value.is_null(),
                Self::IsNot(value) => !value.is_null(),
                Self::In(values) => values.iter().any(Operand::is_null),
                _ => false,
            };
        };
        let order = |value: &T| found.order(value);
        match self {
            Self::Is(value, tolerance) => value.is(found, *tolerance),
            Self::IsNot(value) => !value.is(found, Tolerance::None),
            Self::Less(value) => order(value).is_some_and(std::cmp::Ordering::is_lt),
            Self::AtMost(value) => order(value).is_some_and(std::cmp::Ordering::is_le),
            Self::More(value) => order(value).is_some_and(std::cmp::Ordering::is_gt),
            Self::AtLeast(value) => order(value).is_some_and(std::cmp::Ordering::is_ge),
            Self::Exists(_) => true,
            Self::Matches(regex) => found.text().is_some_and(|text| regex.is_match(&text)),
            Self::In(values) => values.iter().any(|value| value.is(found, Tolerance::None)),
        }
    }
}

impl<T: Operand> fmt::Display for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, clause) in self.clauses.iter().enumerate() {
            if at > 0 {
                f.write_str(" and ")?;
            }
            match clause {
                Clause::Is(value, Tolerance::None) => write!(f, "{value}")?,
                Clause::Is(value, tolerance) => write!(f, "{value}{}", T::tolerance_text(*tolerance))?,
                Clause::IsNot(value) => write!(f, "not {value}")?,
                Clause::Less(value) => write!(f, "less than {value}")?,
                Clause::AtMost(value) => write!(f, "at most {value}")?,
                Clause::More(value) => write!(f, "more than {value}")?,
                Clause::AtLeast(value) => write!(f, "at least {value}")?,
                Clause::Exists(true) => write!(f, "anything")?,
                Clause::Exists(false) => write!(f, "nothing")?,
                Clause::Matches(regex) => write!(f, "something that matches `{regex}`")?,
                Clause::In(values) => {
                    let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                    write!(f, "one of {}", values.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

impl<'de, T: Operand> Deserialize<'de> for Condition<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConditionVisitor(PhantomData))
    }
}

struct ConditionVisitor<T>(PhantomData<T>);

impl<'de, T: Operand> Visitor<'de> for ConditionVisitor<T> {
    type Value = Condition<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or comparisons such as `{{\">=\": …}}`", T::EXPECTED)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Condition<T>, E> {
        scalar(T::of_bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Condition<T>, E> {
        scalar(T::of_number(Decimal::whole(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Condition<T>, E> {
        scalar(T::of_number(Decimal::whole(value)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Condition<T>, E> {
        // The shortest decimal that reads as the same number: what was written, up to 15 digits.
        scalar(value.to_string().parse().map_err(|error| format!("{error}")).and_then(T::of_number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Condition<T>, E> {
        let (value, tolerance) = T::of_text(value).map_err(E::custom)?;
        Ok(Condition::of_value(value, tolerance))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Condition<T>, E> {
        scalar(T::of_null())
    }

    fn visit_none<E: de::Error>(self) -> Result<Condition<T>, E> {
        scalar(T::of_null())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition<T>, A::Error> {
        let mut clauses = Vec::new();
        while let Some(operator) = map.next_key::<String>()? {
            clauses.push(match operator.as_str() {
                "==" => {
                    let OneValue(value, tolerance) = map.next_value()?;
                    Clause::Is(value, tolerance)
                }
                "!=" => Clause::IsNot(exact(&mut map)?),
                "<" => Clause::Less(exact(&mut map)?),
                "<=" => Clause::AtMost(exact(&mut map)?),
                ">" => Clause::More(exact(&mut map)?),
                ">=" => Clause::AtLeast(exact(&mut map)?),
                "exists" => Clause::Exists(map.next_value()?),
                "matches" => {
                    let text: String = map.next_value()?;
                    Clause::Matches(Regex::new(&text).map_err(|error| de::Error::custom(regex_message(&error)))?)
                }
                "in" => Clause::In(map.next_value::<Vec<OneValue<T>>>()?.into_iter().map(|value| value.0).collect()),
                other => return Err(de::Error::custom(unknown_operator(other))),
            });
        }
        if clauses.is_empty() {
            return Err(de::Error::custom("no comparison is given: write a value, or one such as `{\">=\": 1}`"));
        }
        Ok(Condition { clauses, plain: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Condition<T>, A::Error> {
        Err(de::Error::custom("a list is no condition; for one of several values write `{in: [a, b]}`"))
    }
}

fn scalar<T: Operand, E: de::Error>(value: Result<T, String>) -> Result<Condition<T>, E> {
    Ok(Condition::of_value(value.map_err(E::custom)?, Tolerance::None))
}

fn exact<'de, T: Operand, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    let OneValue(value, tolerance) = map.next_value()?;
    if tolerance == Tolerance::None {
        return Ok(value);
    }
    Err(de::Error::custom("a tolerance goes with `==` or a value alone"))
}

fn unknown_operator(found: &str) -> String {
    match did_you_mean(found, &OPERATORS) {
        Some(near) => format!("`{found}` is no comparison; did you mean `{near}`?"),
        None => format!("`{found}` is no comparison; there are `{}`", OPERATORS.join("`, `")),
    }
}

/// Why a regular expression cannot be used, in one line.
pub(crate) fn regex_message(error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    format!("is no regular expression: {reason}")
}

/// A value in a comparison.
struct OneValue<T>(T, Tolerance);

impl<'de, T: Operand> Deserialize<'de> for OneValue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let condition = Condition::<T>::deserialize(deserializer)?;
        match (condition.plain, condition.clauses.into_iter().next()) {
            (true, Some(Clause::Is(value, tolerance))) => Ok(Self(value, tolerance)),
            _ => Err(de::Error::custom(format!("expected {}", T::EXPECTED))),
        }
    }
}
