//! Checks that what must stay secret is in nothing that is exported.

use std::ops::Range;

use redtape_core::Span;
use serde_json::Value;

use super::fault::{Checks, Fault};
use super::spans::span_text;
use crate::cmd::summary;
use crate::export::{MetricForm, OtlpTexts};
use crate::harness::observe::{Line, Observed};
use crate::harness::spec::{Pattern, RedactionExpect};
use crate::write::{write_beyla_json, write_beyla_text};

/// What stands around a secret in messages, at most.
const AROUND: usize = 40;

/// Checks that patterns fit nothing of what can be printed or sent. Ids and times are left out: digits that may look like
/// anything. Remote write has the names and labels of `--metrics openmetrics`.
pub(crate) fn check_redaction(
    checks: &mut Checks,
    key: &str,
    expect: &RedactionExpect,
    seen: &Observed,
    form: MetricForm,
) {
    let mut search = Search::new(&expect.never);
    let mut otlp = OtlpTexts::new(form);
    search.spans(&seen.spans, &seen.lines, &mut otlp);
    search.look("`--metrics openmetrics`", &seen.openmetrics, None);
    search.look("`--otlp-metrics`", &otlp.metrics(&seen.snapshot), None);
    search.look("the summary", &summary(&seen.ran), None);
    for (at, (pattern, leak)) in expect.never.iter().zip(search.leaks).enumerate() {
        let fault = leak.map(|Leak { form, text, span }| Fault {
            details: vec![text],
            span,
            ..Fault::new(format!("`{}` must never be exported, and is in {form}", pattern.0))
        });
        checks.push(format!("{key}.never[{at}]"), fault);
    }
}

/// Something that must stay secret and does not.
#[derive(Debug)]
struct Leak {
    form: &'static str,
    /// It and a little around it.
    text: String,
    span: Option<usize>,
}

/// A search for all patterns, of each of which the first leak is told.
struct Search<'a> {
    never: &'a [Pattern],
    leaks: Vec<Option<Leak>>,
}

impl<'a> Search<'a> {
    fn new(never: &'a [Pattern]) -> Self {
        Self { never, leaks: never.iter().map(|_| None).collect() }
    }

    /// Looks through spans, whose lines are in their order.
    fn spans(&mut self, spans: &[Span], lines: &[Line], otlp: &mut OtlpTexts) {
        let mut lines = lines.iter().peekable();
        for (number, span) in spans.iter().enumerate() {
            let own = std::iter::from_fn(|| lines.next_if(|line| line.span == number));
            let json: Vec<_> = own.map(without_ids).collect();
            let ids = ids(span);
            for (form, text) in [("`--spans json`", json.join("\n"))].into_iter().chain(forms(span)) {
                let text = ids.iter().fold(text, |text, id| text.replace(id.as_str(), ""));
                self.look(form, &text, Some(number));
            }
            self.look("`--otlp-traces`", &otlp.span(span), Some(number));
        }
    }

    fn look(&mut self, form: &'static str, text: &str, span: Option<usize>) {
        for (pattern, leak) in self.never.iter().zip(&mut self.leaks).filter(|(_, leak)| leak.is_none()) {
            *leak = pattern.0.find(text).map(|found| Leak { form, text: around(text, found.range()), span });
        }
    }
}

/// A line without what says which span it is of, and when that was.
fn without_ids(line: &Line) -> String {
    const IDS_AND_TIMES: [&str; 5] =
        ["trace_id", "span_id", "parent_span_id", "start_time_unix_nano", "end_time_unix_nano"];
    let mut fields = line.value.clone();
    fields.retain(|key, _| !IDS_AND_TIMES.contains(&key.as_str()));
    Value::Object(fields).to_string()
}

/// The ids of a span, as they are in its texts. Beyla writes zeros for the parent that a span does not have.
fn ids(span: &Span) -> [String; 3] {
    let parent = span.parent_span_id.map_or_else(|| "[0000000000000000]".to_owned(), |parent| parent.to_string());
    [span.trace_id.to_string(), span.span_id.to_string(), parent]
}

/// The forms beside `--spans json`. Times of Beyla's JSON are numbers of 16 digits, which look like those of cards.
fn forms(span: &Span) -> [(&'static str, String); 3] {
    const IDS_AND_TIMES: [&str; 6] = ["traceID", "spanID", "parentSpanID", "start", "handlerStart", "end"];
    let (mut text, mut json) = (Vec::new(), Vec::new());
    write_beyla_text(&mut text, span).expect("invariant: writing to memory does not fail");
    write_beyla_json(&mut json, span, false).expect("invariant: writing to memory does not fail");
    let mut json: Value = serde_json::from_slice(&json).unwrap_or_default();
    for span in json.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        span.retain(|key, _| !IDS_AND_TIMES.contains(&key.as_str()));
    }
    [
        ("`--spans text`", span_text(span)),
        ("`--trace-printer text`", String::from_utf8_lossy(&text).into_owned()),
        ("`--trace-printer json`", json.to_string()),
    ]
}

/// What was found and a little around it.
fn around(text: &str, found: Range<usize>) -> String {
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
