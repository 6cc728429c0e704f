//! Checks spans: how many there are, what they say, how long they took and whose children they are.

use std::collections::BTreeMap;

use redtape_core::Span;

use super::fault::{Checks, Fault};
use super::golden::check_golden;
use super::select::{described, is_meant, misses, nearest, shown, value};
use crate::harness::observe::{Line, Observed};
use crate::harness::spec::{Count, Duration, Length, Loaded, Match, Parent, SpansExpect};
use crate::write::write_span_text;

/// How many spans are listed where there are too many.
const LISTED: usize = 3;

/// Checks all that `expect` says of spans, but what needs their truth.
pub(crate) fn check_spans(checks: &mut Checks, key: &str, expect: &SpansExpect, seen: &Observed, spec: &Loaded) {
    let spans = seen.lines.iter().filter(|line| !line.is_phase).count() as u64;
    checks.condition(format!("{key}.count"), expect.count.as_ref(), &Count::of(spans));
    for (at, wanted) in expect.matches.iter().enumerate() {
        check_match(checks, &format!("{key}.match[{at}]"), wanted, seen);
    }
    for (at, unwanted) in expect.none.iter().enumerate() {
        let found: Vec<_> = seen.lines.iter().filter(|line| is_meant(line, &unwanted.wanted)).collect();
        let fault = found.first().map(|first| Fault {
            details: listed(seen, &found),
            span: Some(first.span),
            ..Fault::new(format!("expected none of {}, found {}", described(&unwanted.wanted), found.len()))
        });
        checks.push(format!("{key}.none[{at}]"), fault);
    }
    if expect.exhaustive {
        let unmet =
            |line: &&Line| !line.is_phase && !expect.matches.iter().any(|wanted| is_meant(line, &wanted.wanted));
        let found: Vec<_> = seen.lines.iter().filter(unmet).collect();
        let fault = found.first().map(|first| Fault {
            details: listed(seen, &found),
            span: Some(first.span),
            ..Fault::new(format!("expected all spans under `match`, found {} that no entry means", found.len()))
        });
        checks.push(format!("{key}.exhaustive"), fault);
    }
    for (at, parent) in expect.parent_of.iter().enumerate() {
        check_parent(checks, &format!("{key}.parent_of[{at}]"), parent, seen);
    }
    if let Some(golden) = &expect.golden {
        check_golden(checks, &format!("{key}.golden"), &spec.beside(golden), &expect.ignore, seen);
    }
}

fn check_match(checks: &mut Checks, key: &str, wanted: &Match, seen: &Observed) {
    let found: Vec<_> = seen.lines.iter().filter(|line| is_meant(line, &wanted.wanted)).collect();
    let count = Count::of(found.len() as u64);
    let failed = match &wanted.count {
        Some(condition) => checks.condition(format!("{key}.count"), Some(condition), &count),
        None => {
            let fault = found.is_empty().then(|| Fault::new("expected at least one span, found none"));
            let failed = fault.is_some();
            checks.push(format!("{key}.where"), fault);
            failed
        }
    };
    if failed && let Some(fault) = checks.last_fault() {
        fault.details.push(format!("of spans with {}", described(&wanted.wanted)));
        // Of spans that are too many, the first tell; of those that are missing, the nearest that was not meant.
        let too_many = wanted.count.as_ref().is_some_and(|condition| condition.is_exceeded_by(&count));
        if !too_many && let Some((near, misses)) = nearest(&seen.lines, &wanted.wanted) {
            let misses = misses.iter().map(|(key, expected, found)| format!("{key} is {found}, not {expected}"));
            fault.details.push(format!("nearest other span: {}", misses.collect::<Vec<_>>().join("; ")));
            fault.details.push(format!("  {}", line_text(seen, near)));
            fault.span = Some(near.span);
        }
        if let Some(first) = found.first().filter(|_| fault.span.is_none()) {
            fault.details.extend(listed(seen, &found));
            fault.span = Some(first.span);
        }
    }
    for (part, durations, of) in [("duration", &wanted.duration, "duration_ns"), ("queue", &wanted.queue, "queue_ns")] {
        if let Some(durations) = durations {
            check_durations(checks, &format!("{key}.{part}"), durations, &found, of);
        }
    }
    for (name, condition) in &wanted.attrs {
        let only = BTreeMap::from([(name.clone(), condition.clone())]);
        let wrong = found.iter().find(|line| !misses(line, &only).is_empty());
        let fault = wrong.map(|line| {
            let value = value(&line.value, name);
            Fault {
                accept: value.as_ref().and_then(|value| condition.accepting(value)).map(super::Accept::Value),
                details: vec![line_text(seen, line)],
                span: Some(line.span),
                ..Fault::differs(condition, shown(value.as_ref()))
            }
        });
        checks.push(format!("{key}.attrs.{name}"), fault);
    }
}

