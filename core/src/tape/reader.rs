//! The reader: blocks from any stream, also from a damaged, unfinished or newer tape.

use std::io::{self, Read};

use thiserror::Error;

use super::block::Block;
use super::compress::Decompressor;
use super::format::{
    BlockKind, FormatVersion, HEADER_LEN, Header, MAX_RAW, PREAMBLE_LEN, Preamble, codec_number, parse_preamble,
};
use super::index::Totals;
use super::input::Input;
use super::meta::Meta;
use super::seek::Place;
use crate::event::{Loss, LossCause};
use crate::time::MonoNanos;

/// Why a tape cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// It does not begin like a tape.
    #[error("not a tape: the file does not begin with a tape's magic bytes")]
    NotATape,
    /// The first 16 bytes are damaged, so that not even the version is known.
    #[error("the tape's first 16 bytes are damaged: their checksum is wrong")]
    DamagedPreamble,
    /// It is of a version that this build does not read.
    #[error(
        "the tape has format {tape}, and this build reads {supported} only: use a redtape that reads {tape}, or record again"
    )]
    Version {
        /// The tape's version.
        tape: FormatVersion,
        /// This build's.
        supported: FormatVersion,
    },
    /// The input failed.
    #[error("the tape cannot be read")]
    Io(#[from] io::Error),
}

/// Why a tape cannot be read on. Damage and truncation are no errors; see [`ReadReport`].
#[derive(Debug, Error)]
pub enum ReadError {
    /// A block that must be understood is of a newer version.
    #[error("byte {offset}: a block of kind {kind} that must be understood needs a redtape that reads format {needed}")]
    Unsupported {
        /// Where the block begins.
        offset: u64,
        /// The number of its kind.
        kind: u8,
        /// The tape's version.
        needed: FormatVersion,
    },
    /// The input failed.
    #[error("the tape cannot be read on from byte {offset}")]
    Io {
        /// How far it was read.
        offset: u64,
        /// What failed.
        source: io::Error,
    },
}

/// In what state a tape was found. Complete once [`Reader::read_block`] has returned `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadReport {
    /// The tape was not closed: its end is missing.
    pub truncated: bool,
    /// Blocks that were whole, but damaged or out of order.
    pub corrupt_blocks: u64,
    /// Bytes that were skipped because of damage or truncation.
    pub skipped_bytes: u64,
    /// Blocks of which nothing is left, by the numbers of the others.
    pub missing_blocks: u64,
    /// Blocks of kinds that only newer versions know, and may be left out.
    pub unknown_blocks: u64,
    /// Records, in blocks that were read, of kinds that only newer versions know.
    pub unknown_records: u64,
    /// Blocks that were read.
    pub blocks: u64,
    /// Records in them.
    pub events: u64,
    /// What the writer counted; `None` if the tape was not closed.
    pub totals: Option<Totals>,
}

impl ReadReport {
    /// Records that the writer counted and the reader did not see; 0 if the tape was not closed.
    pub fn missing_events(&self) -> u64 {
        self.totals.map_or(0, |totals| totals.events.saturating_sub(self.events))
    }

    /// Whether all that was written was read.
    pub fn is_whole(&self) -> bool {
        let Self { truncated, corrupt_blocks, skipped_bytes, missing_blocks, .. } = *self;
        !truncated
            && corrupt_blocks == 0
            && skipped_bytes == 0
            && missing_blocks == 0
            && self.totals.is_some_and(|totals| totals.events == self.events)
    }
}

/// Reads a tape, block by block, from its beginning to its end.
pub struct Reader<R> {
    input: Input<R>,
    decompressor: Decompressor,
    version: FormatVersion,
    meta: Meta,
    report: ReadReport,
    /// The number that the next block should have.
    next_seq: u32,
    /// The latest time of the blocks that were read.
    last_time: Option<u64>,
    /// What is added to all times.
    shift: i64,
    /// Bytes whose checksum was computed for nothing.
    futile_bytes: u64,
    /// Files of the set are missing before this one; the last one before them ended then.
    missing_before: Option<u64>,
    done: bool,
}

/// How many times the bytes that were read may be read again in search of blocks. Chance damage needs them once.
const FUTILE_FACTOR: u64 = 4;

/// What is at a place of the tape where a block should begin.
enum Found {
    Block(Header),
    /// No header, or one whose block is cut off.
    Damage,
    /// A whole block whose content is damaged.
    CorruptBlock(Header),
    End,
}

