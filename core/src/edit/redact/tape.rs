//! A whole tape: redacts it into another, or finds the first secret that is left on it.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::facts::is_own_fact;
use super::queue::{Change, Redacted};
use super::redactor::{Counts, Redactor};
use super::rules::Rule;
use crate::event::EventBuf;
use crate::tape::{Block, BlockKind, CloseReason, Meta, ReadError, ReadReport, Reader, Totals, Writer, WriterOptions};
use crate::time::MonoNanos;

/// What the note begins with in which a redacted tape says what was masked.
const NOTE: &str = "redacted: ";

/// Why a tape cannot be redacted.
#[derive(Debug, Error)]
pub enum RedactError {
    /// It cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The redacted tape cannot be written.
    #[error("the redacted tape cannot be written")]
    Write(#[source] io::Error),
    /// Not each event came out: a fault of redaction.
    #[error("{read} events were read, but {written} written; this is a fault of redtape")]
    Lost {
        /// Events that went in.
        read: u64,
        /// Events that came out.
        written: u64,
    },
}

/// What was found and written.
#[derive(Clone, Copy, Debug)]
pub struct RedactedTape {
    /// The state of the tape that was read.
    pub found: ReadReport,
    /// What the new tape holds.
    pub totals: Totals,
    /// What was masked.
    pub counts: Counts,
}

/// A secret that is left on a tape.
#[derive(Clone, Debug)]
pub enum Remains {
    /// In META: what it is.
    Meta(&'static str),
    /// In a note.
    Note,
    /// In an event.
    Event {
        /// The event, redacted.
        event: Box<EventBuf>,
        /// What is left of secrets in it.
        change: Change,
        /// How long after the first event of the tape it is, in nanoseconds.
        since: u64,
    },
}

impl Redactor {
    /// Writes a tape that was just opened to `out`, redacted. Notes are left out, as they are free text; one says what was masked.
    ///
    /// # Errors
    /// See [`RedactError`].
    pub fn redact_tape<R: Read, W: Write>(
        mut self,
        mut tape: Reader<R>,
        out: W,
        options: WriterOptions,
    ) -> Result<(RedactedTape, W), RedactError> {
        let meta = self.meta(tape.meta());
        let mut writer = Writer::new(out, &meta.of_part(&format!("redacted {}", meta.redaction)), options)
            .map_err(RedactError::Write)?;
        let (mut block, mut snapshot, mut last) = (Block::default(), None, MonoNanos::ZERO);
        let (mut read, mut written) = (0, 0);
        while tape.read_block(&mut block)? {
            if block.kind() != BlockKind::Snapshot
                && let Some(time) = snapshot.take()
            {
                writer.snapshot(time, []).map_err(RedactError::Write)?;
            }
            if block.kind() == BlockKind::Snapshot {
                snapshot = Some(block.first_time());
            }
            for event in block.events() {
                last = last.max(event.time);
                self.push(&event);
                read += 1;
                written += self.write(&mut writer)?;
            }
        }
        self.finish();
        written += self.write(&mut writer)?;
        if read != written {
            return Err(RedactError::Lost { read, written });
        }
        writer.note(last, &format!("{NOTE}{}", self.counts())).map_err(RedactError::Write)?;
        let reason = tape.report().totals.map_or(CloseReason::Repaired, |totals| totals.reason);
        let (totals, out) = writer.finish(reason).map_err(RedactError::Write)?;
        Ok((RedactedTape { found: *tape.report(), totals, counts: *self.counts() }, out))
    }

    fn write<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<u64, RedactError> {
        let mut written = 0;
        while let Some(Redacted { event, .. }) = self.poll() {
            writer.push(&event.as_event()).map_err(RedactError::Write)?;
            written += 1;
        }
        Ok(written)
    }

    /// Looks for the first secret on a tape that was just opened: something that redaction would change.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn check_tape<R: Read>(mut self, tape: &mut Reader<R>) -> Result<Option<Remains>, ReadError> {
        let clean = self.meta(tape.meta());
        if let Some(what) = differs(tape.meta(), &clean) {
            return Ok(Some(Remains::Meta(what)));
        }
        let (mut block, mut start) = (Block::default(), None);
        while tape.read_block(&mut block)? {
            let own = |(key, text): &(String, String)| key == "text" && text.starts_with(NOTE);
            if block.kind() == BlockKind::Note && !block.annotation().iter().all(own) {
                return Ok(Some(Remains::Note));
            }
            for event in block.events() {
                let start = *start.get_or_insert(event.time);
                self.push(&event);
                if let Some(remains) = self.first_change(start) {
                    return Ok(Some(remains));
                }
            }
        }
        self.finish();
        Ok(self.first_change(start.unwrap_or_default()))
    }

    fn first_change(&mut self, start: MonoNanos) -> Option<Remains> {
        while let Some(Redacted { event, change }) = self.poll() {
            if let Some(change) = change {
                let since = event.time.since(start);
                return Some(Remains::Event { event: Box::new(event), change, since });
            }
        }
        None
    }
}

/// What of META is not clean.
fn differs(meta: &Meta, clean: &Meta) -> Option<&'static str> {
    let facts = |meta: &Meta| -> Vec<_> { meta.extra.iter().filter(|(key, _)| !is_own_fact(key)).cloned().collect() };
    [
        (meta.command != clean.command, "the recorder's command line"),
        (meta.config != clean.config, "the recorder's configuration"),
        (meta.host != clean.host, "the name of the host"),
        (facts(meta) != facts(clean), "a fact"),
    ]
    .into_iter()
    .find_map(|(differs, what)| differs.then_some(what))
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut first = true;
        for (rule, count) in self.iter().filter(|(_, count)| *count > 0) {
            let comma = if std::mem::take(&mut first) { "" } else { ", " };
            let unit = if matches!(rule, Rule::Body | Rule::Unparsed) { "bytes of " } else { "" };
            let plural = if unit.is_empty() && count != 1 { rule.plural() } else { rule.name() };
            write!(f, "{comma}{count} {unit}{plural}")?;
        }
        if first { write!(f, "nothing") } else { Ok(()) }
    }
}
