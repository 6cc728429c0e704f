//! One decoded block, and the events in it: borrowed from it, without an allocation or a copy.

use super::dictionary::Dictionary;
use super::format::{BlockKind, Header};
use super::hash::ContentHasher;
use super::meta::take_pairs;
use super::record::{RawRecord, put_head, take_record};
use super::v1::kind;
use crate::event::{Body, Event, Ext, Loss, LossCause};
use crate::ids::ConnKey;
use crate::time::MonoNanos;

/// A block of a tape: its bytes, decompressed, and its dictionary. Stands alone, and may be read by several threads.
#[derive(Debug, Default)]
pub struct Block {
    kind: BlockKind,
    header: Option<Header>,
    pub(super) raw: Vec<u8>,
    /// Where the records begin in `raw`.
    records_at: usize,
    dictionary: Dictionary,
    /// What an ENRICH block says.
    enrich: Vec<(String, String)>,
    first_time: MonoNanos,
    last_time: MonoNanos,
    /// What is missing of the tape before this block.
    loss: Option<Loss>,
    /// How many records are of kinds that only newer versions know.
    unknown: u64,
}

impl Block {
    /// What it holds.
    pub const fn kind(&self) -> BlockKind {
        self.kind
    }

    /// The time of its first event.
    pub const fn first_time(&self) -> MonoNanos {
        self.first_time
    }

    /// The latest time of its events.
    pub const fn last_time(&self) -> MonoNanos {
        self.last_time
    }

    /// How many records it has. [`Block::events`] also gives dictionary entries and what is missing before the block.
    pub fn records(&self) -> u32 {
        self.header.map_or(0, |header| header.records)
    }

    /// How many of its records are of kinds that only newer versions know, and are left out.
    pub(super) const fn unknown_records(&self) -> u64 {
        self.unknown
    }

    /// The events, in the order they were written in. An ENRICH block is one, [`Body::Enrich`].
    ///
    /// The processes that the block knows come first, as [`Body::Process`]; a connection comes as [`Body::Connection`]
    /// before the first event that names it. So it is in every block anew.
    pub fn events(&self) -> Events<'_, impl FnMut(ConnKey) -> bool> {
        self.events_where(|_| true)
    }

    /// The events of the connections that are `wanted`, and those that are not about a connection.
    ///
    /// What is left out is skipped without being decoded.
    pub fn events_where<F: FnMut(ConnKey) -> bool>(&self, wanted: F) -> Events<'_, F> {
        Events { block: self, cursor: Cursor::default(), wanted }
    }

    /// The keys and values of a NOTE or ENRICH block.
    pub fn annotation(&self) -> Vec<(String, String)> {
        if matches!(self.kind, BlockKind::Note | BlockKind::Enrich) { take_pairs(&self.raw) } else { Vec::new() }
    }

    /// Takes over what the header says, and reads the dictionary in `raw`. `None` if it is malformed.
    pub(super) fn load(&mut self, kind: BlockKind, header: &Header, shift: i64) -> Option<()> {
        self.kind = kind;
        self.header = Some(*header);
        self.first_time = MonoNanos::new(header.first_time.saturating_add_signed(shift));
        self.last_time = MonoNanos::new(header.last_time.saturating_add_signed(shift));
        (self.loss, self.unknown) = (None, 0);
        self.dictionary.clear();
        self.enrich = if kind == BlockKind::Enrich { take_pairs(&self.raw) } else { Vec::new() };
        self.records_at = self.raw.len();
        if kind.has_records() {
            let mut bytes = &self.raw[..];
            self.dictionary.read(&mut bytes, shift)?;
            self.records_at = self.raw.len() - bytes.len();
            let records = std::iter::from_fn(|| take_record(&mut bytes));
            let is_unknown = |record: &&[u8]| record.first().is_some_and(|first| !kind::is_known(first & kind::NUMBER));
            self.unknown = records.filter(is_unknown).count() as u64;
        }
        Some(())
    }

    /// Adds `shift` to all times of a block that was read without.
    pub(super) fn shift_times(&mut self, shift: i64) {
        let loss = self.loss.map(|loss| {
            let [from, to] = [loss.from, loss.to].map(|time| MonoNanos::new(time.nanos().saturating_add_signed(shift)));
            Loss { from, to, ..loss }
        });
        match self.header {
            Some(header) => self.load(self.kind, &header, shift).expect("invariant: the dictionary was read before"),
            None => self.first_time = loss.map_or(self.first_time, |loss| loss.from),
        }
        self.loss = loss;
    }

    /// Says what is missing before the block.
    pub(super) fn set_loss(&mut self, loss: Loss) {
        self.loss = Some(loss);
    }

    /// Makes it a block of nothing but what is missing.
    pub(super) fn become_loss(&mut self, loss: Loss) {
        self.raw.clear();
        self.dictionary.clear();
        self.enrich.clear();
        (self.kind, self.header, self.records_at, self.unknown) = (BlockKind::Loss, None, 0, 0);
        (self.first_time, self.last_time) = (loss.from, loss.from);
        self.loss = Some(loss);
    }

    /// Takes its events in, but not what is missing before the block.
    pub(super) fn hash_into(&self, hasher: &mut ContentHasher) {
        let (conns, procs) = self.dictionary.digests();
        let mut cursor = Cursor { started: true, ..Cursor::at_start(self) };
        let mut head = Vec::new();
        while let Some(event) = cursor.next(self, &mut |_| true) {
            head.clear();
            put_head(&event, &mut head);
            let conn = conns.get(cursor.last_conn).copied().unwrap_or_default();
            let process = cursor.last_process.checked_sub(1).and_then(|index| procs.get(index)).copied();
            hasher.push(&event, &head, conn, process.unwrap_or_default());
        }
    }
}