fn check_durations(checks: &mut Checks, key: &str, expect: &Duration, lines: &[&Line], of: &str) {
    let mut nanos: Vec<(u64, usize)> =
        lines.iter().filter_map(|line| Some((line.value.get(of)?.as_u64()?, line.span))).collect();
    nanos.sort_unstable();
    // The nearest rank: the smallest value that so many per mille of all do not exceed.
    let ranked = |per_mille: usize| nanos.get((nanos.len() * per_mille).div_ceil(1000).max(1) - 1).copied();
    let sum = nanos.iter().fold(0_u64, |sum, (nanos, _)| sum.saturating_add(*nanos));
    let parts = [
        ("min", expect.min.as_ref(), nanos.first().copied()),
        ("p50", expect.p50.as_ref(), ranked(500)),
        ("p95", expect.p95.as_ref(), ranked(950)),
        ("p99", expect.p99.as_ref(), ranked(990)),
        ("max", expect.max.as_ref(), nanos.last().copied()),
        ("sum", expect.sum.as_ref(), nanos.last().map(|(_, span)| (sum, *span))),
    ];
    for (name, condition, found) in parts {
        let Some(condition) = condition else { continue };
        match found {
            None => checks.push(format!("{key}.{name}"), Some(Fault::new("there is no span to take it of"))),
            Some((nanos, span)) => {
                if checks.condition(format!("{key}.{name}"), Some(condition), &Length::of_nanos(nanos))
                    && let Some(fault) = checks.last_fault()
                {
                    fault.span = Some(span);
                }
            }
        }
    }
}

fn check_parent(checks: &mut Checks, key: &str, expect: &Parent, seen: &Observed) {
    let by_id: BTreeMap<&str, &Line> =
        seen.lines.iter().filter_map(|line| Some((line.value.get("span_id")?.as_str()?, line))).collect();
    let children: Vec<_> = seen.lines.iter().filter(|line| is_meant(line, &expect.child)).collect();
    let count = Count::of(children.len() as u64);
    match &expect.count {
        Some(condition) => drop(checks.condition(format!("{key}.count"), Some(condition), &count)),
        None if children.is_empty() => {
            let message = format!("expected at least one child with {}, found none", described(&expect.child));
            checks.push(format!("{key}.child"), Some(Fault::new(message)));
        }
        None => {}
    }
    let wrong = children.iter().find_map(|child| {
        let parent = child.value.get("parent_span_id").and_then(|id| by_id.get(id.as_str()?));
        let (message, more) = match parent {
            None => ("it has no parent among the spans".to_owned(), None),
            Some(parent) if !is_meant(parent, &expect.parent) => {
                ("its parent is another span".to_owned(), Some(parent))
            }
            Some(parent) => {
                let link = value(&child.value, "redtape.link");
                let condition = expect.link.as_ref().filter(|condition| !condition.holds(link.as_ref()))?;
                (format!("it is linked by {}, not {condition}", shown(link.as_ref())), Some(parent))
            }
        };
        let mut details = vec![format!("child:  {}", line_text(seen, child))];
        details.extend(more.map(|parent| format!("parent: {}", line_text(seen, parent))));
        let what = format!("expected a parent with {}: {message}", described(&expect.parent));
        Some(Fault { details, span: Some(child.span), ..Fault::new(what) })
    });
    checks.push(format!("{key}.parent"), wrong);
}

/// The first of some spans, a line each.
fn listed(seen: &Observed, lines: &[&Line]) -> Vec<String> {
    let mut listed: Vec<_> = lines.iter().take(LISTED).map(|line| line_text(seen, line)).collect();
    if lines.len() > LISTED {
        listed.push(format!("and {} more", lines.len() - LISTED));
    }
    listed
}

/// A span as `--spans text` prints it.
pub(super) fn span_text(span: &Span) -> String {
    let mut bytes = Vec::new();
    write_span_text(&mut bytes, span).expect("invariant: writing to memory does not fail");
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

fn line_text(seen: &Observed, line: &Line) -> String {
    let text = seen.spans.get(line.span).map(span_text).unwrap_or_default();
    match line.value.get("name").and_then(|name| name.as_str()).filter(|_| line.is_phase) {
        Some(phase) => format!("`{phase}` of {text}"),
        None => text,
    }
}