impl<R: Read> Reader<R> {
    /// Opens a tape: reads its preamble and META.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(read: R) -> Result<Self, OpenError> {
        Self::open_as(read, FormatVersion::CURRENT)
    }

    /// Opens a tape like a build that supports another version: tests of the rules for versions use it.
    pub(super) fn open_as(read: R, supported: FormatVersion) -> Result<Self, OpenError> {
        let mut input = Input::new(read);
        let bytes = input.fill(PREAMBLE_LEN)?;
        if bytes.is_empty() {
            return Err(OpenError::Empty);
        }
        let version = match bytes.first_chunk().map(parse_preamble) {
            None | Some(Preamble::NotATape) => return Err(OpenError::NotATape),
            Some(Preamble::Damaged) => return Err(OpenError::DamagedPreamble),
            Some(Preamble::Tape(tape)) if !supported.reads(tape) => return Err(OpenError::Version { tape, supported }),
            Some(Preamble::Tape(tape)) => tape,
        };
        input.consume(PREAMBLE_LEN);
        let mut reader = Self {
            input,
            decompressor: Decompressor::new()?,
            version,
            meta: Meta::default(),
            report: ReadReport::default(),
            next_seq: 0,
            last_time: None,
            shift: 0,
            futile_bytes: 0,
            missing_before: None,
            done: false,
        };
        // A damaged META costs its facts, not the tape: the block is then met again, as damage, by the first read.
        let mut block = Block::default();
        if let Found::Block(header) = reader.find()?
            && header.known_kind() == Some(BlockKind::Meta)
            && reader.load(BlockKind::Meta, &header, &mut block)
        {
            reader.meta = Meta::decode(&block.raw);
            reader.next_seq = header.seq.wrapping_add(1);
            reader.input.consume(HEADER_LEN + header.stored_len());
        }
        Ok(reader)
    }

    /// Who wrote the tape, where and how. Empty where META is damaged.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The version of the tape's format.
    pub const fn version(&self) -> FormatVersion {
        self.version
    }

    /// In what state the tape is, as far as it was read.
    pub const fn report(&self) -> &ReadReport {
        &self.report
    }

    /// How many bytes of the tape have been read.
    pub const fn bytes_read(&self) -> u64 {
        self.input.offset()
    }

    /// Reads on with `read`, which is the same tape from `place` on; what is passed over counts as read.
    pub fn read_on(&mut self, read: R, place: &Place) {
        self.input = Input::at(read, place.offset);
        (self.report.blocks, self.report.events) = (place.blocks, place.records);
        self.next_seq = place.seq;
        self.last_time = Some(place.last_time);
    }

    /// Adds `nanos` to all times from here on, so that tapes of several hosts can be put on one clock.
    pub const fn shift_times(&mut self, nanos: i64) {
        self.shift = nanos;
    }

    /// Tells of files of a set that are missing between the one that ended at `last_time` and this one: the first block that
    /// is read begins with a [`Loss`].
    pub const fn after_missing_file(&mut self, last_time: MonoNanos) {
        self.missing_before = Some(last_time.nanos());
    }

    /// Reads the next block into `block`, whose buffers are used again. `false` at the end.
    ///
    /// Where something is missing, the block that follows begins with a [`Loss`]; where the tape ends too early, its
    /// last block consists of one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_block(&mut self, block: &mut Block) -> Result<bool, ReadError> {
        if self.done {
            return Ok(false);
        }
        let mut hole = Hole { open: self.missing_before.is_some(), bytes: 0 };
        self.last_time = self.last_time.max(self.missing_before.take());
        loop {
            let header = match self.find().map_err(|source| self.io_error(source))? {
                Found::Block(header) => header,
                Found::Damage => {
                    hole.add(self.input.resync().map_err(|source| self.io_error(source))?);
                    continue;
                }
                Found::CorruptBlock(header) => {
                    self.skip_corrupt(&header, &mut hole);
                    continue;
                }
                Found::End => return Ok(self.end(block, hole)),
            };
            let len = HEADER_LEN + header.stored_len();
            let Some(kind) = header.known_kind() else {
                self.skip_unknown(&header)?;
                continue;
            };
            if header.seq < self.next_seq {
                self.skip_corrupt(&header, &mut hole);
                continue;
            }
            if header.seq > self.next_seq {
                hole.open = true;
                self.report.missing_blocks += u64::from(header.seq - self.next_seq);
            }
            if !self.load(kind, &header, block) {
                self.skip_corrupt(&header, &mut hole);
                continue;
            }
            self.input.consume(len);
            self.next_seq = header.seq.saturating_add(1);
            match kind {
                BlockKind::Meta | BlockKind::Index => continue,
                BlockKind::End => {
                    self.report.totals = Totals::parse(&block.raw);
                    return Ok(self.end(block, hole));
                }
                _ => {}
            }
            self.report.blocks += 1;
            self.report.events += u64::from(header.records);
            self.report.unknown_records += block.unknown_records();
            if hole.open {
                self.report.skipped_bytes += hole.bytes;
                let from =
                    MonoNanos::new(self.last_time.unwrap_or(header.first_time).saturating_add_signed(self.shift));
                let to = block.first_time().max(from);
                let loss = Loss { cause: LossCause::Corrupt, count: hole.bytes, from, to, origin: None };
                block.set_loss(loss);
            }
            self.last_time = self.last_time.max(Some(header.last_time));
            return Ok(true);
        }
    }

    /// Looks at what is next, and gets all of it into the window.
    fn find(&mut self) -> io::Result<Found> {
        let bytes = self.input.fill(HEADER_LEN)?;
        if bytes.is_empty() {
            return Ok(Found::End);
        }
        let Some(Ok(header)) = bytes.first_chunk().map(Header::parse) else { return Ok(Found::Damage) };
        // Headers that lie within what others claim, or claim the same bytes, must not have all of them read each time.
        if self.futile_bytes / FUTILE_FACTOR > self.input.offset() + MAX_RAW as u64 {
            return Ok(Found::Damage);
        }
        let len = HEADER_LEN + header.stored_len();
        let Some(content) = self.input.fill(len)?.get(HEADER_LEN..len) else { return Ok(Found::Damage) };
        if crc32c::crc32c(content) == header.stored_crc {
            return Ok(Found::Block(header));
        }
        // If a block follows where this one ends, only its content is damaged; otherwise bytes were lost or added.
        let after = self.input.fill(len + HEADER_LEN)?.get(len..).unwrap_or_default();
        let followed = after.first_chunk().map_or(after.is_empty(), |next| Header::parse(next).is_ok());
        if followed {
            return Ok(Found::CorruptBlock(header));
        }
        self.futile_bytes += len as u64;
        Ok(Found::Damage)
    }

    /// Decompresses the block in the window and reads its dictionary. `false` if that fails.
    fn load(&mut self, kind: BlockKind, header: &Header, block: &mut Block) -> bool {
        let len = HEADER_LEN + header.stored_len();
        let Some(stored) = self.input.bytes().get(HEADER_LEN..len) else { return false };
        let whole = match header.codec {
            codec_number::NONE => {
                block.raw.clear();
                block.raw.extend_from_slice(stored);
                stored.len() == header.raw_len()
            }
            _ => {
                block.raw.resize(header.raw_len(), 0);
                self.decompressor.decompress(stored, &mut block.raw)
            }
        };
        whole && block.load(kind, header, self.shift).is_some()
    }

    fn skip_corrupt(&mut self, header: &Header, hole: &mut Hole) {
        let len = HEADER_LEN + header.stored_len();
        self.input.consume(len);
        if header.seq == self.next_seq {
            self.next_seq = self.next_seq.saturating_add(1);
        }
        self.report.corrupt_blocks += 1;
        hole.add(len as u64);
    }

    fn skip_unknown(&mut self, header: &Header) -> Result<(), ReadError> {
        if header.critical() {
            self.done = true;
            let (offset, needed) = (self.input.offset(), self.version);
            return Err(ReadError::Unsupported { offset, kind: header.kind, needed });
        }
        self.report.unknown_blocks += 1;
        self.input.consume(HEADER_LEN + header.stored_len());
        // A newer writer numbers its blocks with the others; a block put in by another tool has any number.
        if header.seq == self.next_seq {
            self.next_seq = self.next_seq.saturating_add(1);
        }
        Ok(())
    }

    /// The tape is over. If it should not be, or something was missing before, one more block says so.
    fn end(&mut self, block: &mut Block, hole: Hole) -> bool {
        self.done = true;
        self.report.truncated = self.report.totals.is_none();
        self.report.skipped_bytes += hole.bytes;
        let cause = if self.report.truncated { LossCause::Truncated } else { LossCause::Corrupt };
        let from = MonoNanos::new(self.last_time.unwrap_or_default().saturating_add_signed(self.shift));
        if self.report.truncated || hole.open {
            block.become_loss(Loss { cause, count: hole.bytes, from, to: MonoNanos::MAX, origin: None });
            return true;
        }
        false
    }

    fn io_error(&self, source: io::Error) -> ReadError {
        ReadError::Io { offset: self.input.offset(), source }
    }
}

