//! The footer: INDEX, where the blocks of a tape are, and END, what was written in all.

use super::hash::ContentHash;

/// Blocks that an index lists at most. A longer tape lists every second, fourth, ... block: places to seek to.
const MAX_ENTRIES: usize = 1 << 14;

/// Collects an INDEX while the tape is written.
pub(super) struct IndexBuilder {
    entries: Vec<IndexEntry>,
    /// Of how many blocks one is listed.
    stride: u64,
    blocks: u64,
}

/// Bytes of an entry.
const ENTRY_LEN: usize = 32;

impl IndexBuilder {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), stride: 1, blocks: 0 }
    }

    pub(super) fn push(&mut self, entry: &IndexEntry) {
        if self.blocks.is_multiple_of(self.stride) {
            self.entries.push(*entry);
        } else if let Some(last) = self.entries.last_mut() {
            last.join(entry);
        }
        self.blocks += 1;
        if self.entries.len() > MAX_ENTRIES {
            let joined = self.entries.chunks(2).filter_map(|pair| match *pair {
                [mut first, second] => {
                    first.join(&second);
                    Some(first)
                }
                [first] => Some(first),
                _ => None,
            });
            self.entries = joined.collect();
            self.stride *= 2;
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.entries.iter().copied().flat_map(IndexEntry::to_bytes).collect()
    }
}

/// A block, and those behind it up to the next entry's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// Where the block begins in the file.
    pub(super) offset: u64,
    pub(super) first_time: u64,
    pub(super) last_time: u64,
    pub(super) records: u32,
    /// The number of the first block's kind.
    pub(super) kind: u8,
}

impl IndexEntry {
    fn join(&mut self, next: &Self) {
        self.last_time = self.last_time.max(next.last_time);
        self.records = self.records.saturating_add(next.records);
    }

    fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first_time.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.last_time.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.records.to_le_bytes());
        bytes[28] = self.kind;
        bytes
    }
}

/// The entries of an INDEX.
pub(super) fn entries(index: &[u8]) -> impl Iterator<Item = IndexEntry> + '_ {
    index.as_chunks::<ENTRY_LEN>().0.iter().map(|bytes| {
        let number =
            |at: usize, len: usize| bytes[at..at + len].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
        IndexEntry {
            offset: number(0, 8),
            first_time: number(8, 8),
            last_time: number(16, 8),
            records: u32::try_from(number(24, 4)).unwrap_or(u32::MAX),
            kind: bytes[28],
        }
    })
}

/// Why a tape was closed. The numbers are the format's and are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// A reason of a newer format.
    #[default]
    Unknown = 0,
    /// All that was to be written is written.
    Done = 1,
    /// The recording was interrupted by a signal.
    Interrupted = 2,
    /// The set goes on in the next file.
    Rotated = 3,
    /// The disk was full, or another error stopped the recording.
    Error = 4,
    /// Repair wrote the tape anew from a damaged or unfinished one.
    Repaired = 5,
}

impl CloseReason {
    /// The reason with this number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Done,
            2 => Self::Interrupted,
            3 => Self::Rotated,
            4 => Self::Error,
            5 => Self::Repaired,
            _ => Self::Unknown,
        }
    }

    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Interrupted => "interrupted",
            Self::Rotated => "rotated",
            Self::Error => "error",
            Self::Repaired => "repaired",
        }
    }
}

/// What a tape holds in all, as its writer counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Why it was closed.
    pub reason: CloseReason,
    /// Records.
    pub events: u64,
    /// Records that the recorder lost, by the tape's own [`crate::Loss`] events; damage to the tape is not in it.
    pub lost: u64,
    /// Blocks, without INDEX and END.
    pub blocks: u64,
    /// The hash of the events.
    pub content_hash: ContentHash,
    /// Where the INDEX is in the file, 0 if there is none.
    pub index_offset: u64,
}

/// Bytes of an END block's content.
pub(super) const END_LEN: usize = 56;

impl Totals {
    pub(super) fn to_bytes(self) -> [u8; END_LEN] {
        let mut bytes = [0; END_LEN];
        bytes[0] = self.reason as u8;
        bytes[8..16].copy_from_slice(&self.events.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lost.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.index_offset.to_le_bytes());
        bytes[40..].copy_from_slice(&self.content_hash.0);
        bytes
    }

    /// Reads an END block; what is behind the known fields is ignored.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<END_LEN>()?;
        let u64_at = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let mut hash = ContentHash::default();
        hash.0.copy_from_slice(&bytes[40..]);
        Some(Self {
            reason: CloseReason::from_number(bytes[0]),
            events: u64_at(8),
            lost: u64_at(16),
            blocks: u64_at(24),
            index_offset: u64_at(32),
            content_hash: hash,
        })
    }
}
