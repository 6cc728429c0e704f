//! Go programs: the version that built one, and its functions, by the table that the Go runtime itself needs
//! (`.gopclntab`), so also where symbols were stripped.
//!
//! The table is described by Go's `src/runtime/symtab.go` (`pcHeader`, `functab`) and `src/runtime/runtime2.go` (`_func`). Its
//! form is the same from Go 1.18 on; from Go 1.26 on the header no longer says where code begins, but the module's data does.

use std::io::{Read, Seek};

use memchr::memmem;

use super::elf::{ElfError, ElfFile, Function, Section};

/// `.go.buildinfo` (Go's `src/debug/buildinfo/buildinfo.go`): a mark, and strings in line with it from Go 1.18 on.
const BUILD_MARK: &[u8] = b"\xff Go buildinf:";
const BUILD_FLAGS: usize = 15;
const BUILD_STRINGS: usize = 32;
const STRINGS_INLINE: u8 = 2;
/// The longest version: releases have 10 bytes, builds from a repository 40 or more.
const VERSION_BYTES_MAX: usize = 127;

/// `pcHeader.magic` of Go 1.18 and of Go 1.20.
const PCLNTAB_MAGIC: [u32; 2] = [0xffff_fff0, 0xffff_fff1];
/// Offsets in `pcHeader`.
const POINTER_BYTES: usize = 7;
const FUNCTIONS: usize = 8;
const TEXT: usize = 24;
const NAMES: usize = 32;
const TABLE: usize = 64;
/// Where `runtime.moduledata` has the address at which code begins: behind a pointer, six slices, a pointer, and two
/// addresses.
const MODULE_TEXT: usize = 22 * 8;
/// The most functions of a program.
const FUNCTIONS_MAX: usize = 1 << 23;

/// Why a Go program's functions could not be found.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// The file is damaged.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Its build information is of a form before Go 1.18, or damaged.
    #[error("its build information is damaged, or of Go before 1.18")]
    BuildInfo,
    /// It has no table of functions.
    #[error("it has no .gopclntab section")]
    NoTable,
    /// The table is of a form that this reader does not know.
    #[error("its .gopclntab begins with {0:#010x}, which is not of Go 1.18 to 1.27")]
    Magic(u32),
    /// The table contradicts itself.
    #[error("its .gopclntab is damaged")]
    Damaged,
    /// A function's code is not understood.
    #[error("the code of {0} could not be decoded")]
    Code(&'static str),
    /// Nothing says where its code begins.
    #[error("neither its .gopclntab nor its .go.module says where its code begins")]
    NoText,
}

/// The version of Go that built a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoVersion {
    /// As the program has it: `go1.26.1`.
    pub text: String,
    /// 26 of `go1.26.1`; None for versions of another form, such as builds from a repository.
    pub minor: Option<u32>,
}

/// The version of Go that built a program; None if it is no Go program.
///
/// # Errors
/// [`GoError`] if what it says of its build is damaged, or older than Go 1.18.
pub fn go_version<R: Read + Seek>(file: &ElfFile<R>) -> Result<Option<GoVersion>, GoError> {
    let Some(section) = file.section(&[".go.buildinfo"]) else { return Ok(None) };
    let bytes = file.contents(".go.buildinfo", section)?;
    if !bytes.starts_with(BUILD_MARK) || bytes.get(BUILD_FLAGS).is_none_or(|flags| flags & STRINGS_INLINE == 0) {
        return Err(GoError::BuildInfo);
    }
    let version = bytes.get(BUILD_STRINGS..).and_then(short_string).ok_or(GoError::BuildInfo)?;
    let release = version.strip_prefix("go1.").unwrap_or_default();
    let digits = release.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(release.len());
    Ok(Some(GoVersion { text: version.to_owned(), minor: release.get(..digits).and_then(|minor| minor.parse().ok()) }))
}

/// A string of at most [`VERSION_BYTES_MAX`] bytes behind its length, which then is a varint of one byte.
fn short_string(bytes: &[u8]) -> Option<&str> {
    let (&length, rest) = bytes.split_first()?;
    let length = usize::from(length);
    if length > VERSION_BYTES_MAX {
        return None;
    }
    std::str::from_utf8(rest.get(..length)?).ok()
}

