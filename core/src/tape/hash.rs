//! The content hash: equal for equal events, however they are cut into blocks, compressed and numbered.

use std::fmt;

use bincode::Encode;
use twox_hash::XxHash3_128;

use super::block::Block;
use super::codec::{encode, put_varint};
use super::record;
use super::v1::kind;
use crate::event::{Body, Event};
use crate::ids::Origin;

/// A hash of all events of a tape with the facts of their connections and processes.
///
/// Two tapes with equal hashes hold equal events. It is not a cryptographic hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A hash of one dictionary entry. Zero stands for an unknown process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest([u8; 16]);

impl Digest {
    /// `entry` has its indices zero; `whose` are the numbers that they stand for.
    pub(super) fn of_entry(form: u8, entry: &impl Encode, ext: &[u8], whose: &[(Origin, u64)]) -> Self {
        let mut bytes = vec![form];
        encode(entry, &mut bytes);
        bytes.extend_from_slice(ext);
        for (origin, id) in whose {
            bytes.extend_from_slice(&origin.0);
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        Self(XxHash3_128::oneshot(&bytes).to_le_bytes())
    }
}

/// Computes a [`ContentHash`]: from the blocks of a tape, or event by event as a writer does.
pub struct ContentHasher {
    state: XxHash3_128,
    scratch: Vec<u8>,
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl ContentHasher {
    /// The hash of no events so far.
    pub fn new() -> Self {
        Self { state: XxHash3_128::new(), scratch: Vec::new() }
    }

    /// Takes in the events of a block that was read without [`crate::tape::Reader::shift_times`].
    ///
    /// What is missing before the block is not taken in, so that a damaged tape has the hash of what is left of it.
    pub fn push_block(&mut self, block: &Block) {
        block.hash_into(self);
    }

    /// Takes in an event, its head as a record has it, and the digests of its connection and process, as far as it has them.
    pub(super) fn push(&mut self, event: &Event<'_>, head: &[u8], conn: Digest, process: Digest) {
        let Some(number) = record::number(&event.body) else { return };
        let out = &mut self.scratch;
        out.clear();
        record::put_kind(event, number, out);
        for value in [event.time.nanos(), u64::from(event.cpu), event.seq] {
            put_varint(value, out);
        }
        if kind::of_connection(number) {
            out.extend_from_slice(&conn.0);
        }
        if kind::of_process(number) {
            out.extend_from_slice(&process.0);
        }
        if let Body::Clock { origin, .. } = event.body {
            out.extend_from_slice(&origin.0);
        }
        out.extend_from_slice(head);
        let (prefix, table, rest) = record::payload(&event.body);
        put_varint((prefix.len() + table.len() + rest.len()) as u64, out);
        self.state.write(out);
        for part in [prefix, table, rest].into_iter().filter(|part| !part.is_empty()) {
            self.state.write(part);
        }
    }

    /// The hash of the events so far.
    pub fn finish(&self) -> ContentHash {
        ContentHash(self.state.finish_128().to_le_bytes())
    }
}
