//! Spans as JSON lines: one object a span, its phases as spans of their own behind it.

use std::io::{self, Write};

use redtape_core::{Attribute, AttributeValue, Phase, Span};
use serde::{Serialize, Serializer};

/// Writes a span and its phases, a line each.
pub(crate) fn write_span_json(out: &mut impl Write, span: &Span) -> io::Result<()> {
    let (attributes, resource) = (span.attributes(), span.service.resource());
    let (trace_id, span_id) = (span.trace_id.to_string(), span.span_id.to_string());
    let (start, duration_ns) = (span.start_wall.unix_nanos(), span.duration_nanos());
    let line = Line {
        trace_id: &trace_id,
        span_id: &span_id,
        parent_span_id: span.parent_span_id.map(|id| id.to_string()),
        name: &span.name(),
        kind: span.kind.as_str(),
        service: &span.service.name,
        start_time_unix_nano: start.to_string(),
        end_time_unix_nano: start.saturating_add(duration_ns).to_string(),
        duration_ns,
        queue_ns: span.queue_nanos,
        status: span.status.as_str(),
        incomplete: span.incomplete(),
        attributes: Attributes(&attributes),
        resource: Attributes(&resource),
    };
    line.write(out)?;
    for Phase { name, span_id: id, start: begin, end } in span.phases().into_iter().flatten() {
        let (start, duration_ns) = (start.saturating_add(begin.since(span.start)), end.since(begin));
        let phase = Line {
            span_id: &id.to_string(),
            parent_span_id: Some(span_id.clone()),
            name,
            kind: "internal",
            start_time_unix_nano: start.to_string(),
            end_time_unix_nano: start.saturating_add(duration_ns).to_string(),
            duration_ns,
            queue_ns: None,
            status: "unset",
            attributes: Attributes(&[]),
            ..line
        };
        phase.write(out)?;
    }
    Ok(())
}

/// The keys of a line, in their order. They are part of the contract with scripts.
#[derive(Serialize)]
struct Line<'a> {
    trace_id: &'a str,
    span_id: &'a str,
    parent_span_id: Option<String>,
    name: &'a str,
    kind: &'static str,
    service: &'a str,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    duration_ns: u64,
    queue_ns: Option<u64>,
    status: &'static str,
    incomplete: bool,
    attributes: Attributes<'a>,
    resource: Attributes<'a>,
}

impl Line<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// Attributes as an object.
#[derive(Clone, Copy)]
struct Attributes<'a>(&'a [Attribute<'a>]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Json(value))))
    }
}

struct Json<'a>(&'a AttributeValue<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            AttributeValue::Int(number) => serializer.serialize_i64(*number),
            AttributeValue::Text(text) => serializer.serialize_str(text),
        }
    }
}
