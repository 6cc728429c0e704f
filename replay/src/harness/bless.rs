//! Accepts what was found: values in specs are written anew in their place, golden files as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use redtape_core::config::Tree;

use super::check::Accept;
use super::report::Ran;
use super::spec::load;
use crate::destination::Destination;
use crate::failure::{Failure, Kind, Result};

/// Whether the environment is that of a CI, where nothing is to be accepted.
pub(crate) fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Blessed {
    /// Specs with new values, and how many.
    pub(crate) specs: Vec<(PathBuf, usize)>,
    /// Golden files.
    pub(crate) files: Vec<PathBuf>,
}

/// Accepts all of what was found that can be.
pub(crate) fn bless(all: &[Ran]) -> Result<Blessed> {
    let mut blessed = Blessed::default();
    for ran in all {
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        for (_, _, check, fault) in ran.faults() {
            match &fault.accept {
                Some(Accept::Value(yaml)) => drop(values.insert(&check.key, yaml)),
                Some(Accept::File(path, bytes)) => {
                    write(path, bytes)?;
                    blessed.files.push(path.clone());
                }
                None => {}
            }
        }
        if !values.is_empty() {
            let text = spliced(&ran.spec.text, &values).ok_or_else(|| {
                Failure::message(Kind::Usage, format!("{}: cannot be rewritten", ran.spec.path.display()))
            })?;
            rewrite(&ran.spec.path, &ran.spec.text, &text)?;
            blessed.specs.push((ran.spec.path.clone(), values.len()));
        }
    }
    Ok(blessed)
}

