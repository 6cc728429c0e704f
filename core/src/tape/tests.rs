//! Round trips, prefixes and damage, on streams of arbitrary events.

mod arbitrary;
mod damage;
mod example;
mod seek;
mod sets;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::arbitrary::{Script, events, read, script, write};
use super::{
    Block, CloseReason, ContentHash, ContentHasher, EventSource, Meta, Reader, TapeSource, Writer, WriterOptions,
};
use crate::event::{Body, BodyBuf, EventBuf};
use crate::facts::{ConnInfo, ProcessInfo};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::time::MonoNanos;

#[test]
fn an_empty_tape_has_no_events() {
    let bytes = write(&Script::default(), &WriterOptions::FILE);
    let (events, report) = read(&bytes);
    assert_eq!(events, []);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.totals.unwrap().reason, CloseReason::Done);
}

/// An entry that is too long must not make its process another one.
#[test]
fn a_process_of_too_many_facts_is_known_by_its_number() {
    let origin = Origin([7; 16]);
    let [small, large] = [1, 2].map(|id| ProcessInfo {
        key: ProcKey::new(origin, id),
        origin,
        id,
        comm: format!("number {id}"),
        listening: if id == 1 { Vec::new() } else { (0..=u16::MAX).collect() },
        ..ProcessInfo::default()
    });
    let mut script = Script::default();
    for info in [&small, &large] {
        script.events.push(EventBuf::new(MonoNanos::ZERO, BodyBuf::Process(Box::new(info.clone()))));
        script.events.push(EventBuf::new(MonoNanos::ZERO, BodyBuf::Plain(Body::Exec { process: info.key })));
    }
    let (read, report) = read(&write(&script, &WriterOptions::FILE));
    assert!(report.is_whole());
    assert_eq!(events(&read), events(&script.events));
    let known: Vec<_> = read.iter().filter(|event| matches!(event.body, BodyBuf::Process(_))).collect();
    assert_eq!(known.len(), 1, "only the small one has facts: {known:?}");
}

/// What the events of a stream are said to be about, at the moment of each event.
fn known_at_events(stream: &[EventBuf]) -> Vec<(Option<ConnInfo>, Option<ProcessInfo>)> {
    let (mut conns, mut procs) = (BTreeMap::new(), BTreeMap::new());
    let mut known = Vec::new();
    for event in stream {
        match &event.body {
            BodyBuf::Connection(info) => drop(conns.insert(info.key, (**info).clone())),
            BodyBuf::Process(info) => drop(procs.insert(info.key, (**info).clone())),
            _ => {
                let body = event.as_event().body;
                let process = super::record::process(&body);
                known.push((
                    body.conn().and_then(|key| conns.get(&key).cloned()),
                    process.and_then(|key| procs.get(&key).cloned()),
                ));
            }
        }
    }
    known
}

#[test]
fn connections_that_never_end_are_bounded() {
    let count = 140_000;
    let mut writer = Writer::new(Vec::new(), &Meta::default(), WriterOptions::FILE).unwrap();
    for n in 0..count {
        let body = Body::Arrival { conn: ConnKey::new(Origin::default(), n), end: n, fin: false };
        writer.push(&EventBuf::new(MonoNanos::new(n), BodyBuf::Plain(body)).as_event()).unwrap();
    }
    assert!(writer.forgotten() > 60_000, "about half is forgotten: {}", writer.forgotten());
    let (_, bytes) = writer.finish(CloseReason::Done).unwrap();
    let mut source = TapeSource::new(Reader::open(&bytes[..]).unwrap());
    for n in 0..count {
        let body = Body::Arrival { conn: ConnKey::new(Origin::default(), n), end: n, fin: false };
        assert_eq!(source.next_event().unwrap().unwrap().body, body);
    }
    assert_eq!(source.next_event().unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_event_comes_with_what_was_known_then(script in script(60), small_blocks: bool) {
        // What has ended is forgotten some time later, which is another test's business.
        let mut script = script;
        let ends = |event: &EventBuf| matches!(event.body, BodyBuf::Plain(Body::Close { .. } | Body::Exit { .. }));
        script.events.retain(|event| !ends(event));
        let block_bytes = if small_blocks { 200 } else { 256 << 10 };
        let (read, _) = read(&write(&script, &WriterOptions { block_bytes, ..WriterOptions::PIPE }));
        prop_assert_eq!(known_at_events(&read), known_at_events(&script.events));
    }

    #[test]
    fn workers_together_see_every_event_once(script in script(60), workers in 1..4u64) {
        let bytes = write(&script, &WriterOptions::FILE);
        let (mut reader, mut block) = (Reader::open(&bytes[..]).unwrap(), Block::default());
        while reader.read_block(&mut block).unwrap() {
            let all = events(&block.events().map(EventBuf::from).collect::<Vec<_>>());
            let mut of_connections = Vec::new();
            for worker in 0..workers {
                let part: Vec<EventBuf> =
                    block.events_where(|key| key.get() % workers == worker).map(EventBuf::from).collect();
                let (mine, common): (Vec<_>, Vec<_>) =
                    events(&part).into_iter().partition(|event| event.as_event().body.conn().is_some());
                let mut expected = all.clone();
                expected.retain(|event| event.as_event().body.conn().is_none());
                prop_assert_eq!(common, expected);
                of_connections.extend(mine);
            }
            let mut expected = all;
            expected.retain(|event| event.as_event().body.conn().is_some());
            let order = |event: &EventBuf| format!("{event:?}");
            expected.sort_by_key(order);
            of_connections.sort_by_key(order);
            prop_assert_eq!(of_connections, expected);
        }
    }

    #[test]
    fn what_was_written_is_read(script in script(60), small_blocks: bool, compress: bool) {
        let block_bytes = if small_blocks { 200 } else { 256 << 10 };
        let options = WriterOptions { compress, block_bytes, ..WriterOptions::FILE };
        let (read, report) = read(&write(&script, &options));
        prop_assert!(report.is_whole(), "{:?}", report);
        prop_assert_eq!(events(&read), events(&script.events));
    }

    #[test]
    fn the_content_hash_is_that_of_the_events(script in script(30)) {
        let whole = write(&script, &WriterOptions::FILE);
        let cut = write(&script, &WriterOptions { compress: false, block_bytes: 200, block_nanos: 1 });
        let (hash, cut_hash) = [&whole, &cut].map(|tape| read(tape).1.totals.unwrap().content_hash).into();
        prop_assert_eq!(hash, cut_hash);
        prop_assert_eq!(rehash(&whole), hash);
        prop_assert_eq!(rehash(&cut), hash);
    }
}

/// The content hash as a reader computes it.
fn rehash(bytes: &[u8]) -> ContentHash {
    let (mut reader, mut block, mut hasher) = (Reader::open(bytes).unwrap(), Block::default(), ContentHasher::new());
    while reader.read_block(&mut block).unwrap() {
        hasher.push_block(&block);
    }
    hasher.finish()
}
