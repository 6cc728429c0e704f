//! The dynamic table of HPACK (RFC 7541, section 2.3.2), of which the older part may not be known.
//!
//! Indices count from the newest entry. So what was inserted since the recording began, or since bytes were lost, is found
//! whatever lies beneath it. Of fields that nobody asks for only the size is kept.

use std::collections::VecDeque;

use super::encode::{integer, short_string};
use super::name::{Name, TEXT as STATIC_FIELDS};

/// What each entry counts beside its name and value (RFC 7541, section 4.1).
const OVERHEAD: usize = 32;

#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// The size of `entries`, in bytes as RFC 7541 counts them; of entries whose name is not known, the least it can be.
    bytes: usize,
    /// The size that the encoder keeps to; `None` where it may have changed it unseen.
    max: Option<usize>,
    /// The size that is kept to here, whatever the encoder does.
    bound: usize,
    /// Beneath `entries` others may lie that are not known.
    beneath: bool,
    /// Memory that values use.
    held_bytes: usize,
}

/// An entry, in as little memory as will do: idle connections keep theirs.
#[derive(Debug)]
pub(super) enum Entry {
    /// Of a name that has a length of its own, and with its value.
    Kept(Name, Box<[u8]>),
    /// Of a name that nobody asks for: the lengths of name and value.
    Passed(Name, u32, u32),
}

impl Entry {
    /// An entry; `value` is none of a name whose values are not kept.
    pub(super) fn new(name: Name, name_len: usize, value_len: usize, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => Self::Kept(name, value.into()),
            None => {
                // Blocks are bounded far below 4 GiB.
                let [name_len, value_len] = [name_len, value_len].map(|len| u32::try_from(len).unwrap_or(u32::MAX));
                Self::Passed(name, name_len, value_len)
            }
        }
    }

    pub(super) const fn name(&self) -> Name {
        match *self {
            Self::Kept(name, _) | Self::Passed(name, ..) => name,
        }
    }

    pub(super) const fn name_len(&self) -> usize {
        match *self {
            Self::Kept(name, _) => name.len(),
            Self::Passed(_, len, _) => len as usize,
        }
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Kept(_, value) => Some(value),
            Self::Passed(..) => None,
        }
    }

    /// As RFC 7541 counts it.
    pub(super) const fn size(&self) -> usize {
        let value_len = match self {
            Self::Kept(_, value) => value.len(),
            Self::Passed(_, _, len) => *len as usize,
        };
        self.name_len().saturating_add(value_len).saturating_add(OVERHEAD)
    }

    /// Memory in use beyond its own size, in bytes.
    fn held_bytes(&self) -> usize {
        self.value().map_or(0, <[u8]>::len)
    }
}

/// What stands at an index.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Entry(&'a Entry),
    /// There may be an entry, which is not known.
    Unknown,
    /// There is none.
    Nothing,
}

impl Table {
    /// An empty table of the size that connections begin with, or one of which nothing is known.
    pub(super) fn new(initial: usize, bound: usize, known: bool) -> Self {
        let max = known.then_some(initial);
        Self { entries: VecDeque::new(), bytes: 0, max, bound, beneath: !known, held_bytes: 0 }
    }

    /// How many entries are known.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it is of the size that connections begin with.
    pub(super) fn is_of_size(&self, max: usize) -> bool {
        self.max == Some(max)
    }

    /// The entry that is number `at` from the newest, from 0 on.
    #[inline]
    pub(super) fn entry(&self, at: usize) -> Found<'_> {
        match self.entries.get(at) {
            Some(entry) => Found::Entry(entry),
            None if self.beneath => Found::Unknown,
            None => Found::Nothing,
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.bytes = self.bytes.saturating_add(size);
        self.held_bytes += entry.held_bytes();
        self.entries.push_front(entry);
        self.shrink();
    }

    /// The encoder keeps to `max` bytes from now on.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = Some(max);
        self.shrink();
    }

    /// Whether the encoder may keep more than is kept here.
    pub(super) fn exceeds_bound(&self) -> bool {
        self.max.is_some_and(|max| max > self.bound)
    }

    /// Insertions and changes of size were missed: what there is has an index that is not known.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        (self.bytes, self.held_bytes) = (0, 0);
        (self.max, self.beneath) = (None, true);
    }

    /// A header block that makes the table of a reader that knows nothing the same as this one, as far as it is known, but for its
    /// `skip` oldest entries; and whether that is all of it. Of fields that nobody asks for, name and value are as long, and `x`es.
    pub(super) fn retold(&self, skip: usize) -> (Vec<u8>, bool) {
        let mut block = Vec::new();
        if let Some(max) = self.max {
            integer(max, 5, 0x20, &mut block);
        }
        let named = self.entries.iter().take_while(|entry| entry.name() != Name::Unknown).count();
        let told = named.saturating_sub(skip);
        for entry in self.entries.iter().take(told).rev() {
            let placeholder = |len: u32| vec![b'x'; usize::try_from(len).unwrap_or(0)];
            let (name, value) = match entry {
                Entry::Kept(name, value) => (name.text().to_vec(), value.to_vec()),
                Entry::Passed(_, name, value) => (placeholder(*name), placeholder(*value)),
            };
            match STATIC_FIELDS.iter().position(|(other, _)| other.as_bytes() == name) {
                Some(at) => integer(at + 1, 6, 0x40, &mut block),
                None => {
                    block.push(0x40);
                    short_string(&name, &mut block);
                }
            }
            short_string(&value, &mut block);
        }
        (block, told == self.entries.len() && !self.beneath)
    }

    /// Lets go of all entries: they are not known any more.
    pub(super) fn shed(&mut self) {
        self.beneath |= !self.entries.is_empty();
        self.entries = VecDeque::new();
        (self.bytes, self.held_bytes) = (0, 0);
    }

    /// Memory in use, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.held_bytes
    }

    /// Evicts what is too much, the oldest first.
    fn shrink(&mut self) {
        let max = self.max.unwrap_or(usize::MAX);
        if self.bytes > max || max == 0 {
            // The encoder has evicted, and what lay beneath went first.
            self.beneath = false;
        }
        while self.bytes > max.min(self.bound)
            && let Some(entry) = self.entries.pop_back()
        {
            self.beneath |= self.bytes <= max;
            self.bytes = self.bytes.saturating_sub(entry.size());
            self.held_bytes -= entry.held_bytes();
        }
    }
}
