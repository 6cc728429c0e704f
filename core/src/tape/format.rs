//! The frame of a tape: the preamble and block headers, with their fixed layout and their hard bounds.

use std::fmt;

/// Bytes of the preamble.
pub(super) const PREAMBLE_LEN: usize = 16;
/// Bytes of a block header.
pub(super) const HEADER_LEN: usize = 48;
/// Bytes of a block, raw; a header that claims more is corrupt.
pub(super) const MAX_RAW: usize = 4 << 20;
/// Bytes of one record or dictionary entry; one that claims more is corrupt.
pub(super) const MAX_RECORD: usize = 256 << 10;
/// Connections, or processes, or origins in the dictionary of one block; more are damage.
pub(super) const MAX_ENTRIES: usize = 1 << 16;
/// How many times its stored size a block may grow when decompressed; a header that claims more is corrupt.
pub(super) const MAX_EXPANSION: usize = 64;
/// The sync word that every block begins with, as it stands in the file.
pub(super) const SYNC: [u8; 4] = [0xb1, 0x0c, 0x7a, 0x9e];

/// Begins like a PNG: the high bit shows 7-bit transfers, the line ends show translation, 1A stops DOS's `type`.
const MAGIC: [u8; 8] = *b"\x89TAP\r\n\x1a\n";

/// The flag of blocks that a reader must understand.
const CRITICAL: u8 = 1;

/// A version of the tape format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Changes when older readers would misread.
    pub major: u16,
    /// Changes when something is added that older readers may leave out.
    pub minor: u16,
}

impl FormatVersion {
    /// The version that this build writes, and the newest that it reads.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// Whether a build of this version reads a tape of version `tape`.
    ///
    /// From 1.0 on: the same major version, and any minor one. Versions 0.x read nothing but themselves.
    pub(super) const fn reads(self, tape: Self) -> bool {
        self.major == tape.major && (self.is_settled() || self.minor == tape.minor)
    }

    /// Whether later builds read tapes of this version: from 1.0 on.
    pub const fn is_settled(self) -> bool {
        self.major != 0
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the first 16 bytes of a file are.
pub(super) enum Preamble {
    Tape(FormatVersion),
    /// It begins like a tape, but the checksum is wrong.
    Damaged,
    NotATape,
}

pub(super) fn preamble(version: FormatVersion) -> [u8; PREAMBLE_LEN] {
    let mut bytes = [0; PREAMBLE_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&version.major.to_le_bytes());
    bytes[10..12].copy_from_slice(&version.minor.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(super) fn parse_preamble(bytes: &[u8; PREAMBLE_LEN]) -> Preamble {
    let [.., a, b, c, d] = *bytes;
    let [.., e, f, g, h, _, _, _, _] = *bytes;
    if !bytes.starts_with(&MAGIC) {
        Preamble::NotATape
    } else if u32::from_le_bytes([a, b, c, d]) != crc32c::crc32c(&bytes[..12]) {
        Preamble::Damaged
    } else {
        Preamble::Tape(FormatVersion { major: u16::from_le_bytes([e, f]), minor: u16::from_le_bytes([g, h]) })
    }
}

/// What a block holds. The numbers are the format's and are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum BlockKind {
    /// Who wrote the tape, where and how. The first block.
    Meta = 1,
    /// Readings of the clocks.
    Clock = 2,
    /// The connections and processes that are known when the tape, or a file of a rotated set, begins.
    Snapshot = 3,
    /// Events.
    #[default]
    Events = 4,
    /// Losses.
    Loss = 5,
    /// Facts learned from outside while recording.
    Enrich = 6,
    /// A remark.
    Note = 7,
    /// Where the blocks are.
    Index = 254,
    /// Totals, and that the tape was closed.
    End = 255,
}

impl BlockKind {
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Meta,
            2 => Self::Clock,
            3 => Self::Snapshot,
            4 => Self::Events,
            5 => Self::Loss,
            6 => Self::Enrich,
            7 => Self::Note,
            254 => Self::Index,
            255 => Self::End,
            _ => return None,
        })
    }

    /// Whether a reader that does not know the block must refuse the tape.
    const fn critical(self) -> bool {
        matches!(self, Self::Meta | Self::Clock | Self::Snapshot | Self::Events | Self::Loss)
    }

    /// Whether the block consists of a dictionary and records.
    pub(super) const fn has_records(self) -> bool {
        matches!(self, Self::Clock | Self::Snapshot | Self::Events | Self::Loss)
    }
}

/// The codec that a block is stored with.
pub(super) mod codec_number {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const ZSTD: u8 = 1;
}

/// The encoding of a block's content.
mod encoding {
    /// Fixed integers and tagged texts.
    pub(super) const PLAIN: u8 = 0;
    /// A dictionary and records with bincode heads.
    pub(super) const RECORDS: u8 = 1;
}

/// A block header. `kind` and `flags` are as in the file, since they may be of a newer format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) codec: u8,
    pub(super) encoding: u8,
    pub(super) stored_len: u32,
    pub(super) raw_len: u32,
    pub(super) records: u32,
    pub(super) seq: u32,
    pub(super) first_time: u64,
    pub(super) last_time: u64,
    pub(super) stored_crc: u32,
}

impl Header {
    /// The header of a block of a known kind, stored as it is, with nothing in it.
    pub(super) const fn new(kind: BlockKind, seq: u32) -> Self {
        Self {
            kind: kind as u8,
            flags: if kind.critical() { CRITICAL } else { 0 },
            codec: codec_number::NONE,
            encoding: if kind.has_records() { encoding::RECORDS } else { encoding::PLAIN },
            stored_len: 0,
            raw_len: 0,
            records: 0,
            seq,
            first_time: 0,
            last_time: 0,
            stored_crc: 0,
        }
    }

    /// The kind, if this version can read the block: its kind, encoding and codec are known.
    pub(super) fn known_kind(&self) -> Option<BlockKind> {
        let kind = BlockKind::from_number(self.kind)?;
        let known = self.encoding == Self::new(kind, 0).encoding && self.codec <= codec_number::ZSTD;
        known.then_some(kind)
    }

    pub(super) const fn critical(&self) -> bool {
        self.flags & CRITICAL != 0
    }

    pub(super) fn stored_len(&self) -> usize {
        usize::try_from(self.stored_len).unwrap_or(usize::MAX)
    }

    pub(super) fn raw_len(&self) -> usize {
        usize::try_from(self.raw_len).unwrap_or(usize::MAX)
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&SYNC);
        bytes[4..8].copy_from_slice(&[self.kind, self.flags, self.codec, self.encoding]);
        bytes[8..12].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.records.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_time.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.last_time.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.stored_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header, or why these bytes are none.
    pub(super) fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, &'static str> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if !bytes.starts_with(&SYNC) {
            return Err("no block begins here");
        }
        if u32_at(44) != crc32c::crc32c(&bytes[..44]) {
            return Err("the checksum of the block header is wrong");
        }
        let header = Self {
            kind: bytes[4],
            flags: bytes[5],
            codec: bytes[6],
            encoding: bytes[7],
            stored_len: u32_at(8),
            raw_len: u32_at(12),
            records: u32_at(16),
            seq: u32_at(20),
            first_time: u64_at(24),
            last_time: u64_at(32),
            stored_crc: u32_at(40),
        };
        if header.raw_len() > MAX_RAW || header.stored_len() > MAX_RAW {
            return Err("the block is longer than 4 MiB");
        }
        if header.raw_len() > header.stored_len().saturating_mul(MAX_EXPANSION) {
            return Err("the block would grow more than 64 times");
        }
        Ok(header)
    }
}
