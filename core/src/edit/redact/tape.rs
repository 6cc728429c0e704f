//! A whole tape: redacts it into another, or finds the secrets that are left on it.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::facts::{HASH, POLICY, VALUES, changed_facts, is_own_fact};
use super::policy::RedactPolicy;
use super::queue::{Change, Redacted};
use super::redactor::{Counts, Redactor};
use super::rules::Rule;
use crate::event::EventBuf;
use crate::tape::{Block, BlockKind, CloseReason, Meta, ReadError, ReadReport, Reader, Totals, Writer, WriterOptions};
use crate::time::MonoNanos;

/// What the note begins with in which a redacted tape says what was masked.
const NOTE: &str = "redacted: ";
/// What is told of META at most.
const META_PARTS: usize = 16;

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

/// What redaction would change on a tape.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// In META, in words, at most 16.
    pub meta: Vec<String>,
    /// Notes of free text.
    pub notes: u64,
    /// In events, by kind.
    pub kinds: Vec<Left>,
    /// The state of the tape, if not all of it was looked at: it is truncated or damaged, or has parts that only newer versions know.
    pub unread: Option<ReadReport>,
}

/// What is left of one kind in the events of a tape.
#[derive(Clone, Debug)]
pub struct Left {
    /// So many values, for bodies and what was not understood bytes.
    pub count: u64,
    /// The first of them.
    pub first: Change,
    /// The event that it is in, redacted.
    pub event: EventBuf,
    /// How long after the first event of the tape that is, in nanoseconds.
    pub since: u64,
}

impl Remains {
    /// Whether nothing is left, and all of the tape was looked at.
    pub const fn is_clean(&self) -> bool {
        self.meta.is_empty() && self.notes == 0 && self.kinds.is_empty() && self.unread.is_none()
    }
}

impl std::fmt::Display for Left {
    /// How much of what.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_count(f, self.first.rule, self.count)
    }
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

    /// Looks for secrets on a tape that was just opened: all that redaction would change.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn check_tape<R: Read>(mut self, tape: &mut Reader<R>) -> Result<Remains, ReadError> {
        let clean = self.meta(tape.meta());
        let mut remains = Remains { meta: left_in_meta(tape.meta(), &clean), ..Remains::default() };
        let (mut block, mut start) = (Block::default(), None);
        while tape.read_block(&mut block)? {
            let own = |(key, text): &(String, String)| key == "text" && is_own_note(text);
            if block.kind() == BlockKind::Note && !block.annotation().iter().all(own) {
                remains.notes += 1;
            }
            for event in block.events() {
                let start = *start.get_or_insert(event.time);
                self.push(&event);
                self.note_changes(start, &mut remains);
            }
        }
        self.finish();
        self.note_changes(start.unwrap_or_default(), &mut remains);
        remains.kinds.sort_by_key(|left| left.first.rule);
        for left in &mut remains.kinds {
            left.count = self.counts().of(left.first.rule);
        }
        let report = tape.report();
        let all = report.is_whole() && report.unknown_blocks == 0 && report.unknown_records == 0;
        remains.unread = (!all).then_some(*report);
        Ok(remains)
    }

    /// Notes what is the first of its kind among the changes so far.
    fn note_changes(&mut self, start: MonoNanos, remains: &mut Remains) {
        while let Some(Redacted { event, changes }) = self.poll() {
            for first in changes {
                if remains.kinds.iter().all(|left| left.first.rule != first.rule) {
                    let since = event.time.since(start);
                    remains.kinds.push(Left { count: 0, first, event: event.clone(), since });
                }
            }
        }
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

/// What of META is not clean, in words.
fn left_in_meta(meta: &Meta, clean: &Meta) -> Vec<String> {
    let facts = |meta: &Meta| -> Vec<_> { meta.extra.iter().filter(|(key, _)| !is_own_fact(key)).cloned().collect() };
    let (before, after) = (facts(meta), facts(clean));
    let parts = [
        (meta.command != clean.command, "the recorder's command line"),
        (meta.config != clean.config, "the recorder's configuration"),
        (meta.host != clean.host, "the name of the host"),
    ];
    let parts = parts.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what.to_owned());
    let facts = changed_facts(&before, &after).chain(foreign_facts(meta)).map(|key| format!("the fact `{key}`"));
    let (mut left, mut more) = (Vec::new(), 0_u64);
    for what in parts.chain(facts) {
        if left.len() + 1 < META_PARTS { left.push(what) } else { more += 1 }
    }
    left.extend((more > 0).then(|| format!("{more} more")));
    left
}

