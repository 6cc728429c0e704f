//! Route patterns as frameworks write them, and the search for the one that fits a path.
//!
//! Patterns stand in a tree of segments. At each segment the search tries the literal text first, then segments with
//! literal parts (`@:user`, `{id}.json`; the longest text first), then a plain placeholder, then a catch-all; where one
//! way ends without a route it returns and tries the next. A node can be reached in one way only, so a search visits
//! each node at most once, whatever the path.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::path::without_query;

/// Segments of one pattern; it bounds the depth of a search.
const MAX_SEGMENTS: usize = 64;

/// A set of patterns.
#[derive(Debug)]
pub(crate) struct Matcher {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: FxHashMap<Box<str>, usize>,
    /// Sorted by the length of their literal text, longest first.
    mixed: Vec<(Mixed, usize)>,
    placeholder: Option<usize>,
    /// The route of a path that ends here.
    route: Option<Arc<str>>,
    /// The route of a path that ends here or goes on.
    catch_all: Option<Arc<str>>,
}

/// A segment of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Segment<'a> {
    Literal(&'a str),
    Mixed(Mixed),
    Placeholder,
    CatchAll,
}

/// Literal text around placeholders: `parts[0]`, something, `parts[1]`, something, … , the last part.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mixed {
    parts: Vec<Box<str>>,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no text.
    #[error("it is empty; the root is `/`")]
    Empty,
    /// It has more than 64 segments.
    #[error("it has more than {MAX_SEGMENTS} segments")]
    TooLong,
    /// A `{` without its `}`.
    #[error("`{{` without `}}` in one of its segments")]
    Unclosed,
}

impl Matcher {
    pub(crate) fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, (usize, PatternError)> {
        let mut matcher = Self { nodes: vec![Node::default()] };
        for (at, pattern) in patterns.iter().enumerate() {
            matcher.insert(pattern.as_ref()).map_err(|error| (at, error))?;
        }
        Ok(matcher)
    }

    fn insert(&mut self, pattern: &str) -> Result<(), PatternError> {
        if pattern.is_empty() {
            return Err(PatternError::Empty);
        }
        let text = trimmed(pattern);
        if text.split('/').count() > MAX_SEGMENTS {
            return Err(PatternError::TooLong);
        }
        let mut at = 0;
        let mut rest = Some(text).filter(|text| !text.is_empty());
        while let Some(now) = rest {
            let (segment, next) = split(now);
            at = match parse(segment)? {
                Segment::Literal(text) => self.child(
                    at,
                    |node| node.literals.get(text).copied(),
                    |node, new| {
                        node.literals.insert(text.into(), new);
                    },
                ),
                Segment::Placeholder => {
                    self.child(at, |node| node.placeholder, |node, new| node.placeholder = Some(new))
                }
                Segment::Mixed(mixed) => {
                    let known = |node: &Node| node.mixed.iter().find(|(other, _)| *other == mixed).map(|(_, at)| *at);
                    match self.nodes.get(at).and_then(known) {
                        Some(child) => child,
                        None => self.child(
                            at,
                            |_| None,
                            |node, new| {
                                node.mixed.push((mixed, new));
                                node.mixed.sort_by_key(|(mixed, _)| std::cmp::Reverse(mixed.text_len()));
                            },
                        ),
                    }
                }
                Segment::CatchAll => {
                    // What follows a catch-all is never looked at.
                    let node = &mut self.nodes[at];
                    node.catch_all.get_or_insert_with(|| pattern.into());
                    return Ok(());
                }
            };
            rest = next;
        }
        self.nodes[at].route.get_or_insert_with(|| pattern.into());
        Ok(())
    }

    fn child(&mut self, at: usize, find: impl Fn(&Node) -> Option<usize>, add: impl FnOnce(&mut Node, usize)) -> usize {
        if let Some(child) = find(&self.nodes[at]) {
            return child;
        }
        let new = self.nodes.len();
        self.nodes.push(Node::default());
        add(&mut self.nodes[at], new);
        new
    }

    /// How much the first pattern says of the segments of the paths that it fits.
    pub(super) fn specificity(&self) -> Specificity {
        let (mut segments, mut at) = (Vec::new(), 0);
        while let Some(node) = self.nodes.get(at) {
            if node.catch_all.is_some() {
                segments.push(Said::Rest);
                break;
            }
            let literal = node.literals.iter().next().map(|(text, next)| (Said::All(text.clone()), *next));
            let mixed = node.mixed.first().map(|(mixed, next)| (Said::Part(mixed.clone()), *next));
            let Some((said, next)) = literal.or(mixed).or(node.placeholder.map(|next| (Said::Nothing, next))) else {
                break;
            };
            segments.push(said);
            at = next;
        }
        Specificity(segments)
    }

