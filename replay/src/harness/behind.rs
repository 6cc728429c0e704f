//! The events behind a span: what `redtape events` tells of its connection while it lasted.

use redtape_core::tape::{EventSource, Merge};
use redtape_core::{Body, Direction, Event, MonoNanos, Span, SpanKind};

use super::input::Input;
use crate::cmd::write_event;
use crate::failure::Result;
use crate::input::read_failure;

/// So many events at most are told of a span.
const MOST: usize = 12;

/// So many characters at most are told of an event.
const LONGEST: usize = 240;

/// The events of a span's connection while it lasted, from its request's first byte on; a line each.
pub(crate) fn events_behind(input: &Input, span: &Span) -> Result<Vec<String>> {
    let tapes = input.open()?;
    let mut merge =
        Merge::new(tapes.into_iter().map(|tape| tape.reader)).map_err(|error| read_failure("the tapes", &error))?;
    let (mut lines, mut more) = (Vec::new(), 0_usize);
    let mut start: Option<MonoNanos> = None;
    while let Some(event) = merge.next_event().map_err(|error| read_failure("the tapes", &error))? {
        if !event.body.is_entry() {
            start.get_or_insert(event.time);
        }
        if event.time > span.end {
            break;
        }
        if !is_behind(&event, span) {
            continue;
        }
        if lines.len() == MOST {
            more += 1;
            continue;
        }
        let mut line = Vec::new();
        let start = start.unwrap_or(event.time);
        write_event(&mut line, &event, start, true).expect("invariant: writing to memory does not fail");
        lines.push(shortened(String::from_utf8_lossy(&line).trim_end()));
    }
    if more > 0 {
        lines.push(format!("and {more} more until its end"));
    }
    Ok(lines)
}

/// The beginning of a line: payload may be long.
fn shortened(line: &str) -> String {
    let short: String = line.chars().take(LONGEST).collect();
    if short.len() < line.len() { format!("{short}...") } else { short }
}

/// Whether an event is of a span's exchange: on its connection while it lasted. Of its requests' direction, only bytes from its
/// first on.
fn is_behind(event: &Event<'_>, span: &Span) -> bool {
    if event.body.conn() != Some(span.conn) {
        return false;
    }
    let requests = if span.kind == SpanKind::Server { Direction::In } else { Direction::Out };
    match event.body {
        Body::Connection(_) => false,
        Body::Data(data) if data.direction == requests => data.pos + data.len > span.pos,
        Body::Arrival { end, .. } if requests == Direction::In => end > span.pos,
        _ => event.time >= span.start,
    }
}
