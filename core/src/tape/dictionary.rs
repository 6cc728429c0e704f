//! The reader's side of dictionaries: the connections and processes that the records of one block refer to.

use super::codec::{decode_entry, take_bytes, take_size};
use super::entry::{conn_info, proc_entry, process_info};
use super::format::{MAX_ENTRIES, MAX_RECORD};
use super::hash::Digest;
use super::roster::{bare_digest, conn_digest};
use super::v1::{Bare, ConnEntry, ProcEntry, form};
use crate::facts::{ConnInfo, ProcessInfo};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::time::MonoNanos;

/// The dictionary of one block.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    origins: Vec<Origin>,
    procs: Vec<Slot<ProcKey, ProcessInfo>>,
    conns: Vec<Slot<ConnKey, ConnInfo>>,
    /// What is added to all times of the block.
    shift: i64,
}

/// An entry.
#[derive(Debug)]
pub(super) struct Slot<K, T> {
    key: K,
    origin: Origin,
    id: u64,
    /// `None` if nothing but the number is known.
    pub(super) info: Option<T>,
    /// For connections: how many processes must be known before it.
    pub(super) process: usize,
}

impl Dictionary {
    /// Reads the dictionary from the front of a block. `None` if it is malformed.
    pub(super) fn read(&mut self, bytes: &mut &[u8], shift: i64) -> Option<()> {
        self.clear();
        self.shift = shift;
        for _ in 0..take_count(bytes)? {
            let origin = take_bytes(bytes, 16)?;
            self.origins.push(Origin(origin.try_into().ok()?));
        }
        for _ in 0..take_count(bytes)? {
            let slot = self.read_process(take_entry(bytes)?)?;
            self.procs.push(slot);
        }
        for _ in 0..take_count(bytes)? {
            let slot = self.read_conn(take_entry(bytes)?)?;
            self.conns.push(slot);
        }
        Some(())
    }

    pub(super) fn clear(&mut self) {
        self.origins.clear();
        self.procs.clear();
        self.conns.clear();
    }

    fn read_process(&self, (form, entry): (u8, &[u8])) -> Option<Slot<ProcKey, ProcessInfo>> {
        if form != form::V1 {
            let (origin, id) = self.bare(entry)?;
            return Some(Slot { key: ProcKey::new(origin, id), origin, id, info: None, process: 0 });
        }
        let (entry, ext): (ProcEntry, _) = decode_entry(entry)?;
        let origin = self.origin(usize::try_from(entry.origin).ok()?)?;
        let info = process_info(entry, ext, origin, self.shift);
        Some(Slot { key: info.key, origin, id: info.id, info: Some(info), process: 0 })
    }

    fn read_conn(&self, (form, entry): (u8, &[u8])) -> Option<Slot<ConnKey, ConnInfo>> {
        if form != form::V1 {
            let (origin, id) = self.bare(entry)?;
            return Some(Slot { key: ConnKey::new(origin, id), origin, id, info: None, process: 0 });
        }
        let (entry, ext): (ConnEntry, _) = decode_entry(entry)?;
        let origin = self.origin(usize::try_from(entry.origin).ok()?)?;
        let process = usize::try_from(entry.process).ok()?;
        let info = conn_info(entry, ext, origin, self.process_key(process)?, self.shift);
        Some(Slot { key: info.key, origin, id: info.id, info: Some(info), process })
    }

    /// Whose an entry is, of whatever form.
    fn bare(&self, entry: &[u8]) -> Option<(Origin, u64)> {
        let (Bare { origin, id }, _) = decode_entry(entry)?;
        Some((self.origin(usize::try_from(origin).ok()?)?, id))
    }

    /// The origin of this index.
    pub(super) fn origin(&self, index: usize) -> Option<Origin> {
        self.origins.get(index).copied()
    }

    /// The key of the connection of this index.
    #[inline]
    pub(super) fn conn_key(&self, index: usize) -> Option<ConnKey> {
        self.conns.get(index).map(|slot| slot.key)
    }

    /// The key of the process of this index, counted from 1; 0 is an unknown one.
    #[inline]
    pub(super) fn process_key(&self, index: usize) -> Option<ProcKey> {
        match index.checked_sub(1) {
            None => Some(ProcKey::default()),
            Some(index) => self.procs.get(index).map(|slot| slot.key),
        }
    }

    pub(super) fn conns(&self) -> &[Slot<ConnKey, ConnInfo>] {
        &self.conns
    }

    pub(super) fn procs(&self) -> &[Slot<ProcKey, ProcessInfo>] {
        &self.procs
    }

    /// A time of this block on the clock of the events handed out.
    pub(super) fn shifted(&self, nanos: u64) -> MonoNanos {
        MonoNanos::new(nanos.saturating_add_signed(self.shift))
    }

    /// The digests of all connections, and of all processes.
    pub(super) fn digests(&self) -> (Vec<Digest>, Vec<Digest>) {
        let conns = self.conns.iter().map(|slot| match &slot.info {
            None => bare_digest(slot.origin, slot.id),
            Some(info) => {
                let process = slot.process.checked_sub(1).and_then(|index| self.procs.get(index));
                conn_digest(info, process.map_or_else(Default::default, |process| (process.origin, process.id)))
            }
        });
        let procs = self.procs.iter().map(|slot| match &slot.info {
            None => bare_digest(slot.origin, slot.id),
            Some(info) => {
                Digest::of_entry(form::V1, &proc_entry(info, 0), info.ext.as_bytes(), &[(slot.origin, slot.id)])
            }
        });
        (conns.collect(), procs.collect())
    }
}

/// Takes the number of entries that follow.
fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    take_size(bytes).filter(|count| *count <= MAX_ENTRIES)
}

/// Takes an entry: its form and its bytes.
fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let len = take_size(bytes)?;
    if len > MAX_RECORD {
        return None;
    }
    let (&form, entry) = take_bytes(bytes, len)?.split_first()?;
    Some((form, entry))
}
