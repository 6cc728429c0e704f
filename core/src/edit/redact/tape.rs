//! A whole tape: redacts it into another, or finds the first secret that is left on it.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::facts::{HASH, POLICY, VALUES, is_own_fact};
use super::policy::RedactPolicy;
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
    /// Not all of the tape was looked at: it is truncated or damaged, or has parts that only newer versions know.
    Unread(Box<ReadReport>),
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
        let mut writer = Writer::new(out, &meta.of_part(&format!("redacted {}", self.policy().to_yaml())), options)
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
        if let Some(what) = differs(tape.meta(), &clean).or_else(|| has_foreign_facts(tape.meta()).then_some("a fact"))
        {
            return Ok(Some(Remains::Meta(what)));
        }
        let (mut block, mut start) = (Block::default(), None);
        while tape.read_block(&mut block)? {
            let own = |(key, text): &(String, String)| key == "text" && is_own_note(text);
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
        let change = self.first_change(start.unwrap_or_default());
        let report = tape.report();
        let all = report.is_whole() && report.unknown_blocks == 0 && report.unknown_records == 0;
        Ok(change.or_else(|| (!all).then(|| Remains::Unread(Box::new(*report)))))
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

/// Whether a note is one that redaction writes, as [`Counts`] shows itself: it has no free text.
fn is_own_note(text: &str) -> bool {
    let Some(counts) = text.strip_prefix(NOTE) else { return false };
    let own = |part: &str| {
        let Some((count, what)) = part.split_once(' ') else { return false };
        let what = what.strip_prefix("bytes of ").unwrap_or(what);
        count.len() <= 20
            && count.bytes().all(|byte| byte.is_ascii_digit())
            && Rule::ALL.iter().any(|rule| what == rule.name() || what == rule.plural())
    };
    counts == "nothing" || counts.split(", ").all(own)
}

/// Whether META has facts under the names of redaction's own that redaction would not write.
fn has_foreign_facts(meta: &Meta) -> bool {
    let own = |(key, value): &(String, String)| match key.as_str() {
        POLICY => RedactPolicy::from_yaml(value, POLICY).is_ok_and(|policy| policy.to_yaml() == *value),
        VALUES => value == HASH,
        _ => !key.starts_with("redaction."),
    };
    let twice = [POLICY, VALUES].iter().any(|own| meta.extra.iter().filter(|(key, _)| key == own).count() > 1);
    twice || !meta.extra.iter().all(own)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, BodyBuf};

    fn tape(meta: &Meta, note: Option<&str>) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), meta, WriterOptions::default()).unwrap();
        writer.push(&EventBuf::new(MonoNanos::new(1), BodyBuf::Plain(Body::Tick)).as_event()).unwrap();
        if let Some(note) = note {
            writer.note(MonoNanos::new(1), note).unwrap();
        }
        writer.finish(CloseReason::Done).unwrap().1
    }

    fn check(tape: &[u8]) -> Option<Remains> {
        let redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
        redactor.check_tape(&mut Reader::open(tape).unwrap()).unwrap()
    }

    fn clean_meta() -> Meta {
        Redactor::new(&RedactPolicy::default(), None).unwrap().meta(&Meta::default())
    }

    #[test]
    fn only_what_was_all_looked_at_is_clean() {
        let whole = tape(&clean_meta(), Some("redacted: 1 header value, 2 bytes of bodies, 3 query values"));
        assert!(check(&whole).is_none());
        let cut = whole.get(..whole.len() - 9).unwrap();
        assert!(matches!(check(cut), Some(Remains::Unread(_))));
    }

    #[test]
    fn free_text_is_no_note_of_redaction() {
        for note in ["redacted: the password is x", "redacted: ", "redacted: 1 x", "redacted: nothing, 5 secrets", "a"]
        {
            assert!(matches!(check(&tape(&clean_meta(), Some(note))), Some(Remains::Note)), "{note}");
        }
        assert!(check(&tape(&clean_meta(), Some("redacted: nothing"))).is_none());
    }

    #[test]
    fn facts_under_the_names_of_redaction_are_its_own() {
        for (key, value) in [(POLICY, "# secret\n"), (VALUES, "secret"), ("redaction.other", "secret")] {
            let mut meta = clean_meta();
            meta.extra.push((key.into(), value.into()));
            assert!(matches!(check(&tape(&meta, None)), Some(Remains::Meta(_))), "{key}");
        }
    }

    #[test]
    fn what_is_not_known_of_an_event_is_not_clean() {
        let mut redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
        let mut event = EventBuf::new(MonoNanos::new(1), BodyBuf::Plain(Body::Tick));
        event.ext = vec![200, 1, b'x'];
        redactor.push(&event.as_event());
        assert!(redactor.first_change(MonoNanos::ZERO).is_some());
    }
}
