//! Bounds what a shard finds while tape time stands still.
//!
//! Stage 2 takes what was found at one moment when that moment is over, so until then it waits. A tape in which time
//! does not go on, as after a time in the far future, must not make it wait without bound: of one moment, a shard hands
//! on so much, and the rest is dropped and counted.

use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Finding, What};
use crate::ids::ConnKey;
use crate::time::MonoNanos;

/// What one shard has found at the latest moment.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    moment: MonoNanos,
    /// Memory in use by what was handed on, in bytes.
    bytes: usize,
    /// How much was dropped, and the connection of the last of it.
    dropped: Option<(u64, ConnKey)>,
}

impl Standstill {
    /// Takes account of what was found since `out` had the length `before`, and drops what is too much.
    pub(super) fn admit(&mut self, before: usize, limit: usize, watermark: MonoNanos, out: &mut Vec<Finding>) {
        let over = if watermark > self.moment {
            (self.moment, self.bytes) = (watermark, 0);
            self.dropped.take()
        } else {
            None
        };
        let mut kept = before;
        // Once something was dropped, so is what follows from it.
        while let Some(finding) = out.get(kept).filter(|_| self.dropped.is_none()) {
            let bytes = self.bytes.saturating_add(finding.held_bytes());
            if bytes > limit {
                break;
            }
            (self.bytes, kept) = (bytes, kept + 1);
        }
        if let Some(last) = out.get(kept..).and_then(<[_]>::last) {
            let before = self.dropped.map_or(0, |(count, _)| count);
            self.dropped = Some((before + (out.len() - kept) as u64, last.conn));
            out.truncate(kept);
        }
        report(over, watermark, out);
    }

    /// Says how much was dropped last; the tape is over.
    pub(super) fn finish(&mut self, watermark: MonoNanos, out: &mut Vec<Finding>) {
        report(self.dropped.take(), watermark, out);
    }
}

fn report(dropped: Option<(u64, ConnKey)>, watermark: MonoNanos, out: &mut Vec<Finding>) {
    if let Some((count, conn)) = dropped {
        let what = What::Diagnostic(DiagnosticKind::StandstillOverflow, count);
        out.push(Finding { at: watermark, conn, pos: 0, what });
    }
}
