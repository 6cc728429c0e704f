//! Samples of OpenMetrics' and Prometheus' text, read back.

use std::borrow::Cow;

/// A line of an exposition.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    /// Values are as they are written, with their escapes.
    pub(crate) labels: Vec<(&'a str, &'a str)>,
    pub(crate) value: &'a str,
}

impl<'a> Sample<'a> {
    /// Reads a line that is no comment. What is behind the value is left.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub(crate) fn parse(line: &'a str) -> Result<Self, &'static str> {
        let end = line.find(['{', ' ']).ok_or("a sample has a name and a value")?;
        let (name, rest) = line.split_at(end);
        if name.is_empty() {
            return Err("a sample begins with its name");
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_whitespace().next().ok_or("a sample has a value")?;
        Ok(Self { name, labels, value })
    }
}

/// The value of a label, without escapes.
pub(crate) fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let mut chars = value.chars();
    let next = || match chars.next()? {
        '\\' => chars.next().map(|char| if char == 'n' { '\n' } else { char }),
        char => Some(char),
    };
    std::iter::from_fn(next).collect::<String>().into()
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"").ok_or("a label is written name=\"value\"")?;
        let mut escaped = false;
        let end = quoted.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let (value, behind) = quoted.split_at(end.ok_or("a label's value ends with a quotation mark")?);
        labels.push((name.trim(), value));
        rest = behind.strip_prefix('"').unwrap_or(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples() {
        let sample = Sample::parse(r#"a_total{b="x, \"y}\\",c=""} 4.5 1700000000 # {trace_id="1"} 1"#).unwrap();
        assert_eq!(sample, Sample { name: "a_total", labels: vec![("b", r#"x, \"y}\\"#), ("c", "")], value: "4.5" });
        assert_eq!(Sample::parse("up 1").unwrap(), Sample { name: "up", labels: vec![], value: "1" });
        for wrong in ["up", "{} 1", "a{b=c} 1", "a{b=\"c} 1", "a{b=\"c\"", "a{b=\"c\"}"] {
            assert!(Sample::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(unescaped(r#"x, \"y}\\\n"#), "x, \"y}\\\n");
    }
}
