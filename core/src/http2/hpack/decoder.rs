//! Decodes header blocks (RFC 7541), of which earlier ones may have been missed.

use super::huffman;
use super::name::{Name, STATIC};
use super::table::{Entry, Found, Table};

/// The size of the dynamic table before anyone changes it (RFC 9113, section 6.5.2).
pub(crate) const INITIAL_TABLE_BYTES: usize = 4096;

/// The decoder of one direction.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// The largest table that the other side has allowed; `None` where that may have been missed.
    allowed: Option<usize>,
    /// The decoded form of a name, or of a value to be kept.
    scratch: Vec<u8>,
}

/// Why a block cannot be decoded: it is no HPACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What takes decoded fields.
pub(crate) trait Sink {
    /// A field, its size in bytes as RFC 7541 counts it, and its value; `None` where that is not known or not asked for.
    fn field(&mut self, name: Name, size: usize, value: Option<&[u8]>);
}

/// The rest of a block.
struct Block<'a> {
    rest: &'a [u8],
    whole: bool,
}

/// The end of what there is of a block.
enum Stop {
    /// The rest of the block is missing.
    Cut,
    Malformed,
}

/// A string literal as it stands in the block.
#[derive(Clone, Copy)]
struct Literal<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

/// A name: by index or spelled out.
struct Named {
    name: Name,
    len: usize,
}

impl Decoder {
    /// At the beginning of a connection, or where blocks before may have been missed (`known` is false). The table holds
    /// `bound` bytes at most.
    pub(crate) fn new(bound: usize, known: bool) -> Self {
        let allowed = known.then_some(INITIAL_TABLE_BYTES);
        Self { table: Table::new(INITIAL_TABLE_BYTES, bound, known), allowed, scratch: Vec::new() }
    }

    /// A block was missed, or a part of one.
    pub(crate) fn forget(&mut self) {
        self.table.forget();
    }

    /// The other side allows a table of so many bytes; `None` if what it says was missed.
    pub(crate) fn allow(&mut self, bytes: Option<usize>) {
        // Until it has learned of it, the encoder may still make use of what was allowed before.
        self.allowed = self.allowed.zip(bytes).map(|(before, bytes)| before.max(bytes));
    }

    /// A header block that gives a decoder that knows nothing this one's table, in `most` bytes at most: if they are too few, without the
    /// oldest entries. And whether that makes it as good as this one was at a connection's beginning.
    pub(crate) fn retold(&self, most: usize) -> (Vec<u8>, bool) {
        let (mut skip, mut step) = (0, 1);
        loop {
            let (block, all) = self.table.retold(skip);
            if block.len() <= most || skip >= self.table.len() {
                let usual = self.allowed == Some(INITIAL_TABLE_BYTES) && self.table.is_of_size(INITIAL_TABLE_BYTES);
                return (block, all && usual);
            }
            (skip, step) = (skip + step, step * 2);
        }
    }

    /// Lets go of the table's entries.
    pub(crate) fn shed(&mut self) {
        self.table.shed();
        self.scratch = Vec::new();
    }

    /// Whether the encoder may use a larger table than is kept.
    pub(crate) fn exceeds_bound(&self) -> bool {
        self.table.exceeds_bound()
    }