/// The events of a [`Block`].
#[derive(Debug)]
pub struct Events<'a, F> {
    block: &'a Block,
    cursor: Cursor,
    wanted: F,
}

impl<F> Events<'_, F> {
    /// The latest time of all records so far, those that were left out among them.
    pub const fn latest(&self) -> MonoNanos {
        MonoNanos::new(self.cursor.latest)
    }

    /// How many records could not be read so far, although the checksum is right: the work of a faulty writer.
    pub const fn malformed(&self) -> u64 {
        self.cursor.malformed
    }
}

impl<'a, F: FnMut(ConnKey) -> bool> Iterator for Events<'a, F> {
    type Item = Event<'a>;

    #[inline]
    fn next(&mut self) -> Option<Event<'a>> {
        self.cursor.next(self.block, &mut self.wanted)
    }
}

/// A place in a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    started: bool,
    /// Bytes of the block that are done.
    at: usize,
    /// The time of the record before.
    time: u64,
    /// The latest time of all records so far.
    latest: u64,
    /// How many processes and connections of the dictionary were handed out.
    next_process: usize,
    next_conn: usize,
    /// What an ENRICH block says was handed out.
    enriched: bool,
    /// The indices of the record that was handed out last.
    last_conn: usize,
    last_process: usize,
    pub(super) malformed: u64,
}

impl Cursor {
    /// Whether anything of the block is left.
    pub(super) fn has_next(&self, block: &Block) -> bool {
        let at = if self.started { self.at } else { block.records_at };
        at < block.raw.len()
            || self.next_conn < block.dictionary.conns().len()
            || self.next_process < block.dictionary.procs().len()
            || !self.started && block.loss.is_some()
            || !self.enriched && !block.enrich.is_empty()
    }

    /// The time of the next event.
    pub(super) fn peek_time(&self, block: &Block) -> MonoNanos {
        let (at, previous) = match (self.started, block.loss) {
            (true, _) => (self.at, self.time),
            (false, Some(loss)) => return loss.from,
            (false, None) => (block.records_at, block.first_time.nanos()),
        };
        let mut rest = block.raw.get(at..).unwrap_or_default();
        let record = take_record(&mut rest).and_then(|bytes| RawRecord::parse(bytes, previous));
        MonoNanos::new(record.map_or(previous, |record| record.time))
    }

    fn at_start(block: &Block) -> Self {
        Self { at: block.records_at, time: block.first_time.nanos(), ..Self::default() }
    }

