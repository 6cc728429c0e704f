//! The total order of what stage 1 finds: by the tape time at which a thing became final, then connection, then byte
//! position.

use crate::exchange::{Finding, What};
use crate::time::MonoNanos;

/// How far a tape has come: the latest time of all events so far.
///
/// The events of a tape are in order but for late ones, which count at the watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark(MonoNanos);

impl Watermark {
    /// Takes the next event's time in; returns where the tape is then.
    pub fn admit(&mut self, time: MonoNanos) -> MonoNanos {
        self.0 = self.0.max(time);
        self.0
    }

    /// Where the tape is.
    pub const fn now(&self) -> MonoNanos {
        self.0
    }
}

/// Findings that wait for their turn. Those of the latest moment wait until time has gone on: other shards may have
/// more of the same moment. Each shard bounds what it finds at one moment
/// ([`Limits::shard_moment_bytes`](crate::Limits::shard_moment_bytes)), and so these are bounded.
#[derive(Debug, Default)]
pub struct Merge {
    pending: Vec<Finding>,
}

impl Merge {
    /// Where to put new findings, in any order.
    pub const fn pending(&mut self) -> &mut Vec<Finding> {
        &mut self.pending
    }

    /// Takes all findings from before `now`, in order.
    pub fn before(&mut self, now: MonoNanos) -> impl Iterator<Item = Finding> + '_ {
        let end = self.sort_until(|finding| finding.at < now);
        self.pending.drain(..end)
    }

    /// Takes all findings, in order.
    pub fn all(&mut self) -> impl Iterator<Item = Finding> + '_ {
        let end = self.sort_until(|_| true);
        self.pending.drain(..end)
    }

    fn sort_until(&mut self, due: impl Fn(&Finding) -> bool) -> usize {
        if self.pending.iter().any(&due) {
            // Stable: what one connection says of one place keeps its order.
            self.pending.sort_by_key(|finding| (finding.at, finding.conn, finding.pos, rank(&finding.what)));
        }
        self.pending.partition_point(due)
    }
}

const fn rank(what: &What) -> u8 {
    match what {
        What::Opened(_) | What::Learned(_) => 0,
        What::Started(_) => 1,
        What::NotAlone => 2,
        What::Ended(_) => 3,
        What::Diagnostic(..) => 4,
        What::Closed => 5,
    }
}
