//! The writer: events to blocks. What it has written stays readable, whatever happens to it afterwards.

use std::io::{self, Write};

use super::codec::put_varint;
use super::compress::Compressor;
use super::format::{
    BlockKind, FormatVersion, HEADER_LEN, Header, MAX_EXPANSION, MAX_RAW, MAX_RECORD, codec_number, preamble,
};
use super::hash::ContentHasher;
use super::index::{CloseReason, IndexBuilder, IndexEntry, Totals};
use super::meta::{Meta, put_pairs};
use super::record::{self, Refs};
use super::roster::{DictionaryBuilder, Roster};
use crate::event::{Body, Event, LossCause};
use crate::facts::ConnInfo;
use crate::time::MonoNanos;

/// How blocks are cut and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// Compress blocks.
    pub compress: bool,
    /// A block is closed before it exceeds this many bytes, decompressed; at most 2 MiB.
    pub block_bytes: usize,
    /// A block is closed when its first event is this old, in nanoseconds.
    pub block_nanos: u64,
}

impl WriterOptions {
    /// For files: blocks of 256 KiB or 1 s, compressed.
    pub const FILE: Self = Self { compress: true, block_bytes: 256 << 10, block_nanos: 1_000_000_000 };

    /// For pipes, where latency counts: blocks of 256 KiB or 100 ms, not compressed.
    pub const PIPE: Self = Self { compress: false, block_bytes: 256 << 10, block_nanos: 100_000_000 };
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self::FILE
    }
}

/// Writes a tape. Each block is one write, so a tape that is cut at any moment loses at most its last block.
///
/// After an error nothing more can be written: every later call fails too.
pub struct Writer<W: Write> {
    out: W,
    options: WriterOptions,
    compressor: Compressor,
    roster: Roster,
    pending: Pending,
    hasher: ContentHasher,
    index: IndexBuilder,
    totals: Totals,
    /// The block that is being written: room for its header, and its content.
    raw: Vec<u8>,
    /// The same, compressed.
    stored: Vec<u8>,
    scratch: Vec<u8>,
    seq: u32,
    offset: u64,
    failed: bool,
}

/// The block being built.
#[derive(Default)]
struct Pending {
    kind: BlockKind,
    dictionary: DictionaryBuilder,
    bytes: Vec<u8>,
    records: u32,
    first_time: MonoNanos,
    last_time: MonoNanos,
    /// The time of the last record.
    previous: MonoNanos,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.records == 0 && self.dictionary.is_empty()
    }

    fn len(&self) -> usize {
        self.dictionary.len() + self.bytes.len()
    }
}

impl<W: Write> Writer<W> {
    /// Begins a tape: writes its preamble and META at once.
    ///
    /// # Errors
    /// What `out` reports.
    pub fn new(out: W, meta: &Meta, options: WriterOptions) -> io::Result<Self> {
        let mut writer = Self {
            out,
            options: WriterOptions { block_bytes: options.block_bytes.min(MAX_RAW / 2), ..options },
            compressor: Compressor::new()?,
            roster: Roster::new(meta.origin),
            pending: Pending::default(),
            hasher: ContentHasher::new(),
            index: IndexBuilder::new(),
            totals: Totals::default(),
            raw: vec![0; HEADER_LEN],
            stored: Vec::new(),
            scratch: Vec::new(),
            seq: 0,
            offset: 0,
            failed: false,
        };
        let preamble = preamble(FormatVersion::CURRENT);
        writer.out.write_all(&preamble)?;
        writer.offset = preamble.len() as u64;
        meta.encode(&mut writer.raw);
        writer.write_block(BlockKind::Meta, MonoNanos::ZERO, MonoNanos::ZERO, 0)?;
        Ok(writer)
    }

