//! The two kinds of text pattern in discovery entries: regular expressions (`services`) and globs (`instrument`).

use globset::{Glob, GlobBuilder, GlobMatcher};
use regex::Regex;
use serde::Deserialize;

/// A pattern of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// Found anywhere in the text.
    Regex(RegexPattern),
    /// Fits the whole text.
    Glob(GlobPattern),
}

impl Pattern {
    /// Whether `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Regex(pattern) => pattern.matches(text),
            Self::Glob(pattern) => pattern.matches(text),
        }
    }
}

/// A regular expression that is searched for anywhere in a text (Go's and Rust's `regex` syntaxes agree on what Beyla
/// files use).
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct RegexPattern(Regex);

impl RegexPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the expression is found in `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for RegexPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl std::str::FromStr for RegexPattern {
    type Err = String;

    /// The error is one line, without the drawing that points into the expression.
    fn from_str(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| {
            let text_of_error = error.to_string();
            let reason = text_of_error.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            format!("invalid regular expression \"{text}\": {reason}")
        })
    }
}

impl TryFrom<String> for RegexPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RegexPattern> for Pattern {
    fn from(pattern: RegexPattern) -> Self {
        Self::Regex(pattern)
    }
}

/// A shell-like pattern for a whole text: `*` stands for any run of characters (`/` included), `?` for one, `[a-z]` and
/// `[!a-z]` for one of a class, `{a,b}` for alternatives.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct GlobPattern(GlobMatcher);

impl GlobPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.glob().glob()
    }

    /// Whether `text` as a whole fits.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    fn glob(&self) -> &Glob {
        self.0.glob()
    }
}

impl PartialEq for GlobPattern {
    fn eq(&self, other: &Self) -> bool {
        self.glob() == other.glob()
    }
}

impl std::str::FromStr for GlobPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        GlobBuilder::new(text)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|error| format!("invalid glob \"{text}\": {}", error.kind()))
    }
}

impl TryFrom<String> for GlobPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<GlobPattern> for Pattern {
    fn from(pattern: GlobPattern) -> Self {
        Self::Glob(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::{GlobPattern, RegexPattern};

    #[test]
    fn regexes_are_searched_unanchored() {
        let pattern: RegexPattern = "bin/gre+t".parse().unwrap();
        assert!(pattern.matches("/usr/bin/greetings"));
        assert!(!pattern.matches("/usr/sbin/nginx"));
    }

    #[test]
    fn globs_fit_whole_texts_across_slashes() {
        let pattern: GlobPattern = "*/{nginx,caddy}".parse().unwrap();
        assert!(pattern.matches("/usr/sbin/nginx"));
        assert!(!pattern.matches("/usr/sbin/nginx-debug"));
        assert!("/opt/*".parse::<GlobPattern>().unwrap().matches("/opt/a/b"));
    }

    #[test]
    fn errors_are_one_line() {
        let regex = "a(".parse::<RegexPattern>().unwrap_err();
        assert_eq!(regex, "invalid regular expression \"a(\": unclosed group");
        let glob = "[a".parse::<GlobPattern>().unwrap_err();
        assert!(glob.starts_with("invalid glob \"[a\": ") && !glob.contains('\n'), "{glob}");
    }
}
