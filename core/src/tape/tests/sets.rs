//! Rotated sets and several tapes at once.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::arbitrary::{ORIGIN, events, script};
use crate::event::{Body, BodyBuf, EventBuf, LossCause};
use crate::facts::{ConnInfo, ProcessInfo, Role};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::tape::{
    BlockKind, CloseReason, EventSource, Merge, Meta, Reader, RotatingWriter, Rotation, SetGap, SetMember, Writer,
    WriterOptions,
};
use crate::time::{ClockAnchor, MonoNanos, WallNanos};

fn meta() -> Meta {
    Meta { tape: [0x55; 16], origin: ORIGIN, ..Meta::default() }
}

/// The files of a rotated set.
fn write_set(events: &[EventBuf], rotation: Rotation) -> Vec<Vec<u8>> {
    let files = Rc::new(RefCell::new(Vec::new()));
    let open = |number: u32, closed: Option<(_, Vec<u8>)>| {
        files.borrow_mut().extend(closed.map(|(_, file)| file));
        assert_eq!(files.borrow().len(), usize::try_from(number).unwrap(), "the file before is closed");
        Ok(Vec::new())
    };
    let mut writer = RotatingWriter::new(meta(), WriterOptions::FILE, rotation, open).unwrap();
    for event in events {
        writer.push(&event.as_event()).unwrap();
    }
    let (_, last) = writer.finish(CloseReason::Done).unwrap();
    let mut files = files.take();
    files.push(last);
    files
}

fn merge<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> (Vec<EventBuf>, Vec<SetGap>) {
    let mut merge = Merge::new(files.into_iter().map(|file| Reader::open(file).unwrap())).unwrap();
    let mut events = Vec::new();
    while let Some(event) = merge.next_event().unwrap() {
        events.push(event.into());
    }
    (events, merge.gaps().to_vec())
}

fn at(time: u64, body: Body<'static>) -> EventBuf {
    EventBuf::new(MonoNanos::new(time), BodyBuf::Plain(body))
}

fn connection(id: u64, process: u64) -> ConnInfo {
    ConnInfo { process: ProcKey::new(ORIGIN, process), role: Role::Server, ..ConnInfo::unknown(ORIGIN, id) }
}

fn arrival(time: u64, id: u64) -> EventBuf {
    at(time, Body::Arrival { conn: ConnKey::new(ORIGIN, id), end: time, fin: false })
}

/// Events of two connections, 10 ns apart; the first connection ends in the middle.
fn two_connections() -> Vec<EventBuf> {
    let process = ProcessInfo { key: ProcKey::new(ORIGIN, 9), origin: ORIGIN, id: 9, ..ProcessInfo::default() };
    let entry = |body| EventBuf::new(MonoNanos::ZERO, body);
    let mut script = vec![
        entry(BodyBuf::Process(Box::new(process))),
        entry(BodyBuf::Connection(Box::new(connection(1, 9)))),
        entry(BodyBuf::Connection(Box::new(connection(2, 9)))),
    ];
    script.extend((0..10).map(|n| arrival(10 * n, 1 + n % 2)));
    script.push(at(100, Body::Close { conn: ConnKey::new(ORIGIN, 1) }));
    script.extend((11..40).map(|n| arrival(10 * n, 2)));
    script
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rotated_set_is_one_stream(script in script(40)) {
        let mut script = script;
        // Readings of the clocks are repeated in each file, and losses are told whose they are.
        script.events.retain(|event| !matches!(event.body, BodyBuf::Plain(Body::Clock { .. } | Body::Loss(_))));
        let files = write_set(&script.events, Rotation { bytes: Some(700), nanos: None });
        // Neither the order in which files are given nor the way their names sort matters.
        let (read, gaps) = merge(files.iter().rev().map(Vec::as_slice));
        prop_assert_eq!(events(&read), events(&script.events));
        prop_assert_eq!(gaps, []);
    }
}

#[test]
fn every_file_of_a_set_stands_alone() {
    let files = write_set(&two_connections(), Rotation { bytes: None, nanos: Some(150) });
    assert_eq!(files.len(), 3, "390 ns by 150 ns");
    for (number, file) in (0..).zip(&files) {
        let mut reader = Reader::open(&file[..]).unwrap();
        assert_eq!(reader.meta().set, Some(SetMember { set: [0x55; 16], number }));
        assert_ne!(reader.meta().tape, [0x55; 16], "a file is not its set");
        let mut block = Default::default();
        assert!(reader.read_block(&mut block).unwrap());
        let conns: Vec<_> = block.events().filter_map(|event| event.body.conn()).collect();
        if number > 0 {
            assert_eq!(block.kind(), BlockKind::Snapshot);
            assert_eq!(conns, [ConnKey::new(ORIGIN, 2)], "the first connection had ended");
        }
    }
}

