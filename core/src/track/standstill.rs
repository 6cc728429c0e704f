//! What a shard hands on, and its bound while tape time stands still.
//!
//! Stage 2 takes what was found at one moment when that moment is over, so until then it waits. A tape in which time
//! does not go on, as after a time in the far future, must not make it wait without bound, and neither must one call of
//! which very much is found: of one moment, a shard hands on so much, and the rest is dropped and counted.

use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Finding, What};
use crate::ids::ConnKey;
use crate::time::MonoNanos;

/// What one shard has found at the latest moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standstill {
    moment: MonoNanos,
    /// Memory in use by what was handed on, in bytes.
    bytes: usize,
    /// How much was dropped, and the connection of the last of it.
    dropped: Option<(u64, ConnKey)>,
}

/// Takes what is found at one moment, and drops what is too much.
#[derive(Debug)]
pub(crate) struct Outbox<'a> {
    /// The moment: the tape time reached.
    pub(crate) watermark: MonoNanos,
    standstill: Standstill,
    limit: usize,
    out: &'a mut Vec<Finding>,
}

impl<'a> Outbox<'a> {
    /// Behind what `standstill` tells of; at most `limit` bytes a moment.
    pub(super) const fn new(
        standstill: Standstill,
        watermark: MonoNanos,
        limit: usize,
        out: &'a mut Vec<Finding>,
    ) -> Self {
        Self { watermark, standstill, limit, out }
    }

    /// Something was found at position `pos` of a connection.
    pub(crate) fn push(&mut self, conn: ConnKey, pos: u64, what: What) {
        if self.watermark > self.standstill.moment {
            (self.standstill.moment, self.standstill.bytes) = (self.watermark, 0);
            self.report();
        }
        let finding = Finding { at: self.watermark, conn, pos, what };
        let bytes = self.standstill.bytes.saturating_add(finding.held_bytes());
        // Once something was dropped, so is what follows from it.
        if self.standstill.dropped.is_none() && bytes <= self.limit {
            self.standstill.bytes = bytes;
            self.out.push(finding);
        } else {
            let before = self.standstill.dropped.map_or(0, |(count, _)| count);
            self.standstill.dropped = Some((before + 1, conn));
        }
    }

    /// All was found that this event tells.
    pub(super) const fn close(self) -> Standstill {
        self.standstill
    }

    /// Says how much was dropped last.
    pub(super) fn report(&mut self) {
        if let Some((count, conn)) = self.standstill.dropped.take() {
            let what = What::Diagnostic(DiagnosticKind::StandstillOverflow, count);
            self.out.push(Finding { at: self.watermark, conn, pos: 0, what });
        }
    }
}
