//! Damage and foreign versions: what can be read is read, unaltered, and what cannot be read is told.

use std::io::{self, Write};

use proptest::prelude::*;
use proptest::sample::Index;

use super::arbitrary::{events, read, script, write};
use crate::event::{Body, BodyBuf, EventBuf, LossCause};
use crate::tape::format::{FormatVersion, HEADER_LEN, Header, PREAMBLE_LEN, codec_number, preamble};
use crate::tape::{Block, CloseReason, Meta, OpenError, ReadError, ReadReport, Reader, Writer, WriterOptions, repair};
use crate::time::MonoNanos;

/// Blocks of a few events, so that scripts have several.
const SMALL: WriterOptions = WriterOptions { compress: false, block_bytes: 600, block_nanos: 1_000_000_000 };

fn tells_of_damage(event: &EventBuf) -> bool {
    let cause = |cause| matches!(cause, LossCause::Corrupt | LossCause::Truncated);
    matches!(event.body, BodyBuf::Plain(Body::Loss(loss)) if cause(loss.cause))
}

/// The events, without those that tell of damage.
fn undamaged(stream: &[EventBuf]) -> Vec<EventBuf> {
    let mut stream = events(stream);
    stream.retain(|event| !tells_of_damage(event));
    stream
}

/// Like [`read`], for tapes that cannot even be opened, too.
fn read_any(bytes: &[u8]) -> Option<(Vec<EventBuf>, ReadReport)> {
    Reader::open(bytes).is_ok().then(|| read(bytes))
}

fn is_subsequence(part: &[EventBuf], whole: &[EventBuf]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|event| whole.any(|other| other == event))
}

/// Where the blocks begin, and the end.
fn boundaries(tape: &[u8]) -> Vec<usize> {
    let mut at = vec![PREAMBLE_LEN];
    while let Some(header) = tape.get(at[at.len() - 1]..).and_then(<[u8]>::first_chunk) {
        at.push(at[at.len() - 1] + HEADER_LEN + Header::parse(header).unwrap().stored_len());
    }
    at
}

/// A block of a kind that this version does not know.
fn foreign_block(kind: u8, flags: u8, seq: u32, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap();
    let mut header = Header { kind, flags, stored_len: len, raw_len: len, ..Header::new(Default::default(), seq) };
    header.stored_crc = crc32c::crc32c(content);
    [&header.to_bytes(), content].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_prefix_of_a_tape_has_a_prefix_of_its_events(script in script(40), cut: Index) {
        let tape = write(&script, &SMALL);
        let cut = cut.index(tape.len());
        let (events, report) = read_any(&tape[..cut]).unwrap_or_default();
        let events = undamaged(&events);
        prop_assert_eq!(&events[..], &undamaged(&script.events)[..events.len()]);
        prop_assert!(report.truncated || cut < PREAMBLE_LEN);
    }

    #[test]
    fn a_flipped_bit_alters_no_event(script in script(40), place: Index, bit in 0..8u8) {
        let mut tape = write(&script, &SMALL);
        let place = place.index(tape.len());
        tape[place] ^= 1 << bit;
        let whole = undamaged(&script.events);
        let (events, report) = read_any(&tape).unwrap_or_default();
        let part = undamaged(&events);
        prop_assert!(is_subsequence(&part, &whole));
        prop_assert!(!report.is_whole());
        if place >= PREAMBLE_LEN && part.len() < whole.len() {
            prop_assert!(events.iter().any(tells_of_damage));
        }
    }

    #[test]
    fn missing_bytes_alter_no_event(script in script(40), from: Index, len in 1..300usize) {
        let mut tape = write(&script, &SMALL);
        let from = PREAMBLE_LEN + from.index(tape.len() - PREAMBLE_LEN);
        tape.drain(from..(from + len).min(tape.len()));
        let whole = undamaged(&script.events);
        let (events, _) = read_any(&tape).unwrap_or_default();
        let part = undamaged(&events);
        prop_assert!(is_subsequence(&part, &whole));
        if part.len() < whole.len() {
            prop_assert!(events.iter().any(tells_of_damage));
        }
    }

    #[test]
    fn unknown_blocks_change_nothing(script in script(30), place: Index, seq: u32, content: Vec<u8>) {
        let mut tape = write(&script, &SMALL);
        let (expected, whole) = read(&tape);
        let places = boundaries(&tape);
        let place = places[place.index(places.len() - 1)];
        tape.splice(place..place, foreign_block(100, 0, seq, &content));
        let (events, report) = read(&tape);
        prop_assert_eq!(events, expected);
        prop_assert_eq!(report, ReadReport { unknown_blocks: 1, ..whole });
    }

    #[test]
    fn a_repaired_tape_is_whole(script in script(40), place: Index) {
        let mut tape = write(&script, &SMALL);
        let place = PREAMBLE_LEN + place.index(tape.len() - PREAMBLE_LEN);
        tape[place] ^= 1;
        let (damaged, _) = read(&tape);
        let (repaired, tape) = repair(Reader::open(&tape[..]).unwrap(), Vec::new(), WriterOptions::FILE).unwrap();
        let (again, report) = read(&tape);
        prop_assert_eq!(events(&again), events(&damaged));
        prop_assert!(report.is_whole());
        prop_assert!(!repaired.found.is_whole());
        prop_assert_eq!(report.totals.unwrap().reason, CloseReason::Repaired);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let tape = [&preamble(FormatVersion::CURRENT)[..], &bytes].concat();
        read(&tape);
    }
}

