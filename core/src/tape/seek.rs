//! Finds the block to begin with, by INDEX, where only events from some moment on are wanted.
//!
//! INDEX is believed in nothing: the headers of all blocks that are to be passed over are read, and must say what it says.

use std::io::{self, Read, Seek, SeekFrom};

use super::format::{BlockKind, HEADER_LEN, Header, PREAMBLE_LEN, codec_number};
use super::index::{END_LEN, IndexEntry, Totals, entries};
use crate::time::MonoNanos;

/// Where to read on, and what was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the block begins in the file.
    pub offset: u64,
    /// Its number.
    pub(super) seq: u32,
    /// The blocks before it, without META.
    pub(super) blocks: u64,
    /// Their records.
    pub(super) records: u64,
    /// Their latest time.
    pub(super) last_time: u64,
}

impl Place {
    /// The last place in a tape before which there are no events of `from` or later.
    ///
    /// `None` if the tape was not closed, has no INDEX, or one that is not right: then it has to be read from its beginning.
    ///
    /// # Errors
    /// What the file reports, but for an unexpected end.
    pub fn find(file: &mut (impl Read + Seek), from: MonoNanos) -> io::Result<Option<Self>> {
        match find(file, from) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            found => found,
        }
    }
}

fn find(file: &mut (impl Read + Seek), from: MonoNanos) -> io::Result<Option<Place>> {
    let size = file.seek(SeekFrom::End(0))?;
    let Some(end) = size.checked_sub((HEADER_LEN + END_LEN) as u64) else { return Ok(None) };
    let Some(totals) = content(file, end, BlockKind::End)?.and_then(|end| Totals::parse(&end)) else { return Ok(None) };
    if totals.index_offset == 0 || totals.index_offset >= end {
        return Ok(None);
    }
    let Some(index) = content(file, totals.index_offset, BlockKind::Index)? else { return Ok(None) };
    let mut place = Place { offset: PREAMBLE_LEN as u64, seq: 0, blocks: 0, records: 0, last_time: 0 };
    let mut entries = entries(&index).peekable();
    while let Some(entry) = entries.next() {
        if entry.offset != place.offset {
            return Ok(None);
        }
        let until = entries.peek().map(|next| next.offset);
        let Some(until) = until.filter(|_| entry.last_time < from.nanos()) else { return Ok(Some(place)) };
        if until <= entry.offset || until >= totals.index_offset || !pass(file, &entry, until, &mut place)? {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Goes over the blocks of an entry. False if their headers do not say what the entry says.
fn pass(file: &mut (impl Read + Seek), entry: &IndexEntry, until: u64, place: &mut Place) -> io::Result<bool> {
    let (mut records, mut last_time) = (0_u64, 0);
    while place.offset < until {
        let Some(header) = header(file, place.offset)? else { return Ok(false) };
        let Some(kind) = header.known_kind().filter(|_| header.seq == place.seq) else { return Ok(false) };
        records += u64::from(header.records);
        last_time = header.last_time.max(last_time);
        place.offset += (HEADER_LEN + header.stored_len()) as u64;
        place.seq = place.seq.saturating_add(1);
        place.blocks += u64::from(kind != BlockKind::Meta);
    }
    place.records += records;
    place.last_time = place.last_time.max(last_time);
    Ok(place.offset == until && (records, last_time) == (u64::from(entry.records), entry.last_time))
}

fn header(file: &mut (impl Read + Seek), offset: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_LEN];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(Header::parse(&bytes).ok())
}

/// The content of an uncompressed block of this kind.
fn content(file: &mut (impl Read + Seek), offset: u64, kind: BlockKind) -> io::Result<Option<Vec<u8>>> {
    let Some(header) = header(file, offset)? else { return Ok(None) };
    if header.known_kind() != Some(kind) || header.codec != codec_number::NONE {
        return Ok(None);
    }
    let mut content = vec![0; header.stored_len()];
    file.read_exact(&mut content)?;
    Ok((crc32c::crc32c(&content) == header.stored_crc).then_some(content))
}
