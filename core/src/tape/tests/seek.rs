//! Seeking by INDEX gives what reading from the beginning gives.

use std::io::Cursor;

use super::arbitrary::ORIGIN;
use crate::event::{Body, BodyBuf, EventBuf};
use crate::ids::ConnKey;
use crate::tape::format::HEADER_LEN;
use crate::tape::index::END_LEN;
use crate::tape::{Block, CloseReason, Meta, Place, ReadReport, Reader, Writer, WriterOptions};
use crate::time::MonoNanos;

/// A tape of a block for each of `count` events, 0.2 s apart; some come late.
fn tape(count: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Meta::default(), WriterOptions::PIPE).unwrap();
    for n in 0..count {
        let late = n % 7 == 6;
        let time = MonoNanos::new(if late { n - 3 } else { n } * 200_000_000 + 1);
        let body = BodyBuf::Plain(Body::Arrival { conn: ConnKey::new(ORIGIN, n % 3), end: n, fin: false });
        writer.push(&EventBuf { late, ..EventBuf::new(time, body) }.as_event()).unwrap();
    }
    writer.finish(CloseReason::Done).unwrap().1
}

/// The events of `from` or later, by seeking if `place` is given, and the state of the tape.
fn read(tape: &[u8], from: MonoNanos, place: Option<Place>) -> (Vec<EventBuf>, ReadReport) {
    let mut reader = Reader::open(tape).unwrap();
    if let Some(place) = place {
        reader.read_on(&tape[usize::try_from(place.offset).unwrap()..], &place);
    }
    let (mut block, mut events) = (Block::default(), Vec::new());
    while reader.read_block(&mut block).unwrap() {
        events.extend(block.events().filter(|event| event.time >= from).map(EventBuf::from));
    }
    (events, *reader.report())
}

fn place(tape: &[u8], from: MonoNanos) -> Option<Place> {
    Place::find(&mut Cursor::new(tape), from).unwrap()
}

#[test]
fn a_place_has_all_that_is_wanted_behind_it() {
    let tape = tape(60);
    for from in (0..13_000_000_000).step_by(110_000_001).map(MonoNanos::new) {
        let place = place(&tape, from).unwrap();
        assert_eq!(read(&tape, from, Some(place)), read(&tape, from, None), "{from}");
    }
    let [early, late] = [0, 10_000_000_000].map(|from| place(&tape, MonoNanos::new(from)).unwrap().offset);
    assert!(early == 16 && late as usize > tape.len() / 2, "{early} {late} {}", tape.len());
}

#[test]
fn an_index_of_more_blocks_than_it_can_list() {
    let tape = tape((1 << 14) + 100);
    let from = MonoNanos::new(3_000 * 1_000_000_000);
    let place = place(&tape, from).unwrap();
    assert!(place.offset as usize > tape.len() / 2);
    assert_eq!(read(&tape, from, Some(place)), read(&tape, from, None));
}

#[test]
fn an_index_that_lies_is_not_followed() {
    let whole = tape(20);
    let from = MonoNanos::new(2_000_000_001);
    let expected = read(&whole, from, None);
    let end = whole.len() - HEADER_LEN - END_LEN;
    let index = usize::try_from(expected.1.totals.unwrap().index_offset).unwrap();
    for (at, change) in (index + HEADER_LEN..end).flat_map(|at| [(at, 0x01), (at, 0x80)]) {
        let mut tape = whole.clone();
        tape[at] ^= change;
        let crc = crc32c::crc32c(&tape[index + HEADER_LEN..end]);
        tape[index + 40..index + 44].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32c::crc32c(&tape[index..index + 44]);
        tape[index + 44..index + 48].copy_from_slice(&crc.to_le_bytes());
        let place = place(&tape, from);
        assert_eq!(read(&tape, from, place), expected, "byte {} of INDEX, {place:?}", at - index - HEADER_LEN);
    }
    for cut in [1, END_LEN, end - 10, whole.len() - 5] {
        assert_eq!(place(&whole[..whole.len() - cut.min(whole.len())], from), None, "{cut} bytes are missing");
    }
}