    /// The text of the pattern that fits `path` best. A query is not looked at, nor is a slash at the end.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<str>> {
        if self.is_empty() {
            return None;
        }
        let text = trimmed(without_query(path));
        self.search(0, Some(text).filter(|text| !text.is_empty()))
    }

    fn is_empty(&self) -> bool {
        matches!(&*self.nodes, [root] if root.route.is_none() && root.catch_all.is_none())
    }

    fn search(&self, at: usize, rest: Option<&str>) -> Option<&Arc<str>> {
        let node = self.nodes.get(at)?;
        let Some(rest) = rest else {
            return node.route.as_ref().or(node.catch_all.as_ref());
        };
        let (segment, next) = split(rest);
        let literal = || self.search(*node.literals.get(segment)?, next);
        let mixed = || {
            let fitting = node.mixed.iter().filter(|(mixed, _)| mixed.fits(segment));
            fitting.into_iter().find_map(|(_, child)| self.search(*child, next))
        };
        let placeholder = || self.search(node.placeholder?, next);
        literal().or_else(mixed).or_else(placeholder).or(node.catch_all.as_ref())
    }
}

impl Mixed {
    fn text_len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether `segment` has the parts in order, with at least one byte between each two.
    fn fits(&self, segment: &str) -> bool {
        let (Some((first, middle)), Some(last)) = (self.parts.split_first(), self.parts.last()) else { return false };
        let middle = middle.split_last().map_or(middle, |(_, middle)| middle);
        let Some(mut rest) = segment.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
            return false;
        };
        for part in middle {
            // The leftmost place is as good as any: what is left is longest.
            let mut ends = rest.char_indices().skip(1).filter_map(|(at, _)| rest.get(at..)?.strip_prefix(&**part));
            let Some(after) = ends.next() else { return false };
            rest = after;
        }
        !rest.is_empty()
    }
}

/// How much a pattern says of each segment of the paths that it fits. Patterns of equal specificity fit the same paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Specificity(Vec<Said>);

/// How much a pattern says of a segment.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// All its text.
    All(Box<str>),
    /// A part of its text.
    Part(Mixed),
    /// That it is there.
    Nothing,
    /// Not even that.
    Rest,
}

impl Specificity {
    /// Whether of no segment of a path that both fit it says less than the other.
    pub(super) fn says_no_less_than(&self, other: &Self) -> bool {
        let rank = |said: Option<&Said>| match said {
            Some(Said::All(_)) => (0, 0),
            Some(Said::Part(mixed)) => (1, usize::MAX - mixed.text_len()),
            Some(Said::Nothing) => (2, 0),
            Some(Said::Rest) | None => (3, 0),
        };
        let segments = self.0.len().max(other.0.len());
        (0..segments).all(|at| rank(self.0.get(at)) <= rank(other.0.get(at)))
    }
}

/// Without the slash at either end.
fn trimmed(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path)
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(segment, rest)| (segment, Some(rest)))
}

/// Reads one segment of a pattern.
fn parse(segment: &str) -> Result<Segment<'_>, PatternError> {
    if is_catch_all(segment) {
        return Ok(Segment::CatchAll);
    }
    let mut parts: Vec<Box<str>> = Vec::new();
    let mut text = String::new();
    let mut rest = segment;
    while let Some(start) = rest.find(['{', '<', ':']) {
        let (before, placeholder) = rest.split_at(start);
        let Some(end) = placeholder_len(placeholder)? else {
            // A colon that opens no placeholder, or an unpaired `<`: plain text.
            let (plain, after) = rest.split_at(start + 1);
            text.push_str(plain);
            rest = after;
            continue;
        };
        // After a placeholder a colon begins a verb, as in `{id}:cancel`.
        if placeholder.starts_with(':') && before.is_empty() && text.is_empty() && !parts.is_empty() {
            text.push(':');
            rest = &placeholder[1..];
            continue;
        }
        text.push_str(before);
        parts.push(std::mem::take(&mut text).into());
        rest = &placeholder[end..];
    }
    if parts.is_empty() {
        return Ok(Segment::Literal(segment));
    }
    text.push_str(rest);
    parts.push(text.into());
    if parts.iter().all(|part| part.is_empty()) {
        return Ok(Segment::Placeholder);
    }
    Ok(Segment::Mixed(Mixed { parts }))
}

/// `*`, `**`, `*rest`, `{*rest}`, `{**rest}`, `{rest...}`, `{rest:.*}`, `<path:rest>`: all that is left of the path.
fn is_catch_all(segment: &str) -> bool {
    if let Some(name) = segment.strip_prefix('*') {
        let name = name.strip_prefix('*').unwrap_or(name);
        return name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    }
    if let Some(inner) = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
        return inner.starts_with('*') || inner.ends_with("...") || inner.ends_with(":.*") || inner.ends_with(":.+");
    }
    segment.starts_with("<path:") && segment.ends_with('>')
}

/// The length of the placeholder that `text` begins with.
fn placeholder_len(text: &str) -> Result<Option<usize>, PatternError> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let mut depth = 0_usize;
            for (at, byte) in text.bytes().enumerate() {
                match byte {
                    b'{' => depth += 1,
                    b'}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            }
            Err(PatternError::Unclosed)
        }
        Some(b'<') => Ok(text.find('>').map(|at| at + 1)),
        _ => {
            let name = text.bytes().skip(1).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
            // A regular expression and a question mark after the name belong to it, as in Express.
            let mut end = 1 + name;
            if text.as_bytes().get(end) == Some(&b'(') {
                end += text.get(end..).and_then(|rest| rest.find(')')).map_or(0, |at| at + 1);
            }
            end += usize::from(text.as_bytes().get(end) == Some(&b'?'));
            Ok(Some(end))
        }
    }
}
