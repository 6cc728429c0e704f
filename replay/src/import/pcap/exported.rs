//! Captures that redtape exported itself: the tape is in them, without its payload, which is in the packets.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use redtape_core::tape::{Block, Reader};
use redtape_core::{BodyBuf, ConnKey, EventBuf, RangesBuf};

use super::packets::Captured;
use super::segment;
use crate::import::limits::{EVENTS_OF_PIECE, FLOWS};
use crate::import::transcript::Transcript;

/// Puts events and their payload together again.
#[derive(Default)]
pub(super) struct Exported {
    fed: u64,
    feed: Feed,
    /// `None` before the first piece, and where that is no tape's beginning.
    reader: Option<Reader<Feed>>,
    block: Block,
    /// Events whose payload may follow.
    events: Vec<EventBuf>,
    /// Where in `events` those are that have numbers, and the number of the first.
    numbered: Vec<usize>,
    first: u64,
    /// The end of the tape has come.
    ended: bool,
    conns: BTreeSet<ConnKey>,
}

/// Bytes of the tape that were not read yet.
#[derive(Clone, Default)]
struct Feed(Arc<Mutex<VecDeque<u8>>>);

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(out)
    }
}

impl Exported {
    /// Takes the next piece of the tape: what came before it is complete.
    pub(super) fn feed(&mut self, bytes: &[u8], transcript: &mut Transcript) -> io::Result<()> {
        self.complete(transcript)?;
        self.fed += bytes.len() as u64;
        self.feed.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        if self.reader.is_none() {
            self.reader = Reader::open(self.feed.clone()).ok();
            if let Some(reader) = &self.reader {
                transcript.adopt(reader.meta());
            }
        }
        // A piece consists of whole blocks, and nothing is asked of the reader behind them: it would take that for the end.
        while let Some(reader) = &mut self.reader
            && reader.bytes_read() < self.fed
            && !self.ended
        {
            match reader.read_block(&mut self.block) {
                Ok(true) => {
                    for event in self.block.events() {
                        if !event.body.is_entry() {
                            self.numbered.push(self.events.len());
                        }
                        if let Some(conn) = event.body.conn()
                            && self.conns.len() < FLOWS
                        {
                            self.conns.insert(conn);
                        }
                        self.events.push(event.into());
                    }
                }
                Ok(false) => self.ended = true,
                Err(_) => self.reader = None,
            }
            if self.events.len() > EVENTS_OF_PIECE {
                self.complete(transcript)?;
            }
        }
        Ok(())
    }

    /// Takes a packet. Whether its payload is one of the tape's.
    pub(super) fn payload(&mut self, captured: &Captured<'_>) -> bool {
        let Some(place) = captured.place else { return false };
        let Some(segment) = segment::exported(captured.bytes, captured.len) else { return false };
        let at = place.event.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let event = at.and_then(|at| self.numbered.get(at)).and_then(|&at| self.events.get_mut(at));
        let Some(EventBuf { body: BodyBuf::Data(data, ranges), .. }) = event else { return false };
        let end = ranges.as_ranges().iter().last().map_or(0, |(offset, bytes)| offset + bytes.len() as u64);
        let (from, len) = (u64::from(place.offset), segment.payload.len() as u64);
        if from < end || from + len > data.len {
            return false;
        }
        let (prefix, table, _) = ranges.as_ranges().parts();
        if from == end && table.is_empty() && end > 0 {
            *ranges = RangesBuf::prefix([prefix, segment.payload].concat());
        } else {
            ranges.push(place.offset, segment.payload);
        }
        true
    }

    /// The file ends.
    pub(super) fn finish(&mut self, transcript: &mut Transcript) -> io::Result<()> {
        self.complete(transcript)
    }

    /// Whether the tape had its end.
    pub(super) const fn is_whole(&self) -> bool {
        self.ended
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> u64 {
        self.conns.len() as u64
    }

    /// No more payload follows of the events there are.
    fn complete(&mut self, transcript: &mut Transcript) -> io::Result<()> {
        self.first += self.numbered.len() as u64;
        self.numbered.clear();
        self.events.drain(..).try_for_each(|event| transcript.restore(&event.as_event()))
    }
}
