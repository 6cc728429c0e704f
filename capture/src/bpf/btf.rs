//! A reader for the kernel's type information (Documentation/bpf/btf.rst), as far as offsets and names go.
//!
//! aya reads BTF too, but keeps members to itself, and Rust programs have no CO-RE relocations that it could apply.

use memchr::memmem;
use rustc_hash::FxHashMap;

/// `struct btf_header`'s magic number.
const MAGIC: u16 = 0xeb9f;
/// How deep anonymous members may nest.
const DEPTH_MAX: u32 = 16;

const KIND_STRUCT: u8 = 4;
const KIND_UNION: u8 = 5;
const KIND_TYPEDEF: u8 = 8;
const KIND_FUNC: u8 = 12;

/// Why type information could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// It does not begin as BTF does.
    #[error("this is not BTF of this machine's byte order")]
    Magic,
    /// A section or a type reaches beyond the end.
    #[error("the type information is cut off at byte {0}")]
    Truncated(usize),
    /// A kind of type that is newer than this reader.
    #[error("type {id} is of unknown kind {kind}")]
    Kind {
        /// The type's number.
        id: u32,
        /// Its kind.
        kind: u8,
    },
}

/// Type information, indexed.
pub(crate) struct Btf {
    bytes: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where the record of each type begins; type 0 is `void` and has none.
    types: Vec<usize>,
    /// The first type of each kind and name (an offset into the strings).
    names: FxHashMap<(u8, u32), u32>,
}

/// The fixed part of a type's record.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u8,
    kind_flag: bool,
    vlen: usize,
}

impl Btf {
    /// Indexes the bytes of `/sys/kernel/btf/vmlinux`.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        if u16_at(&bytes, 0)? != MAGIC {
            return Err(BtfError::Magic);
        }
        let header = size_at(&bytes, 4)?;
        let section = |offset, length| {
            let start = header.saturating_add(size_at(&bytes, offset)?);
            let end = start.saturating_add(size_at(&bytes, length)?);
            if end > bytes.len() { Err(BtfError::Truncated(bytes.len())) } else { Ok(start..end) }
        };
        let (records, strings) = (section(8, 12)?, section(16, 20)?);
        let mut btf = Self { bytes, strings, types: vec![0], names: FxHashMap::default() };
        let mut at = records.start;
        while at < records.end {
            let id = u32::try_from(btf.types.len()).map_err(|_| BtfError::Truncated(at))?;
            let found = btf.type_at(at)?;
            btf.types.push(at);
            if matches!(found.kind, KIND_STRUCT | KIND_TYPEDEF | KIND_FUNC) {
                btf.names.entry((found.kind, found.name)).or_insert(id);
            }
            at += 12 + trailer(&found).ok_or(BtfError::Kind { id, kind: found.kind })?;
        }
        Ok(btf)
    }

    /// The byte offset of a member, also of one within anonymous members. None for bit-fields.
    pub(crate) fn member(&self, structure: &str, member: &str) -> Option<u32> {
        let id = self.find(KIND_STRUCT, structure)?;
        let bits = self.member_bits(id, self.name(member)?, 0)?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Whether the kernel has a function of this name that BTF describes.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        self.find(KIND_FUNC, name).is_some()
    }

    /// Whether there is a BTF tracepoint of this name.
    pub(crate) fn has_tracepoint(&self, name: &str) -> bool {
        self.find(KIND_TYPEDEF, &format!("btf_trace_{name}")).is_some()
    }

    fn find(&self, kind: u8, name: &str) -> Option<u32> {
        self.names.get(&(kind, self.name(name)?)).copied()
    }

    /// The offset of a name in the strings. Names are stored once, so equal offsets mean equal names.
    fn name(&self, name: &str) -> Option<u32> {
        let strings = self.bytes.get(self.strings.clone())?;
        let mut terminated = Vec::with_capacity(name.len() + 2);
        terminated.push(0);
        terminated.extend_from_slice(name.as_bytes());
        terminated.push(0);
        u32::try_from(memmem::find(strings, &terminated)? + 1).ok()
    }

    fn member_bits(&self, id: u32, wanted: u32, depth: u32) -> Option<u32> {
        let at = *self.types.get(usize::try_from(id).ok()?)?;
        let structure = self.type_at(at).ok()?;
        if depth > DEPTH_MAX || !matches!(structure.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        for n in 0..structure.vlen {
            let member = at + 12 + n * 12;
            let name = u32_at(&self.bytes, member).ok()?;
            let offset = u32_at(&self.bytes, member + 8).ok()?;
            let (bits, size) = if structure.kind_flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            if name == wanted {
                return (size == 0).then_some(bits);
            }
            if name == 0
                && let Some(inner) = self.member_bits(u32_at(&self.bytes, member + 4).ok()?, wanted, depth + 1)
            {
                return bits.checked_add(inner);
            }
        }
        None
    }

    fn type_at(&self, at: usize) -> Result<Type, BtfError> {
        let info = u32_at(&self.bytes, at + 4)?;
        let [vlen_low, vlen_high, _, kind] = info.to_le_bytes();
        Ok(Type {
            name: u32_at(&self.bytes, at)?,
            kind: kind & 0x1f,
            kind_flag: kind & 0x80 != 0,
            vlen: usize::from(u16::from_le_bytes([vlen_low, vlen_high])),
        })
    }
}