/// A text with other values under some keys; everything else stays as it is. `None` where one of them has no place, or where
/// keys or other values would not stay.
fn spliced(text: &str, values: &BTreeMap<&str, &str>) -> Option<String> {
    let tree = Tree::new(text);
    let mut expected = texts(&tree, text);
    let places: BTreeMap<&str, Range<usize>> = tree.values().collect();
    let mut edits: Vec<(Range<usize>, &str)> = Vec::new();
    for (key, yaml) in values {
        edits.push((places.get(key)?.clone(), yaml));
        expected.insert(key, yaml);
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut new = text.to_owned();
    for (range, yaml) in edits {
        // Line breaks belong to a block scalar, but the last ends its line.
        let old = text.get(range.clone())?.trim_end();
        if let Some(head) = block_head(text.get(..range.start)?) {
            new.replace_range(head..range.start + old.len(), yaml);
        } else if old.is_empty() {
            // A value that is not there has its place behind the colon of its key, which may have colons of its own.
            let behind = text.get(range.start..)?;
            let ends_key =
                |at: &usize| behind.get(at + 1..).is_some_and(|rest| !rest.starts_with(|c: char| !c.is_whitespace()));
            let colon = behind.match_indices(':').map(|(at, _)| at).find(ends_key)?;
            new.insert_str(range.start + colon + 1, &format!(" {yaml}"));
        } else {
            new.replace_range(range.start..range.start + old.len(), yaml);
        }
    }
    (texts(&Tree::new(&new), &new) == expected).then_some(new)
}

/// Where the `|` or `>` of the block scalar is whose content follows on `text`, if it is one.
fn block_head(text: &str) -> Option<usize> {
    let (before, indent) = text.rsplit_once('\n')?;
    if !indent.trim().is_empty() {
        return None;
    }
    let before = before.trim_end();
    let from = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.get(from..)?;
    let line = line.find(" #").map_or(line, |comment| line.get(..comment).unwrap_or_default()).trim_end();
    let head = line.trim_end_matches(['+', '-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    let head = head.strip_suffix(['|', '>'])?;
    head.ends_with(' ').then_some(from + head.len())
}

/// The values of a text as they are written.
fn texts<'a>(tree: &'a Tree, text: &'a str) -> BTreeMap<&'a str, &'a str> {
    tree.values().map(|(key, range)| (key, text.get(range).unwrap_or_default().trim_end())).collect()
}

/// Writes a spec anew, unless what would be written is none, or somebody else wrote it meanwhile.
fn rewrite(path: &Path, before: &str, text: &str) -> Result {
    let name = path.display();
    let now = fs::read_to_string(path).unwrap_or_default();
    if now != before {
        return Err(Failure::message(Kind::Usage, format!("{name}: was changed meanwhile; run it again")));
    }
    write(path, text.as_bytes())?;
    if let Err(error) = load(path) {
        write(path, before.as_bytes())?;
        return Err(Failure::message(
            Kind::Usage,
            format!("{name}: stays as it was: rewritten, it would be no spec: {error}"),
        ));
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result {
    Destination::create(path, true, &[])?.write_whole(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_their_place() {
        let text = "# wäs ±1%\nversion: 1\nsha:   # filled in\nexpect:\n  spans: {count: 12, golden: 'a'}   # twelve\n  metrics:\n    samples:\n      - 'a{b=\"c\"} == 1'   # one\n      - \"x == 1\"\n  summary:\n    events: 3\n";
        let values = BTreeMap::from([
            ("sha", "\"00ff\""),
            ("expect.spans.count", "1300"),
            ("expect.metrics.samples[0]", r#""a{b=\"c\"} == 2""#),
            ("expect.summary.events", "4"),
        ]);
        let expected = "# wäs ±1%\nversion: 1\nsha: \"00ff\"   # filled in\nexpect:\n  spans: {count: 1300, golden: 'a'}   # twelve\n  metrics:\n    samples:\n      - \"a{b=\\\"c\\\"} == 2\"   # one\n      - \"x == 1\"\n  summary:\n    events: 4\n";
        assert_eq!(spliced(text, &values).unwrap(), expected);
        assert_eq!(spliced(text, &BTreeMap::from([("expect.none", "1")])), None);
    }

    #[test]
    fn a_block_scalar_begins_with_its_head() {
        for (head, found) in
            [("a: |\n  ", Some(3)), ("a:\n  - >+1 # b >\n\n    ", Some(7)), ("a: # b\n  ", None), ("a: |", None)]
        {
            assert_eq!(block_head(head), found, "{head}");
        }
    }

    #[test]
    fn what_stands_beside_a_block_scalar_stays() {
        let text = "paths:\n  /w: >- # why\n    /folded\n  /u: |\n    /lit\n\n  # last\n  /m: !!str /x\n";
        let values = BTreeMap::from([("paths./w", "\"/w\""), ("paths./u", "\"/u\"")]);
        let expected = "paths:\n  /w: \"/w\"\n  /u: \"/u\"\n\n  # last\n  /m: !!str /x\n";
        assert_eq!(spliced(text, &values).as_deref(), Some(expected));
        let text = text.replace(" # why", "");
        assert_eq!(spliced(&text, &values).as_deref(), Some(expected));
        let last = "a:\n  - |\n    x == 1\n";
        assert_eq!(spliced(last, &BTreeMap::from([("a[0]", "y")])).as_deref(), Some("a:\n  - y\n"));
    }

    #[test]
    fn a_missing_value_has_its_place_behind_its_key() {
        let text = "paths:\n  /v1/x:batch:\n  /w: ~\n";
        let values = BTreeMap::from([("paths./v1/x:batch", "\"/v1\""), ("paths./w", "\"/w\"")]);
        assert_eq!(spliced(text, &values).as_deref(), Some("paths:\n  /v1/x:batch: \"/v1\"\n  /w: \"/w\"\n"));
    }

    #[test]
    fn what_would_take_another_value_along_is_refused() {
        assert_eq!(spliced("a: 1\nb: 2\n", &BTreeMap::from([("a", "3\nb: 4")])), None);
        assert_eq!(spliced("a: 1\nb: 2\n", &BTreeMap::from([("a", "3\nc: 4")])), None);
        // What is named elsewhere would be another value there.
        let alias = "a: &n 1\nb: *n\n";
        let rewritten = spliced(alias, &BTreeMap::from([("b", "3")]));
        assert!(rewritten.is_none_or(|text| text == "a: &n 1\nb: 3\n"));
    }

    #[test]
    fn a_ci_says_so() {
        assert!(is_ci(Some("true")) && is_ci(Some("1")));
        assert!(!is_ci(None) && !is_ci(Some("")) && !is_ci(Some("false")));
    }
}
