//! The writer's side of dictionaries: what it knows of connections and processes, and what the block being built uses.

use std::collections::VecDeque;
use std::hash::Hash;

use bincode::Encode;
use rustc_hash::FxHashMap;

use super::codec::{encode, put_varint};
use super::entry::{conn_entry, proc_entry};
use super::format::{MAX_ENTRIES, MAX_RECORD};
use super::hash::Digest;
use super::v1::{Bare, form};
use crate::facts::{ConnInfo, ProcessInfo};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::time::MonoNanos;

/// Connections, and processes, that a writer knows at most. Beyond, the half that was used longest ago is forgotten,
/// and later events of it have entries with nothing but their number.
const MAX_KNOWN: usize = 1 << 17;

/// How long after the end of a connection or a process late events of it still get its entry.
const LATE_NANOS: u64 = 1_000_000_000;

/// Bytes of an entry beyond which a process is written without its arguments and environment, and then with its number alone.
const MAX_ENTRY: usize = MAX_RECORD / 4;

/// All that the writer knows of connections and processes.
pub(super) struct Roster {
    /// The origin that numbers without an entry are taken to be of.
    origin: Origin,
    conns: FxHashMap<ConnKey, Known<ConnInfo>>,
    procs: FxHashMap<ProcKey, Known<ProcessInfo>>,
    /// What ended, and when.
    ended: VecDeque<(MonoNanos, Ended)>,
    /// Events so far.
    events: u64,
    /// The number of the block being built, from 1 on.
    block: u32,
    forgotten: u64,
}

enum Ended {
    Conn(ConnKey),
    Process(ProcKey),
}

struct Known<T> {
    info: Option<T>,
    ended: bool,
    /// The number of the last event that used it.
    used: u64,
    /// The block whose dictionary it was last put into.
    block: u32,
    /// Its index there.
    index: u32,
    digest: Digest,
}

impl<T> Known<T> {
    fn new(info: Option<T>) -> Self {
        Self { info, ended: false, used: 0, block: 0, index: 0, digest: Digest::default() }
    }
}

