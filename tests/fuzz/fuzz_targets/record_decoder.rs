//! Any bytes as the content of an EVENTS block whose checksums are right: dictionary and record decoders without panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redtape_core::Body;
use redtape_core::tape::{Block, CloseReason, Meta, Reader, Writer, WriterOptions};

const EVENTS: u8 = 4;

fuzz_target!(|content: &[u8]| {
    let Ok(len) = u32::try_from(content.len()) else { return };
    let writer = Writer::new(Vec::new(), &Meta::default(), WriterOptions::PIPE).expect("a Vec takes every byte");
    let (_, sound) = writer.finish(CloseReason::Done).expect("a Vec takes every byte");
    // Sync word; kind, critical, not compressed, records; both lengths; records, number, first and last time.
    let mut block = sound[16..20].to_vec();
    block.extend_from_slice(&[EVENTS, 1, 0, 1]);
    block.extend_from_slice(&len.to_le_bytes());
    block.extend_from_slice(&len.to_le_bytes());
    block.resize(40, 0);
    block.extend_from_slice(&crc32c::crc32c(content).to_le_bytes());
    block.extend_from_slice(&crc32c::crc32c(&block).to_le_bytes());
    let tape = [&sound[..16], &block, content].concat();
    let mut reader = Reader::open(&tape[..]).expect("the preamble is sound");
    let mut block = Block::default();
    while reader.read_block(&mut block).expect("a slice can be read") {
        for event in block.events() {
            if let Body::Data(data) = event.body {
                assert!(data.ranges.captured() as u64 <= data.len);
                assert_eq!(data.ranges.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), data.ranges.captured());
            }
        }
        let _ = block.events_where(|key| key.get() % 2 == 0).count();
    }
});