    /// Takes an event. It is written when its block is full or old enough.
    ///
    /// [`Body::Connection`] and [`Body::Process`] are only remembered; each block has those that its events name.
    /// [`Body::Enrich`] is written as [`Writer::enrich`] does.
    ///
    /// # Errors
    /// What the output reports; [`io::ErrorKind::InvalidInput`], without consequence, for an event of more than 256 KiB.
    pub fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.check()?;
        let Some(number) = record::number(&event.body) else {
            match event.body {
                Body::Connection(info) => self.roster.learn_conn(info),
                Body::Process(info) => {
                    if self.roster.is_outdated(info) {
                        self.close_block()?;
                    }
                    self.roster.learn_process(info);
                }
                Body::Enrich(facts) => return self.enrich(event.time, facts),
                _ => {}
            }
            return Ok(());
        };
        let (prefix, table, rest) = record::payload(&event.body);
        let payload = prefix.len() + table.len() + rest.len();
        let most = payload + event.ext.0.len() + MAX_HEAD;
        if most > MAX_RECORD {
            let message = format!("an event of {most} bytes; at most {MAX_RECORD} fit a tape");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let kind = match event.body {
            Body::Clock { .. } => BlockKind::Clock,
            Body::Loss(_) => BlockKind::Loss,
            _ => BlockKind::Events,
        };
        self.make_room(kind, event.time, most)?;
        self.roster.at_event(event.time);
        let pending = &mut self.pending;
        let (conn, conn_digest) = event.body.conn().map(|key| self.roster.conn(key, &mut pending.dictionary)).unzip();
        let process = record::process(&event.body);
        let (process, process_digest) = process.map(|key| self.roster.process(key, &mut pending.dictionary)).unzip();
        let origin = match event.body {
            Body::Clock { origin, .. } => pending.dictionary.origin(origin),
            _ => 0,
        };
        let refs = Refs { conn: conn.unwrap_or_default(), process: process.unwrap_or_default(), origin };
        self.scratch.clear();
        let head = record::put_record(event, number, pending.previous.nanos(), refs, &mut self.scratch);
        put_varint((self.scratch.len() + payload) as u64, &mut pending.bytes);
        for part in [&self.scratch[..], prefix, table, rest] {
            pending.bytes.extend_from_slice(part);
        }
        pending.records += 1;
        pending.previous = event.time;
        pending.last_time = pending.last_time.max(event.time);
        let head = self.scratch.get(head..).unwrap_or_default();
        self.hasher.push(event, head, conn_digest.unwrap_or_default(), process_digest.unwrap_or_default());
        self.count(&event.body, event.time);
        Ok(())
    }

    fn count(&mut self, body: &Body<'_>, time: MonoNanos) {
        self.totals.events += 1;
        match body {
            Body::Close { conn } => self.roster.end_conn(*conn, time),
            Body::Exit { process } => self.roster.end_process(*process, time),
            Body::Loss(loss) if !matches!(loss.cause, LossCause::Corrupt | LossCause::Truncated) => {
                self.totals.lost = self.totals.lost.saturating_add(loss.count);
            }
            _ => {}
        }
    }

    /// Closes the block being built, if an event of `kind` and `bytes` at `time` has no place in it.
    fn make_room(&mut self, kind: BlockKind, time: MonoNanos, bytes: usize) -> io::Result<()> {
        let pending = &self.pending;
        let full = pending.len() + bytes > self.options.block_bytes || pending.dictionary.is_full();
        if !pending.is_empty() && (pending.kind != kind || full || self.is_due(time)) {
            self.close_block()?;
        }
        if self.pending.is_empty() {
            (self.pending.kind, self.pending.previous) = (kind, time);
            (self.pending.first_time, self.pending.last_time) = (time, time);
        }
        Ok(())
    }

    fn is_due(&self, now: MonoNanos) -> bool {
        now.since(self.pending.first_time) >= self.options.block_nanos
    }