impl Roster {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            conns: FxHashMap::default(),
            procs: FxHashMap::default(),
            ended: VecDeque::new(),
            events: 0,
            block: 1,
            forgotten: 0,
        }
    }

    /// Learns, or learns anew, what is known of a connection.
    pub(super) fn learn_conn(&mut self, info: &ConnInfo) {
        learn(&mut self.conns, info.key, info);
    }

    /// Whether the dictionary of the block being built has the process, but not as it is now.
    ///
    /// A reader hands out a block's processes before its events, so a block can have only one entry of each.
    pub(super) fn is_outdated(&self, info: &ProcessInfo) -> bool {
        let known = self.procs.get(&info.key);
        known.is_some_and(|known| known.block == self.block && known.info.as_ref() != Some(info))
    }

    /// Learns, or learns anew, what is known of a process.
    pub(super) fn learn_process(&mut self, info: &ProcessInfo) {
        learn(&mut self.procs, info.key, info);
    }

    /// An event is about to be written: what ended long enough before it is forgotten.
    ///
    /// What is forgotten depends on the events alone, not on the blocks, and so does the content hash.
    pub(super) fn at_event(&mut self, time: MonoNanos) {
        self.events += 1;
        while let Some((_, ended)) = self.ended.pop_front_if(|(at, _)| time.since(*at) > LATE_NANOS) {
            match ended {
                Ended::Conn(key) => drop(self.conns.remove(&key)),
                Ended::Process(key) => drop(self.procs.remove(&key)),
            }
        }
        self.forgotten += forget(&mut self.conns) + forget(&mut self.procs);
    }

    /// No more events of the connection follow, but for late ones.
    pub(super) fn end_conn(&mut self, key: ConnKey, time: MonoNanos) {
        if let Some(known) = self.conns.get_mut(&key) {
            known.ended = true;
            self.ended.push_back((time, Ended::Conn(key)));
        }
    }

    /// No more events of the process follow, but for late ones.
    pub(super) fn end_process(&mut self, key: ProcKey, time: MonoNanos) {
        if let Some(known) = self.procs.get_mut(&key) {
            known.ended = true;
            self.ended.push_back((time, Ended::Process(key)));
        }
    }

    /// The block is complete, and the next one has an empty dictionary.
    pub(super) fn next_block(&mut self) {
        self.block = self.block.wrapping_add(1).max(1);
    }

    /// How many connections and processes were forgotten, because there were too many.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The connections that are open and the processes that live, in the order of their keys.
    pub(super) fn alive(&self) -> (Vec<ConnKey>, Vec<ProcKey>) {
        (alive(&self.conns), alive(&self.procs))
    }

    /// The index of a connection in the dictionary of the block being built, put there if it is new.
    pub(super) fn conn(&mut self, key: ConnKey, dictionary: &mut DictionaryBuilder) -> (u32, Digest) {
        let known = self.conns.entry(key).or_insert_with(|| Known::new(None));
        known.used = self.events;
        if known.block == self.block {
            return (known.index, known.digest);
        }
        known.block = self.block;
        let at = Place { origin: self.origin, block: self.block, event: self.events };
        known.digest = match &known.info {
            None => dictionary.conns.push_bare(self.origin, key.id(self.origin), &mut dictionary.origins),
            Some(info) => {
                let (process, whose) = match self.procs.get(&info.process).and_then(|known| known.info.as_ref()) {
                    Some(process) => (process.key, (process.origin, process.id)),
                    None if info.process == ProcKey::default() => (info.process, (Origin::default(), 0)),
                    None => (info.process, (self.origin, info.process.id(self.origin))),
                };
                let process = index_of_process(&mut self.procs, process, at, dictionary).0;
                let origin = origin_index(&mut dictionary.origins, info.origin);
                if dictionary.conns.push(form::V1, &conn_entry(info, origin, process), info.ext.as_bytes()) {
                    conn_digest(info, whose)
                } else {
                    dictionary.conns.push_bare(info.origin, info.id, &mut dictionary.origins)
                }
            }
        };
        known.index = dictionary.conns.count - 1;
        (known.index, known.digest)
    }

    /// The index of a process in the dictionary of the block being built, put there if it is new; 0 if it is unknown.
    pub(super) fn process(&mut self, key: ProcKey, dictionary: &mut DictionaryBuilder) -> (u32, Digest) {
        let at = Place { origin: self.origin, block: self.block, event: self.events };
        index_of_process(&mut self.procs, key, at, dictionary)
    }
}

fn learn<K: Hash + Eq, T: Clone + PartialEq>(table: &mut FxHashMap<K, Known<T>>, key: K, info: &T) {
    let known = table.entry(key).or_insert_with(|| Known::new(None));
    if known.info.as_ref() != Some(info) {
        known.info = Some(info.clone());
        known.block = 0;
    }
}

fn alive<K: Copy + Ord, T>(table: &FxHashMap<K, Known<T>>) -> Vec<K> {
    let alive = table.iter().filter(|(_, known)| known.info.is_some() && !known.ended);
    let mut keys: Vec<_> = alive.map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys
}

/// Forgets what was used longest ago, if the table is too large; returns how much.
fn forget<K: Hash + Eq, T>(table: &mut FxHashMap<K, Known<T>>) -> u64 {
    if table.len() <= MAX_KNOWN {
        return 0;
    }
    let before = table.len();
    let mut uses: Vec<_> = table.values().map(|known| known.used).collect();
    let (_, &mut median, _) = uses.select_nth_unstable(before / 2);
    table.retain(|_, known| known.used > median);
    (before - table.len()) as u64
}

/// Where in the tape an index is needed.
#[derive(Clone, Copy)]
struct Place {
    origin: Origin,
    block: u32,
    event: u64,
}

