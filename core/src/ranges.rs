//! The captured parts of a call's payload: every head, little of bodies.

/// The captured parts of one call's payload: pieces of at most the call's length, ascending and apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranges<'a> {
    /// A piece from the first byte on, the usual and often the only one.
    prefix: &'a [u8],
    /// Further pieces: for each, offset and length as little-endian `u32`s.
    table: &'a [u8],
    /// The bytes of the further pieces, one after the other.
    rest: &'a [u8],
}

impl<'a> Ranges<'a> {
    /// No payload.
    pub const EMPTY: Self = Self { prefix: &[], table: &[], rest: &[] };

    /// A piece from the first byte on, and nothing else.
    pub const fn prefix(prefix: &'a [u8]) -> Self {
        Self { prefix, table: &[], rest: &[] }
    }

    /// The parts as the codec has them. `table` holds offset and length of each further piece as little-endian `u32`s.
    ///
    /// Returns `None` unless the pieces are ascending, apart, within `len`, and `rest` is as long as they say.
    pub fn from_parts(prefix: &'a [u8], table: &'a [u8], rest: &'a [u8], len: u64) -> Option<Self> {
        let ranges = Self { prefix, table, rest };
        if !table.len().is_multiple_of(8) {
            return None;
        }
        let (mut end, mut left) = (prefix.len() as u64, rest.len());
        for (offset, length) in ranges.table_entries() {
            if length == 0 || u64::from(offset) < end {
                return None;
            }
            end = u64::from(offset) + u64::from(length);
            left = left.checked_sub(length as usize)?;
        }
        (end <= len && left == 0).then_some(ranges)
    }

    /// Prefix, table and further bytes, as [`Ranges::from_parts`] takes them.
    pub const fn parts(&self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        (self.prefix, self.table, self.rest)
    }

    /// The pieces: offset from the call's first byte, and the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let first = (!self.prefix.is_empty()).then_some((0, self.prefix));
        let mut rest = self.rest;
        let further = self.table_entries().map_while(move |(offset, length)| {
            let (piece, left) = rest.split_at_checked(length as usize)?;
            rest = left;
            Some((u64::from(offset), piece))
        });
        first.into_iter().chain(further)
    }

    /// How many bytes were captured.
    pub const fn captured(&self) -> usize {
        self.prefix.len() + self.rest.len()
    }

    fn table_entries(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        self.table
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&[a, b, c, d, e, f, g, h]| (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }
}

/// [`Ranges`] that own their bytes, for those who make events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangesBuf {
    prefix: Vec<u8>,
    table: Vec<u8>,
    rest: Vec<u8>,
}

impl RangesBuf {
    /// A piece from the first byte on.
    pub fn prefix(bytes: impl Into<Vec<u8>>) -> Self {
        Self { prefix: bytes.into(), ..Self::default() }
    }

    /// Adds a piece behind those there are. Pieces must come ascending and apart; empty ones are left out.
    pub fn push(&mut self, offset: u32, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if offset == 0 && self.prefix.is_empty() {
            self.prefix.extend_from_slice(bytes);
            return;
        }
        self.table.extend_from_slice(&offset.to_le_bytes());
        self.table.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.rest.extend_from_slice(bytes);
    }

    /// `len` captured bytes from number `at` on, counted over all pieces; fewer where there are fewer.
    pub(crate) fn bytes_mut(&mut self, at: usize, len: usize) -> impl Iterator<Item = &mut u8> {
        let from_prefix = at.min(self.prefix.len());
        let rest = at - from_prefix;
        let prefix = self.prefix.get_mut(from_prefix..).unwrap_or_default();
        prefix.iter_mut().chain(self.rest.get_mut(rest..).unwrap_or_default()).take(len)
    }

    /// The pieces, borrowed.
    pub fn as_ranges(&self) -> Ranges<'_> {
        Ranges { prefix: &self.prefix, table: &self.table, rest: &self.rest }
    }
}

impl From<Ranges<'_>> for RangesBuf {
    fn from(ranges: Ranges<'_>) -> Self {
        Self { prefix: ranges.prefix.into(), table: ranges.table.into(), rest: ranges.rest.into() }
    }
}
