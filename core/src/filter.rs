//! `filter.application`: keeps the spans whose attributes fit.

use std::borrow::Cow;

use crate::attributes::AttributeValue;
use crate::config::GlobPattern;
use crate::span::Span;

/// Which spans to keep: those that fit every rule. What is not kept is neither exported nor counted in metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    /// The attribute, with underscores for dots.
    attribute: String,
    value: GlobPattern,
    /// Whether the value has to fit, or must not.
    fits: bool,
}

impl Filter {
    /// A filter of rules: an attribute in the form of OpenTelemetry or Prometheus, a glob, and whether the attribute's
    /// value has to fit it or must not. An attribute that a span does not have is an empty text.
    pub fn new<'a>(rules: impl IntoIterator<Item = (&'a str, GlobPattern, bool)>) -> Self {
        let rule = |(attribute, value, fits): (&str, GlobPattern, bool)| Rule {
            attribute: attribute.replace('.', "_"),
            value,
            fits,
        };
        Self { rules: rules.into_iter().map(rule).collect() }
    }

    /// Whether to keep `span`.
    pub fn keeps(&self, span: &Span) -> bool {
        if self.rules.is_empty() {
            return true;
        }
        let attributes: Vec<_> = span.all_attributes().into_iter().chain(span.service.resource()).collect();
        self.rules.iter().all(|rule| {
            let named = attributes.iter().find(|(key, _)| key.replace('.', "_") == rule.attribute);
            let value: Cow<'_, str> = match named {
                Some((_, AttributeValue::Text(text))) => Cow::Borrowed(text),
                Some((_, AttributeValue::Int(number))) => number.to_string().into(),
                None => Cow::default(),
            };
            rule.value.matches(&value) == rule.fits
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::spans::server;

    fn keeps(rules: &[(&str, &str, bool)]) -> bool {
        let rules = rules.iter().map(|(attribute, glob, fits)| (*attribute, glob.parse().unwrap(), *fits));
        Filter::new(rules).keeps(&server("/greeting"))
    }

    #[test]
    fn every_rule_has_to_hold() {
        assert!(keeps(&[]));
        assert!(keeps(&[("http.route", "/greet*", true), ("http_response_status_code", "2??", true)]));
        assert!(!keeps(&[("http.route", "/greet*", true), ("http_response_status_code", "2??", false)]));
        assert!(keeps(&[("service_name", "front*", true)]));
        assert!(!keeps(&[("no.such.attribute", "?*", true)]));
    }
}
