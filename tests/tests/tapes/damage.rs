//! Defects: each made from a sound tape by the least change.

use super::raw::{Block, CLOCK, END, EVENTS, HEADER, INDEX, META, NOTE, block_at, blocks, changed, counted, with};

/// One tape of every defect that the specification names, with its name.
pub(crate) fn all(whole: &[u8], compressed: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let events = block_at(whole, EVENTS);
    let after = events + HEADER + blocks(whole).iter().find(|block| block.kind == EVENTS).unwrap().content.len();
    let oversized = Block { raw_len: 5 << 20, ..Block::new(NOTE, &[0; 1 << 10]) };
    let exploding = Block { raw_len: 65 * 16, ..Block::new(NOTE, &[0; 16]) };
    vec![
        ("bad-dictionary.tape", changed(whole, EVENTS, |block| block.content[0] = 250)),
        ("bad-header-crc.tape", flipped(whole, events + 9)),
        ("bad-meta.tape", flipped(whole, block_at(whole, META) + HEADER + 30)),
        ("bad-payload-crc.tape", flipped(whole, events + HEADER + 30)),
        ("bad-preamble.tape", flipped(whole, 9)),
        ("bad-zstd.tape", changed(compressed, EVENTS, |block| block.content[20] ^= 0x10)),
        ("empty.tape", Vec::new()),
        ("exploding-block.tape", with(whole, events, &exploding.bytes())),
        ("garbage-between.tape", with(whole, events, b"\xb1\x0c\x7a\x9e is how a block begins")),
        (
            "malformed-record.tape",
            changed(whole, EVENTS, |block| block.content.extend(counted(&[&[3, 0, 1, 9, 0, 7]]))),
        ),
        ("missing-block.tape", [&whole[..events], &whole[after..]].concat()),
        ("missing-bytes.tape", [&whole[..events + 100], &whole[events + 130..]].concat()),
        ("missing-end.tape", whole[..block_at(whole, INDEX)].to_vec()),
        ("not-a-tape.tape", b"{\"this\": \"is JSON\"}\n".to_vec()),
        ("oversized-block.tape", with(whole, events, &oversized.bytes())),
        ("record-beyond-block.tape", changed(whole, EVENTS, |block| block.content.extend([200, 3, 0, 1, 9]))),
        ("record-without-connection.tape", changed(whole, EVENTS, |block| block.content.extend(counted(&[&[3, 0]])))),
        ("repeated-block.tape", with(whole, after, &whole[block_at(whole, CLOCK)..events])),
        ("truncated-block.tape", whole[..events + 100].to_vec()),
        ("truncated-header.tape", whole[..events + 20].to_vec()),
        ("wrong-end.tape", changed(whole, END, |block| block.content.truncate(55))),
        ("wrong-index.tape", changed(whole, INDEX, |block| block.content[0] ^= 1)),
        ("wrong-length.tape", changed(whole, EVENTS, |block| block.raw_len += 1)),
    ]
}

pub(crate) fn flipped(tape: &[u8], at: usize) -> Vec<u8> {
    let mut tape = tape.to_vec();
    tape[at] ^= 0x10;
    tape
}