    /// Writes the connections and processes that are known as open and alive: those of `conns`, and all that were
    /// pushed as [`Body::Connection`] and [`Body::Process`] and did not end.
    ///
    /// # Errors
    /// What the output reports.
    pub fn snapshot<'a>(&mut self, time: MonoNanos, conns: impl IntoIterator<Item = &'a ConnInfo>) -> io::Result<()> {
        self.check()?;
        for info in conns {
            self.roster.learn_conn(info);
        }
        let (conns, procs) = self.roster.alive();
        for key in procs {
            self.make_room(BlockKind::Snapshot, time, 0)?;
            self.roster.process(key, &mut self.pending.dictionary);
        }
        for key in conns {
            self.make_room(BlockKind::Snapshot, time, 0)?;
            self.roster.conn(key, &mut self.pending.dictionary);
        }
        self.close_block()
    }

    /// Writes a remark for people.
    ///
    /// # Errors
    /// What the output reports; [`io::ErrorKind::InvalidInput`], without consequence, for more than 256 KiB.
    pub fn note(&mut self, time: MonoNanos, text: &str) -> io::Result<()> {
        self.annotate(BlockKind::Note, time, &[("text".to_owned(), text.to_owned())])
    }

    /// Writes facts that were learned from outside while recording.
    ///
    /// # Errors
    /// As [`Writer::note`].
    pub fn enrich(&mut self, time: MonoNanos, facts: &[(String, String)]) -> io::Result<()> {
        self.annotate(BlockKind::Enrich, time, facts)
    }

    pub(super) fn annotate(&mut self, kind: BlockKind, time: MonoNanos, pairs: &[(String, String)]) -> io::Result<()> {
        self.check()?;
        let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > MAX_RECORD {
            let message = format!("an annotation of {bytes} bytes; at most {MAX_RECORD} fit a tape");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.close_block()?;
        put_pairs(pairs, &mut self.raw);
        self.write_block(kind, time, time, 0)
    }

    /// Writes the block being built if its first event is old enough at `now`.
    ///
    /// # Errors
    /// What the output reports.
    pub fn flush_due(&mut self, now: MonoNanos) -> io::Result<()> {
        self.check()?;
        if self.is_due(now) { self.close_block() } else { Ok(()) }
    }

    /// Writes the block being built.
    ///
    /// # Errors
    /// What the output reports.
    pub fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        self.close_block()
    }

    /// Closes the tape: writes what is left, INDEX and END. Gives the output back.
    ///
    /// # Errors
    /// What the output reports.
    pub fn finish(self, reason: CloseReason) -> io::Result<(Totals, W)> {
        self.close(reason).map(|(totals, out, _)| (totals, out))
    }

    /// As [`Writer::finish`]; what is known of connections and processes is for the next file of the set.
    pub(super) fn close(mut self, reason: CloseReason) -> io::Result<(Totals, W, Roster)> {
        self.check()?;
        self.close_block()?;
        self.totals.reason = reason;
        self.totals.content_hash = self.hasher.finish();
        self.totals.index_offset = self.offset;
        self.raw.extend_from_slice(&self.index.to_bytes());
        self.write_block(BlockKind::Index, MonoNanos::ZERO, MonoNanos::ZERO, 0)?;
        self.raw.extend_from_slice(&self.totals.to_bytes());
        self.write_block(BlockKind::End, MonoNanos::ZERO, MonoNanos::ZERO, 0)?;
        Ok((self.totals, self.out, self.roster))
    }

    /// Bytes written so far.
    pub const fn bytes_written(&self) -> u64 {
        self.offset
    }

    /// Connections and processes that were forgotten because there were too many.
    pub const fn forgotten(&self) -> u64 {
        self.roster.forgotten()
    }

    /// Goes on with what the file before knew of connections and processes.
    pub(super) fn inherit(&mut self, roster: Roster) {
        self.roster = roster;
    }

    fn check(&self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("an earlier write to the tape failed")) } else { Ok(()) }
    }

    fn close_block(&mut self) -> io::Result<()> {
        let pending = &mut self.pending;
        if pending.is_empty() {
            return Ok(());
        }
        pending.dictionary.take(&mut self.raw);
        self.raw.append(&mut pending.bytes);
        let Pending { kind, first_time, last_time, .. } = *pending;
        let records = std::mem::take(&mut pending.records);
        self.roster.next_block();
        self.write_block(kind, first_time, last_time, records)
    }

    /// Writes the block whose content is `raw`, and empties that.
    fn write_block(&mut self, kind: BlockKind, first: MonoNanos, last: MonoNanos, records: u32) -> io::Result<()> {
        let mut header = Header { records, ..Header::new(kind, self.seq) };
        (header.first_time, header.last_time) = (first.nanos(), last.nanos());
        let content = self.raw.get(HEADER_LEN..).unwrap_or_default();
        header.raw_len = length(content.len())?;
        self.stored.clear();
        self.stored.resize(HEADER_LEN, 0);
        let compressed = self.options.compress
            && kind.has_records()
            && self.compressor.compress(content, &mut self.stored)
            && (self.stored.len() - HEADER_LEN).saturating_mul(MAX_EXPANSION) >= content.len();
        let (codec, block) =
            if compressed { (codec_number::ZSTD, &mut self.stored) } else { (codec_number::NONE, &mut self.raw) };
        let (head, stored) = block.split_at_mut(HEADER_LEN);
        header.codec = codec;
        header.stored_len = length(stored.len())?;
        header.stored_crc = crc32c::crc32c(stored);
        head.copy_from_slice(&header.to_bytes());
        let written = self.out.write_all(block).and_then(|()| self.out.flush());
        let len = block.len() as u64;
        self.raw.truncate(HEADER_LEN);
        self.failed = written.is_err();
        written?;
        if !matches!(kind, BlockKind::Index | BlockKind::End) {
            let Header { first_time, last_time, .. } = header;
            self.index.push(&IndexEntry { offset: self.offset, first_time, last_time, records, kind: kind as u8 });
            self.totals.blocks += 1;
        }
        self.offset += len;
        self.seq = self.seq.wrapping_add(1);
        Ok(())
    }
}

/// Bytes of a record without extensions and payload, at most: kind, 8 numbers of 9 bytes, and the longest head.
const MAX_HEAD: usize = 256;

fn length(bytes: usize) -> io::Result<u32> {
    let message = "a block of more than 4 MiB";
    u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= MAX_RAW)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, message))
}
