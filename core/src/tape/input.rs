//! The reader's window on its input: as many bytes ahead as a block needs, and the search for the next block in damage.

use std::io::{self, Read};

use memchr::memmem;

use super::format::{HEADER_LEN, Header, SYNC};

/// Bytes that are asked for at once.
const CHUNK: usize = 64 << 10;

pub(super) struct Input<R> {
    read: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Where `start` is in the file.
    offset: u64,
}

impl<R: Read> Input<R> {
    pub(super) const fn new(read: R) -> Self {
        Self { read, buffer: Vec::new(), start: 0, end: 0, ended: false, offset: 0 }
    }

    /// An input that begins in the middle of a file.
    pub(super) fn at(read: R, offset: u64) -> Self {
        Self { offset, ..Self::new(read) }
    }

    /// Where the window begins in the file.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes that are there.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Gets `wanted` bytes there; fewer only if the input ends before.
    pub(super) fn fill(&mut self, wanted: usize) -> io::Result<&[u8]> {
        while self.end - self.start < wanted && !self.ended {
            if self.start + wanted > self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
                if wanted > self.buffer.len() {
                    self.buffer.resize(wanted.next_multiple_of(CHUNK), 0);
                }
            }
            match self.read.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(got) => self.end += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.bytes())
    }

    /// Drops bytes from the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Drops bytes, at least one, up to the next block header or to the end. Returns how many.
    pub(super) fn resync(&mut self) -> io::Result<u64> {
        let begin = self.offset;
        self.consume(1);
        loop {
            let bytes = self.fill(HEADER_LEN)?;
            if bytes.len() < HEADER_LEN {
                let rest = bytes.len();
                self.consume(rest);
                return Ok(self.offset - begin);
            }
            match memmem::find(bytes, &SYNC) {
                Some(0) => {
                    if bytes.first_chunk().is_some_and(|header| Header::parse(header).is_ok()) {
                        return Ok(self.offset - begin);
                    }
                    self.consume(1);
                }
                Some(at) => self.consume(at),
                // The last bytes may be the beginning of a sync word.
                None => {
                    let clear = bytes.len() - (SYNC.len() - 1);
                    self.consume(clear);
                }
            }
        }
    }
}