/// The specification lets any block be compressed but INDEX and END; this writer leaves META as it is.
#[test]
fn meta_may_be_compressed() {
    let meta = Meta { config: "x".repeat(1000), ..Meta::default() };
    let tape = Writer::new(Vec::new(), &meta, SMALL).unwrap().finish(CloseReason::Done).unwrap().1;
    let places = boundaries(&tape);
    let mut header = Header::parse(tape[places[0]..].first_chunk().unwrap()).unwrap();
    let content = zstd::bulk::compress(&tape[places[0] + HEADER_LEN..places[1]], 1).unwrap();
    (header.codec, header.stored_len) = (codec_number::ZSTD, u32::try_from(content.len()).unwrap());
    header.stored_crc = crc32c::crc32c(&content);
    let tape = [&tape[..places[0]], &header.to_bytes(), &content, &tape[places[1]..]].concat();
    assert_eq!(Reader::open(&tape[..]).unwrap().meta(), &meta);
    assert!(read(&tape).1.is_whole());
}

fn version(major: u16, minor: u16) -> FormatVersion {
    FormatVersion { major, minor }
}

/// Opens an empty tape of version `tape` like a build that supports `supported`.
fn open_across(tape: FormatVersion, supported: FormatVersion) -> String {
    let mut bytes = write(&Default::default(), &SMALL);
    bytes[..PREAMBLE_LEN].copy_from_slice(&preamble(tape));
    Reader::open_as(&bytes[..], supported).map_or_else(|error| error.to_string(), |_| "read".to_owned())
}

#[test]
fn versions_are_read_and_refused_by_the_rules() {
    assert_eq!(open_across(version(0, 1), version(0, 1)), "read");
    assert_eq!(open_across(version(1, 0), version(1, 3)), "read");
    assert_eq!(open_across(version(1, 9), version(1, 3)), "read", "a newer minor version only adds");
    let refused = |tape: &str, build: &str| {
        format!(
            "the tape has format {tape}, and this build reads {build} only: use a redtape that reads {tape}, or record again"
        )
    };
    assert_eq!(open_across(version(0, 2), version(0, 1)), refused("0.2", "0.1"));
    assert_eq!(open_across(version(0, 1), version(0, 2)), refused("0.1", "0.2"));
    assert_eq!(open_across(version(0, 1), version(1, 0)), refused("0.1", "1.0"));
    assert_eq!(open_across(version(2, 0), version(1, 3)), refused("2.0", "1.3"));
}

#[test]
fn an_unknown_critical_block_names_the_version_that_is_needed() {
    let mut tape = write(&Default::default(), &SMALL);
    tape[..PREAMBLE_LEN].copy_from_slice(&preamble(version(1, 7)));
    let place = boundaries(&tape)[1];
    tape.splice(place..place, foreign_block(100, 1, 1, b"new"));
    let mut reader = Reader::open_as(&tape[..], version(1, 3)).unwrap();
    let error = reader.read_block(&mut Block::default()).unwrap_err();
    assert!(matches!(error, ReadError::Unsupported { kind: 100, .. }));
    let message =
        format!("byte {place}: a block of kind 100 that must be understood needs a redtape that reads format 1.7");
    assert_eq!(error.to_string(), message);
    assert!(!reader.read_block(&mut Block::default()).unwrap(), "nothing is read behind it");
}

#[test]
fn what_is_no_tape_is_refused() {
    assert!(matches!(Reader::open(&b""[..]), Err(OpenError::Empty)));
    assert!(matches!(Reader::open(&b"GET / HTTP/1.1\r\n\r\n"[..]), Err(OpenError::NotATape)));
    assert!(matches!(Reader::open(&b"\x89TAP"[..]), Err(OpenError::NotATape)));
    let mut damaged = preamble(FormatVersion::CURRENT);
    damaged[9] ^= 1;
    assert!(matches!(Reader::open(&damaged[..]), Err(OpenError::DamagedPreamble)));
}

/// Takes some bytes, then no more.
struct FullDisk(Vec<u8>, usize);

impl Write for FullDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (self.1 - self.0.len()).min(bytes.len());
        self.0.extend_from_slice(&bytes[..room]);
        if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_full_disk_loses_nothing_that_was_written(script in script(40), room: Index) {
        let whole = write(&script, &SMALL);
        let mut disk = FullDisk(Vec::new(), PREAMBLE_LEN + room.index(whole.len() - PREAMBLE_LEN));
        let mut failed = false;
        if let Ok(mut writer) = Writer::new(&mut disk, &Meta { origin: super::arbitrary::ORIGIN, ..Meta::default() }, SMALL) {
            for event in &script.events {
                let pushed = writer.push(&event.as_event());
                prop_assert!(!failed || pushed.is_err(), "after an error nothing more is written");
                failed |= pushed.is_err();
            }
            prop_assert!(writer.flush_due(MonoNanos::MAX).is_err() || writer.finish(CloseReason::Done).is_err());
        }
        prop_assert!(whole.starts_with(&disk.0));
    }
}
