//! `heuristic`: a route from one path alone. The same path has the same route everywhere, whatever was seen before it.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::class::{Class, Classified, MAX_NAME, classify};
use super::lexicon::{Familiarity, Lexicon};
use super::path::segments;

/// Segments of a route; what follows becomes one doubled wildcard.
pub(super) const MAX_SEGMENTS: usize = 16;
/// Names that are remembered. When there are more, all are forgotten.
const MAX_NAMES: usize = 4 << 10;

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

/// Judges the segments of paths. It remembers the names among them, which are few and cost many look-ups in the lexicon;
/// values are many and known by their bytes, so they are judged anew each time. What it remembers never changes a result.
#[derive(Debug)]
pub(super) struct Judge {
    lexicon: &'static Lexicon,
    pub(super) wildcard: char,
    names: FxHashMap<Box<str>, Verdict>,
}

/// What a segment is, whatever stands before it.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    class: Class,
    familiarity: Familiarity,
    kept_from: usize,
    /// It is the name of a collection.
    collection: bool,
}

impl Judge {
    /// `wildcard` is what replaces values.
    pub(super) fn new(wildcard: char) -> Self {
        Self { lexicon: Lexicon::shared(), wildcard, names: FxHashMap::default() }
    }

    /// Judges the segments of a path, at most [`MAX_SEGMENTS`] and one.
    pub(super) fn path<'a>(&mut self, target: &'a str) -> impl Iterator<Item = Judged<'a>> {
        let (mut in_collection, mut after_value) = (false, false);
        segments(target).take(MAX_SEGMENTS + 1).enumerate().map(move |(index, text)| {
            let Verdict { class, familiarity, kept_from, collection } = self.segment(&text, index);
            let after = after_value && !collection;
            let judged = Judged { kept_from, class, familiarity, in_collection, after_value: after, text };
            after_value = judged.is_value() || judged.class == Class::Templated;
            in_collection = !after_value && collection;
            judged
        })
    }

    fn segment(&mut self, text: &str, index: usize) -> Verdict {
        // What begins with a letter is judged alike wherever it stands: only numbers may be versions by their place.
        let may_be_name = text.len() <= MAX_NAME && text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        if !may_be_name {
            return self.verdict(text, index);
        }
        if let Some(verdict) = self.names.get(text) {
            return *verdict;
        }
        let verdict = self.verdict(text, index);
        if !verdict.class.is_value() {
            if self.names.len() >= MAX_NAMES {
                self.names.clear();
            }
            self.names.insert(text.into(), verdict);
        }
        verdict
    }

    fn verdict(&self, text: &str, index: usize) -> Verdict {
        let Classified { class, familiarity, kept } = classify(self.lexicon, text, index, self.wildcard);
        // A value names no collection, whatever it ends with.
        let collection = !class.is_value() && is_collection(text);
        Verdict { class, familiarity, kept_from: text.len() - kept.len(), collection }
    }
}

/// Appends the route of a path.
pub(super) fn template(judge: &mut Judge, target: &str, route: &mut String) {
    let wildcard = judge.wildcard;
    for (index, judged) in judge.path(target).enumerate() {
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
