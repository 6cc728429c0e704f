//! Round trips, prefixes and damage, on streams of arbitrary events.

mod arbitrary;

use proptest::prelude::*;

use self::arbitrary::{Script, events, read, script, write};
use super::{Block, CloseReason, ContentHash, ContentHasher, Reader, WriterOptions};

#[test]
fn an_empty_tape_has_no_events() {
    let bytes = write(&Script::default(), &WriterOptions::FILE);
    let (events, report) = read(&bytes);
    assert_eq!(events, []);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.totals.unwrap().reason, CloseReason::Done);
}

proptest! {
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
