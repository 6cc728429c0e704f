//! Reads a configuration file: errors and warnings say where, what, and what to write instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, MessageFormatter as _, UserMessageFormatter};

use super::expand::expand;
use super::root::Config;
use super::scalar::hint;
use super::tree::Tree;

/// Where something stands: in a file, or in an environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was given, or the name of an environment variable.
    pub source: String,
    /// Line and column, from 1; `None` in environment variables and for what concerns the whole file.
    pub position: Option<(u64, u64)>,
    /// The key, as in `discovery.services[0].name`; empty if it is no key's fault.
    pub path: String,
}

impl Place {
    /// Where `path` stands in the file `text`, whose name is `source`; without a position where it does not.
    pub fn of_key(text: &str, source: &str, path: &str) -> Self {
        Self { source: source.into(), position: Tree::new(text).place(path), path: path.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Something in a configuration that does not do what its author may expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What, and why.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Config {
    /// The configuration that takes effect: the file `text` with its placeholders filled in, and the environment over it.
    /// `source` is the file's name, for messages.
    ///
    /// # Errors
    ///
    /// As [`Config::from_yaml`] and [`Config::apply_env`], and for placeholders of variables that are not set.
    pub fn load(text: &str, source: &str, env: &BTreeMap<String, String>) -> Result<(Self, Vec<Warning>), ConfigError> {
        let (mut config, mut warnings) = Self::from_yaml(&expand(text, source, env)?, source)?;
        warnings.extend(config.apply_env(env)?);
        Ok((config, warnings))
    }

    /// Reads a configuration from the text of a YAML file; `source` is the file's name, for messages.
    ///
    /// An empty file is the default configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is not YAML, has an unknown key, or a value that cannot be used.
    pub fn from_yaml(text: &str, source: &str) -> Result<(Self, Vec<Warning>), ConfigError> {
        let tree = Tree::new(text);
        let config: Option<Self> = read(text, source)?;
        let mut config = config.unwrap_or_default();
        let place = |path: &str| Place { source: source.into(), position: tree.place(path), path: path.into() };
        if let Some((path, message)) = config.fault() {
            return Err(ConfigError { place: place(&path), message });
        }
        config.resolve_grafana();
        let warnings = config.warnings().into_iter();
        Ok((config, warnings.map(|(path, message)| Warning { place: place(&path), message }).collect()))
    }
}

/// Reads any document of ours that is YAML, `None` if it is empty; `source` is the file's name, for messages.
///
/// # Errors
///
/// [`ConfigError`] if it is not YAML, has an unknown key, or a value that cannot be read.
pub fn read<T: DeserializeOwned>(text: &str, source: &str) -> Result<Option<T>, ConfigError> {
    serde_saphyr::from_str(text).map_err(|error| explain(&error, text, source, &Tree::new(text)))
}

fn explain(error: &Error, text: &str, source: &str, tree: &Tree) -> ConfigError {
    let error = error.without_snippet();
    let mut position = error.location().map(|location| (location.line(), location.column()));
    let mut path = position.and_then(|(line, column)| tree.path(line, column)).unwrap_or_default().to_owned();
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let hint = hint(field, expected);
            // The tree tells the path of the key itself, unless the file is no YAML to it.
            if path.is_empty() {
                path = field.clone();
            }
            format!("unknown key; {hint}")
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is not possible here; {}", hint(variant, expected))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("expected {expected}, found {unexpected}")
        }
        Error::InvalidScalar { ty, .. } => format!("expected {}", kind(ty)),
        Error::Unexpected { expected, .. } => format!("expected {}", kind(expected)),
        Error::SerdeMissingField { field, .. } => {
            (position, path) = (None, String::new());
            format!("the key `{field}` is missing")
        }
        Error::DuplicateMappingKey { .. } => "this key was set before; keep one of the two".into(),
        Error::SerdeInvalidLength { len, expected, .. } => format!("expected {expected}, found {len}"),
        Error::NonFiniteFloat { .. } => "this is no finite number; write one in digits".into(),
        Error::NullIntoString { .. } => "null is not possible here; if it is to be a word, write it in quotes".into(),
        Error::UnknownAnchor { .. } => "nothing before this has the name behind `*`; give it one with `&`".into(),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "`<<` takes keys and values, or a list of such".into(),
        Error::Budget { .. } => "the document is too large, or too deep, to be read: write it shorter".into(),
        Error::MultipleDocuments { .. } => "a second document begins here; a configuration is one document".into(),
        Error::Message { msg, .. } => msg.clone(),
        other => match tab_indent(text) {
            Some(tab) => {
                (position, path) = (Some(tab), String::new());
                "a tab is used as indentation, which YAML does not allow; use spaces".into()
            }
            None => no_yaml(&UserMessageFormatter.format_message(other), text, position),
        },
    };
    ConfigError { place: Place { source: source.into(), position, path }, message }
}

/// What the YAML library calls a kind of value, in words.
fn kind(name: &str) -> &str {
    match name {
        "boolean" => "`true` or `false`",
        "mapping start" => "keys and values, as in `key: value`",
        "sequence start" => "a list, as in `[a, b]`",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "f64" => "a number",
        other => other,
    }
}

/// What is wrong with a text that is no YAML, where the library only knows what it did not find.
fn no_yaml(words: &str, text: &str, position: Option<(u64, u64)>) -> String {
    let misplaced = position.and_then(|(line, column)| misplaced(text, usize::try_from(line).ok()?, column));
    match misplaced {
        Some((indent, levels)) => format!(
            "this line is indented by {indent}, the lines above that it may stand beside by {levels}: indent it as one of \
             them ({words})"
        ),
        None => format!(
            "this is no YAML from here on: {words}. Look for a quote or bracket that is not closed, a missing `: `, and \
             values that need quotes"
        ),
    }
}

/// By how much the line is indented in which an error is at the first word, and by how much it may be, if that is something else.
fn misplaced(text: &str, line: usize, column: u64) -> Option<(usize, String)> {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let said = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let wrong = indent(text.lines().nth(line.checked_sub(1)?)?);
    if column != wrong as u64 + 1 {
        return None;
    }
    let above: Vec<_> = text.lines().take(line.checked_sub(1)?).filter(said).collect();
    let mut levels = BTreeSet::new();
    for line in above.into_iter().rev() {
        // Behind the dash of a list's entry, its keys begin.
        let entry = line.trim_start().strip_prefix("- ").filter(|rest| rest.contains(':'));
        let entry = entry.map(|rest| line.len() - rest.trim_start().len());
        let outer = levels.first().is_none_or(|first| indent(line) < *first);
        levels.extend(outer.then_some(indent(line)));
        levels.extend(entry.filter(|_| outer));
    }
    if levels.contains(&wrong) {
        return None;
    }
    let last = levels.pop_last()?;
    let first = levels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some((wrong, if first.is_empty() { last.to_string() } else { format!("{first} or {last}") }))
}

/// The first tab in the indentation of a line that has anything else.
fn tab_indent(text: &str) -> Option<(u64, u64)> {
    text.lines().zip(1..).find_map(|(line, number)| {
        let indent = line.len() - line.trim_start().len();
        let column = line.get(..indent)?.find('\t')?;
        (!line.trim().is_empty() && !line.trim_start().starts_with('#')).then_some((number, column as u64 + 1))
    })
}

#[cfg(test)]
mod tests;
