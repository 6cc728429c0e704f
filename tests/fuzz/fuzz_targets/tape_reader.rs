//! Any bytes as a tape, with and without a sound preamble: no panic, no hang, and repair always gives a whole tape.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::tape::{CloseReason, EventSource, Meta, Reader, TapeSource, Writer, WriterOptions, repair};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let writer = Writer::new(Vec::new(), &Meta::default(), WriterOptions::PIPE).expect("a Vec takes every byte");
    let (_, sound) = writer.finish(CloseReason::Done).expect("a Vec takes every byte");
    let tape = [&sound[..16], bytes].concat();
    read(&tape);
    let reader = Reader::open(&tape[..]).expect("the preamble is sound");
    if let Ok((_, repaired)) = repair(reader, Vec::new(), WriterOptions::PIPE) {
        assert!(read(&repaired), "a repaired tape is whole");
    }
});

/// Reads all events; whether the tape is whole.
fn read(bytes: &[u8]) -> bool {
    let Ok(reader) = Reader::open(bytes) else { return false };
    let mut source = TapeSource::new(reader);
    while let Ok(Some(event)) = source.next_event() {
        std::hint::black_box(event);
    }
    source.reader().report().is_whole()
}
