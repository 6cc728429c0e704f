//! Which spans conditions mean, and which come near.

use std::cmp::Reverse;

use serde_json::{Map, Value};

use crate::harness::observe::Line;
use crate::harness::spec::{Any, Operand, Where};

/// What a line says under a key of a condition.
pub(crate) fn value(line: &Map<String, Value>, key: &str) -> Option<Any> {
    let found = match key.split_once('.') {
        Some(("resource", name)) => line.get("resource").and_then(|resource| resource.get(name)),
        Some(("attributes", name)) => line.get("attributes").and_then(|attributes| attributes.get(name)),
        _ => line.get(key).or_else(|| line.get("attributes").and_then(|attributes| attributes.get(key))),
    };
    let found = Any::of_json(found?)?;
    // `null` says that there is nothing: no parent, no queue.
    (found != Any::Null).then_some(found)
}

/// A condition that a line does not meet: the key, what was expected, and what was found.
pub(crate) type Miss = (String, String, String);

/// The conditions that a line does not meet.
pub(crate) fn misses(line: &Line, wanted: &Where) -> Vec<Miss> {
    let failed = wanted.iter().filter_map(|(key, condition)| {
        let found = value(&line.value, key);
        (!condition.holds(found.as_ref())).then(|| (key.clone(), condition.to_string(), shown(found.as_ref())))
    });
    failed.collect()
}

/// A value for messages.
pub(crate) fn shown(found: Option<&Any>) -> String {
    found.map_or_else(|| "nothing".into(), ToString::to_string)
}

/// Whether a line is meant: all conditions hold. Phases are meant only by conditions that name their kind, `internal`.
pub(crate) fn is_meant(line: &Line, wanted: &Where) -> bool {
    takes_part(line, wanted) && misses(line, wanted).is_empty()
}

fn takes_part(line: &Line, wanted: &Where) -> bool {
    let internal = Any::Text("internal".into());
    !line.is_phase || wanted.get("kind").is_some_and(|condition| condition.holds(Some(&internal)))
}

/// The line that meets most of the conditions and not all, and those that it does not meet; of several one of the service that is meant, that which
/// says something most like what was expected, or the first.
pub(crate) fn nearest<'a>(lines: &'a [Line], wanted: &Where) -> Option<(&'a Line, Vec<Miss>)> {
    let near = lines.iter().filter(|line| takes_part(line, wanted)).map(|line| (line, misses(line, wanted)));
    let near = near.filter(|(_, misses)| !misses.is_empty()).min_by_key(|(line, misses)| {
        let of_another_service = misses.iter().any(|(key, ..)| key == "service");
        let likeness: usize = misses.iter().map(|(key, ..)| likeness(line, key, wanted)).sum();
        (misses.len(), of_another_service, Reverse(likeness))
    })?;
    // A span that has nothing in common with what was meant explains nothing.
    (near.1.len() < wanted.len() || wanted.len() == 1).then_some(near)
}

/// How much of the value that a condition asks for a line has under its key, or in its path: from the front, in bytes.
fn likeness(line: &Line, key: &str, wanted: &Where) -> usize {
    let Some(expected) = wanted.get(key).and_then(|condition| condition.value()?.text()) else { return 0 };
    let found = [key, "url.path"].into_iter().filter_map(|key| value(&line.value, key));
    let same = |found: Any| {
        let found = found.text().unwrap_or_default().into_owned();
        expected.bytes().zip(found.bytes()).take_while(|(one, other)| one == other).count()
    };
    found.map(same).max().unwrap_or_default()
}

/// Conditions for messages.
pub(crate) fn described(wanted: &Where) -> String {
    if wanted.is_empty() {
        return "any span".into();
    }
    let conditions: Vec<_> = wanted.iter().map(|(key, condition)| format!("{key}: {condition}")).collect();
    conditions.join(", ")
}