/// Bytes behind the fixed part of a type's record; None for unknown kinds.
fn trailer(of: &Type) -> Option<usize> {
    match of.kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => Some(0),
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => Some(4),
        // ARRAY
        3 => Some(12),
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => Some(of.vlen * 12),
        // ENUM, FUNC_PROTO
        6 | 13 => Some(of.vlen * 8),
        _ => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BtfError> {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(BtfError::Truncated(at))?;
    Ok(u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or(BtfError::Truncated(at))?;
    Ok(u32::from_le_bytes(*field))
}

fn size_at(bytes: &[u8], at: usize) -> Result<usize, BtfError> {
    usize::try_from(u32_at(bytes, at)?).map_err(|_| BtfError::Truncated(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF of `struct task { int pid; union { long a; struct { int b; int c; }; }; int bit: 3; int d: 8; }` and of
    /// `typedef btf_trace_x`, `func f`.
    fn sample() -> Vec<u8> {
        let mut strings = vec![0];
        let mut name = |text: &str| {
            let at = u32::try_from(strings.len()).expect("small");
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let info = |kind: u32, vlen: u32, flag: u32| flag << 31 | kind << 24 | vlen;
        let mut types: Vec<u32> = Vec::new();
        // 1: int, 2: the inner struct, 3: the union, 4: the outer struct, 5: typedef, 6: prototype, 7: function.
        types.extend([name("int"), info(1, 0, 0), 4, 32]);
        types.extend([0, info(4, 2, 0), 8, name("b"), 1, 0, name("c"), 1, 32]);
        types.extend([0, info(5, 2, 0), 8, name("a"), 1, 0, 0, 2, 0]);
        types.extend([name("task"), info(4, 4, 1), 24, name("pid"), 1, 0, 0, 3, 64]);
        types.extend([name("bit"), 1, 3 << 24 | 128, name("d"), 1, 136]);
        types.extend([name("btf_trace_x"), info(8, 0, 0), 1]);
        types.extend([0, info(13, 1, 0), 1, name("argument"), 1]);
        types.extend([name("f"), info(12, 0, 0), 6]);
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_le_bytes).collect();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
        let header = [24, 0, length(&types), length(&types), length(&strings)];
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend(header.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_also_within_anonymous_ones() {
        let btf = Btf::parse(sample()).expect("sound");
        let offsets = ["pid", "a", "b", "c", "bit", "d", "e"].map(|member| btf.member("task", member));
        assert_eq!(offsets, [Some(0), Some(8), Some(8), Some(12), None, Some(17), None]);
        assert_eq!(btf.member("nothing", "pid"), None);
    }

    #[test]
    fn functions_and_tracepoints_are_known_by_name() {
        let btf = Btf::parse(sample()).expect("sound");
        assert!(btf.has_tracepoint("x") && !btf.has_tracepoint("y"));
        assert!(btf.has_function("f") && !btf.has_function("task"));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let bytes = sample();
        assert_eq!(Btf::parse(vec![0; 24]).err(), Some(BtfError::Magic));
        for length in 0..bytes.len() {
            assert!(Btf::parse(bytes[..length].to_vec()).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            if let Ok(btf) = Btf::parse(damaged) {
                let _whatever = btf.member("task", "c");
            }
        }
        let mut unknown = bytes;
        unknown[24 + 7] = 31;
        assert_eq!(Btf::parse(unknown).err(), Some(BtfError::Kind { id: 1, kind: 31 }));
    }
}
