//! Checks that what must stay secret is in nothing that is exported.

use redtape_core::{Span, SpanId};
use serde_json::Value;

use super::fault::{Checks, Fault};
use super::spans::span_text;
use crate::harness::observe::Observed;
use crate::harness::spec::RedactionExpect;
use crate::write::{write_beyla_json, write_beyla_text};

/// What stands around a secret in messages, at most.
const AROUND: usize = 40;

/// Checks each pattern against spans in all their forms (`--spans json` and `text`, `--trace-printer text` and `json`) and
/// against metrics. Ids and times are left out. OTLP and remote write carry the same names, attributes and labels.
pub(crate) fn check_redaction(checks: &mut Checks, key: &str, expect: &RedactionExpect, seen: &Observed) {
    for (at, pattern) in expect.never.iter().enumerate() {
        let of_spans = seen.spans.iter().enumerate().find_map(|(number, span)| {
            let texts = forms(span).into_iter();
            let lines = seen.lines.iter().filter(|line| line.span == number);
            let mut all = lines.map(|line| ("--spans json", line.text.clone())).chain(texts);
            all.find_map(|(form, text)| {
                let text = without_ids(&text, span);
                Some((form, around(&text, pattern.0.find(&text)?.range()), Some(number)))
            })
        });
        let found = of_spans.or_else(|| {
            let text = &seen.openmetrics;
            Some(("--metrics openmetrics", around(text, pattern.0.find(text)?.range()), None))
        });
        let fault = found.map(|(form, text, span)| Fault {
            details: vec![text],
            span,
            ..Fault::new(format!("`{}` must never be exported, and is in what `{form}` prints", pattern.0))
        });
        checks.push(format!("{key}.never[{at}]"), fault);
    }
}

/// A text without the ids of a span: digits that may look like anything.
fn without_ids(text: &str, span: &Span) -> String {
    let parent = span.parent_span_id.unwrap_or(SpanId([0; 8]));
    let ids = [span.trace_id.to_string(), span.span_id.to_string(), parent.to_string()];
    ids.iter().fold(text.to_owned(), |text, id| text.replace(id.as_str(), ""))
}

/// The forms beside `--spans json`. Without the times of Beyla's JSON: numbers of 16 digits, which look like those of cards.
fn forms(span: &Span) -> [(&'static str, String); 3] {
    let (mut text, mut json) = (Vec::new(), Vec::new());
    write_beyla_text(&mut text, span).expect("invariant: writing to memory does not fail");
    write_beyla_json(&mut json, span, false).expect("invariant: writing to memory does not fail");
    let mut json: Value = serde_json::from_slice(&json).unwrap_or_default();
    for span in json.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        ["start", "handlerStart", "end"].iter().for_each(|time| drop(span.remove(*time)));
    }
    [
        ("--spans text", span_text(span)),
        ("--trace-printer text", String::from_utf8_lossy(&text).into_owned()),
        ("--trace-printer json", json.to_string()),
    ]
}

/// What was found and a little around it.
fn around(text: &str, found: std::ops::Range<usize>) -> String {
    let line = text.get(..found.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let mut from = found.start.saturating_sub(AROUND).max(line);
    let mut to = found.end.saturating_add(AROUND).min(text.len());
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to += 1;
    }
    let around = text.get(from..to).unwrap_or_default();
    around.lines().next().unwrap_or_default().to_owned()
}
