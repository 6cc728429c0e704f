//! The blocks of a scap file.

use std::io::{self, BufReader, ErrorKind, Read};

use crate::import::found::Cut;
use crate::import::limits::SCAP_BLOCK;

/// Numbers of blocks (libscap's `scap_savefile.h`).
pub(super) mod kind {
    pub(crate) const FDS: u32 = 0x203;
    pub(crate) const FDS_V2: u32 = 0x218;
    pub(crate) const EVENT: u32 = 0x204;
    pub(crate) const EVENT_V2: u32 = 0x216;
    pub(crate) const EVENT_V2_LARGE: u32 = 0x221;
    pub(crate) const EVENT_FLAGS: u32 = 0x208;
    pub(crate) const EVENT_FLAGS_V2: u32 = 0x217;
    pub(crate) const EVENT_FLAGS_V2_LARGE: u32 = 0x222;
}

/// The version of a list of processes, if a block of this kind is one.
pub(super) const fn list_version(kind: u32) -> Option<u8> {
    Some(match kind {
        0x202 => 1,
        0x207 => 2,
        0x209 => 3,
        0x210 => 4,
        0x211 => 5,
        0x212 => 6,
        0x213 => 7,
        0x214 => 8,
        0x215 => 9,
        _ => return None,
    })
}

/// What comes next in a file.
pub(super) enum Next<'a> {
    Block(u32, &'a [u8]),
    Cut(Cut),
    End,
}

/// Reads blocks, one at a time.
pub(super) struct Blocks<R> {
    read: BufReader<R>,
    body: Vec<u8>,
    /// How far the file was read, in bytes.
    offset: u64,
}

/// Bytes of a block around its body: kind and length before it, the length again behind it.
const FRAME: usize = 12;

impl<R: Read> Blocks<R> {
    pub(super) fn new(read: R) -> Self {
        Self { read: BufReader::with_capacity(256 << 10, read), body: Vec::new(), offset: 0 }
    }

    /// How far the file was read, in bytes.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block: its number and its body, with padding.
    ///
    /// # Errors
    /// What the input reports.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        let mut head = [0; 8];
        match fill(&mut self.read, &mut head)? {
            0 => return Ok(Next::End),
            8 => {}
            _ => return Ok(Next::Cut(Cut::Truncated)),
        }
        let [a, b, c, d, e, f, g, h] = head;
        let (kind, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if !(FRAME..=SCAP_BLOCK).contains(&len) {
            return Ok(Next::Cut(Cut::Damaged(format!("a block of {len} bytes; at most {SCAP_BLOCK} are read"))));
        }
        let rest = len - 8;
        // Not all at once: a length is believed as far as there are bytes.
        self.body.clear();
        if self.read.by_ref().take(rest as u64).read_to_end(&mut self.body)? < rest {
            return Ok(Next::Cut(Cut::Truncated));
        }
        self.offset += len as u64;
        Ok(Next::Block(kind, self.body.get(..len - FRAME).unwrap_or_default()))
    }
}

/// Reads as many bytes as there are, at most all of `bytes`.
fn fill(read: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match read.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Takes fields from the front of a block.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes with their length, 16 bits, before them.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.bytes(len.into())
    }

    /// The same as text.
    pub(super) fn text(&mut self) -> Option<String> {
        self.counted().map(text)
    }
}

/// Text up to a NUL; what is no UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
