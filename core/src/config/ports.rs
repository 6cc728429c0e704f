//! Port lists in Beyla's `open_port` grammar: `80,443,8000-8999`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A set of TCP ports, written as ports and inclusive ranges separated by commas. Spaces are tolerated.
///
/// ```
/// let ports: redtape_core::config::PortList = "80, 443, 8000 - 8999".parse()?;
/// assert!(ports.contains(8080) && !ports.contains(444));
/// assert_eq!(ports.to_string(), "80,443,8000-8999");
/// # Ok::<(), redtape_core::config::PortListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList(Vec<RangeInclusive<u16>>);

impl PortList {
    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl FromStr for PortList {
    type Err = PortListError;

    fn from_str(text: &str) -> Result<Self, PortListError> {
        if text.trim().is_empty() {
            return Err(PortListError { part: String::new(), fault: PortFault::Empty });
        }
        text.split(',').map(|part| parse_part(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for PortList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PortList {
    /// From text, or from a number that stands alone: `open_port: 8080`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortListVisitor;

        impl Visitor<'_> for PortListVisitor {
            type Value = PortList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ports and ranges, as in 80,443,8000-8999")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PortList, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, port: u64) -> Result<PortList, E> {
                self.visit_str(&port.to_string())
            }

            fn visit_i64<E: de::Error>(self, port: i64) -> Result<PortList, E> {
                self.visit_str(&port.to_string())
            }
        }

        deserializer.deserialize_any(PortListVisitor)
    }
}

/// Why a text is not a port list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid port list: {}{fault}; write ports from 1 to 65535 and ranges separated by commas, as in 80,443,8000-8999",
    if part.is_empty() { String::new() } else { format!("\"{part}\" ") }
)]
pub struct PortListError {
    /// The part between two commas that is wrong; empty if it is an empty part.
    pub part: String,
    /// What is wrong with it.
    pub fault: PortFault,
}

/// What is wrong with one part of a port list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFault {
    /// Nothing between two commas, or nothing at all.
    Empty,
    /// Something else than digits, or a range that lacks an end.
    Syntax,
    /// Not from 1 to 65535.
    OutOfRange,
    /// A range whose end is below its start.
    Reversed,
}

impl fmt::Display for PortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is an empty part",
            Self::Syntax => "is neither a port nor a range",
            Self::OutOfRange => "is out of range",
            Self::Reversed => "ends below its start",
        })
    }
}

fn parse_part(part: &str) -> Result<RangeInclusive<u16>, PortListError> {
    let fail = |fault| PortListError { part: part.to_owned(), fault };
    if part.is_empty() {
        return Err(fail(PortFault::Empty));
    }
    let (start, end) = match part.split_once('-') {
        Some((start, end)) => (start.trim(), end.trim()),
        None => (part, part),
    };
    let start = parse_port(start).map_err(fail)?;
    let end = parse_port(end).map_err(fail)?;
    if end < start {
        return Err(fail(PortFault::Reversed));
    }
    Ok(start..=end)
}

fn parse_port(digits: &str) -> Result<u16, PortFault> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(PortFault::Syntax);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(PortFault::OutOfRange),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::{PortFault, PortList, PortListError};

    #[test]
    fn grammar() {
        let cases = [
            ("80", "80"),
            (" 80 , 443 ", "80,443"),
            ("8000-8999", "8000-8999"),
            ("8000 - 8999,1", "8000-8999,1"),
            ("7-7", "7"),
            ("1-65535", "1-65535"),
            ("080", "80"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<PortList>().unwrap().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn faults() {
        use PortFault::{Empty, OutOfRange, Reversed, Syntax};
        let cases = [
            ("", "", Empty),
            ("  ", "", Empty),
            ("80,,443", "", Empty),
            ("80,", "", Empty),
            ("80-", "80-", Syntax),
            ("-80", "-80", Syntax),
            ("1-2-3", "1-2-3", Syntax),
            ("http", "http", Syntax),
            ("+80", "+80", Syntax),
            ("443, 99999", "99999", OutOfRange),
            ("0", "0", OutOfRange),
            ("1-99999999999999999999", "1-99999999999999999999", OutOfRange),
            ("9-1", "9-1", Reversed),
        ];
        for (text, part, fault) in cases {
            let expected = PortListError { part: part.to_owned(), fault };
            assert_eq!(text.parse::<PortList>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_part_and_the_form() {
        let message = |text: &str| text.parse::<PortList>().unwrap_err().to_string();
        assert_eq!(
            message("80, 9-1"),
            "invalid port list: \"9-1\" ends below its start; write ports from 1 to 65535 and ranges separated by \
             commas, as in 80,443,8000-8999"
        );
        assert!(message("").starts_with("invalid port list: there is an empty part;"));
    }

    #[test]
    fn yaml_takes_numbers_and_text() {
        let ports = |yaml: &str| serde_saphyr::from_str::<PortList>(yaml).map(|ports| ports.to_string());
        assert_eq!(ports("8080").unwrap(), "8080");
        assert_eq!(ports("80,443").unwrap(), "80,443");
        assert_eq!(ports("\"8000-8999\"").unwrap(), "8000-8999");
        assert!(ports("99999").unwrap_err().to_string().contains("\"99999\" is out of range"));
        assert!(ports("-1").unwrap_err().to_string().contains("\"-1\" is neither a port nor a range"));
    }
}
