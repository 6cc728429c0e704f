//! Encodes integers and strings of header blocks (RFC 7541, section 5).

use super::huffman;

/// An integer with a prefix of so many bits (section 5.1), the bits of `first` before it.
pub(crate) fn integer(number: usize, prefix: u32, first: u8, out: &mut Vec<u8>) {
    let most = (1_usize << prefix) - 1;
    let byte = |number: usize| u8::try_from(number & 0xff).unwrap_or(0);
    if number < most {
        return out.push(first | byte(number));
    }
    out.push(first | byte(most));
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(byte(rest & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(byte(rest));
}

/// A string (section 5.2), in the Huffman code or as it is.
pub(crate) fn string(text: &[u8], huffman: bool, out: &mut Vec<u8>) {
    if huffman {
        let mut coded = Vec::new();
        huffman::encode(text, &mut coded);
        integer(coded.len(), 7, 0x80, out);
        out.extend_from_slice(&coded);
    } else {
        integer(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }
}

/// A string in whichever way it is shorter.
pub(crate) fn short_string(text: &[u8], out: &mut Vec<u8>) {
    let bits: usize = text.iter().map(|&byte| usize::from(huffman::code_length(byte))).sum();
    string(text, bits.div_ceil(8) < text.len(), out);
}
