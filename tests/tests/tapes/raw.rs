//! Blocks and records by the format's specification alone, without the writer: what it would never write.

/// Bytes of the preamble.
pub(crate) const PREAMBLE: usize = 16;
/// Bytes of a block's header.
pub(crate) const HEADER: usize = 48;

pub(crate) const META: u8 = 1;
pub(crate) const CLOCK: u8 = 2;
pub(crate) const EVENTS: u8 = 4;
pub(crate) const NOTE: u8 = 7;
pub(crate) const INDEX: u8 = 254;
pub(crate) const END: u8 = 255;

/// A block to be.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) codec: u8,
    pub(crate) encoding: u8,
    pub(crate) raw_len: u32,
    pub(crate) records: u32,
    pub(crate) number: u32,
    pub(crate) times: [u64; 2],
    /// As stored.
    pub(crate) content: Vec<u8>,
}

impl Block {
    pub(crate) fn new(kind: u8, content: &[u8]) -> Self {
        let encoding = u8::from(matches!(kind, 2..=5));
        let flags = u8::from(matches!(kind, 1..=5));
        let (content, raw_len) = (content.to_vec(), u32::try_from(content.len()).unwrap());
        Self { kind, flags, codec: 0, encoding, raw_len, records: 0, number: 0, times: [0; 2], content }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0xb1, 0x0c, 0x7a, 0x9e, self.kind, self.flags, self.codec, self.encoding];
        let stored_len = u32::try_from(self.content.len()).unwrap();
        for number in [stored_len, self.raw_len, self.records, self.number] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.times.iter().for_each(|time| bytes.extend_from_slice(&time.to_le_bytes()));
        bytes.extend_from_slice(&crc32c::crc32c(&self.content).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend_from_slice(&self.content);
        bytes
    }

    /// The block at the front of `bytes`.
    fn parse(bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        Self {
            kind: bytes[4],
            flags: bytes[5],
            codec: bytes[6],
            encoding: bytes[7],
            raw_len: u32_at(12),
            records: u32_at(16),
            number: u32_at(20),
            times: [u64_at(24), u64_at(32)],
            content: bytes[HEADER..HEADER + u32_at(8) as usize].to_vec(),
        }
    }
}

/// The blocks of a sound tape.
pub(crate) fn blocks(tape: &[u8]) -> Vec<Block> {
    let (mut blocks, mut at) = (Vec::new(), PREAMBLE);
    while at < tape.len() {
        let block = Block::parse(&tape[at..]);
        at += HEADER + block.content.len();
        blocks.push(block);
    }
    blocks
}

/// Where the first block of this kind begins.
pub(crate) fn block_at(tape: &[u8], kind: u8) -> usize {
    let before = blocks(tape).into_iter().take_while(|block| block.kind != kind);
    PREAMBLE + before.map(|block| HEADER + block.content.len()).sum::<usize>()
}

/// The tape with `change` made to its first block of this kind, whose checksums are right, and its lengths, unless it is they
/// that were changed.
pub(crate) fn changed(tape: &[u8], kind: u8, change: impl FnOnce(&mut Block)) -> Vec<u8> {
    let at = block_at(tape, kind);
    let mut block = Block::parse(&tape[at..]);
    let (end, raw_len) = (at + HEADER + block.content.len(), block.raw_len);
    change(&mut block);
    if block.codec == 0 && block.raw_len == raw_len {
        block.raw_len = u32::try_from(block.content.len()).unwrap();
    }
    [&tape[..at], &block.bytes(), &tape[end..]].concat()
}

/// The tape with `bytes` put in at a place.
pub(crate) fn with(tape: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&tape[..at], bytes, &tape[at..]].concat()
}

pub(crate) fn preamble(major: u16, minor: u16) -> Vec<u8> {
    let mut bytes = b"\x89TAP\r\n\x1a\n".to_vec();
    bytes.extend_from_slice(&major.to_le_bytes());
    bytes.extend_from_slice(&minor.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// A varint, in its shortest form.
pub(crate) fn varint(value: u64) -> Vec<u8> {
    match value {
        0..=250 => vec![value as u8],
        251..=0xffff => [&[251][..], &(value as u16).to_le_bytes()].concat(),
        0x1_0000..=0xffff_ffff => [&[252][..], &(value as u32).to_le_bytes()].concat(),
        _ => [&[253][..], &value.to_le_bytes()].concat(),
    }
}

/// Something behind its length.
pub(crate) fn counted(parts: &[&[u8]]) -> Vec<u8> {
    let bytes = parts.concat();
    [varint(bytes.len() as u64), bytes].concat()
}
