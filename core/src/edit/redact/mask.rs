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

/// What a byte of a string in the Huffman code becomes where it is too odd for [`fill_coded`]: one whose code is as long, and which
/// delimits nothing.
const fn coded(byte: u8) -> u8 {
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

/// Overwrites a text whose code in the Huffman code must stay as long. Only the number of bytes and that length are left.
pub(super) fn fill_coded(text: &mut [u8]) {
    let bits: usize = text.iter().map(|&byte| usize::from(code_length(byte))).sum();
    // The shortest codes have 5 bits.
    let more = bits.saturating_sub(5 * text.len());
    if more > 3 * text.len() {
        text.iter_mut().for_each(|byte| *byte = coded(*byte));
        return text.sort_unstable();
    }
    let last = [None, Some(b'A'), Some(b'B')].get(more % 3).copied().flatten();
    let masks = std::iter::repeat_n(b'X', more / 3).chain(last).chain(std::iter::repeat(b'0'));
    text.iter_mut().zip(masks).for_each(|(byte, mask)| *byte = mask);
}

/// What a byte of a segment is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    HexLower,
    HexUpper,
    Lower,
    Upper,
    Other,
    /// It stays.
    Punctuation,
}

impl Kind {
    /// `hex`: among letters and digits that are all hexadecimal.
    const fn of(byte: u8, hex: bool) -> Self {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'@' | b':' | b',' | b'%' | b'+' | b'=' | b'!' => Self::Punctuation,
            b'0'..=b'9' => Self::Digit,
            b'a'..=b'z' if hex => Self::HexLower,
            b'A'..=b'Z' if hex => Self::HexUpper,
            b'a'..=b'z' => Self::Lower,
            b'A'..=b'Z' => Self::Upper,
            _ => Self::Other,
        }
    }

    /// What a byte of this kind becomes: in the Huffman code, one whose code is as long. Letters become none that make words.
    const fn mask(self, byte: u8, huffman: bool) -> u8 {
        let length = if huffman { code_length(byte) } else { 0 };
        match (self, length) {
            (Self::Punctuation, _) => byte,
            (Self::Digit, 6..) => b'3',
            (Self::Digit, _) => b'0',
            (Self::HexLower, 6..) => b'd',
            (Self::HexLower, _) => b'a',
            (Self::HexUpper, 7..) => b'B',
            (Self::HexUpper, _) => b'A',
            (Self::Lower, 5) => b's',
            (Self::Lower, 6) => b'n',
            (Self::Lower, _) => b'x',
            (Self::Upper, 6) => b'A',
            (Self::Upper, 7) => b'G',
            (Self::Upper, _) => b'X',
            (Self::Other, 0) => b'!',
            // None that another kind has.
            (Self::Other, 6) => b'-',
            (Self::Other, 7) => b':',
            (Self::Other, 8) => b',',
            (Self::Other, _) => coded(byte),
        }
    }
}

/// Overwrites a segment so that it looks like one of the same class. Punctuation is left, and of every other byte what kind it is:
/// digit, small letter, capital. In the Huffman code the masks of one kind are several, so they are sorted.
pub(super) fn shape(segment: &mut [u8], huffman: bool) {
    let escaped = |at: usize| {
        let percent = |back: usize| at.checked_sub(back).and_then(|at| segment.get(at)) == Some(&b'%');
        percent(1) || percent(2)
    };
    let letters = segment.iter().enumerate().filter(|(at, byte)| byte.is_ascii_alphabetic() && !escaped(*at));
    let hex = letters.into_iter().all(|(_, byte)| byte.is_ascii_hexdigit());
    let kind = |(at, &byte): (usize, &u8)| Kind::of(byte, byte.is_ascii_hexdigit() && (hex || escaped(at)));
    let kinds: Vec<_> = segment.iter().enumerate().map(kind).collect();
    let kinds_of_masks = [Kind::Digit, Kind::HexLower, Kind::HexUpper, Kind::Lower, Kind::Upper, Kind::Other];
    for kind in kinds_of_masks {
        let of_kind = |segment: &[u8]| -> Vec<u8> {
            let pairs = segment.iter().zip(&kinds);
            pairs.filter(|(_, of)| **of == kind).map(|(&byte, _)| kind.mask(byte, huffman)).collect()
        };
        let mut masks = of_kind(segment);
        masks.sort_unstable();
        let slots = segment.iter_mut().zip(&kinds).filter(|(_, of)| **of == kind);
        slots.zip(masks).for_each(|((byte, _), mask)| *byte = mask);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::class_of;

    fn bits(text: &[u8]) -> usize {
        text.iter().map(|&byte| usize::from(code_length(byte))).sum()
    }

    proptest! {
        #[test]
        fn masks_keep_the_length_of_the_code_and_are_their_own_masks(
            text in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), "[ -~]{0,40}".prop_map(String::into_bytes)]
        ) {
            let mut flat = text.clone();
            fill_coded(&mut flat);
            let (mut shaped, mut plain) = (text.clone(), text.clone());
            shape(&mut shaped, true);
            shape(&mut plain, false);
            prop_assert_eq!([bits(&flat), bits(&shaped)], [bits(&text); 2]);
            prop_assert!(!flat.iter().any(|byte| b"/?#&;=% :".contains(byte)), "{}", flat.escape_ascii());
            for (masked, twice) in [(flat, fill_coded as fn(&mut [u8])), (shaped, |text| shape(text, true)), (plain, |text| shape(text, false))] {
                let mut again = masked.clone();
                twice(&mut again);
                prop_assert_eq!(masked, again);
            }
        }
    }

    /// Of two texts with as many bytes and bits, nothing tells which it was.
    #[test]
    fn only_lengths_are_left_in_the_huffman_code() {
        let filled = |text: &str| {
            let mut text = text.as_bytes().to_vec();
            fill_coded(&mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(filled("0909xZ"), filled("9900Zx"));
        assert_eq!([filled("secret"), filled("x"), filled("Bearer 12")], ["A00000", "B", "XB0000000"]);
    }

    #[test]
    fn segments_keep_their_class_and_no_letter() {
        for (segment, expected) in [
            ("9s6XKzkNRiz8i3", "0x0XXxxXXxx0x0"),
            ("bob.b@example.com", "xxx.x@xxxxxxx.xxx"),
            ("qwrtpsdfg", "xxxxxxxxx"),
            ("sk_live_4eC39HqLyjWDarjt", "xx_xxxx_0xX00XxXxxXXxxxx"),
            ("3F2504E0-4F89-11D3-9A0C-0305E82C3301", "0A0000A0-0A00-00A0-0A0A-0000A00A0000"),
            ("deadbeef99", "aaaaaaaa00"),
            ("g%2Fb%c3%a9$", "x%0Ax%a0%a0!"),
            // No escape, though it begins as one.
            ("%v", "%x"),
            ("%v1f", "%x0a"),
        ] {
            for huffman in [false, true] {
                let mut masked = segment.as_bytes().to_vec();
                shape(&mut masked, huffman);
                let masked = String::from_utf8(masked).unwrap();
                assert!(huffman || masked == expected, "{masked}");
                assert!(!huffman || bits(masked.as_bytes()) == bits(segment.as_bytes()), "{masked}");
                assert_eq!(class_of(&masked), class_of(segment), "{segment} becomes {masked}");
            }
        }
    }
}
