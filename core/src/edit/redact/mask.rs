//! What bytes become: for each a fixed other one, so that doing it again changes nothing.

use crate::http2::hpack::code_length;

/// What a byte of a value or a body becomes.
pub(super) const MASK: u8 = b'*';

/// What a byte that is not understood becomes. No message of any protocol begins with it.
pub(super) const OPAQUE: u8 = b'?';

/// How a value is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Only the length is left.
    Flat,
    /// Digits stay digits and letters letters, as routes go by what a segment looks like.
    Shaped,
}

/// What a byte of a string in the Huffman code becomes: one whose code is as long, and which delimits nothing.
pub(super) const fn coded(byte: u8) -> u8 {
    match code_length(byte) {
        5 => b'0',
        6 => b'A',
        7 => b'B',
        8 => b'X',
        10 => b'!',
        11 => b'+',
        12 => b'>',
        13 => b'~',
        14 => b'^',
        15 => b'`',
        length => first_of(length),
    }
}

/// The first byte whose code is as long.
const fn first_of(length: u8) -> u8 {
    let mut byte = 0;
    while byte < u8::MAX && code_length(byte) != length {
        byte += 1;
    }
    byte
}

/// What a byte of a segment becomes: one of the same kind, whose code in the Huffman code is as long.
pub(super) const fn shaped(byte: u8) -> u8 {
    let short = code_length(byte);
    match (byte, short) {
        (b'-' | b'.' | b'_' | b'~' | b'@' | b':' | b',' | b'%' | b'+' | b'=' | b'!', _) => byte,
        (b'0'..=b'9', 5) => b'0',
        (b'0'..=b'9', _) => b'3',
        (b'a'..=b'f', 5) => b'a',
        (b'a'..=b'f', _) => b'd',
        (b'g'..=b'z', 5) => b'o',
        (b'g'..=b'z', 6) => b'n',
        (b'g'..=b'z', _) => b'x',
        (b'A', _) => b'A',
        (b'B'..=b'F', _) => b'B',
        (b'G'..=b'Z', 7) => b'G',
        (b'G'..=b'Z', _) => b'X',
        _ => coded(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_length_of_the_code_and_are_their_own_masks() {
        for byte in 0..=u8::MAX {
            for mask in [coded, shaped] {
                assert_eq!(code_length(mask(byte)), code_length(byte), "{byte}");
                assert_eq!(mask(mask(byte)), mask(byte), "{byte}");
            }
            assert!(!b"/?#&;=% :".contains(&coded(byte)), "{byte} becomes a delimiter");
        }
    }
}
