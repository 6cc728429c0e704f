//! There and back: a tape that was exported and imported again gives the same spans.

use std::io::{Cursor, Read};

use proptest::prelude::*;
use redtape_core::synth::{SCENARIOS, Scenario};
use redtape_core::tape::{CloseReason, EventSource, Reader, TapeSource, Writer, WriterOptions};
use redtape_core::{Engine, EngineOptions, Output};

use super::convert::Converter;
use super::file::File;
use crate::import::{Found, ImportOptions, Opened, open};

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
        prop_assert!(found.used > 0 && found.malformed == 0 && found.cut.is_none(), "{name}: {found:?}");
        let (before, after) = (spans(&tape), spans(&again));
        prop_assert!(!before.is_empty() && before == after, "{name}: {} spans, {} after", before.len(), after.len());
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
