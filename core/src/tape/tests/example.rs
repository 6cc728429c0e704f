//! The worked example of `FORMAT.md`, byte by byte.

use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Source, Stamp};
use crate::facts::{ConnInfo, Role};
use crate::ids::{ConnKey, Origin, ProcKey, Tid};
use crate::ranges::{Ranges, RangesBuf};
use crate::tape::{CloseReason, Meta, Writer, WriterOptions};
use crate::time::MonoNanos;

const ORIGIN: Origin = Origin([0xaa; 16]);

/// A tape of one read of "GET / HTTP/1.1" and a tick.
fn example() -> Vec<u8> {
    let (conn, time) = (ConnKey::new(ORIGIN, 7), MonoNanos::new(1_000_000));
    let info = ConnInfo { role: Role::Server, isn_local: Some(1), ..ConnInfo::unknown(ORIGIN, 7) };
    let stamp = Stamp {
        tid: Tid(300),
        flags: DataFlags::NONBLOCKING,
        loop_turn: 2,
        entry: MonoNanos::new(999_000),
        exit: time,
    };
    let (process, direction, source) = (ProcKey::default(), Direction::In, Source::Read);
    let data = Data { conn, process, stamp, direction, source, pos: 0, len: 18, arrived: None, ranges: Ranges::EMPTY };
    let payload = RangesBuf::prefix(*b"GET / HTTP/1.1");
    let meta = Meta { tape: [0x77; 16], origin: ORIGIN, tool: "example".to_owned(), ..Meta::default() };
    let mut writer = Writer::new(Vec::new(), &meta, WriterOptions::PIPE).unwrap();
    for event in [
        EventBuf::new(time, BodyBuf::Connection(Box::new(info))),
        EventBuf { cpu: 1, seq: 41, ..EventBuf::new(time, BodyBuf::Data(data, payload)) },
        EventBuf { cpu: 1, seq: 42, ..EventBuf::new(time.plus(50), BodyBuf::Plain(Body::Tick)) },
    ] {
        writer.push(&event.as_event()).unwrap();
    }
    writer.finish(CloseReason::Done).unwrap().1
}

/// The bytes of the hex dump between the markers: each line is an offset, bytes, two spaces and a remark.
fn specified() -> Vec<u8> {
    let text = include_str!("../../../FORMAT.md");
    let (_, dump) = text.split_once("```hexdump\n").unwrap();
    let (dump, _) = dump.split_once("```").unwrap();
    let mut bytes = Vec::new();
    for line in dump.lines() {
        let (offset, rest) = line.split_once("  ").unwrap();
        assert_eq!(usize::from_str_radix(offset, 16).unwrap(), bytes.len(), "{line}");
        let hex = rest.split("  ").next().unwrap();
        bytes.extend(hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_example_of_the_specification_is_what_is_written() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    assert_eq!(hex(&specified()), hex(&example()));
}
