//! Checks that what must stay secret is in nothing that is exported.

use redtape_core::Span;

use super::fault::{Checks, Fault};
use super::spans::span_text;
use crate::harness::observe::Observed;
use crate::harness::spec::RedactionExpect;
use crate::write::{write_beyla_json, write_beyla_text};

/// What stands around a secret in messages, at most.
const AROUND: usize = 40;

/// Checks each pattern against spans in all their forms (`--spans json` and `text`, `--trace-printer text` and `json`) and
/// against metrics. OTLP and remote write carry the same names, attributes and labels.
pub(crate) fn check_redaction(checks: &mut Checks, key: &str, expect: &RedactionExpect, seen: &Observed) {
    for (at, pattern) in expect.never.iter().enumerate() {
        let of_spans = seen.spans.iter().enumerate().find_map(|(number, span)| {
            let texts = forms(span).into_iter();
            let lines = seen.lines.iter().filter(|line| line.span == number);
            let mut all = lines.map(|line| ("--spans json", line.text.clone())).chain(texts);
            all.find_map(|(form, text)| Some((form, around(&text, pattern.0.find(&text)?.range()), Some(number))))
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

fn forms(span: &Span) -> [(&'static str, String); 3] {
    let beyla = |write: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>| {
        let mut bytes = Vec::new();
        write(&mut bytes).expect("invariant: writing to memory does not fail");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    [
        ("--spans text", span_text(span)),
        ("--trace-printer text", beyla(&|out| write_beyla_text(out, span))),
        ("--trace-printer json", beyla(&|out| write_beyla_json(out, span, false))),
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