    /// The next event of a connection that is `wanted`, or of none.
    #[inline]
    pub(super) fn next<'a>(&mut self, block: &'a Block, wanted: &mut impl FnMut(ConnKey) -> bool) -> Option<Event<'a>> {
        if !self.started {
            *self = Self { started: true, ..Self::at_start(block) };
            if let Some(loss) = block.loss {
                self.latest = loss.from.nanos();
                return Some(plain(loss.from, Body::Loss(loss)));
            }
        }
        if !self.enriched && !block.enrich.is_empty() {
            self.enriched = true;
            self.latest = self.latest.max(self.time);
            return Some(plain(block.first_time, Body::Enrich(&block.enrich)));
        }
        if self.next_process < block.dictionary.procs().len()
            && let Some(process) = self.next_process(block)
        {
            return Some(process);
        }
        loop {
            let rest = block.raw.get(self.at..)?;
            if rest.is_empty() {
                return self.next_conn(block, block.dictionary.conns().len(), self.time, wanted);
            }
            let mut after = rest;
            let record = take_record(&mut after).map(|bytes| RawRecord::parse(bytes, self.time));
            let Some(record) = record else {
                // The length is wrong, so nothing behind it can be found.
                self.at = block.raw.len();
                return Some(self.damage(rest.len()));
            };
            let at = block.raw.len() - after.len();
            let Some(record) = record else {
                self.at = at;
                return Some(self.damage(rest.len() - after.len()));
            };
            if kind::of_connection(record.number) {
                // First, so that an entry comes at the same time whatever else is wanted.
                if record.conn >= self.next_conn
                    && let Some(conn) = self.next_conn(block, record.conn.saturating_add(1), record.time, wanted)
                {
                    return Some(conn);
                }
                if block.dictionary.conn_key(record.conn).is_some_and(|key| !wanted(key)) {
                    self.pass(at, record.time);
                    continue;
                }
            }
            let decoded = record.decode(&block.dictionary);
            self.pass(at, record.time);
            match decoded {
                Ok(Some((event, process))) => {
                    (self.last_conn, self.last_process) = (record.conn, process);
                    return Some(event);
                }
                Ok(None) => {}
                Err(_) => self.malformed += 1,
            }
        }
    }

    /// Goes on behind the record that ends at `at`.
    #[inline]
    fn pass(&mut self, at: usize, time: u64) {
        (self.at, self.time, self.latest) = (at, time, self.latest.max(time));
    }

    /// The next process of the dictionary of which more is known than its number.
    #[cold]
    fn next_process<'a>(&mut self, block: &'a Block) -> Option<Event<'a>> {
        let left = block.dictionary.procs().get(self.next_process..)?;
        let known = left.iter().enumerate().find_map(|(at, process)| Some((at, process.info.as_ref()?)));
        self.next_process += known.map_or(left.len(), |(at, _)| at + 1);
        known.map(|(_, info)| plain(MonoNanos::new(self.time), Body::Process(info)))
    }

    /// The next connection among the first `most` of the dictionary that is `wanted`.
    #[cold]
    fn next_conn<'a>(
        &mut self,
        block: &'a Block,
        most: usize,
        time: u64,
        wanted: &mut impl FnMut(ConnKey) -> bool,
    ) -> Option<Event<'a>> {
        let conns = block.dictionary.conns();
        while let Some(conn) = conns.get(self.next_conn).filter(|_| self.next_conn < most) {
            self.next_conn += 1;
            if let Some(info) = conn.info.as_ref().filter(|info| wanted(info.key)) {
                return Some(plain(MonoNanos::new(time), Body::Connection(info)));
            }
        }
        None
    }

    fn damage(&mut self, bytes: usize) -> Event<'static> {
        self.malformed += 1;
        let time = MonoNanos::new(self.time);
        plain(
            time,
            Body::Loss(Loss { cause: LossCause::Corrupt, count: bytes as u64, from: time, to: time, origin: None }),
        )
    }
}

/// An event that is no record of the tape.
pub(super) const fn plain(time: MonoNanos, body: Body<'_>) -> Event<'_> {
    Event { time, cpu: 0, seq: 0, late: false, body, ext: Ext(&[]) }
}
