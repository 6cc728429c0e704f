//! A side of a comparison from a tape: what the run's metrics do not have is gathered span by span.

use std::collections::BTreeSet;

use redtape_core::Span;
use redtape_core::metric::{Text, TextFormat, write_text};

use super::series;
use super::side::{Group, Seen, Side, Spans, qualified, rows};
use crate::failure::Result;
use crate::run::Ran;
use crate::sink::OutputSink;
use crate::write::answer;

/// Gathers spans.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    spans: Spans,
}

impl OutputSink for Gather {
    fn span(&mut self, span: &Span) -> Result {
        self.spans.take(seen(span));
        Ok(())
    }
}

impl Gather {
    /// The side, when the run is over. Labels in `ignored` tell no series apart.
    pub(crate) fn finish(self, name: String, ran: &Ran, ignored: &BTreeSet<String>) -> Side {
        let mut text = String::new();
        write_text(&mut text, &ran.metrics.snapshot(), &Text::plain(TextFormat::OpenMetrics))
            .expect("invariant: writing to a string does not fail");
        let series = series::series(text.lines(), ignored).expect("invariant: what is written can be read");
        Side {
            name,
            nanos: Some(ran.duration_nanos()).filter(|&nanos| nanos > 0),
            red: Some(rows(&ran.metrics.red())),
            spans: Some(self.spans),
            series: Some(series),
        }
    }
}

fn seen(span: &Span) -> Seen {
    let service = qualified(&span.service.namespace, &span.service.name);
    Seen {
        id: span.span_id,
        parent: span.parent_span_id,
        group: Group { service, kind: span.kind.as_str().into(), name: span.name().into(), answer: answer(span) },
        method: span.method().into(),
        route: span.route.to_string(),
        path: span.has_path().then(|| span.http.path().into()),
    }
}
