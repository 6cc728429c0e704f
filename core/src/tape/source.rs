//! Where events come from: a file, a pipe, a generator, or several tapes at once.

use std::io::Read;

use super::block::{Block, Cursor, plain};
use super::reader::{ReadError, Reader};
use crate::event::{Body, Event};
use crate::time::{ClockAnchor, MonoNanos};

/// A source of events in order of time.
pub trait EventSource {
    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// See [`ReadError`]. Damage is no error: it comes as [`crate::Loss`] events.
    fn next_event(&mut self) -> Result<Option<Event<'_>>, ReadError>;
}

/// The events of one tape.
pub struct TapeSource<R> {
    reader: Reader<R>,
    block: Block,
    cursor: Cursor,
    malformed: u64,
}

impl<R: Read> TapeSource<R> {
    /// The events of a tape that was just opened.
    pub fn new(reader: Reader<R>) -> Self {
        Self { reader, block: Block::default(), cursor: Cursor::default(), malformed: 0 }
    }

    /// The reader, which knows META and the state of the tape.
    pub const fn reader(&self) -> &Reader<R> {
        &self.reader
    }

    /// How many records could not be read, although their checksums are right.
    pub const fn malformed(&self) -> u64 {
        self.malformed + self.cursor.malformed
    }

    /// The time of the next event; `None` at the end.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn peek_time(&mut self) -> Result<Option<MonoNanos>, ReadError> {
        Ok(if self.advance()? { Some(self.cursor.peek_time(&self.block)) } else { None })
    }

    /// The first reading of the clocks, if the tape begins with it, as recorded tapes do.
    pub(super) fn first_anchor(&mut self) -> Result<Option<ClockAnchor>, ReadError> {
        self.advance()?;
        Ok(self.block.events().find_map(|event| match event.body {
            Body::Clock { anchor, .. } => Some(anchor),
            _ => None,
        }))
    }

    /// Adds `nanos` to all times. Nothing may have been taken yet.
    pub(super) fn shift_times(&mut self, nanos: i64) {
        self.reader.shift_times(nanos);
        self.block.shift_times(nanos);
    }

    /// Reads blocks until there is one with an event at the cursor. `false` at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
        while !self.cursor.has_next(&self.block) {
            self.malformed += self.cursor.malformed;
            self.cursor = Cursor::default();
            if !self.reader.read_block(&mut self.block)? {
                self.block = Block::default();
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<R: Read> EventSource for TapeSource<R> {
    fn next_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        if !self.advance()? {
            return Ok(None);
        }
        // Where a block ends in records that cannot be read, all that is left to tell is how far its time goes.
        let end = plain(self.block.last_time(), Body::Tick);
        Ok(Some(self.cursor.next(&self.block, &mut |_| true).unwrap_or(end)))
    }
}
