//! What of a span's attributes is shown to anybody: without those that the configuration hides, and without secrets in
//! queries.

use std::borrow::Cow;

use crate::attributes::KEYS;
use crate::metric::{SelectError, name_glob};

/// `attributes.select.traces` and `attributes.redact`, ready to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownAttributes {
    /// Attributes that are left out.
    hidden: Vec<&'static str>,
    /// Parameters of queries whose values are replaced.
    redacted: Vec<String>,
}

/// The parameters whose values OpenTelemetry's conventions for `url.query` want to be redacted: signatures of clouds.
pub(crate) const REDACTED_BY_DEFAULT: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

/// What stands for a value that is a secret, as conventions have it.
const REDACTED: &str = "REDACTED";

impl ShownAttributes {
    /// Hides the attributes that fit one of the globs of `exclude`, and the values of the parameters `redacted`.
    ///
    /// # Errors
    ///
    /// [`SelectError`] names a glob that is empty or too long.
    pub fn new(exclude: &[String], redacted: Vec<String>) -> Result<Self, SelectError> {
        let globs = exclude.iter().map(|glob| name_glob(glob)).collect::<Result<Vec<_>, _>>()?;
        let hidden = |key: &&str| globs.iter().any(|glob| glob.is_match(&key.replace('.', "_")));
        Ok(Self { hidden: KEYS.into_iter().filter(hidden).collect(), redacted })
    }

    /// Whether an attribute is left out.
    pub(crate) fn hides(&self, key: &str) -> bool {
        self.hidden.contains(&key)
    }

    /// A query without secrets.
    pub(crate) fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        if !query.split('&').any(|pair| self.secret(pair).is_some()) {
            return query.into();
        }
        let shown = |pair| self.secret(pair).map_or(Cow::Borrowed(pair), |name| format!("{name}={REDACTED}").into());
        query.split('&').map(shown).collect::<Vec<_>>().join("&").into()
    }

    /// The parameter's name, if its value is a secret.
    fn secret<'a>(&self, pair: &'a str) -> Option<&'a str> {
        let (name, value) = pair.split_once('=')?;
        (!value.is_empty() && self.redacted.iter().any(|secret| secret == name)).then_some(name)
    }
}

impl Default for ShownAttributes {
    fn default() -> Self {
        Self { hidden: Vec::new(), redacted: REDACTED_BY_DEFAULT.map(Into::into).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_hidden_by_globs() {
        let shown = ShownAttributes::new(&["url.*".into(), "http_route".into()], Vec::new()).unwrap();
        for (key, hidden) in [("url.path", true), ("url.full", true), ("http.route", true), ("server.port", false)] {
            assert_eq!(shown.hides(key), hidden, "{key}");
        }
        assert!(ShownAttributes::new(&[String::new()], Vec::new()).is_err());
    }

    #[test]
    fn secrets_in_queries_are_replaced() {
        let shown = ShownAttributes::new(&[], vec!["token".into()]).unwrap();
        for (query, expected) in [
            ("a=1&token=abc&b", "a=1&token=REDACTED&b"),
            ("token=&tokens=x&token", "token=&tokens=x&token"),
            ("token=a=b&token=c", "token=REDACTED&token=REDACTED"),
            ("", ""),
        ] {
            assert_eq!(shown.query(query), expected);
        }
        assert_eq!(ShownAttributes::default().query("sig=x&q=y"), "sig=REDACTED&q=y");
    }
}
