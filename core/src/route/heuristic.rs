//! `heuristic`: a route from one path alone. It keeps no state, so the same path has the same route everywhere.

use std::borrow::Cow;

use super::class::{Class, Classified, classify};
use super::lexicon::{Familiarity, Lexicon};
use super::path::segments;

/// Segments of a route; what follows becomes one doubled wildcard.
pub(super) const MAX_SEGMENTS: usize = 16;

/// One segment of a path, judged by itself and by the segment before it.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) class: Class,
    pub(super) familiarity: Familiarity,
    /// Where in `text` the part begins that stays behind a wildcard.
    kept_from: usize,
    /// The segment before it is the name of a collection.
    pub(super) in_collection: bool,
    /// The segment before it is a value, and it is no plural.
    after_value: bool,
}

impl Judged<'_> {
    /// What stays of a value: an extension, a verb.
    pub(super) fn kept(&self) -> &str {
        self.text.get(self.kept_from..).unwrap_or_default()
    }

    /// Whether the path alone tells that this is a value.
    pub(super) fn is_value(&self) -> bool {
        self.class.is_value() || (self.class == Class::UnknownWord && (self.in_collection || self.after_value))
    }

    /// Writes the segment as it stands in a route.
    pub(super) fn write(&self, value: bool, wildcard: char, route: &mut String) {
        route.push('/');
        if value {
            route.push(wildcard);
            route.push_str(self.kept());
        } else {
            route.push_str(&self.text);
        }
    }
}

/// Judges the segments of a path, at most [`MAX_SEGMENTS`] and one.
pub(super) fn judge<'a>(lexicon: &'a Lexicon, target: &'a str, wildcard: char) -> impl Iterator<Item = Judged<'a>> {
    let (mut in_collection, mut after_value) = (false, false);
    segments(target).take(MAX_SEGMENTS + 1).enumerate().map(move |(index, text)| {
        let Classified { class, familiarity, kept } = classify(lexicon, &text, index, wildcard);
        let kept_from = text.len() - kept.len();
        let plural = is_collection(&text);
        let judged = Judged { kept_from, class, familiarity, in_collection, after_value: after_value && !plural, text };
        after_value = judged.is_value() || judged.class == Class::Templated;
        in_collection = !after_value && plural;
        judged
    })
}

/// Appends the route of a path.
pub(super) fn template(lexicon: &Lexicon, target: &str, wildcard: char, route: &mut String) {
    for (index, judged) in judge(lexicon, target, wildcard).enumerate() {
        if index == MAX_SEGMENTS {
            route.extend(['/', wildcard, wildcard]);
            return;
        }
        judged.write(judged.is_value(), wildcard, route);
    }
    if route.is_empty() {
        route.push('/');
    }
}

/// Whether what follows a segment is likely one of several items: it is a plural, or one of the names that are used so.
pub(super) fn is_collection(name: &str) -> bool {
    const SINGLES: [&str; 4] = ["user", "pet", "people", "children"];
    const NO_COLLECTIONS: [&str; 31] = [
        "access",
        "address",
        "alerts",
        "analytics",
        "apis",
        "assets",
        "aws",
        "business",
        "css",
        "details",
        "dns",
        "docs",
        "express",
        "gps",
        "https",
        "ios",
        "js",
        "metrics",
        "news",
        "ops",
        "preferences",
        "process",
        "settings",
        "sms",
        "statistics",
        "stats",
        "status",
        "success",
        "tls",
        "various",
        "windows",
    ];
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or_default();
    let is = |known: &&str| known.eq_ignore_ascii_case(last);
    let ends = |end: &str| {
        last.len()
            .checked_sub(end.len())
            .and_then(|at| last.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    if !ends("s") || last.len() < 3 {
        return SINGLES.iter().any(is);
    }
    !["ss", "us", "is"].into_iter().any(ends) && !NO_COLLECTIONS.iter().any(is)
}