/// The facts of META under the names of redaction's own that redaction would not write.
fn foreign_facts(meta: &Meta) -> impl Iterator<Item = &str> {
    let own = |key: &str, value: &str| match key {
        POLICY => RedactPolicy::from_yaml(value, POLICY).is_ok_and(|policy| policy.to_yaml() == value),
        VALUES => value == HASH,
        _ => !key.starts_with("redaction."),
    };
    let first = |at: usize, key: &str| meta.extra.iter().position(|(other, _)| other == key) == Some(at);
    let facts = meta.extra.iter().enumerate();
    facts
        .filter(move |(at, (key, value))| !own(key, value) || is_own_fact(key) && !first(*at, key))
        .map(|(_, (key, _))| key.as_str())
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut first = true;
        for (rule, count) in self.iter().filter(|(_, count)| *count > 0) {
            write!(f, "{}", if std::mem::take(&mut first) { "" } else { ", " })?;
            write_count(f, rule, count)?;
        }
        if first { write!(f, "nothing") } else { Ok(()) }
    }
}

fn write_count(f: &mut std::fmt::Formatter<'_>, rule: Rule, count: u64) -> std::fmt::Result {
    let unit = if matches!(rule, Rule::Body | Rule::Unparsed) { "bytes of " } else { "" };
    let plural = if unit.is_empty() && count != 1 { rule.plural() } else { rule.name() };
    write!(f, "{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::super::queue::Spot;
    use super::super::tests::calls;
    use super::*;
    use crate::event::{Body, BodyBuf, Direction};
    use crate::facts::ProcessInfo;
    use crate::ids::{Origin, ProcKey};

    fn tape(meta: &Meta, note: Option<&str>) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), meta, WriterOptions::default()).unwrap();
        writer.push(&EventBuf::new(MonoNanos::new(1), BodyBuf::Plain(Body::Tick)).as_event()).unwrap();
        if let Some(note) = note {
            writer.note(MonoNanos::new(1), note).unwrap();
        }
        writer.finish(CloseReason::Done).unwrap().1
    }

    fn check(tape: &[u8]) -> Remains {
        let redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
        redactor.check_tape(&mut Reader::open(tape).unwrap()).unwrap()
    }

    fn clean_meta() -> Meta {
        Redactor::new(&RedactPolicy::default(), None).unwrap().meta(&Meta::default())
    }

    #[test]
    fn only_what_was_all_looked_at_is_clean() {
        let whole = tape(&clean_meta(), Some("redacted: 1 header value, 2 bytes of bodies, 3 query values"));
        assert!(check(&whole).is_clean());
        let cut = whole.get(..whole.len() - 9).unwrap();
        assert!(check(cut).unread.is_some_and(|report| report.truncated));
    }

    #[test]
    fn free_text_is_no_note_of_redaction() {
        for note in ["redacted: the password is x", "redacted: ", "redacted: 1 x", "redacted: nothing, 5 secrets", "a"]
        {
            assert_eq!(check(&tape(&clean_meta(), Some(note))).notes, 1, "{note}");
        }
        assert!(check(&tape(&clean_meta(), Some("redacted: nothing"))).is_clean());
    }

    #[test]
    fn facts_under_the_names_of_redaction_are_its_own() {
        for (key, value) in [(POLICY, "# secret\n"), (VALUES, "secret"), ("redaction.other", "secret")] {
            let mut meta = clean_meta();
            meta.extra.push((key.into(), value.into()));
            assert_eq!(check(&tape(&meta, None)).meta, [format!("the fact `{key}`")]);
        }
        let mut meta = clean_meta();
        meta.extra.extend(std::iter::repeat_n((VALUES.into(), HASH.into()), 30));
        let told = check(&tape(&meta, None)).meta;
        assert_eq!((told.len(), told.last().map(String::as_str)), (META_PARTS, Some("14 more")));
    }

    #[test]
    fn what_is_not_known_of_an_event_is_not_clean() {
        let mut redactor = Redactor::new(&RedactPolicy::default(), None).unwrap();
        let mut event = EventBuf::new(MonoNanos::new(1), BodyBuf::Plain(Body::Tick));
        event.ext = vec![200, 1, b'x'];
        redactor.push(&event.as_event());
        let mut remains = Remains::default();
        redactor.note_changes(MonoNanos::ZERO, &mut remains);
        assert!(!remains.is_clean());
    }

    /// Not the first thing alone: all kinds, how much of each, and where the first is.
    #[test]
    fn all_that_is_left_is_told() {
        let (head, more) = (
            &b"GET /u/bob@example.com?password=hunter2 HTTP/1.1\r\nAuthorization: Bearer s3cret\r\nX-Token: a\r\n"[..],
            &b"Cookie: a=b\r\n\r\nGET /?q=1 HTTP/1.1\r\nX-Token: b\r\n\r\nSELECT x\r\n"[..],
        );
        let fact = |key: &str| (key.to_owned(), "secret".to_owned());
        let facts = vec![fact("k8s.pod.label.app"), fact("k8s.pod.annotation.a")];
        let key = ProcKey::new(Origin([7; 16]), 3);
        let info = ProcessInfo { key, id: 3, cmdline: vec!["a".into(), "-k".into()], ..ProcessInfo::default() };
        let mut events = calls(&[(Direction::In, head), (Direction::In, more)]);
        for event in &mut events {
            if let BodyBuf::Data(data, _) = &mut event.body {
                data.process = key;
            }
        }
        events.insert(0, EventBuf::new(MonoNanos::new(1_000), BodyBuf::Process(Box::new(info))));
        events.push(EventBuf::new(MonoNanos::new(9_000), BodyBuf::Enrich(facts.clone())));
        let meta = Meta { command: vec!["a".into(), "--key=x".into()], extra: facts, ..Meta::default() };
        let mut writer = Writer::new(Vec::new(), &meta, WriterOptions::default()).unwrap();
        events.iter().for_each(|event| writer.push(&event.as_event()).unwrap());
        writer.note(MonoNanos::new(9_000), "my own").unwrap();
        let left = check(&writer.finish(CloseReason::Done).unwrap().1);
        assert_eq!(left.meta, ["the recorder's command line", "the fact `k8s.pod.annotation.a`"]);
        assert_eq!((left.notes, left.unread.is_none()), (1, true));
        let kinds: Vec<_> =
            left.kinds.iter().map(|left| (left.to_string(), left.since, left.first.spot.clone())).collect();
        let fact = |fact: &str| Spot::Fact(fact.to_owned());
        let expected = [
            ("3 header values", 0, Spot::Byte(65)),
            ("1 cookie value", 1_000, Spot::Byte(102)),
            ("2 query values", 0, Spot::Byte(32)),
            ("1 path segment", 0, Spot::Byte(7)),
            ("10 bytes of what was not understood", 1_000, Spot::Byte(141)),
            ("1 fact of a process", 0, fact("the arguments")),
            ("1 fact of the tape", 7_000, fact("`k8s.pod.annotation.a`")),
        ];
        assert_eq!(kinds, expected.map(|(what, since, spot)| (what.to_owned(), since, spot)));
    }
}
