//! Captures that redtape exported itself: the tape is in them, without its payload, which is in the packets.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use redtape_core::tape::{Block, Reader};
use redtape_core::{BodyBuf, ConnKey, EventBuf, RangesBuf};

use super::packets::Captured;
use super::segment;
use crate::import::limits::{EVENT_PAYLOAD, EVENTS_OF_PIECE, FLOWS, PAYLOAD_OF_PIECE};
use crate::import::transcript::Transcript;

/// Puts events and their payload together again.
pub(super) struct Exported {
    fed: u64,
    feed: Feed,
    reader: Reader<Feed>,
    block: Block,
    /// Events whose payload may follow, and bytes of it that came.
    events: Vec<EventBuf>,
    payload_bytes: usize,
    /// Where in `events` those are that have numbers, and the number of the first.
    numbered: Vec<usize>,
    first: u64,
    /// The end of the tape has come.
    ended: bool,
    conns: BTreeSet<ConnKey>,
}

/// Bytes of the tape that were not read yet: at most those of one block of the file.
#[derive(Clone, Default)]
struct Feed(Arc<Mutex<VecDeque<u8>>>);

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(out)
    }
}

impl Feed {
    fn push(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
    }
}

/// Why what a file has of a tape cannot be read, in words.
type Unread = String;

impl Exported {
    /// Takes the first piece of the tape, which is then to be [read](Self::read).
    pub(super) fn open(bytes: &[u8], transcript: &mut Transcript) -> Result<Self, Unread> {
        let feed = Feed::default();
        feed.push(bytes);
        let reader = Reader::open(feed.clone()).map_err(|error| error.to_string())?;
        transcript.adopt(reader.meta());
        Ok(Self {
            fed: bytes.len() as u64,
            feed,
            reader,
            block: Block::default(),
            events: Vec::new(),
            payload_bytes: 0,
            numbered: Vec::new(),
            first: 0,
            ended: false,
            conns: BTreeSet::new(),
        })
    }

    /// Takes the next piece of the tape: what came before it is complete.
    pub(super) fn feed(&mut self, bytes: &[u8], transcript: &mut Transcript) -> io::Result<Result<(), Unread>> {
        self.complete(transcript)?;
        if self.ended {
            return Ok(Err("something follows its end".into()));
        }
        self.fed += bytes.len() as u64;
        self.feed.push(bytes);
        self.read(transcript)
    }

    /// Reads what was fed. A piece consists of whole blocks, and nothing is asked of the reader behind them: it would take that
    /// for the end.
    pub(super) fn read(&mut self, transcript: &mut Transcript) -> io::Result<Result<(), Unread>> {
        while self.reader.bytes_read() < self.fed && !self.ended {
            match self.reader.read_block(&mut self.block) {
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
                Err(error) => return Ok(Err(error.to_string())),
            }
            let report = self.reader.report();
            if report.corrupt_blocks > 0 || report.skipped_bytes > 0 || self.ended && report.truncated {
                return Ok(Err("it is damaged".into()));
            }
            if self.events.len() > EVENTS_OF_PIECE {
                self.complete(transcript)?;
            }
        }
        Ok(Ok(()))
    }

    /// Takes a packet. Whether its payload is one of the tape's, which takes no more of an event, and of a piece, than it could have.
    pub(super) fn payload(&mut self, captured: &Captured<'_>) -> bool {
        let Some(place) = captured.place else { return false };
        let Some(segment) = segment::exported(captured.bytes, captured.len) else { return false };
        let bytes = segment.payload;
        let at = place.event.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let event = at.and_then(|at| self.numbered.get(at)).and_then(|&at| self.events.get_mut(at));
        let Some(EventBuf { body: BodyBuf::Data(data, ranges), .. }) = event else { return false };
        let end = ranges.as_ranges().iter().last().map_or(0, |(offset, bytes)| offset + bytes.len() as u64);
        let from = u64::from(place.offset);
        let full = ranges.as_ranges().captured() + bytes.len() > EVENT_PAYLOAD
            || self.payload_bytes + bytes.len() > PAYLOAD_OF_PIECE;
        if bytes.is_empty() || full || from < end || from + bytes.len() as u64 > data.len {
            return false;
        }
        self.payload_bytes += bytes.len();
        let (prefix, table, _) = ranges.as_ranges().parts();
        if from == end && table.is_empty() && end > 0 {
            *ranges = RangesBuf::prefix([prefix, bytes].concat());
        } else {
            ranges.push(place.offset, bytes);
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
        self.payload_bytes = 0;
        self.events.drain(..).try_for_each(|event| transcript.restore(&event.as_event()))
    }
}
