//! Functions in a program or library: their names, places and code. Of the file only the tables that are asked for are
//! read, and none of more than [`TABLE_BYTES_MAX`]; files of other people's making are damaged at worst, never trusted.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{LittleEndian, ReadCache, ReadRef, pod};

/// The most bytes of one table of a file: twice what the largest programs have.
const TABLE_BYTES_MAX: u64 = 256 << 20;
/// The most sections of a file.
const SECTIONS_MAX: usize = 1 << 16;
/// The most segments of a file.
const SEGMENTS_MAX: usize = 1 << 16;
/// The most bytes of a function's code.
const CODE_BYTES_MAX: u64 = 1 << 20;

const LE: LittleEndian = LittleEndian;

/// Why a file's functions could not be found.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file could not be opened.
    #[error("it cannot be opened: {0}")]
    Open(#[from] std::io::Error),
    /// It is not an ELF file of this kind of machine.
    #[error("it is not a 64-bit little-endian ELF file")]
    Format,
    /// What a table says lies outside of the file.
    #[error("its {what} reaches beyond the end of the file")]
    Truncated {
        /// The table.
        what: &'static str,
    },
    /// A table is larger than any program's.
    #[error("its {what} has {size} bytes, more than the {TABLE_BYTES_MAX} that are read")]
    TooLarge {
        /// The table.
        what: &'static str,
        /// What the file says of its size.
        size: u64,
    },
}

/// The processor that a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// Any other, by its ELF number.
    Other(u16),
}

/// A function in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Where its code begins in the file, as uprobes are given.
    pub offset: u64,
    /// The bytes of its code, 0 if the file does not tell.
    pub size: u64,
}

/// A range of the file that is mapped.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
    executable: bool,
}

/// A section of the file.
#[derive(Clone, Debug)]
pub(super) struct Section {
    name: Vec<u8>,
    kind: u32,
    link: u32,
    offset: u64,
    size: u64,
}

/// A program or library whose tables are read when they are needed.
pub struct ElfFile<R: Read + Seek> {
    file: ReadCache<R>,
    machine: Machine,
    sections: Vec<Section>,
    segments: Vec<Segment>,
}

impl ElfFile<File> {
    /// Opens a file and reads its headers.
    ///
    /// # Errors
    /// [`ElfError`] if it cannot be opened or is no ELF file that this reader knows.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        Self::parse(File::open(path)?)
    }
}

impl<R: Read + Seek> ElfFile<R> {
    /// Reads the headers of an ELF file.
    ///
    /// # Errors
    /// [`ElfError`] if it is no ELF file that this reader knows, or if its headers are damaged.
    pub fn parse(file: R) -> Result<Self, ElfError> {
        let file = ReadCache::new(file);
        let header = FileHeader64::<LittleEndian>::parse(&file).map_err(|_| ElfError::Format)?;
        header.endian().map_err(|_| ElfError::Format)?;
        let machine = match header.e_machine(LE) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            other => Machine::Other(other),
        };
        let what = "table of segments";
        let count = header.phnum(LE, &file).map_err(|_| cut(what))?;
        if count > SEGMENTS_MAX {
            return Err(too_many(what, count, size_of::<ProgramHeader64<LittleEndian>>()));
        }
        let segments = header.program_headers(LE, &file).map_err(|_| cut(what))?;
        let segments = segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD).map(segment).collect();
        let sections = sections(header, &file)?;
        Ok(Self { file, machine, sections, segments })
    }

    /// The processor that the file is for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The functions of these names, each from `.symtab` or else `.dynsym`; None where the file has no such function.
    ///
    /// # Errors
    /// [`ElfError`] if a table of symbols is damaged.
    pub fn functions(&self, names: &[&str]) -> Result<Vec<Option<Function>>, ElfError> {
        let mut found = vec![None; names.len()];
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            if let Some(table) = self.sections.iter().find(|section| section.kind == kind) {
                self.search(table, names, &mut found)?;
            }
        }
        Ok(found)
    }

    /// The code of a function; empty if its size is not known.
    ///
    /// # Errors
    /// [`ElfError`] if it reaches beyond the file, or is larger than a function can be.
    pub fn code(&self, function: &Function) -> Result<&[u8], ElfError> {
        if function.size > CODE_BYTES_MAX {
            return Err(ElfError::TooLarge { what: "function", size: function.size });
        }
        self.bytes("function", function.offset, function.size)
    }

    /// Where an address of executable code lies in the file.
    pub(super) fn code_offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().filter(|segment| segment.executable).find_map(|segment| {
            let within = address.checked_sub(segment.address).filter(|&within| within < segment.size)?;
            segment.offset.checked_add(within)
        })
    }

    /// The first section of one of these names.
    pub(super) fn section(&self, names: &[&str]) -> Option<&Section> {
        self.sections.iter().find(|section| names.iter().any(|name| name.as_bytes() == section.name))
    }

    /// The bytes of a section.
    pub(super) fn contents(&self, what: &'static str, section: &Section) -> Result<&[u8], ElfError> {
        if section.kind == elf::SHT_NOBITS {
            return Ok(&[]);
        }
        self.bytes(what, section.offset, section.size)
    }

    fn bytes(&self, what: &'static str, offset: u64, size: u64) -> Result<&[u8], ElfError> {
        if size > TABLE_BYTES_MAX {
            return Err(ElfError::TooLarge { what, size });
        }
        (&self.file).read_bytes_at(offset, size).map_err(|()| cut(what))
    }

    /// Looks through a table of symbols for what is not found yet.
    fn search(&self, table: &Section, names: &[&str], found: &mut [Option<Function>]) -> Result<(), ElfError> {
        let Some(strings) = usize::try_from(table.link).ok().and_then(|link| self.sections.get(link)) else {
            return Err(cut("table of symbol names"));
        };
        let strings = self.contents("table of symbol names", strings)?;
        let bytes = self.contents("table of symbols", table)?;
        let count = bytes.len() / size_of::<Sym64<LittleEndian>>();
        let (symbols, _) =
            pod::slice_from_bytes::<Sym64<LittleEndian>>(bytes, count).map_err(|()| cut("table of symbols"))?;
        let mut begins = [false; 256];
        names.iter().filter_map(|name| name.bytes().next()).for_each(|byte| begins[usize::from(byte)] = true);
        for symbol in symbols {
            let defined = symbol.st_shndx(LE) != elf::SHN_UNDEF && symbol.st_type() == elf::STT_FUNC;
            if !defined {
                continue;
            }
            let Some(name) = usize::try_from(symbol.st_name(LE)).ok().and_then(|at| strings.get(at..)) else {
                continue;
            };
            // Few of the hundred thousands that a large program has get any further.
            if name.first().is_none_or(|&byte| !begins[usize::from(byte)]) {
                continue;
            }
            let wanted = |(wanted, found): (&&str, &Option<Function>)| found.is_none() && is_named(name, wanted);
            let Some(n) = names.iter().zip(found.iter()).position(wanted) else { continue };
            if let (Some(offset), Some(slot)) = (self.code_offset(symbol.st_value(LE)), found.get_mut(n)) {
                *slot = Some(Function { offset, size: symbol.st_size(LE) });
            }
        }
        Ok(())
    }
}

