//! Expectations of samples, as in `http_server_request_duration_seconds_count{http_route="/cart/{id}"} == 812`.

use regex::Regex;
use serde::{Deserialize, Deserializer, de};

use super::condition::{Tolerance, regex_message};
use super::decimal::Decimal;
use super::operand::with_tolerance;

/// One expectation: what samples are meant, and what they have to be.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// As it was written.
    pub(crate) text: String,
    /// How the samples that fit make one value.
    pub(crate) of: Aggregate,
    /// The name of the samples.
    pub(crate) name: String,
    /// What their labels have to be; a label that is not named may be anything.
    pub(crate) labels: Vec<LabelMatch>,
    /// What the value has to be; `None` where there must be no sample.
    pub(crate) test: Option<(Comparison, Decimal, Tolerance)>,
}

/// How samples make one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    /// Their sum; of none there is none.
    Sum,
    /// Their number.
    Count,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `==`
    Is,
    /// `~=`, which takes a tolerance.
    Near,
    /// `!=`
    IsNot,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// What a label has to be.
#[derive(Clone, Debug)]
pub(crate) struct LabelMatch {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: LabelValue,
}

/// What a label's value has to be. No label is the same as an empty one.
#[derive(Clone, Debug)]
pub(crate) enum LabelValue {
    /// `=`
    Is(String),
    /// `!=`
    IsNot(String),
    /// `=~`, over the whole value.
    Matches(Regex),
    /// `!~`
    MatchesNot(Regex),
}

impl LabelMatch {
    /// Whether a label's value is as it has to be.
    pub(crate) fn holds(&self, found: &str) -> bool {
        match &self.value {
            LabelValue::Is(value) => value == found,
            LabelValue::IsNot(value) => value != found,
            LabelValue::Matches(regex) => regex.is_match(found),
            LabelValue::MatchesNot(regex) => !regex.is_match(found),
        }
    }
}

impl Comparison {
    const ALL: [(&'static str, Self); 7] = [
        ("==", Self::Is),
        ("~=", Self::Near),
        ("!=", Self::IsNot),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Less),
        (">", Self::More),
    ];

    /// Whether `found` compares so with `expected`.
    pub(crate) fn holds(self, found: Decimal, expected: Decimal, tolerance: Tolerance) -> bool {
        match self {
            Self::Is | Self::Near => tolerance.admits(expected, found),
            Self::IsNot => found != expected,
            Self::Less => found < expected,
            Self::AtMost => found <= expected,
            Self::More => found > expected,
            Self::AtLeast => found >= expected,
        }
    }
}

impl Sample {
    /// Reads an expectation.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut of = Aggregate::Sum;
        let mut absent = false;
        for (word, aggregate) in [
            ("sum", Some(Aggregate::Sum)),
            ("count", Some(Aggregate::Count)),
            ("max", Some(Aggregate::Max)),
            ("min", Some(Aggregate::Min)),
            ("absent", None),
        ] {
            let Some(inner) = rest.strip_prefix(word).and_then(|rest| rest.trim_start().strip_prefix('(')) else {
                continue;
            };
            rest = inner.trim_start();
            let end = selector_len(rest)?;
            let (selector, behind) = rest.split_at(end);
            let behind = behind.trim_start().strip_prefix(')').ok_or(format!("`{word}(` is not closed"))?;
            (of, absent) = (aggregate.unwrap_or(Aggregate::Count), aggregate.is_none());
            return Self::of_parts(text, of, absent, selector, behind);
        }
        let (selector, behind) = rest.split_at(selector_len(rest)?);
        Self::of_parts(text, of, absent, selector, behind)
    }

    fn of_parts(text: &str, of: Aggregate, absent: bool, selector: &str, behind: &str) -> Result<Self, String> {
        let (name, labels) = read_selector(selector)?;
        let behind = behind.trim();
        let test = match (absent || behind == "absent", behind) {
            (true, "" | "absent") => None,
            (true, more) => return Err(format!("`{more}` stands behind what has to be absent")),
            (false, "") => return Err("no comparison: write as in `metric{label=\"value\"} == 812`".into()),
            (false, comparison) => Some(read_comparison(comparison)?),
        };
        Ok(Self { text: text.into(), of, name, labels, test })
    }

    /// The text with another number in the place of the expected one; `None` where it is no single value.
    pub(crate) fn accepting(&self, found: Decimal) -> Option<String> {
        let (comparison, expected, _) = self.test?;
        if !matches!(comparison, Comparison::Is | Comparison::Near) {
            return None;
        }
        // Behind the selector, whose labels may have anything in them.
        let operator = if comparison == Comparison::Is { "==" } else { "~=" };
        let (before, behind) = self.text.rsplit_once(operator)?;
        let number = behind.split(['±', '+']).next()?.trim();
        debug_assert_eq!(number.parse(), Ok(expected));
        Some(format!("{before}{operator}{}", behind.replacen(number, &found.to_string(), 1)))
    }
}