    /// Memory in use, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.table.held_bytes() + self.scratch.capacity()
    }

    /// Decodes a block, of which the end is missing unless it is `whole`. If that is so, or it is malformed, entries so
    /// far are not known any more.
    pub(crate) fn decode(&mut self, block: &[u8], whole: bool, sink: &mut impl Sink) -> Result<(), Malformed> {
        let mut block = Block { rest: block, whole };
        let mut begun = false;
        let end = loop {
            let Some(&first) = block.rest.first() else { break if whole { Ok(()) } else { Err(Stop::Cut) } };
            let update = first & 0xe0 == 0x20;
            let step = if update && !begun { self.update(&mut block) } else { self.field(first, &mut block, sink) };
            if let Err(stop) = step {
                break Err(stop);
            }
            begun |= !update;
        };
        let Err(stop) = end else { return Ok(()) };
        self.table.forget();
        match stop {
            Stop::Cut => Ok(()),
            Stop::Malformed => Err(Malformed),
        }
    }

    /// A change of the table's size (section 6.3).
    fn update(&mut self, block: &mut Block<'_>) -> Result<(), Stop> {
        let max = block.integer(5)?;
        if self.allowed.is_some_and(|allowed| max > allowed) {
            return Err(Stop::Malformed);
        }
        self.table.resize(max);
        Ok(())
    }

    /// A field in one of its representations (sections 6.1 and 6.2).
    fn field(&mut self, first: u8, block: &mut Block<'_>, sink: &mut impl Sink) -> Result<(), Stop> {
        if first & 0x80 != 0 {
            let index = block.integer(7)?;
            return self.indexed(index, sink);
        }
        let indexing = first & 0x40 != 0;
        if !indexing && first & 0xe0 == 0x20 {
            // Sizes change at the beginning of a block alone.
            return Err(Stop::Malformed);
        }
        let named = match block.integer(if indexing { 6 } else { 4 })? {
            0 => self.spelled(block.literal()?)?,
            index => self.name_at(index)?,
        };
        let literal = block.literal()?;
        if named.name.slot().is_none() {
            // Nobody asks for it: where it does not enter the table, it need not even be decoded.
            let value_len = if indexing { literal.len()? } else { literal.bytes.len() };
            sink.field(named.name, size(named.len, value_len), None);
            if indexing {
                self.table.insert(Entry::new(named.name, named.len, value_len, None));
            }
            return Ok(());
        }
        let value = literal.decode(&mut self.scratch)?;
        sink.field(named.name, size(named.len, value.len()), Some(value));
        if indexing {
            self.table.insert(Entry::new(named.name, named.len, value.len(), Some(value)));
        }
        Ok(())
    }

    fn indexed(&self, index: usize, sink: &mut impl Sink) -> Result<(), Stop> {
        let at = index.checked_sub(1).ok_or(Stop::Malformed)?;
        if let Some(entry) = STATIC.get(at) {
            sink.field(entry.name, size(entry.name_len, entry.value.len()), Some(entry.value));
            return Ok(());
        }
        match self.table.entry(at - STATIC.len()) {
            Found::Entry(entry) => sink.field(entry.name(), entry.size(), entry.value()),
            Found::Unknown => sink.field(Name::Unknown, size(0, 0), None),
            Found::Nothing => return Err(Stop::Malformed),
        }
        Ok(())
    }

    fn name_at(&self, index: usize) -> Result<Named, Stop> {
        let at = index - 1;
        if let Some(entry) = STATIC.get(at) {
            return Ok(Named { name: entry.name, len: entry.name_len });
        }
        match self.table.entry(at - STATIC.len()) {
            Found::Entry(entry) => Ok(Named { name: entry.name(), len: entry.name_len() }),
            Found::Unknown => Ok(Named { name: Name::Unknown, len: 0 }),
            Found::Nothing => Err(Stop::Malformed),
        }
    }

    fn spelled(&mut self, literal: Literal<'_>) -> Result<Named, Stop> {
        let name = literal.decode(&mut self.scratch)?;
        Ok(Named { name: Name::of(name), len: name.len() })
    }
}

const fn size(name_len: usize, value_len: usize) -> usize {
    name_len.saturating_add(value_len).saturating_add(32)
}

impl<'a> Literal<'a> {
    /// The text, decoded into `scratch` where it is in the Huffman code.
    fn decode<'b>(self, scratch: &'b mut Vec<u8>) -> Result<&'b [u8], Stop>
    where
        'a: 'b,
    {
        if !self.huffman {
            return Ok(self.bytes);
        }
        scratch.clear();
        huffman::decode(self.bytes, |byte| scratch.push(byte)).ok_or(Stop::Malformed)?;
        Ok(scratch)
    }

    /// The length of the text.
    fn len(self) -> Result<usize, Stop> {
        if !self.huffman {
            return Ok(self.bytes.len());
        }
        let mut len = 0;
        huffman::decode(self.bytes, |_| len += 1).ok_or(Stop::Malformed)?;
        Ok(len)
    }
}

impl<'a> Block<'a> {
    /// What a block that goes on no further means.
    const fn end(&self) -> Stop {
        if self.whole { Stop::Malformed } else { Stop::Cut }
    }

    /// An integer with a prefix of so many bits (section 5.1), below 2^28.
    #[inline]
    fn integer(&mut self, prefix: u32) -> Result<usize, Stop> {
        let (&first, rest) = self.rest.split_first().ok_or(self.end())?;
        self.rest = rest;
        let most = (1usize << prefix) - 1;
        let mut number = usize::from(first) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let (&byte, rest) = self.rest.split_first().ok_or(self.end())?;
            self.rest = rest;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Stop::Malformed)
    }

    /// A string (section 5.2).
    fn literal(&mut self) -> Result<Literal<'a>, Stop> {
        let huffman = self.rest.first().is_some_and(|first| first & 0x80 != 0);
        let len = self.integer(7)?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(self.end())?;
        self.rest = rest;
        Ok(Literal { huffman, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_appendix_c() {
        for (bytes, prefix, expected) in
            [(&[0b1110_1010][..], 5, 10), (&[0x1f, 0b1001_1010, 0b0000_1010], 5, 1337), (&[42], 8, 42)]
        {
            let mut block = Block { rest: bytes, whole: true };
            assert_eq!(block.integer(prefix).ok(), Some(expected));
            assert!(block.rest.is_empty());
        }
    }
}