/// What is missing before a block.
#[derive(Default)]
struct Hole {
    open: bool,
    bytes: u64,
}

impl Hole {
    fn add(&mut self, bytes: u64) {
        self.open = true;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::preamble;
    use super::*;

    #[test]
    fn headers_that_claim_the_same_bytes_do_not_have_them_read_each_time() {
        const CLAIM: u32 = 256 << 10;
        let mut header = Header::new(BlockKind::Events, 1);
        (header.stored_len, header.raw_len) = (CLAIM, CLAIM);
        let mut tape = preamble(FormatVersion::CURRENT).to_vec();
        (0..2 * MAX_RAW / HEADER_LEN).for_each(|_| tape.extend_from_slice(&header.to_bytes()));
        let mut reader = Reader::open(&tape[..]).unwrap();
        while reader.read_block(&mut Block::default()).unwrap() {}
        let most = FUTILE_FACTOR * (tape.len() + MAX_RAW + 1) as u64 + u64::from(CLAIM);
        assert!(reader.futile_bytes <= most, "{} of {} bytes", reader.futile_bytes, tape.len());
        assert!(reader.futile_bytes > tape.len() as u64, "the test tests something");
        assert_eq!(reader.report().skipped_bytes, (tape.len() - PREAMBLE_LEN) as u64);
    }
}
