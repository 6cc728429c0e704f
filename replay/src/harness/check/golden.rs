//! Golden files: all spans or all metrics, a line each, compared as a whole.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::fault::{Accept, Checks, Fault};
use super::select;
use crate::harness::observe::{Line, Observed};
use crate::harness::spec::Any;

/// Golden files of more than this, decompressed, are refused.
const MAX_BYTES: u64 = 1 << 30;

/// The level at which golden files are compressed: they are written seldom.
const LEVEL: i32 = 19;

/// How many lines of each kind are shown where the rest differs, too.
const SHOWN: usize = 3;

/// What golden files are called.
const ENDS: [&str; 4] = [".jsonl", ".jsonl.zst", ".om", ".om.zst"];

/// Whether a file is called like a golden one.
pub(crate) fn is_golden(name: &str) -> bool {
    ENDS.iter().any(|end| name.ends_with(end))
}

/// Compares all lines of spans with a golden file. Both are sorted, so that the order in which spans end does not matter.
pub(super) fn check_golden(checks: &mut Checks, key: &str, path: &Path, ignore: &[String], seen: &Observed) {
    let mut found: Vec<(String, Option<&Line>)> =
        seen.lines.iter().map(|line| (without(&line.value, &line.text, ignore), Some(line))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let text: String = found.iter().map(|(line, _)| format!("{line}\n")).collect();
    let expected = match read(path) {
        Ok(expected) => expected,
        Err(fault) => return checks.push(key, Some(accepting(fault, path, &text))),
    };
    let mut expected: Vec<String> = expected.lines().map(|line| canonical(line, ignore)).collect();
    expected.sort();
    let found_texts: Vec<&str> = found.iter().map(|(line, _)| line.as_str()).collect();
    let (missing, new) = differences(&expected, &found_texts);
    if missing.is_empty() && new.is_empty() {
        return checks.push(key, None);
    }
    let counts = format!("{} of {} lines are not found, {} are new", missing.len(), expected.len(), new.len());
    let mut fault = Fault::new(format!("the spans are not those of {}: {counts}", path.display()));
    describe(&mut fault, &missing, &new, &found);
    checks.push(key, Some(accepting(fault, path, &text)));
}

/// Compares metrics with a golden file.
pub(super) fn check_openmetrics(checks: &mut Checks, key: &str, path: &Path, found: &str) {
    let expected = match read(path) {
        Ok(expected) => expected,
        Err(fault) => return checks.push(key, Some(accepting(fault, path, found))),
    };
    if expected == found {
        return checks.push(key, None);
    }
    let pairs = expected.lines().zip(found.lines()).enumerate();
    let first = pairs.into_iter().find(|(_, (expected, found))| expected != found);
    let mut fault = Fault::new(format!("the metrics are not those of {}", path.display()));
    match first {
        Some((number, (expected, found))) => {
            fault.message.push_str(&format!(", first in line {}", number + 1));
            fault.details = vec![format!("expected {expected}"), format!("   found {found}")];
        }
        None => {
            let (expected, found) = (expected.lines().count(), found.lines().count());
            fault.message.push_str(&format!(": expected {expected} lines, found {found}"));
        }
    }
    checks.push(key, Some(accepting(fault, path, found)));
}

fn accepting(fault: Fault, path: &Path, text: &str) -> Fault {
    // What cannot be compressed in memory cannot be written either.
    let bytes = if is_compressed(path) { zstd::encode_all(text.as_bytes(), LEVEL).ok() } else { Some(text.into()) };
    Fault { accept: bytes.map(|bytes| Accept::File(path.into(), bytes)), ..fault }
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "zst")
}

fn read(path: &Path) -> Result<String, Fault> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Fault::new(format!("the golden file {} is not there", path.display())),
        _ => Fault::new(format!("the golden file {} cannot be read: {error}", path.display())),
    };
    let mut text = String::new();
    if is_compressed(path) {
        let decoder = File::open(path).and_then(zstd::Decoder::new).map_err(failed)?;
        decoder.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    } else {
        text = fs::read_to_string(path).map_err(failed)?;
    }
    Ok(text)
}

