//! There and back: a tape that was exported and imported again gives the same spans.

use std::io::{Cursor, Read};

use proptest::prelude::*;
use redtape_core::synth::{SCENARIOS, Scenario};
use redtape_core::tape::{CloseReason, EventSource, Reader, TapeSource, Writer, WriterOptions};
use redtape_core::{Engine, EngineOptions, Output};

use super::convert::Converter;
use super::file::File;
use super::local::TAPE_BLOCK;
use crate::import::{Cut, Found, ImportOptions, Opened, open};

/// What a scenario's recording is on a tape.
fn recorded(scenario: &Scenario) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &scenario.meta(), WriterOptions::PIPE).unwrap();
    scenario.events().for_each(|event| writer.push(&event.as_event()).unwrap());
    writer.finish(CloseReason::Done).unwrap().1
}

fn exported(tape: &[u8]) -> Vec<u8> {
    let mut source = TapeSource::new(Reader::open(tape).unwrap());
    let meta = source.reader().meta().clone();
    let file = File::new(Vec::new(), "").unwrap();
    let mut converter = Converter::new(file, &meta.of_copy()).unwrap();
    while let Some(event) = source.next_event().unwrap() {
        converter.push(&event).unwrap();
    }
    converter.finish(true, |_| String::new()).unwrap().1
}

fn imported(capture: Vec<u8>) -> (Vec<u8>, Found) {
    let opened = open(Box::new(Cursor::new(capture)), ImportOptions::default(), WriterOptions::PIPE).unwrap();
    let Opened::Capture(mut capture) = opened else { panic!("an export is no capture") };
    let mut tape = Vec::new();
    capture.read_to_end(&mut tape).unwrap();
    (tape, capture.found().get())
}

/// The spans of a tape, in words.
fn spans(tape: &[u8]) -> Vec<String> {
    let mut source = TapeSource::new(Reader::open(tape).unwrap());
    let mut engine = Engine::new(EngineOptions::default());
    let mut spans = Vec::new();
    let mut take = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            if let Output::Span(span) = output {
                spans.push(format!("{span:?}"));
            }
        }
    };
    while let Some(event) = source.next_event().unwrap() {
        engine.push(&event);
        take(&mut engine);
    }
    engine.finish();
    take(&mut engine);
    spans
}

/// One of the included scenarios, which speak HTTP/1, HTTP/2 and gRPC: with another seed, and with some of its recording lost.
fn scenarios() -> impl Strategy<Value = (&'static str, Scenario)> {
    (prop::sample::select(SCENARIOS), any::<u64>(), 10..60_u64, prop::sample::select(vec![0_u32, 5, 50])).prop_map(
        |((name, _), seed, requests, lost)| {
            let mut scenario = Scenario::named(name).unwrap();
            (scenario.seed, scenario.requests, scenario.duration) = (seed, Some(requests), None);
            scenario.recorder.loss = lost;
            (name, scenario)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn exported_and_imported_again_a_tape_gives_the_same_spans((name, scenario) in scenarios()) {
        let tape = recorded(&scenario);
        let (again, found) = imported(exported(&tape));
        prop_assert!(found.malformed == 0 && found.cut.is_none() && found.unread_tape.is_none(), "{name}: {found:?}");
        let (before, after) = (spans(&tape), spans(&again));
        prop_assert!(before == after, "{name}: {} spans, {} after", before.len(), after.len());
        // Of few requests, all can be lost.
        let whole = scenario.recorder.loss == 0;
        prop_assert!(!whole || found.used > 0 && !before.is_empty(), "{name}: {found:?}, {} spans", before.len());
    }

    #[test]
    fn any_bytes_of_an_export_can_be_wrong(
        (_, scenario) in scenarios(),
        wrong in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut capture = exported(&recorded(&scenario));
        for (at, byte) in wrong {
            *at.get_mut(&mut capture) = byte;
        }
        // The beginning may be wrong, too, and then it is no capture.
        let opened = open(Box::new(Cursor::new(capture)), ImportOptions::default(), WriterOptions::PIPE);
        if let Ok(Opened::Capture(mut capture)) = opened {
            let mut tape = Vec::new();
            capture.read_to_end(&mut tape).unwrap();
            spans(&tape);
        }
    }
}

/// An export of a small scenario, and where its first block with some of the tape begins and ends.
fn export() -> (Vec<u8>, std::ops::Range<usize>) {
    let mut scenario = Scenario::named("greetings").unwrap();
    (scenario.requests, scenario.duration) = (Some(20), None);
    let capture = exported(&recorded(&scenario));
    let (mut at, mut block) = (0, 0..0);
    while block.is_empty() {
        let [kind, len] = [at, at + 4].map(|at| u32::from_le_bytes(capture[at..at + 4].try_into().unwrap()));
        let end = at + len as usize;
        if kind == TAPE_BLOCK {
            block = at..end;
        }
        at = end;
    }
    (capture, block)
}

/// A block with these bytes of a tape.
fn tape_block(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    let padded = len.next_multiple_of(4);
    let all = (padded + 16).to_le_bytes();
    [&TAPE_BLOCK.to_le_bytes(), &all, &len.to_le_bytes(), bytes, &vec![0; (padded - len) as usize], &all].concat()
}

#[test]
fn what_is_no_tape_hides_no_packets() {
    let (mut capture, tape) = export();
    let whole = imported(capture.clone()).1;
    // A tape of format 999.0.
    let newer = [0x89, 0x54, 0x41, 0x50, 0x0d, 0x0a, 0x1a, 0x0a, 231, 3, 0, 0, 169, 231, 115, 208];
    for (bytes, reason) in [(&b"junk"[..], "not a tape"), (&newer[..], "format 999.0, and this build reads")] {
        // Those that follow are no beginnings.
        let capture = [&capture[..tape.start], &tape_block(bytes), &capture[tape.end..]].concat();
        let (_, found) = imported(capture);
        let why = found.unread_tape.clone().unwrap_or_default();
        assert!(why.contains(reason), "{why}");
        assert!(found.records == whole.records && found.used >= whole.used && found.connections > 0, "{found:?}");
    }
    capture.splice(tape.start..tape.start, tape_block(b"junk"));
    let (_, found) = imported(capture);
    assert_eq!((found.used, found.connections), (whole.used, whole.connections), "a tape after junk is read");
}

#[test]
fn nothing_is_kept_of_what_follows_the_end_of_a_tape() {
    let (capture, tape) = export();
    let whole = imported(capture.clone()).1;
    let (_, found) = imported([&capture[..], &capture[tape]].concat());
    assert_eq!((found.used, found.connections), (whole.used, whole.connections));
    assert!(matches!(&found.cut, Some(Cut::Damaged(why)) if why.contains("follows its end")), "{found:?}");
}

#[test]
fn a_damaged_piece_of_a_tape_is_told() {
    let (mut capture, tape) = export();
    capture[tape.end - 40] ^= 1;
    let (_, found) = imported(capture);
    assert!(matches!(&found.cut, Some(Cut::Damaged(why)) if why.contains("tape in it")), "{found:?}");
}
