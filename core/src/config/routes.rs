//! The `routes` section of the configuration, and the `routes` of one entry of `discovery.services`.

use serde::Deserialize;

use super::section::section;

section! {
    /// The `routes` section. Keys, values and meaning are Beyla's, apart from what `docs/routes.md` lists.
    RoutesConfig {
        /// Route patterns of all services, such as `/users/{id}`. The text of the one that matches becomes `http.route`.
        patterns: Vec<String> = Vec::new(),
        /// Patterns of requests that nobody wants to see, such as `/healthz`. They win over `patterns`.
        ignored_patterns: Vec<String> = Vec::new(),
        /// What an ignored request is taken out of.
        ignore_mode: IgnoreMode = IgnoreMode::default(),
        /// What to do with a path that no pattern matches.
        #[serde(alias = "unmatch")]
        unmatched: Unmatched = Unmatched::default(),
        /// What stands for a variable segment in the routes that redtape finds itself.
        wildcard_char: WildcardChar = WildcardChar::default(),
        /// Fixed names of unknown meaning that `low-cardinality` accepts in one place of a path; 0 is no limit.
        max_path_segment_cardinality: usize = 10,
    }
    without effect {}
}

section! {
    /// The routes of one service: `discovery.services[].routes`.
    ServiceRoutes {
        /// Patterns of the requests that the service answers.
        incoming: Vec<String> = Vec::new(),
        /// Patterns of the requests that the service makes.
        outgoing: Vec<String> = Vec::new(),
    }
    without effect {}
}

/// A key's value that is none of its values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is `{value}`; {}expected one of: {}", did_you_mean(.value, .expected), .expected.join(", "))]
pub struct InvalidChoice {
    key: &'static str,
    value: String,
    expected: Vec<&'static str>,
}

fn did_you_mean(value: &str, expected: &[&str]) -> String {
    let value = value.to_lowercase();
    expected
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, &value), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .map(|(_, name)| format!("did you mean `{name}`? "))
        .unwrap_or_default()
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident = $key:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// As in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidChoice;

            fn try_from(value: String) -> Result<Self, InvalidChoice> {
                match value.as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(InvalidChoice { key: $key, value, expected: vec![$($text),*] }),
                }
            }
        }
    };
}

choice! {
    /// What to do with a path that no pattern matches.
    Unmatched = "unmatched" {
        /// Leave the route empty.
        Unset = "unset",
        /// Take the path as it is.
        Path = "path",
        /// The route `/**` for all.
        Wildcard = "wildcard",
        /// Replace what looks like a value, judging each path by itself.
        #[default]
        Heuristic = "heuristic",
        /// Replace what looks like a value, judging from all paths that the service has shown.
        LowCardinality = "low-cardinality",
    }
}

choice! {
    /// What an ignored request is taken out of.
    IgnoreMode = "ignore_mode" {
        /// Spans and metrics.
        #[default]
        All = "all",
        /// Spans.
        Traces = "traces",
        /// Metrics.
        Metrics = "metrics",
    }
}

/// The one character that stands for a variable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WildcardChar(char);

impl WildcardChar {
    /// The character.
    pub const fn get(self) -> char {
        self.0
    }
}

impl Default for WildcardChar {
    fn default() -> Self {
        Self('*')
    }
}

impl TryFrom<String> for WildcardChar {
    type Error = InvalidWildcard;

    fn try_from(value: String) -> Result<Self, InvalidWildcard> {
        let mut chars = value.chars();
        match (chars.next(), chars.next()) {
            (Some(one), None) if !one.is_whitespace() && !one.is_control() && !"/?#;%".contains(one) => Ok(Self(one)),
            _ => Err(InvalidWildcard(value)),
        }
    }
}

/// A `wildcard_char` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "wildcard_char is `{0}`; give one visible character that has no meaning of its own in a path, such as `*` or `+`"
)]
pub struct InvalidWildcard(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<RoutesConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_beylas_keys() {
        let config = read(
            "patterns:\n  - /users/{id}\nignored_patterns: [/healthz]\nignore_mode: traces\nunmatched: low-cardinality\n\
             wildcard_char: '+'\nmax_path_segment_cardinality: 20\n",
        );
        let expected = RoutesConfig {
            patterns: vec!["/users/{id}".into()],
            ignored_patterns: vec!["/healthz".into()],
            ignore_mode: IgnoreMode::Traces,
            unmatched: Unmatched::LowCardinality,
            wildcard_char: WildcardChar('+'),
            max_path_segment_cardinality: 20,
        };
        assert_eq!(config, Ok(expected));
        assert_eq!(read("patterns: []"), Ok(RoutesConfig::default()));
    }

    #[test]
    fn bad_values_say_what_is_meant() {
        let error = read("unmatched: heuristics").unwrap_err();
        assert!(error.contains("unmatched is `heuristics`; did you mean `heuristic`?"), "{error}");
        let error = read("unmatched: xyz").unwrap_err();
        assert!(error.contains("expected one of: unset, path, wildcard, heuristic, low-cardinality"), "{error}");
        for bad in ["'**'", "''", "/", "' '"] {
            assert!(read(&format!("wildcard_char: {bad}")).unwrap_err().contains("one visible character"), "{bad}");
        }
        assert!(read("pattern: []").unwrap_err().contains("pattern"));
    }
}