/// Where a selector ends.
fn selector_len(text: &str) -> Result<usize, String> {
    let name = text.find(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == ':'));
    let name = name.unwrap_or(text.len());
    if name == 0 {
        return Err("begins with no name of a metric: write as in `metric{label=\"value\"} == 812`".into());
    }
    let rest = text.get(name..).unwrap_or_default();
    if !rest.starts_with('{') {
        return Ok(name);
    }
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in rest.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Ok(name + at + 1),
            _ => {}
        }
    }
    Err("the labels are not closed by `}`".into())
}

fn read_selector(selector: &str) -> Result<(String, Vec<LabelMatch>), String> {
    let (name, labels) = selector.split_once('{').unwrap_or((selector, "}"));
    let mut rest = labels.strip_suffix('}').unwrap_or(labels).trim();
    let mut matches = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(['=', '!']).ok_or_else(|| format!("`{rest}` is no label: write `label=\"value\"`"))?;
        let (label, behind) = rest.split_at(end);
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| behind.starts_with(operator));
        let operator = operator.ok_or_else(|| format!("`{behind}`: expected `=`, `!=`, `=~` or `!~`"))?;
        let (value, after) = quoted(behind.get(operator.len()..).unwrap_or_default().trim_start())?;
        let regex =
            || Regex::new(&format!("^(?:{value})$")).map_err(|error| format!("`{value}` {}", regex_message(&error)));
        let value = match operator {
            "=~" => LabelValue::Matches(regex()?),
            "!~" => LabelValue::MatchesNot(regex()?),
            "!=" => LabelValue::IsNot(value),
            _ => LabelValue::Is(value),
        };
        matches.push(LabelMatch { name: label.trim().into(), value });
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return Err(format!("`{rest}`: expected `,` between labels")),
        };
    }
    Ok((name.trim().into(), matches))
}

/// A text in quotes, and what stands behind it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('"') else { return Err(format!("`{text}`: expected a value in quotes")) };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, char) in inner.char_indices() {
        match char {
            'n' if escaped => value.push('\n'),
            _ if escaped => value.push(char),
            '\\' => {
                escaped = true;
                continue;
            }
            '"' => return Ok((value, inner.get(at + 1..).unwrap_or_default())),
            _ => value.push(char),
        }
        escaped = false;
    }
    Err(format!("`{text}`: the quote is not closed"))
}

fn read_comparison(text: &str) -> Result<(Comparison, Decimal, Tolerance), String> {
    let found = Comparison::ALL.into_iter().find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?)));
    let (comparison, number) =
        found.ok_or_else(|| format!("`{text}`: expected `==`, `~=`, `!=`, `<`, `<=`, `>`, `>=` or `absent`"))?;
    let (number, tolerance) = with_tolerance(number.trim(), |text| text.parse().map_err(|error| format!("{error}")))?;
    if comparison == Comparison::Near && tolerance == Tolerance::None {
        return Err("`~=` wants a tolerance, as in `~= 9.81 ±0.5%`".into());
    }
    if tolerance != Tolerance::None && !matches!(comparison, Comparison::Is | Comparison::Near) {
        return Err("a tolerance goes with `~=` or `==` alone".into());
    }
    Ok((comparison, number, tolerance))
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(format!("`{text}`: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_written_anew() {
        let sample = Sample::parse(r#"a_count{r="/x/{id}", m=~"GET|PUT",} == 812"#).unwrap();
        assert_eq!((sample.name.as_str(), sample.labels.len()), ("a_count", 2));
        assert!(sample.labels[0].holds("/x/{id}") && !sample.labels[1].holds("GETS") && sample.labels[1].holds("PUT"));
        assert_eq!(sample.accepting(Decimal::whole(9)).as_deref(), Some(r#"a_count{r="/x/{id}", m=~"GET|PUT",} == 9"#));
        let near = Sample::parse("a_sum ~= 9.81 ±0.5%").unwrap();
        assert_eq!(near.accepting(Decimal::nanos(1)).as_deref(), Some("a_sum ~= 0.000000001 ±0.5%"));
        assert!(Sample::parse("absent(a{b=\"c\"})").unwrap().test.is_none());
        assert!(Sample::parse("a absent").unwrap().test.is_none());
        assert_eq!(Sample::parse("count(a) <= 2").unwrap().of, Aggregate::Count);
        assert_eq!(Sample::parse("count_total >= 2").unwrap().of, Aggregate::Sum);
        assert_eq!(Sample::parse("a < 2").unwrap().accepting(Decimal::whole(1)), None);
    }

    #[test]
    fn what_is_no_sample_is_said() {
        for (text, part) in [
            ("", "no name of a metric"),
            ("a", "no comparison"),
            ("a{b=\"c\"", "not closed"),
            ("a{b=c} == 1", "in quotes"),
            ("a{b=\"c\" d=\"e\"} == 1", "between labels"),
            ("a{b=~\"(\"} == 1", "no regular expression"),
            ("a = 1", "expected `==`"),
            ("a == x", "no number"),
            ("a ~= 1", "tolerance"),
            ("a < 1 ±1%", "tolerance"),
            ("sum(a == 1", "not closed"),
            ("absent(a) == 1", "absent"),
        ] {
            let error = Sample::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
