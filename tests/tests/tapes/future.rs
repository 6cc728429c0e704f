//! Tapes of newer versions: what they may add must not keep older readers from the rest.

use redtape_core::tape::FormatVersion;

use super::raw::{
    Block, END, EVENTS, META, NOTE, PREAMBLE, block_at, blocks, changed, counted, preamble, varint, with,
};

/// A kind of block, codec or encoding that there may be one day.
const NEW: u8 = 100;

/// Tapes of newer versions, and with blocks that only those know.
pub(crate) fn all(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let FormatVersion { major, minor } = FormatVersion::CURRENT;
    let events = block_at(whole, EVENTS);
    let block = Block::new(NEW, b"from the future");
    let unknown = |block: &Block| with(whole, events, &block.bytes());
    vec![
        ("newer-major.tape", of_version(whole, major + 1, 0)),
        ("newer-minor.tape", of_version(&additions(whole), major, minor + 1)),
        ("newer-additions.tape", additions(whole)),
        ("unknown-block.tape", unknown(&block)),
        ("unknown-numbered-block.tape", numbered(whole, &block)),
        ("unknown-codec.tape", unknown(&Block { codec: NEW, ..Block::new(NOTE, b"text") })),
        ("unknown-encoding.tape", unknown(&Block { encoding: NEW, ..Block::new(NOTE, b"text") })),
        ("unknown-critical-block.tape", unknown(&Block { flags: 1, ..block })),
        ("unknown-critical-codec.tape", changed(whole, EVENTS, |block| block.codec = NEW)),
    ]
}

/// The tape with a new block before the events, as newer writers put it in: they number all blocks.
fn numbered(whole: &[u8], new: &Block) -> Vec<u8> {
    let mut all = blocks(whole);
    let at = all.iter().position(|block| block.kind == EVENTS).unwrap();
    all.insert(at, new.clone());
    let numbered = all.into_iter().zip(0..).flat_map(|(block, number)| Block { number, ..block }.bytes());
    whole[..PREAMBLE].iter().copied().chain(numbered).collect()
}

fn of_version(tape: &[u8], major: u16, minor: u16) -> Vec<u8> {
    [preamble(major, minor), tape[PREAMBLE..].to_vec()].concat()
}

/// What a newer minor version may add, wherever it may: fields of META, flags of blocks, forms and extensions of entries, values
/// of fields, kinds of events, extensions of events, and bytes at the end of END.
fn additions(whole: &[u8]) -> Vec<u8> {
    let tape = changed(whole, META, |block| {
        let field = [varint(9000), counted(&[b"a new field"])].concat();
        block.content.extend(field);
    });
    let tape = changed(&tape, EVENTS, |block| {
        block.flags = 0b1000_0001;
        (block.content, block.records) = events();
    });
    changed(&tape, END, |block| block.content.extend(b"more"))
}

/// A block of events, and how many.
fn events() -> (Vec<u8>, u32) {
    const EXT: [u8; 6] = [0xff, 0x7f, 2, 0, 0xaa, 0xbb];
    let form = |form: u8, head: &[u8]| counted(&[&[form], head]);
    // origin 0, id; pid, parent, start; comm; five empty; three namespaces; environment and ports; io_uring, TLS
    let process = [&[0, 1, 9, 1, 0, 1, b'p', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &EXT].concat();
    // origin 0, id, process; role; two addresses of another kind; the rest is not known, but for the library.
    let address = [&[99][..], &[1; 16], &[80, 0, 0]].concat();
    let connection = [&[0, 7, 2, 9, 1][..], &address, &address, &[0, 0, 0, 0, 0, 0, 0, 200], &EXT].concat();
    let dictionary = [
        [&[1][..], b"fixture's origin"].concat(),
        [vec![2], form(9, &[0, 5, 1, 2, 3]), form(1, &process)].concat(),
        [vec![3], form(9, &[0, 8, 1, 2, 3]), form(1, &connection), form(0, &[0, 6])].concat(),
    ]
    .concat();
    let stamp = [20, 251, 0, 0x80, 0, 0, 0];
    let data = [&stamp[..], &[0, 99, 0, 3, 3, 0]].concat();
    let records = [
        // Kind, 1 us later, CPU and number; connection, process; head.
        counted(&[&[20, 251, 0xd0, 7, 1, 1, 1], b"a new event of a connection"]),
        counted(&[&[50, 0, 1, 2], b"a new event"]),
        counted(&[&[5 | 0x40, 0, 1, 3, 1, 2], &data, &[6], &EXT, b"GET"]),
        counted(&[&[10, 0, 1, 4, 0, 8, 99]]),
        counted(&[&[36, 0, 1, 5, 77, 12, 0, 0]]),
    ];
    ([dictionary, records.concat()].concat(), records.len() as u32)
}
