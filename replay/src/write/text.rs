//! Spans as text, a line each, for people.

use std::io::{self, Write};

use redtape_core::{Span, SpanKind};

/// Writes a span as one line:
/// `TIME KIND SERVICE STATUS METHOD PATH(ROUTE) DURATION[queue QUEUE] trace=ID span=ID parent=ID`.
pub(crate) fn write_span_text(out: &mut impl Write, span: &Span) -> io::Result<()> {
    let http = &span.http;
    let code = http.grpc_status.or(http.status_code).map_or("---".into(), |code| code.to_string());
    let kind = if span.kind == SpanKind::Server { "server" } else { "client" };
    write!(out, "{} {kind} {} {code} ", utc(span.start_wall.unix_nanos()), printable(&span.service.name))?;
    write!(out, "{} {}", printable(http.method()), printable(http.path()))?;
    if !span.route.is_empty() {
        write!(out, " ({})", printable(&span.route))?;
    }
    write!(out, " {}", nanos(span.duration_nanos()))?;
    if let Some(queue) = span.queue_nanos {
        write!(out, " [queue {}]", nanos(queue))?;
    }
    if let Some(error) = span.error_type().filter(|_| span.http.status_code.is_none()) {
        write!(out, " {error}")?;
    }
    if span.incomplete() {
        write!(out, " incomplete")?;
    }
    write!(out, " trace={} span={}", span.trace_id, span.span_id)?;
    match (span.parent_span_id, span.link) {
        (Some(parent), Some(link)) => writeln!(out, " parent={parent} by {}", link.rule.as_str()),
        _ => writeln!(out),
    }
}

/// What came from the wire or a tape, with control characters (terminal escapes among them) replaced.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A duration in the unit that suits it, with three significant digits or more.
pub(crate) fn nanos(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}.{:01}us", nanos / 1_000, nanos % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{:02}ms", nanos / 1_000_000, nanos % 1_000_000 / 10_000),
        _ => format!("{}.{:02}s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 10_000_000),
    }
}

/// A moment in UTC as RFC 3339 writes it, to the microsecond.
pub(crate) fn utc(unix_nanos: u64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(unix_nanos.into());
    moment.map_or_else(|_| unix_nanos.to_string(), |moment| format!("{moment:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(utc(951_782_400_000_001_999), "2000-02-29T00:00:00.000001Z");
        assert_eq!(utc(u64::MAX), "2554-07-21T23:34:33.709551Z");
    }

    #[test]
    fn durations() {
        for (value, text) in
            [(999, "999ns"), (1_250, "1.2us"), (12_345_678, "12.34ms"), (61_000_000_000, "61.00s"), (0, "0ns")]
        {
            assert_eq!(nanos(value), text);
        }
    }
}
