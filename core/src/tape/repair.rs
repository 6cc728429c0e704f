//! Repair: what can be read of a damaged or unfinished tape, as a whole one.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::block::Block;
use super::format::BlockKind;
use super::index::{CloseReason, Totals};
use super::reader::{ReadError, ReadReport, Reader};
use super::writer::{Writer, WriterOptions};

/// Why a tape cannot be repaired.
#[derive(Debug, Error)]
pub enum RepairError {
    /// The damaged tape cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new tape cannot be written.
    #[error("the repaired tape cannot be written")]
    Write(#[source] io::Error),
}

/// What repair found and wrote.
#[derive(Clone, Copy, Debug)]
pub struct Repaired {
    /// The state of the damaged tape.
    pub found: ReadReport,
    /// What the new tape holds.
    pub totals: Totals,
    /// Records that could not be read although their checksums are right.
    pub malformed: u64,
}

/// Writes all that can be read of a tape that was just opened to `out`, with a fresh INDEX and END.
///
/// Damage becomes a [`crate::Loss`] of the new tape, so that it stays known. META and the origin are kept.
///
/// # Errors
/// See [`RepairError`].
pub fn repair<R: Read, W: Write>(
    mut damaged: Reader<R>,
    out: W,
    options: WriterOptions,
) -> Result<(Repaired, W), RepairError> {
    let mut writer = Writer::new(out, damaged.meta(), options).map_err(RepairError::Write)?;
    let (mut block, mut malformed, mut snapshot) = (Block::default(), 0, None);
    while damaged.read_block(&mut block)? {
        let time = block.first_time();
        if block.kind() != BlockKind::Snapshot
            && let Some(time) = snapshot.take()
        {
            writer.snapshot(time, []).map_err(RepairError::Write)?;
        }
        match block.kind() {
            BlockKind::Snapshot => snapshot = Some(time),
            BlockKind::Note => {
                writer.annotate(block.kind(), time, &block.annotation()).map_err(RepairError::Write)?;
            }
            _ => {}
        }
        let mut events = block.events();
        for event in events.by_ref() {
            writer.push(&event).map_err(RepairError::Write)?;
        }
        malformed += events.malformed();
    }
    let (totals, out) = writer.finish(CloseReason::Repaired).map_err(RepairError::Write)?;
    Ok((Repaired { found: *damaged.report(), totals, malformed }, out))
}
