//! Stage 1: the virtual shards, or a part of them.

use crate::event::{Body, Event};
use crate::exchange::Finding;
use crate::ids::ConnKey;
use crate::limits::{Limits, SHARDS};
use crate::time::MonoNanos;
use crate::track::{Conn, Shard, shard_of};

/// Which of the virtual shards: every `of`th, beginning with number `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 0 to `of - 1`.
    pub index: usize,
    /// How many parts there are, at least 1.
    pub of: usize,
}

impl Part {
    /// All shards.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether a connection is in this part.
    pub fn has(&self, conn: ConnKey) -> bool {
        shard_of(conn) % self.of == self.index
    }
}

/// The virtual shards of one part.
#[derive(Debug)]
pub struct Stage1 {
    part: Part,
    shards: Vec<Shard>,
}

impl Stage1 {
    /// The shards of `part`, empty.
    pub fn new(part: Part, limits: &Limits) -> Self {
        let mine = (0..SHARDS).filter(|shard| shard % part.of == part.index);
        Self { part, shards: mine.map(|_| Shard::new(limits)).collect() }
    }

    /// Takes an event in, the tape being at `watermark`. Events of other parts' connections must not be given.
    pub fn push(&mut self, event: &Event<'_>, watermark: MonoNanos, out: &mut Vec<Finding>) {
        if let Some(conn) = event.body.conn() {
            self.shards[shard_of(conn) / self.part.of].push(event, watermark, out);
            return;
        }
        match event.body {
            Body::Tick => self.shards.iter_mut().for_each(|shard| shard.advance(watermark, out)),
            Body::Loss(loss) => self.shards.iter_mut().for_each(|shard| shard.lose(&loss)),
            _ => {}
        }
    }

    /// A connection that is followed.
    pub(crate) fn conn(&self, key: ConnKey) -> Option<&Conn> {
        self.shards.get(shard_of(key) / self.part.of)?.conn(key)
    }

    /// The tape is over: whatever is open ends, incomplete.
    pub fn finish(&mut self, watermark: MonoNanos, out: &mut Vec<Finding>) {
        self.shards.iter_mut().for_each(|shard| shard.finish(watermark, out));
    }
}