#[test]
fn facts_from_outside_come_in_their_place_and_in_every_file_that_follows() {
    let facts = |pairs: &[(&str, &str)]| {
        BodyBuf::Enrich(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    };
    let enrich = |time, pairs| EventBuf::new(MonoNanos::new(time), facts(pairs));
    let [pod, renamed] = ["a", "b"].map(|name| [("k8s.pod.uid", "1"), ("k8s.pod.name", name)]);
    let [config, changed] = [[("config", "{}")], [("config", "routes: {}")]];
    let script = [
        enrich(0, &config),
        arrival(10, 1),
        enrich(20, &pod),
        enrich(20, &[("what.nobody.knows", "x")]),
        arrival(25, 1),
        arrival(120, 1),
        enrich(130, &changed),
        enrich(130, &renamed),
        arrival(230, 1),
    ];
    let files = write_set(&script, Rotation { bytes: None, nanos: Some(100) });
    let said = |file: &[u8]| {
        let (events, _) = merge([file]);
        let said = events.iter().filter_map(|event| match &event.body {
            BodyBuf::Enrich(facts) => {
                Some((event.time.nanos(), facts.iter().map(|(_, value)| value.as_str()).collect()))
            }
            _ => None,
        });
        said.map(|(time, values): (_, Vec<_>)| format!("{time} {}", values.join(" "))).collect::<Vec<_>>()
    };
    let said: Vec<_> = files.iter().map(|file| said(file)).collect();
    assert_eq!(said[0], ["0 {}", "20 1 a", "20 x"]);
    assert_eq!(said[1], ["120 {}", "120 1 a", "130 routes: {}", "130 1 b"]);
    assert_eq!(said[2], ["230 routes: {}", "230 1 b"]);
    let (events, _) = merge([&files[0][..]]);
    assert_eq!(events, script[..5], "in the order of blocks");
}

#[test]
fn a_missing_file_is_told() {
    let files = write_set(&two_connections(), Rotation { bytes: None, nanos: Some(50) });
    let (events, gaps) = merge([&files[1][..], &files[5], &files[2]]);
    assert_eq!(gaps, [SetGap { set: [0x55; 16], from: 3, to: 4 }], "a ring's deleted files are no gap");
    let losses: Vec<_> = events
        .iter()
        .filter_map(|event| match event.body {
            BodyBuf::Plain(Body::Loss(loss)) => Some((loss.cause, loss.from.nanos(), loss.to.nanos())),
            _ => None,
        })
        .collect();
    assert_eq!(losses, [(LossCause::Corrupt, 140, 250)]);
}

#[test]
fn what_a_cut_file_lacks_ends_where_the_next_begins() {
    let files = write_set(&two_connections(), Rotation { bytes: None, nanos: Some(150) });
    let cut = |file: usize| &files[file][..files[file].len() - 40];
    let losses = |files: &[&[u8]]| -> Vec<_> {
        let loss = |event: EventBuf| match event.body {
            BodyBuf::Plain(Body::Loss(loss)) => Some((loss.cause, loss.from.nanos(), loss.to.nanos(), loss.origin)),
            _ => None,
        };
        merge(files.iter().copied()).0.into_iter().filter_map(loss).collect()
    };
    let loss = |from, to| (LossCause::Truncated, from, to, Some(ORIGIN));
    assert_eq!(losses(&[cut(0), &files[1], &files[2]]), [loss(140, 150)]);
    assert_eq!(losses(&[&files[0], &files[1], cut(2)]), [loss(390, u64::MAX)]);
    let missing = (LossCause::Corrupt, 140, 300, Some(ORIGIN));
    assert_eq!(losses(&[cut(0), &files[2]]), [loss(140, 140), missing], "the missing file is a loss of its own");
}

#[test]
fn tapes_of_two_hosts_are_put_on_one_clock() {
    let tape = |boot_id: &str, origin: u8, offset: u64, times: &[u64]| {
        let meta = Meta { boot_id: boot_id.to_owned(), ..meta() };
        let mut writer = Writer::new(Vec::new(), &meta, WriterOptions::FILE).unwrap();
        let anchor = ClockAnchor {
            mono: MonoNanos::new(100),
            boot_nanos: 100,
            wall: WallNanos::new(offset + 100),
            uncertainty_nanos: 0,
        };
        writer.push(&at(100, Body::Clock { origin: Origin([origin; 16]), anchor }).as_event()).unwrap();
        for time in times {
            writer.push(&at(*time, Body::Tick).as_event()).unwrap();
        }
        writer.finish(CloseReason::Done).unwrap().1
    };
    // The second host was booted 1000 ns later, by the wall clock.
    let (first, second) = (tape("a", 1, 0, &[1200, 1400]), tape("b", 2, 1000, &[150, 300, 500]));
    let times = |files: [&[u8]; 2]| -> Vec<u64> { merge(files).0.iter().map(|event| event.time.nanos()).collect() };
    assert_eq!(times([&first, &second]), [100, 1100, 1150, 1200, 1300, 1400, 1500]);
    let same_boot = tape("a", 2, 1000, &[150]);
    assert_eq!(times([&first, &same_boot]), [100, 100, 150, 1200, 1400], "one boot has one monotonic clock");
}
