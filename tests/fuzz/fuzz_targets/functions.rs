//! Any bytes as a program or library, by themselves and behind sound headers: its functions are found or not, without panic,
//! and none lies outside of the file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use redtape_capture::{ElfFile, Function, go_functions, go_points, go_version};

const NAMES: [&str; 3] = ["SSL_read", "a", "crypto/tls.(*Conn).Read"];
/// Names of sections that are asked for, and of some that tables of names are in.
const SECTIONS: &[u8] = b"\0.symtab\0.strtab\0.gopclntab\0.go.buildinfo\0.go.module\0";
const HEADERS: usize = 64 + 56;

fuzz_target!(|bytes: &[u8]| {
    ask(bytes);
    if let Some(file) = behind_headers(bytes) {
        ask(&file);
    }
});

fn ask(bytes: &[u8]) {
    let Ok(file) = ElfFile::parse(Cursor::new(bytes)) else { return };
    let check = |function: Function| {
        if let Ok(code) = file.code(&function) {
            assert_eq!(code.len() as u64, function.size);
            assert!(code.is_empty() || function.offset + function.size <= bytes.len() as u64);
        }
    };
    file.functions(&NAMES).into_iter().flatten().flatten().for_each(check);
    go_functions(&file, &NAMES).into_iter().flatten().flatten().for_each(check);
    let _ = go_version(&file);
    let _ = go_points(&file);
}

/// A file of which the input says what sections there are, with what is in them: kind and link, name, and a part of the input.
fn behind_headers(input: &[u8]) -> Option<Vec<u8>> {
    let (&[count], rest) = input.split_first_chunk::<1>()?;
    let count = usize::from(count % 6);
    let (entries, contents) = rest.split_at_checked(count * 4)?;
    let mut file = vec![0; HEADERS];
    file[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    file[20] = 1;
    file[32] = 64;
    // A segment that is mapped and may be executed: all of the file.
    for (at, field) in (64..).step_by(8).zip([0x5_0000_0001_u64, 0, 0x1000, 0x1000, 0x10000, 0x10000, 0x1000]) {
        file[at..at + 8].copy_from_slice(&field.to_le_bytes());
    }
    file.extend_from_slice(contents);
    let names_at = file.len() as u64;
    file.extend_from_slice(SECTIONS);
    let table = file.len() as u64;
    let mut header = |name: u8, kind: u8, link: u8, from: u64, len: u64| {
        let mut bytes = [0; 64];
        (bytes[0], bytes[4], bytes[40]) = (name, kind, link);
        bytes[24..32].copy_from_slice(&from.to_le_bytes());
        bytes[32..40].copy_from_slice(&len.to_le_bytes());
        file.extend_from_slice(&bytes);
    };
    header(0, 0, 0, 0, 0);
    for &[name, kind, from, len] in entries.as_chunks::<4>().0 {
        let name = SECTIONS.iter().enumerate().filter(|(_, byte)| **byte == b'.').nth(usize::from(name % 5));
        header(name.map_or(0, |(at, _)| at as u8), kind & 15, kind >> 4, HEADERS as u64 + u64::from(from), len.into());
    }
    header(0, 3, 0, names_at, SECTIONS.len() as u64);
    file[40..48].copy_from_slice(&table.to_le_bytes());
    for (at, value) in [(52, 64), (54, 56), (56, 1), (58, 64), (60, count as u16 + 2), (62, count as u16 + 1)] {
        file[at..at + 2].copy_from_slice(&u16::to_le_bytes(value));
    }
    Some(file)
}