fn index_of_process(
    procs: &mut FxHashMap<ProcKey, Known<ProcessInfo>>,
    key: ProcKey,
    at: Place,
    dictionary: &mut DictionaryBuilder,
) -> (u32, Digest) {
    if key == ProcKey::default() {
        return (0, Digest::default());
    }
    let known = procs.entry(key).or_insert_with(|| Known::new(None));
    known.used = at.event;
    if known.block != at.block {
        known.block = at.block;
        known.digest = match &known.info {
            None => dictionary.procs.push_bare(at.origin, key.id(at.origin), &mut dictionary.origins),
            Some(info) => {
                let mut entry = proc_entry(info, origin_index(&mut dictionary.origins, info.origin));
                let mut fits = dictionary.procs.push(form::V1, &entry, info.ext.as_bytes());
                if !fits {
                    entry.cmdline.clear();
                    entry.env.clear();
                    fits = dictionary.procs.push(form::V1, &entry, info.ext.as_bytes());
                }
                if fits {
                    entry.origin = 0;
                    Digest::of_entry(form::V1, &entry, info.ext.as_bytes(), &[(info.origin, info.id)])
                } else {
                    dictionary.procs.push_bare(info.origin, info.id, &mut dictionary.origins)
                }
            }
        };
        known.index = dictionary.procs.count;
    }
    (known.index, known.digest)
}

/// The digest of a connection whose process has the number `whose`.
pub(super) fn conn_digest(info: &ConnInfo, whose: (Origin, u64)) -> Digest {
    Digest::of_entry(form::V1, &conn_entry(info, 0, 0), info.ext.as_bytes(), &[(info.origin, info.id), whose])
}

/// The digest of something of which only the number is known.
pub(super) fn bare_digest(origin: Origin, id: u64) -> Digest {
    Digest::of_entry(form::BARE, &Bare { origin: 0, id }, &[], &[(origin, id)])
}

/// The index of an origin in a dictionary, put there if it is new. There are few.
fn origin_index(origins: &mut Vec<Origin>, origin: Origin) -> u32 {
    let at = origins.iter().position(|known| *known == origin).unwrap_or_else(|| {
        origins.push(origin);
        origins.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The dictionary of the block being built, as it will stand in the block.
#[derive(Default)]
pub(super) struct DictionaryBuilder {
    origins: Vec<Origin>,
    procs: Section,
    conns: Section,
}

impl DictionaryBuilder {
    /// The index of an origin, put there if it is new.
    pub(super) fn origin(&mut self, origin: Origin) -> u32 {
        origin_index(&mut self.origins, origin)
    }

    /// About how many bytes it takes.
    pub(super) fn len(&self) -> usize {
        self.origins.len() * 16 + self.procs.bytes.len() + self.conns.bytes.len()
    }

    /// Whether the entries of one more event could be too many.
    pub(super) fn is_full(&self) -> bool {
        let most = self.origins.len().max(to_usize(self.procs.count)).max(to_usize(self.conns.count));
        most + 3 > MAX_ENTRIES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conns.count == 0 && self.procs.count == 0
    }

    /// Appends it to `out` and empties it.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        put_varint(self.origins.len() as u64, out);
        for origin in self.origins.drain(..) {
            out.extend_from_slice(&origin.0);
        }
        self.procs.take(out);
        self.conns.take(out);
    }
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Entries of one kind.
#[derive(Default)]
struct Section {
    count: u32,
    bytes: Vec<u8>,
    scratch: Vec<u8>,
}

impl Section {
    /// Adds an entry; `false`, and nothing is added, if it is too long.
    fn push(&mut self, form: u8, entry: &impl Encode, ext: &[u8]) -> bool {
        self.scratch.clear();
        self.scratch.push(form);
        encode(entry, &mut self.scratch);
        self.scratch.extend_from_slice(ext);
        let fits = self.scratch.len() <= MAX_ENTRY;
        if fits {
            put_varint(self.scratch.len() as u64, &mut self.bytes);
            self.bytes.extend_from_slice(&self.scratch);
            self.count += 1;
        }
        fits
    }

    fn push_bare(&mut self, origin: Origin, id: u64, origins: &mut Vec<Origin>) -> Digest {
        self.push(form::BARE, &Bare { origin: origin_index(origins, origin), id }, &[]);
        bare_digest(origin, id)
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        put_varint(u64::from(self.count), out);
        out.append(&mut self.bytes);
        self.count = 0;
    }
}
