//! The encoding of record heads and dictionary entries: bincode 2's standard configuration, and nothing else of bincode.
//!
//! The rest of the crate reaches bincode through this module alone; `FORMAT.md` restates the few rules that are used.
//! What bincode reads is always one length-prefixed record or entry, so that it can never read into the next one.

use bincode::{Decode, Encode, config};

/// Bytes that a decoded dictionary entry may claim, so that a false length cannot make it allocate.
const ENTRY_LIMIT: usize = 4 << 20;

/// Appends `value` to `out`.
pub(super) fn encode<T: Encode>(value: &T, out: &mut Vec<u8>) {
    let mut sink = Append(out);
    bincode::encode_into_writer(value, &mut sink, config::standard())
        .expect("invariant: the types of this format encode, and a Vec takes every byte");
}

/// Reads a head from the front of `bytes`; also returns what is left.
#[inline]
pub(super) fn decode_head<T: Decode<()>>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (value, used) = bincode::decode_from_slice(bytes, config::standard()).ok()?;
    Some((value, bytes.get(used..)?))
}

/// Reads a dictionary entry from the front of `bytes`; also returns what is left, its extensions.
pub(super) fn decode_entry<T: Decode<()>>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (value, used) = bincode::decode_from_slice(bytes, config::standard().with_limit::<ENTRY_LIMIT>()).ok()?;
    Some((value, bytes.get(used..)?))
}

/// Appends a varint, by the same rules as inside heads.
pub(super) fn put_varint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=250 => out.push(value.to_le_bytes()[0]),
        251..=0xffff => put(251, &value.to_le_bytes()[..2], out),
        0x1_0000..=0xffff_ffff => put(252, &value.to_le_bytes()[..4], out),
        _ => put(253, &value.to_le_bytes(), out),
    }
}

fn put(marker: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(marker);
    out.extend_from_slice(bytes);
}

/// Takes a varint from the front of `bytes`.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    let (value, rest) = match first {
        0..=250 => (u64::from(first), rest),
        251 => rest.split_first_chunk().map(|(value, rest)| (u64::from(u16::from_le_bytes(*value)), rest))?,
        252 => rest.split_first_chunk().map(|(value, rest)| (u64::from(u32::from_le_bytes(*value)), rest))?,
        253 => rest.split_first_chunk().map(|(value, rest)| (u64::from_le_bytes(*value), rest))?,
        254..=255 => return None,
    };
    *bytes = rest;
    Some(value)
}

/// Takes a varint that may take up to 32 bits, like a u32 of a head.
#[inline]
pub(super) fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (&first, rest) = bytes.split_first()?;
    let (value, rest) = match first {
        0..=250 => (u32::from(first), rest),
        251 => rest.split_first_chunk().map(|(value, rest)| (u32::from(u16::from_le_bytes(*value)), rest))?,
        252 => rest.split_first_chunk().map(|(value, rest)| (u32::from_le_bytes(*value), rest))?,
        253..=255 => return None,
    };
    *bytes = rest;
    Some(value)
}

/// Takes a varint that may take up to 16 bits, like a u16 of a head.
#[inline]
pub(super) fn take_u16(bytes: &mut &[u8]) -> Option<u16> {
    let (&first, rest) = bytes.split_first()?;
    let (value, rest) = match first {
        0..=250 => (u16::from(first), rest),
        251 => rest.split_first_chunk().map(|(value, rest)| (u16::from_le_bytes(*value), rest))?,
        252..=255 => return None,
    };
    *bytes = rest;
    Some(value)
}

/// Takes one byte.
#[inline]
pub(super) fn take_u8(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

/// Takes a varint that counts or numbers things in memory.
#[inline]
pub(super) fn take_size(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_varint(bytes)?).ok()
}

/// Takes `len` bytes from the front of `bytes`.
#[inline]
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Maps small signed numbers of either sign to small unsigned ones.
pub(super) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

struct Append<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Append<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Old {
        a: u32,
    }

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct New {
        a: u32,
        b: u16,
    }

    #[test]
    fn a_head_never_reads_beyond_its_record() {
        let mut bytes = Vec::new();
        encode(&Old { a: 7 }, &mut bytes);
        assert_eq!(decode_head::<New>(&bytes), None, "a missing field is an error, not a default");
        assert_eq!(decode_entry::<New>(&bytes), None);
    }

    #[test]
    fn bytes_left_over_are_seen() {
        let mut bytes = Vec::new();
        encode(&New { a: 7, b: 300 }, &mut bytes);
        assert_eq!(decode_head::<Old>(&bytes), Some((Old { a: 7 }, &[251, 0x2c, 1][..])));
        assert_eq!(decode_entry::<Old>(&bytes), Some((Old { a: 7 }, &[251, 0x2c, 1][..])));
    }

    #[test]
    fn a_false_length_allocates_nothing() {
        let mut bytes = Vec::new();
        put_varint(1 << 40, &mut bytes);
        assert_eq!(decode_entry::<String>(&bytes), None);
        assert_eq!(decode_entry::<Vec<String>>(&bytes), None);
    }

    #[test]
    fn numbers_in_longer_forms_are_accepted() {
        assert_eq!(decode_head::<Old>(&[251, 5, 0]), Some((Old { a: 5 }, &[][..])));
        assert_eq!(take_varint(&mut &[251, 5, 0][..]), Some(5));
    }

    #[test]
    fn a_number_too_large_for_its_field_is_an_error() {
        let mut bytes = Vec::new();
        put_varint(1 << 40, &mut bytes);
        assert_eq!(decode_head::<Old>(&bytes), None);
    }

    proptest! {
        #[test]
        fn varints_are_those_of_heads(value: u64) {
            let (mut ours, mut bincodes) = (Vec::new(), Vec::new());
            put_varint(value, &mut ours);
            encode(&value, &mut bincodes);
            prop_assert_eq!(&ours, &bincodes);
            prop_assert_eq!(take_varint(&mut &ours[..]), Some(value));
        }

        #[test]
        fn zigzag_is_that_of_heads(value: i64) {
            let (mut ours, mut bincodes) = (Vec::new(), Vec::new());
            put_varint(zigzag(value), &mut ours);
            encode(&value, &mut bincodes);
            prop_assert_eq!(ours, bincodes);
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while take_varint(&mut rest).is_some() {}
        }
    }
}
