//! Placeholders in a configuration file: `${NAME}` and `${NAME:-default}` stand for environment variables.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::load::{ConfigError, Place};

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    let placeholder = Regex::new(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}");
    placeholder.expect("invariant: the expression is valid")
});

/// `text` with the values of `variables` in place of its placeholders, line by line; comments stay as they are. `source` is
/// the file's name, for messages.
///
/// # Errors
///
/// [`ConfigError`] names a variable that is not set and has no default, or whose value is more than a line.
pub fn expand(text: &str, source: &str, variables: &BTreeMap<String, String>) -> Result<String, ConfigError> {
    let mut expanded = String::with_capacity(text.len());
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        let (said, comment) = line.split_at(comment_begins(line));
        let mut fault = None;
        let value = |found: &Captures<'_>| {
            let (name, default) = (&found[1], found.get(2).map(|default| default.as_str()));
            let set = variables.get(name).map(String::as_str).filter(|value| !value.is_empty() || default.is_none());
            match set.or(default) {
                Some(value) if !value.contains(['\n', '\r']) => return value.to_owned(),
                Some(_) => fault = Some((found[0].to_owned(), "its value is more than a line".to_owned())),
                None => {
                    let advice = format!("`{name}` is not set; set it, or give a default, as in `${{{name}:-x}}`");
                    fault = Some((found[0].to_owned(), advice));
                }
            }
            String::new()
        };
        expanded.push_str(&PLACEHOLDER.replace_all(said, value));
        expanded.push_str(comment);
        if let Some((placeholder, message)) = fault {
            let column = said.find(&placeholder).map_or(1, |at| said.get(..at).unwrap_or_default().chars().count() + 1);
            let place = Place { source: source.into(), position: Some((number, column as u64)), path: String::new() };
            return Err(ConfigError { place, message });
        }
    }
    Ok(expanded)
}

/// Where the comment of a line begins; its length if there is none.
fn comment_begins(line: &str) -> usize {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => return at,
            (None, '\'' | '"') if !before.is_alphanumeric() => quote = Some(c),
            (Some(open), _) if open == c && before != '\\' => quote = None,
            _ => {}
        }
        before = c;
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let variables = [("HOST", "tempo"), ("EMPTY", ""), ("LINES", "a\nb")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        expand(text, "c.yml", &variables).map_err(|error| error.to_string())
    }

    #[test]
    fn placeholders_are_filled_in_but_not_in_comments() {
        for (text, expected) in [
            ("endpoint: http://${HOST}:4317\n", "endpoint: http://tempo:4317\n"),
            ("a: ${NONE:-x y}${HOST:-z}\n", "a: x ytempo\n"),
            ("a: '${EMPTY:-x}${EMPTY}' # ${NONE}\n", "a: 'x' # ${NONE}\n"),
            ("# ${NONE}\na: it's#${HOST}", "# ${NONE}\na: it's#tempo"),
            ("a: \"# ${HOST}\"\n", "a: \"# tempo\"\n"),
            ("exe_path: ^/bin/a$\nb: ${1} $HOST $${\n", "exe_path: ^/bin/a$\nb: ${1} $HOST $${\n"),
            ("", ""),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_set_is_an_error_with_its_place() {
        let error = "c.yml:2:5: `NONE` is not set; set it, or give a default, as in `${NONE:-x}`";
        assert_eq!(expanded("a: 1\nb: x${NONE}\nc: ${NOTHING}\n").unwrap_err(), error);
        assert_eq!(expanded("a: ${LINES}").unwrap_err(), "c.yml:1:4: its value is more than a line");
    }
}
