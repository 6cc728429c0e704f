//! The footer: INDEX, where the blocks of a tape are, and END, what was written in all.

use super::format::BlockKind;
use super::hash::ContentHash;

/// Blocks that an index lists at most. A longer tape lists every second, fourth, ... block: places to seek to.
const MAX_ENTRIES: usize = 1 << 14;

/// Collects an INDEX while the tape is written.
pub(super) struct IndexBuilder {
    bytes: Vec<u8>,
    /// Of how many blocks one is listed.
    stride: u64,
    blocks: u64,
}

/// Bytes of an entry.
const ENTRY_LEN: usize = 32;

impl IndexBuilder {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new(), stride: 1, blocks: 0 }
    }

    pub(super) fn push(&mut self, kind: BlockKind, offset: u64, records: u32, first_time: u64, last_time: u64) {
        if self.blocks.is_multiple_of(self.stride) {
            for value in [offset, first_time, last_time] {
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            self.bytes.extend_from_slice(&records.to_le_bytes());
            self.bytes.extend_from_slice(&[kind as u8, 0, 0, 0]);
        }
        self.blocks += 1;
        if self.bytes.len() > MAX_ENTRIES * ENTRY_LEN {
            let entries = self.bytes.as_chunks::<ENTRY_LEN>().0.iter().step_by(2);
            self.bytes = entries.flatten().copied().collect();
            self.stride *= 2;
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
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
const END_LEN: usize = 56;

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