/// A line of a golden file as it would be written today, so that the order of keys does not matter.
fn canonical(line: &str, ignore: &[String]) -> String {
    match serde_json::from_str::<Map<String, Value>>(line) {
        Ok(value) if !ignore.is_empty() => without(&value, line, ignore),
        _ => line.to_owned(),
    }
}

/// A line without the keys that are ignored.
fn without(value: &Map<String, Value>, text: &str, ignore: &[String]) -> String {
    if ignore.is_empty() {
        return text.to_owned();
    }
    let mut value = value.clone();
    for key in ignore {
        let (section, name) = match key.split_once('.') {
            Some((section @ ("resource" | "attributes"), name)) => (Some(section), name),
            _ if value.contains_key(key) => (None, key.as_str()),
            _ => (Some("attributes"), key.as_str()),
        };
        match section {
            None => drop(value.remove(name)),
            Some(section) => {
                if let Some(section) = value.get_mut(section).and_then(Value::as_object_mut) {
                    section.remove(name);
                }
            }
        }
    }
    Value::Object(value).to_string()
}

/// The lines of each that the other lacks. Both are sorted; a line that is there twice counts twice.
fn differences<'a>(expected: &'a [String], found: &[&'a str]) -> (Vec<&'a str>, Vec<usize>) {
    let (mut missing, mut new) = (Vec::new(), Vec::new());
    let (mut left, mut right) = (expected.iter().peekable(), found.iter().enumerate().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return (missing, new),
            (Some(line), Some((_, other))) if line.as_str() == **other => {
                left.next();
                right.next();
            }
            (Some(line), other) if other.is_none_or(|(_, other)| line.as_str() < **other) => {
                missing.push(line.as_str());
                left.next();
            }
            (_, _) => {
                if let Some((at, _)) = right.next() {
                    new.push(at);
                }
            }
        }
    }
}

/// Tells the first span that differs with both values, or what is missing and what is new.
fn describe(fault: &mut Fault, missing: &[&str], new: &[usize], found: &[(String, Option<&Line>)]) {
    let read = |line: &str| serde_json::from_str::<Map<String, Value>>(line).unwrap_or_default();
    let new_lines: Vec<_> = new.iter().filter_map(|at| found.get(*at)).collect();
    // The same span, told otherwise: by its id, else by its name and start.
    let same = |a: &Map<String, Value>, b: &Map<String, Value>| {
        let equal = |key: &str| a.get(key).is_some() && a.get(key) == b.get(key);
        equal("span_id") || (equal("name") && equal("start_time_unix_nano") && equal("kind"))
    };
    let pair = missing.iter().find_map(|line| {
        let expected = read(line);
        let (_, now) = new_lines.iter().find(|(text, _)| same(&expected, &read(text)))?;
        Some((expected, (*now)?))
    });
    if let Some((expected, now)) = pair {
        let named = now.value.get("name").and_then(Value::as_str).unwrap_or_default();
        let id = now.value.get("span_id").and_then(Value::as_str).unwrap_or_default();
        fault.details.push(format!("first, span {id} `{named}`:"));
        fault.details.extend(key_differences(&expected, &now.value));
        fault.span = Some(now.span);
        return;
    }
    for line in missing.iter().take(SHOWN) {
        fault.details.push(format!("not found: {line}"));
    }
    for (text, line) in new_lines.iter().take(SHOWN) {
        fault.details.push(format!("new:       {text}"));
        fault.span = fault.span.or(line.map(|line| line.span));
    }
}

/// The keys that differ, each with both values.
fn key_differences(expected: &Map<String, Value>, found: &Map<String, Value>) -> Vec<String> {
    let flat = |line: &Map<String, Value>| {
        let mut flat = std::collections::BTreeMap::new();
        for (key, value) in line {
            match value {
                Value::Object(section) => {
                    flat.extend(section.iter().map(|(name, value)| (format!("{key}.{name}"), value.clone())));
                }
                value => drop(flat.insert(key.clone(), value.clone())),
            }
        }
        flat
    };
    let (expected, found) = (flat(expected), flat(found));
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.get(*key) != found.get(*key));
    let show = |value: Option<&Value>| select::shown(value.and_then(Any::of_json).as_ref());
    differ.map(|key| format!("  {key}: expected {}, found {}", show(expected.get(key)), show(found.get(key)))).collect()
}
