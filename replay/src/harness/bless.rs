//! Accepts what was found: values in specs are written anew in their place, golden files as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use redtape_core::config::Tree;

use super::check::Accept;
use super::report::Ran;
use super::spec::load;
use crate::failure::{Failure, Kind, Result};
use crate::part_file::PartFile;

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

/// A text with other values under some keys; everything else stays as it is. `None` where one of them has no place.
fn spliced(text: &str, values: &BTreeMap<&str, &str>) -> Option<String> {
    let tree = Tree::new(text);
    let places: BTreeMap<&str, Range<usize>> = tree.values().collect();
    let mut edits: Vec<(Range<usize>, &str)> = Vec::new();
    for (key, yaml) in values {
        edits.push((places.get(key)?.clone(), yaml));
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = text.to_owned();
    for (range, yaml) in edits {
        let old = text.get(range.clone())?;
        if old.is_empty() {
            // A value that is not there has its place behind the colon of its key.
            let colon = text.get(range.start..)?.find(':')? + range.start + 1;
            text.insert_str(colon, &format!(" {yaml}"));
        } else {
            text.replace_range(range, yaml);
        }
    }
    Some(text)
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
    let mut file = PartFile::create(path, true)?;
    file.write_all(bytes).map_err(|error| file.unwritable(&error))?;
    file.finish()
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
    fn a_ci_says_so() {
        assert!(is_ci(Some("true")) && is_ci(Some("1")));
        assert!(!is_ci(None) && !is_ci(Some("")) && !is_ci(Some("false")));
    }
}