/// The functions of these names (as `crypto/tls.(*Conn).Read`); None where the program has no such function, or only a
/// copy of it within another function.
///
/// # Errors
/// [`GoError`] if the program has no table of functions, or one that is damaged or unknown.
pub fn go_functions<R: Read + Seek>(file: &ElfFile<R>, names: &[&str]) -> Result<Vec<Option<Function>>, GoError> {
    let section = file.section(&[".gopclntab", ".data.rel.ro.gopclntab"]).ok_or(GoError::NoTable)?;
    let table = Table::parse(file.contents(".gopclntab", section)?)?;
    let text = match table.text {
        0 => module_text(file)?.ok_or(GoError::NoText)?,
        text => text,
    };
    let mut found = vec![None; names.len()];
    let wanted: Vec<Option<u32>> = names.iter().map(|name| table.name(name)).collect();
    for n in 0..table.count {
        let (start, name) = table.function(n).ok_or(GoError::Damaged)?;
        let Some(slot) = wanted.iter().position(|&wanted| wanted == Some(name)) else { continue };
        let end = table.start(n + 1).filter(|&end| end >= start).ok_or(GoError::Damaged)?;
        let address = text.checked_add(u64::from(start)).ok_or(GoError::Damaged)?;
        let offset = file.code_offset(address).ok_or(GoError::Damaged)?;
        if let Some(slot) = found.get_mut(slot) {
            *slot = Some(Function { offset, size: u64::from(end - start) });
        }
    }
    Ok(found)
}

/// `moduledata.text`, where the linker wrote it.
fn module_text<R: Read + Seek>(file: &ElfFile<R>) -> Result<Option<u64>, ElfError> {
    let Some(section): Option<&Section> = file.section(&[".go.module"]) else { return Ok(None) };
    let module = file.contents(".go.module", section)?;
    let address = module.get(MODULE_TEXT..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_le_bytes(*bytes));
    Ok(address.filter(|&address| address != 0))
}

/// `.gopclntab`: a header, names, and the functions in the order of their addresses.
struct Table<'a> {
    /// How many functions there are.
    count: usize,
    /// The address where code begins; 0 if the header does not say.
    text: u64,
    /// All names, each with a zero behind it.
    names: &'a [u8],
    /// Pairs of a function's start (from `text`) and the place of its description, one pair a function; what they describe.
    functions: &'a [u8],
}

impl<'a> Table<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, GoError> {
        let magic = u32_at(bytes, 0).ok_or(GoError::Damaged)?;
        if !PCLNTAB_MAGIC.contains(&magic) {
            return Err(GoError::Magic(magic));
        }
        let size = |at| u64_at(bytes, at).and_then(|size| usize::try_from(size).ok()).ok_or(GoError::Damaged);
        if bytes.get(POINTER_BYTES) != Some(&8) {
            return Err(GoError::Damaged);
        }
        let (count, names, functions) = (size(FUNCTIONS)?, size(NAMES)?, size(TABLE)?);
        if count > FUNCTIONS_MAX {
            return Err(GoError::Damaged);
        }
        Ok(Self {
            count,
            text: u64_at(bytes, TEXT).ok_or(GoError::Damaged)?,
            names: bytes.get(names..).ok_or(GoError::Damaged)?,
            functions: bytes.get(functions..).ok_or(GoError::Damaged)?,
        })
    }

    /// Where a name stands among the names: it stands there once.
    fn name(&self, name: &str) -> Option<u32> {
        let terminated = [b"\0", name.as_bytes(), b"\0"].concat();
        u32::try_from(memmem::find(self.names, &terminated)? + 1).ok()
    }

    /// Where function `n` begins; `count` gives the end of the last one.
    fn start(&self, n: usize) -> Option<u32> {
        u32_at(self.functions, n.checked_mul(8)?)
    }

    /// Where function `n` begins, and where its name stands.
    fn function(&self, n: usize) -> Option<(u32, u32)> {
        let start = self.start(n)?;
        let description = usize::try_from(u32_at(self.functions, n.checked_mul(8)?.checked_add(4)?)?).ok()?;
        Some((start, u32_at(self.functions, description.checked_add(4)?)?))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
