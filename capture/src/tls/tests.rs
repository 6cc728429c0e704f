//! Finding functions: in a small file made here, whole and damaged in every place, and in the files of this machine.

use std::io::Cursor;
use std::path::Path;

use super::*;

const TEXT_ADDRESS: u64 = 0x40_1000;
const TEXT_OFFSET: usize = 0x1000;
const READ: &str = "crypto/tls.(*Conn).Read";

/// A section of the file that is made: its name, its kind, its link, its contents.
type Contents<'a> = (&'a str, u32, u32, Vec<u8>);

/// An ELF file of these sections, with one executable segment, in which `.text` lies first.
fn elf_of(sections: &[Contents<'_>]) -> Vec<u8> {
    let mut file = vec![0; TEXT_OFFSET];
    let mut names = vec![0];
    let mut headers = vec![[0_u8; 64]];
    for (name, kind, link, contents) in sections {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&u32::try_from(names.len()).expect("small").to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(file.len() as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(contents.len() as u64).to_le_bytes());
        header[40..44].copy_from_slice(&link.to_le_bytes());
        headers.push(header);
        names.extend(name.bytes().chain([0]));
        file.extend(contents);
    }
    let count = u16::try_from(headers.len()).expect("few");
    let mut header = [0; 64];
    header[4..8].copy_from_slice(&3_u32.to_le_bytes());
    header[24..32].copy_from_slice(&(file.len() as u64).to_le_bytes());
    header[32..40].copy_from_slice(&(names.len() as u64).to_le_bytes());
    headers.push(header);
    file.extend(names);
    let table = file.len() as u64;
    file.extend(headers.concat());

    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    file[16..20].copy_from_slice(&[2, 0, 62, 0]);
    file[20..24].copy_from_slice(&1_u32.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[40..48].copy_from_slice(&table.to_le_bytes());
    for (at, value) in [(52, 64), (54, 56), (56, 1), (58, 64), (60, count + 1), (62, count)] {
        file[at..at + 2].copy_from_slice(&u16::to_le_bytes(value));
    }
    // PT_LOAD, readable and executable.
    let segment = [0x5_0000_0001, TEXT_OFFSET as u64, TEXT_ADDRESS, TEXT_ADDRESS, 0x100, 0x100, 0x1000];
    for (n, field) in segment.into_iter().enumerate() {
        file[64 + n * 8..72 + n * 8].copy_from_slice(&field.to_le_bytes());
    }
    file
}

/// A symbol: name, type, section, address, size.
fn symbol(name: u32, kind: u8, section: u16, address: u64, size: u64) -> Vec<u8> {
    let mut bytes = name.to_le_bytes().to_vec();
    bytes.extend([0x10 | kind, 0]);
    bytes.extend(section.to_le_bytes());
    bytes.extend(address.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes
}

/// A library with `SSL_read` in `.dynsym`, and `SSL_write` in both tables.
fn library() -> Vec<u8> {
    let strings = b"\0SSL_read\0SSL_write\0SSL_free\0".to_vec();
    let dynamic = [
        symbol(0, 0, 0, 0, 0),
        symbol(19, 2, 0, 0, 0),
        symbol(1, 2, 1, TEXT_ADDRESS + 0x10, 8),
        symbol(10, 2, 1, TEXT_ADDRESS + 0x20, 8),
    ];
    let all = [symbol(10, 1, 1, TEXT_ADDRESS, 8), symbol(10, 2, 1, TEXT_ADDRESS + 0x21, 7)];
    elf_of(&[
        (".text", 1, 0, (0..=255).collect()),
        (".dynsym", 11, 4, dynamic.concat()),
        (".symtab", 2, 4, all.concat()),
        (".dynstr", 3, 0, strings),
    ])
}

/// A Go program without symbols: a function `a` of 0x20 bytes, and [`READ`] behind it of 0x18.
fn go_program(text: u64, module_text: u64) -> Vec<u8> {
    let names = format!("\0a\0{READ}\0");
    let header_bytes = 72;
    let functions = header_bytes + names.len();
    let mut table = 0xffff_fff1_u32.to_le_bytes().to_vec();
    table.extend([0, 0, 1, 8]);
    for field in [2, 0, text, header_bytes as u64, 0, 0, 0, functions as u64] {
        table.extend(field.to_le_bytes());
    }
    table.extend(names.bytes());
    for field in [0_u32, 20, 0x20, 28, 0x38, /* a */ 0, 1, /* Read */ 0x20, 3] {
        table.extend(field.to_le_bytes());
    }
    let mut build = b"\xff Go buildinf:\x08\x02".to_vec();
    build.resize(32, 0);
    build.extend(b"\x08go1.26.6\x00");
    let mut module = vec![0; 22 * 8];
    module.extend(module_text.to_le_bytes());
    elf_of(&[
        (".text", 1, 0, vec![0x90; 0x100]),
        (".gopclntab", 1, 0, table),
        (".go.buildinfo", 1, 0, build),
        (".go.module", 1, 0, module),
    ])
}

fn parse(bytes: Vec<u8>) -> Result<ElfFile<Cursor<Vec<u8>>>, ElfError> {
    ElfFile::parse(Cursor::new(bytes))
}

/// Asks everything of a file. What it says of a damaged one does not matter.
fn ask_all(bytes: Vec<u8>) -> bool {
    let Ok(file) = parse(bytes) else { return false };
    let names = ["SSL_read", "SSL_write", "SSL_free", READ];
    let (by_symbol, by_table) = (file.functions(&names), go_functions(&file, &names));
    let sound = by_symbol.is_ok() && by_table.is_ok() && go_version(&file).is_ok();
    for function in by_symbol.into_iter().chain(by_table).flatten().flatten() {
        let _whatever = file.code(&function);
    }
    sound
}

#[test]
fn functions_are_found_by_symbol() {
    let file = parse(library()).expect("sound");
    let found = file.functions(&["SSL_read", "SSL_write", "SSL_free", "SSL"]).expect("sound");
    let read = Function { offset: 0x1010, size: 8 };
    assert_eq!(found, [Some(read), Some(Function { offset: 0x1021, size: 7 }), None, None]);
    assert_eq!(file.code(&read).expect("sound"), (0x10..0x18).collect::<Vec<u8>>());
    assert_eq!(file.machine(), Machine::X86_64);
    assert_eq!(go_version(&file).expect("sound"), None);
}

#[test]
fn functions_of_go_are_found_without_symbols() {
    for (text, module_text) in [(TEXT_ADDRESS, 0), (0, TEXT_ADDRESS)] {
        let file = parse(go_program(text, module_text)).expect("sound");
        let found = go_functions(&file, &[READ, "Conn", "a"]).expect("sound");
        let expected =
            [Some(Function { offset: 0x1020, size: 0x18 }), None, Some(Function { offset: 0x1000, size: 0x20 })];
        assert_eq!(found, expected);
        let version = go_version(&file).expect("sound").expect("Go");
        assert_eq!((version.text.as_str(), version.minor), ("go1.26.6", Some(26)));
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    assert!(matches!(parse(b"#!/bin/sh\n".to_vec()), Err(ElfError::Format)));
    let file = parse(go_program(0, 0)).expect("sound");
    assert!(matches!(go_functions(&file, &[READ]), Err(GoError::NoText)));
    let file = parse(library()).expect("sound");
    assert!(matches!(go_functions(&file, &[READ]), Err(GoError::NoTable)));
    let huge = Function { offset: 0, size: u64::MAX };
    assert!(matches!(file.code(&huge), Err(ElfError::TooLarge { .. })));
    let beyond = Function { offset: u64::MAX - 4, size: 8 };
    assert!(matches!(file.code(&beyond), Err(ElfError::Truncated { what: "function" })));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    for whole in [library(), go_program(TEXT_ADDRESS, 0)] {
        // The first 64 + 56 bytes are headers, the rest up to the text is empty.
        for length in (0..120).chain(TEXT_OFFSET..whole.len()) {
            assert!(!ask_all(whole[..length].to_vec()), "{length} bytes");
        }
        for at in (0..120).chain(TEXT_OFFSET + 0x100..whole.len()) {
            for value in [0xff, 0x80, 0] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _whatever = ask_all(damaged);
            }
        }
    }
}

#[test]
fn the_libraries_of_this_machine_have_their_functions_and_plans() {
    let libraries = [
        ("/usr/lib/x86_64-linux-gnu/libssl.so.3", ["SSL_read", "SSL_write", "SSL_read_ex"]),
        ("/usr/lib/x86_64-linux-gnu/libgnutls.so.30", ["gnutls_record_recv", "gnutls_record_send", "gnutls_deinit"]),
    ];
    for (path, names) in libraries {
        let path = Path::new(path);
        if !path.exists() {
            eprintln!("{}: not on this machine", path.display());
            continue;
        }
        let file = ElfFile::open(path).expect("a library");
        for (name, function) in names.iter().zip(file.functions(&names).expect("sound")) {
            let function = function.unwrap_or_else(|| panic!("{} has no {name}", path.display()));
            let plan = plan(file.machine(), file.code(&function).expect("sound"), 3);
            eprintln!("{name}: {plan:?}");
            assert!(plan.entry < function.size);
        }
    }
}
