//! The Huffman code of HPACK (RFC 7541, section 5.2 and appendix B).
//!
//! The code is canonical: within a length codes ascend with their symbols, and each length goes on where the shorter one
//! ended. So the lengths are the whole code, and the tables below are computed from them.

/// The end of a string, of which only the first bits may occur: as padding.
const EOS: usize = 256;
const LONGEST: usize = 30;

/// The length in bits of each symbol's code.
#[rustfmt::skip]
const LENGTHS: [u8; EOS + 1] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6,
    6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5,
    5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23,
    24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23,
    21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21,
    21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
    26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// Codes of at most so many bits are found by one look.
const FAST_BITS: u32 = 8;

struct Code {
    /// Of each length: its first code, how many there are, and where its symbols begin in `symbols`.
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    offset: [u32; LONGEST + 1],
    /// By length, then symbol.
    symbols: [u16; EOS + 1],
    /// By the next eight bits: the symbol whose code they begin with, and its length; length 0 where it is longer.
    fast: [(u8, u8); 1 << FAST_BITS],
}

static CODE: Code = Code::new();

impl Code {
    #[expect(clippy::cast_possible_truncation, reason = "constants below 2^16")]
    const fn new() -> Self {
        let zero = [0; LONGEST + 1];
        let mut code =
            Self { first: zero, count: zero, offset: zero, symbols: [0; EOS + 1], fast: [(0, 0); 1 << FAST_BITS] };
        let (mut length, mut next, mut placed) = (1, 0u32, 0usize);
        while length <= LONGEST {
            next <<= 1;
            code.first[length] = next;
            code.offset[length] = placed as u32;
            let mut symbol = 0;
            while symbol <= EOS {
                if LENGTHS[symbol] as usize == length {
                    code.symbols[placed] = symbol as u16;
                    if length as u32 <= FAST_BITS {
                        let spare = FAST_BITS - length as u32;
                        let mut at = next << spare;
                        while at < (next + 1) << spare {
                            code.fast[at as usize] = (symbol as u8, length as u8);
                            at += 1;
                        }
                    }
                    placed += 1;
                    next += 1;
                    code.count[length] += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        code
    }

    /// The symbol whose code `bits` begin with, from the highest bit on, and its length.
    #[inline]
    fn symbol(&self, bits: u64) -> (usize, u32) {
        let (symbol, length) = self.fast[(bits >> (64 - FAST_BITS)) as usize];
        if length > 0 { (symbol.into(), length.into()) } else { self.long_symbol(bits) }
    }

    fn long_symbol(&self, bits: u64) -> (usize, u32) {
        for length in FAST_BITS + 1..=LONGEST as u32 {
            let at = length as usize;
            let code = u32::try_from(bits >> (64 - length)).unwrap_or(u32::MAX);
            let number = code.wrapping_sub(self.first[at]);
            if number < self.count[at] {
                return (self.symbols[(self.offset[at] + number) as usize].into(), length);
            }
        }
        // Every string of 30 bits begins with a code.
        (EOS, LONGEST as u32)
    }
}

/// Hands the decoded bytes to `put`. `None` if this is no such string: it has EOS in it, or its padding is not of ones, or
/// longer than seven bits.
pub(crate) fn decode(coded: &[u8], mut put: impl FnMut(u8)) -> Option<()> {
    let (mut rest, mut bits, mut have) = (coded, 0u64, 0u32);
    loop {
        while have <= 56
            && let Some((&byte, after)) = rest.split_first()
        {
            bits |= u64::from(byte) << (56 - have);
            have += 8;
            rest = after;
        }
        let (symbol, length) = CODE.symbol(bits);
        if length > have {
            let padding = u64::MAX.checked_shl(64 - have).unwrap_or(0);
            return (have < 8 && bits == padding).then_some(());
        }
        put(u8::try_from(symbol).ok()?);
        bits <<= length;
        have -= length;
    }
}

/// Appends the code of `text`.
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut have) = (0u64, 0u32);
    for &byte in text {
        let (code, length) = code_of(byte.into());
        bits = bits << length | u64::from(code);
        have += length;
        while have >= 8 {
            have -= 8;
            out.push((bits >> have & 0xff) as u8);
        }
    }
    if have > 0 {
        out.push(((bits << (8 - have) | 0xff >> have) & 0xff) as u8);
    }
}

/// How many bits the code of a byte has.
pub(crate) const fn code_length(byte: u8) -> u8 {
    LENGTHS[byte as usize]
}

fn code_of(symbol: usize) -> (u32, u32) {
    let length = usize::from(LENGTHS[symbol]);
    let from = CODE.offset[length];
    let number = CODE.symbols[from as usize..].iter().zip(0..).find(|(at, _)| usize::from(**at) == symbol);
    (CODE.first[length] + number.map_or(0, |(_, number)| number), u32::from(LENGTHS[symbol]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, |byte| out.push(byte)).map(|()| out)
    }

    #[test]
    fn strings_of_rfc_7541_appendix_c() {
        for (text, coded) in [
            ("www.example.com", &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..]),
            ("no-cache", b"\xa8\xeb\x10\x64\x9c\xbf"),
            ("custom-value", b"\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf"),
            ("302", b"\x64\x02"),
            ("", b""),
        ] {
            assert_eq!(decoded(coded).as_deref(), Some(text.as_bytes()));
            let mut out = Vec::new();
            encode(text.as_bytes(), &mut out);
            assert_eq!(out, coded, "{text}");
        }
    }

    #[test]
    fn broken_strings() {
        // Padding of zeros; of a whole byte; EOS.
        for coded in [&b"\x00"[..], b"\xff", b"\x64\x02\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\xfc"] {
            assert_eq!(decoded(coded), None, "{coded:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text: Vec<u8>) {
            let mut out = Vec::new();
            encode(&text, &mut out);
            prop_assert_eq!(decoded(&out), Some(text));
        }
    }
}