fn cut(what: &'static str) -> ElfError {
    ElfError::Truncated { what }
}

fn too_many(what: &'static str, count: usize, each: usize) -> ElfError {
    ElfError::TooLarge { what, size: (count as u64).saturating_mul(each as u64) }
}

/// Whether a string table holds this name here.
fn is_named(strings: &[u8], name: &str) -> bool {
    strings.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
}

fn segment(header: &ProgramHeader64<LittleEndian>) -> Segment {
    Segment {
        address: header.p_vaddr(LE),
        offset: header.p_offset(LE),
        size: header.p_filesz(LE),
        executable: header.p_flags(LE) & elf::PF_X != 0,
    }
}

/// The headers of all sections, with their names. None of a file without sections.
fn sections<R: Read + Seek>(
    header: &FileHeader64<LittleEndian>,
    file: &ReadCache<R>,
) -> Result<Vec<Section>, ElfError> {
    let what = "table of sections";
    let count = header.shnum(LE, file).map_err(|_| cut(what))?;
    if count > SECTIONS_MAX {
        return Err(too_many(what, count, size_of::<SectionHeader64<LittleEndian>>()));
    }
    let headers = header.section_headers(LE, file).map_err(|_| cut(what))?;
    let names = header.shstrndx(LE, file).ok().and_then(|n| headers.get(usize::try_from(n).ok()?));
    let names = match names {
        Some(names) if names.sh_size(LE) > TABLE_BYTES_MAX => {
            return Err(ElfError::TooLarge { what: "table of section names", size: names.sh_size(LE) });
        }
        Some(names) => names.data(LE, file).map_err(|_| cut("table of section names"))?,
        None => &[],
    };
    let section = |header: &SectionHeader64<LittleEndian>| {
        let name = usize::try_from(header.sh_name(LE)).ok().and_then(|at| names.get(at..)).unwrap_or_default();
        // Only short names are looked for; those without an end are none.
        let end = name.iter().take(NAME_BYTES_MAX).position(|&byte| byte == 0).unwrap_or(0);
        Section {
            name: name.get(..end).unwrap_or_default().to_vec(),
            kind: header.sh_type(LE),
            link: header.sh_link(LE),
            offset: header.sh_offset(LE),
            size: header.sh_size(LE),
        }
    };
    Ok(headers.iter().map(section).collect())
}

/// The longest name of a section.
const NAME_BYTES_MAX: usize = 64;
