//! Header blocks of RFC 7541, and what becomes of a decoder that has missed some.

use super::{Decoder, Name, Sink};

#[derive(Default)]
struct Fields(Vec<(Name, String)>, usize);

impl Sink for Fields {
    fn field(&mut self, name: Name, size: usize, value: Option<&[u8]>) {
        let value = value.map_or("?".into(), |value| String::from_utf8_lossy(value).into_owned());
        self.0.push((name, value));
        self.1 += size;
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Decodes and writes the fields that are kept; others as their names.
fn decode(decoder: &mut Decoder, hex: &str) -> Option<String> {
    let mut fields = Fields::default();
    decoder.decode(&bytes(hex), true, &mut fields).ok()?;
    let shown = |(name, value): &(Name, String)| match name {
        Name::Other | Name::Unknown => format!("{name:?}"),
        name => format!("{name:?}={value}"),
    };
    Some(fields.0.iter().map(shown).collect::<Vec<_>>().join(" "))
}

fn check(decoder: &mut Decoder, hex: &str, expected: &str) {
    assert_eq!(decode(decoder, hex).as_deref(), Some(expected), "{hex}");
}

const C3: [&str; 3] = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
];
const C4: [&str; 3] = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
];
const C5: [&str; 3] = [
    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e \
     1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d \
     4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 \
     7369 6f6e 3d31",
];
const C6: [&str; 3] = [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b \
     97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf \
     cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
];

#[test]
fn representations_of_appendix_c() {
    for (hex, expected, size, inserted) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "Other", 55, Some("Other")),
        ("040c 2f73 616d 706c 652f 7061 7468", "Path=/sample/path", 49, None),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "Other", 46, None),
        ("82", "Method=GET", 42, None),
    ] {
        let (mut decoder, mut fields) = (Decoder::new(4096, true), Fields::default());
        decoder.decode(&bytes(hex), true, &mut fields).unwrap();
        assert_eq!(fields.1, size, "{hex}");
        let mut again = Decoder::new(4096, true);
        check(&mut again, hex, expected);
        assert_eq!(decode(&mut decoder, "be").as_deref(), inserted, "{hex}");
    }
}

#[test]
fn requests_of_appendix_c() {
    for blocks in [C3, C4] {
        let mut decoder = Decoder::new(4096, true);
        let request = "Method=GET Scheme=http Path=/ Authority=www.example.com";
        check(&mut decoder, blocks[0], request);
        check(&mut decoder, blocks[1], &format!("{request} Other"));
        check(&mut decoder, blocks[2], "Method=GET Scheme=https Path=/index.html Authority=www.example.com Other");
    }
}

#[test]
fn responses_of_appendix_c_evict_entries() {
    for blocks in [C5, C6] {
        let mut decoder = Decoder::new(4096, true);
        // The examples have a table of 256 bytes.
        check(&mut decoder, "3f e1 01", "");
        check(&mut decoder, blocks[0], "Status=302 Other Other Other");
        check(&mut decoder, blocks[1], "Status=307 Other Other Other");
        check(&mut decoder, blocks[2], "Status=200 Other Other Other Other Other");
        // Three entries of 98, 52 and 65 bytes are left; no others were there before.
        check(&mut decoder, "be bf c0", "Other Other Other");
        assert_eq!(decode(&mut decoder, "c1"), None);
    }
}

#[test]
fn a_decoder_that_came_later_knows_what_was_inserted_since() {
    let mut decoder = Decoder::new(4096, false);
    check(&mut decoder, C3[1], "Method=GET Scheme=http Path=/ Unknown Other");
    // cache-control was seen; the authority beneath was not.
    check(&mut decoder, "be bf", "Other Unknown");
    // A literal under a name that is not known.
    check(&mut decoder, "7f 00 01 61", "Unknown");
    check(&mut decoder, "be bf c0", "Unknown Other Unknown");
    check(&mut decoder, C3[0], "Method=GET Scheme=http Path=/ Authority=www.example.com");
    check(&mut decoder, "be", "Authority=www.example.com");
    decoder.forget();
    check(&mut decoder, "be", "Unknown");
    // A table of size 0 is empty, whatever was in it.
    check(&mut decoder, "20", "");
    assert_eq!(decode(&mut decoder, "be"), None);
}

#[test]
fn what_is_evicted_takes_along_what_lies_beneath() {
    let mut decoder = Decoder::new(4096, false);
    // A table of 64 bytes, and three entries of 34.
    check(&mut decoder, "3f 21", "");
    check(&mut decoder, "40 01 61 01 61", "Other");
    check(&mut decoder, "be bf", "Other Unknown");
    check(&mut decoder, "40 01 61 01 61", "Other");
    check(&mut decoder, "be", "Other");
    assert_eq!(decode(&mut decoder, "bf"), None);
}

#[test]
fn the_bound_holds_whatever_the_encoder_may_use() {
    let mut decoder = Decoder::new(100, true);
    for _ in 0..1000 {
        check(&mut decoder, "41 01 61", "Authority=a");
    }
    check(&mut decoder, "be bf", "Authority=a Authority=a");
    // Each is 43 bytes: the third is in the encoder's table, and not in this one.
    check(&mut decoder, "c0", "Unknown");
    assert!(decoder.exceeds_bound() && decoder.held_bytes() < 1 << 10);
}

#[test]
fn blocks_that_are_none() {
    for hex in [
        "80",                // index 0
        "be",                // nothing there
        "7f ff ff ff ff 7f", // an integer of more than 28 bits
        "41 05 61",          // a string that goes on
        "41 82 64",          // one that is no Huffman code
        "82 20",             // a change of size in the middle
        "3f e2 1f",          // a larger table than is allowed
        "1f",
    ] {
        let mut decoder = Decoder::new(1 << 16, true);
        assert_eq!(decode(&mut decoder, hex), None, "{hex}");
        check(&mut decoder, "be", "Unknown");
    }
    let mut decoder = Decoder::new(1 << 16, true);
    decoder.allow(Some(8192));
    check(&mut decoder, "3f e2 1f", "");
}

#[test]
fn a_cut_block_gives_what_is_there() {
    let block = bytes(C3[0]);
    for len in 0..block.len() {
        let (mut decoder, mut fields) = (Decoder::new(4096, true), Fields::default());
        decoder.decode(&block[..len], false, &mut fields).unwrap();
        assert_eq!(fields.0.len(), len.min(3));
        check(&mut decoder, "be", "Unknown");
    }
}
