//! Decoding of records from the ring buffer's bytes: every field is copied out by its own width, so no alignment, no
//! length and no value of the input can do harm.

use core::fmt;

use crate::limits::PIECES_MAX;
use crate::record::{Arrival, Conn, Control, Data, Exec, Header, Life, Listen, Process, Socket, TlsClue, kind};

/// A field, or a record made of fields.
pub(crate) trait Field: Sized {
    /// Takes it from the front of `bytes`, unless they are too short.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! integer_field {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (field, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*field))
            }
        }
    )*};
}
integer_field!(u8 u16 u32 u64 i32);

impl<const N: usize> Field for [u8; N] {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (field, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(*field)
    }
}

/// A decoded record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// accept(2) returned a connection.
    Accept(Control),
    /// Bytes became readable.
    Arrival(Arrival),
    /// The socket is gone; no more records of it follow.
    Closed(Socket),
    /// A connection's facts.
    Conn(Conn),
    /// connect(2) returned.
    Connect(Control),
    /// Bytes were moved.
    Data(Data, Captured<'a>),
    /// A process began to run a program.
    Exec(Exec),
    /// A process ended.
    Exit(Process),
    /// A descriptor was closed.
    FdClose(Control),
    /// A followed process made a child, which is followed too.
    Fork(Process),
    /// A followed process uses io_uring, whose reads and writes are not seen.
    IoUring(Process),
    /// A process began to listen.
    Listen(Listen),
    /// shutdown(2) was called.
    Shutdown(Control),
    /// The kernel reported an error on the socket.
    SocketError(Socket),
    /// A TLS object is gone, or has ended both directions.
    TlsClosed(Socket),
    /// A hint of which socket carries a TLS object.
    TlsClue(TlsClue),
    /// A function of a TLS library moved plaintext.
    TlsData(Data, Captured<'a>),
}

/// What was captured of a call's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured<'a> {
    /// From its first byte on.
    pub prefix: &'a [u8],
    /// Between them.
    pub pieces: Pieces<'a>,
    /// Of its end, at `call.len - tail.len()`.
    pub tail: &'a [u8],
}

/// Captured pieces between a call's prefix and its tail: ascending, apart, and none empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pieces<'a> {
    /// Of each piece the offset from the call's first byte and the length, as little-endian `u32`s.
    table: &'a [[u8; 8]],
    /// Their bytes, one piece after the other.
    bytes: &'a [u8],
}

impl<'a> Pieces<'a> {
    /// The pieces: offset from the call's first byte, and the bytes.
    pub fn iter(self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let mut bytes = self.bytes;
        self.table.iter().map_while(move |entry| {
            let (offset, len) = place(entry);
            let (piece, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            bytes = rest;
            Some((offset, piece))
        })
    }

    /// Whether the table is true: the pieces begin at `from` or behind it, end at `to` or before, and have just these bytes.
    fn lie_within(self, from: u64, to: u64) -> Option<()> {
        let (mut end, mut left) = (from, self.bytes.len());
        for entry in self.table {
            let (offset, len) = place(entry);
            if len == 0 || u64::from(offset) < end {
                return None;
            }
            end = u64::from(offset) + u64::from(len);
            left = left.checked_sub(usize::try_from(len).ok()?)?;
        }
        (end <= to && left == 0).then_some(())
    }
}

/// Offset and length of a piece.
fn place(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> (u32, u32) {
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Bytes that are no record of this version: programs and recorder are not of one build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The kind that the record claims, 0 if it has none.
    pub kind: u8,
    /// Its size in bytes.
    pub size: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed BPF record of kind {} with {} bytes", self.kind, self.size)
    }
}

impl core::error::Error for Malformed {}

impl<'a> Record<'a> {
    /// Decodes one record.
    ///
    /// # Errors
    /// [`Malformed`] if the kind is not known, or the size is not what the record says.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes).ok_or(Malformed { kind: bytes.first().copied().unwrap_or(0), size: bytes.len() })
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let record = match *bytes.first()? {
            kind::ACCEPT => Self::Accept(Field::take(&mut rest)?),
            kind::ARRIVAL => Self::Arrival(Field::take(&mut rest)?),
            kind::CLOSED => Self::Closed(Field::take(&mut rest)?),
            kind::CONN => Self::Conn(Field::take(&mut rest)?),
            kind::CONNECT => Self::Connect(Field::take(&mut rest)?),
            kind::DATA => {
                let call = Field::take(&mut rest)?;
                return Some(Self::Data(call, Captured::of(&call, rest)?));
            }
            kind::EXEC => Self::Exec(Field::take(&mut rest)?),
            kind::EXIT => Self::Exit(Field::take(&mut rest)?),
            kind::FD_CLOSE => Self::FdClose(Field::take(&mut rest)?),
            kind::FORK => Self::Fork(Field::take(&mut rest)?),
            kind::IO_URING => Self::IoUring(Field::take(&mut rest)?),
            kind::LISTEN => Self::Listen(Field::take(&mut rest)?),
            kind::SHUTDOWN => Self::Shutdown(Field::take(&mut rest)?),
            kind::SOCKET_ERROR => Self::SocketError(Field::take(&mut rest)?),
            kind::TLS_CLOSED => Self::TlsClosed(Field::take(&mut rest)?),
            kind::TLS_CLUE => Self::TlsClue(Field::take(&mut rest)?),
            kind::TLS_DATA => {
                let call = Field::take(&mut rest)?;
                return Some(Self::TlsData(call, Captured::of(&call, rest)?));
            }
            _ => return None,
        };
        rest.is_empty().then_some(record)
    }

    /// What it begins with.
    pub const fn header(&self) -> &Header {
        match self {
            Self::Accept(record) | Self::Connect(record) | Self::FdClose(record) | Self::Shutdown(record) => {
                &record.header
            }
            Self::Arrival(record) => &record.header,
            Self::Closed(record) | Self::SocketError(record) | Self::TlsClosed(record) => &record.header,
            Self::TlsClue(record) => &record.header,
            Self::Conn(record) => &record.header,
            Self::Data(call, _) | Self::TlsData(call, _) => &call.header,
            Self::Listen(record) => &record.header,
            Self::Exec(record) => &record.header,
            Self::Exit(record) | Self::Fork(record) | Self::IoUring(record) => &record.header,
        }
    }
}

impl Life {
    /// Decodes one; None if it is of another size.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let life = Field::take(&mut bytes)?;
        bytes.is_empty().then_some(life)
    }
}

impl<'a> Captured<'a> {
    /// Splits what lies behind a call's head: the prefix, the bytes of the pieces, the tail, the table of the pieces.
    fn of(call: &Data, rest: &'a [u8]) -> Option<Self> {
        if call.pieces > PIECES_MAX {
            return None;
        }
        let table_len = usize::try_from(call.pieces).ok()?.checked_mul(8)?;
        let (payload, table) = rest.split_at_checked(rest.len().checked_sub(table_len)?)?;
        let (prefix, payload) = payload.split_at_checked(usize::try_from(call.prefix_len).ok()?)?;
        let between = payload.len().checked_sub(usize::try_from(call.tail_len).ok()?)?;
        let (bytes, tail) = payload.split_at_checked(between)?;
        let end = call.len.checked_sub(u64::from(call.tail_len))?;
        let pieces = Pieces { table: table.as_chunks().0, bytes };
        pieces.lie_within(u64::from(call.prefix_len), end)?;
        Some(Self { prefix, pieces, tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::lane;

    /// A record of `kind` whose every byte behind the kind is its own offset.
    fn counted(kind: u8, size: usize) -> [u8; 257] {
        let mut bytes = [0; 257];
        for (at, byte) in bytes[..size].iter_mut().enumerate() {
            *byte = u8::try_from(at).expect("small");
        }
        bytes[0] = kind;
        bytes
    }

    const SIZES: [(u8, usize); 15] = [
        (kind::CONN, 112),
        (kind::ACCEPT, 64),
        (kind::CONNECT, 64),
        (kind::SHUTDOWN, 64),
        (kind::FD_CLOSE, 64),
        (kind::ARRIVAL, 48),
        (kind::CLOSED, 40),
        (kind::SOCKET_ERROR, 40),
        (kind::EXEC, 256),
        (kind::EXIT, 40),
        (kind::FORK, 40),
        (kind::IO_URING, 40),
        (kind::LISTEN, 40),
        (kind::TLS_CLOSED, 40),
        (kind::TLS_CLUE, 64),
    ];

    #[test]
    fn every_kind_decodes_at_its_size_and_at_no_other() {
        for (kind, size) in SIZES {
            let bytes = counted(kind, size);
            let record = Record::decode(&bytes[..size]).expect("whole");
            assert_eq!(record.header().kind, kind);
            assert_eq!(record.header().cpu, 0x0302);
            assert_eq!(record.header().seq, 0x0f0e_0d0c_0b0a_0908);
            for wrong in (0..size).chain([size + 1]) {
                assert!(Record::decode(&bytes[..wrong]).is_err(), "kind {kind}, {wrong} bytes");
            }
        }
        assert_eq!(Record::decode(&[]), Err(Malformed { kind: 0, size: 0 }));
        assert_eq!(Record::decode(&[99; 40]), Err(Malformed { kind: 99, size: 40 }));
    }

    #[test]
    fn a_life_is_four_numbers() {
        let bytes = counted(10, 16);
        let life = Life::decode(&bytes[..16]).expect("whole");
        assert_eq!((life.kind.to_le_bytes()[0], life.tgid.to_le_bytes()[0], life.parent.to_le_bytes()[3]), (10, 4, 11));
        assert_eq!((Life::decode(&bytes[..15]), Life::decode(&bytes[..17])), (None, None));
    }

    #[test]
    fn fields_lie_where_the_struct_has_them() {
        let bytes = counted(kind::CONN, 112);
        let Ok(Record::Conn(conn)) = Record::decode(&bytes[..112]) else { panic!("a conn") };
        assert_eq!(conn.header.lane, lane::STATE);
        assert_eq!(conn.local[0], 56);
        assert_eq!(conn.netns.to_le_bytes()[0], 88);
        assert_eq!((conn.role, conn.flags), (110, 111));
    }

    #[test]
    fn payload_is_split_as_the_lengths_say() {
        let mut bytes = [0; 104 + 5];
        bytes[0] = kind::DATA;
        bytes[48] = 9; // len
        bytes[72] = 3; // prefix_len
        bytes[76] = 2; // tail_len
        bytes[104..].copy_from_slice(b"abcyz");
        let Ok(Record::Data(call, Captured { prefix, pieces, tail })) = Record::decode(&bytes) else { panic!("data") };
        assert_eq!((call.len, prefix, tail), (9, &b"abc"[..], &b"yz"[..]));
        assert_eq!(pieces, Pieces::default());
        let mut plaintext = bytes;
        plaintext[0] = kind::TLS_DATA;
        let captured = Captured { prefix: b"abc", pieces, tail: b"yz" };
        assert!(matches!(Record::decode(&plaintext), Ok(Record::TlsData(_, same)) if same == captured));
        // More payload than the call moved, and payload that is not there.
        bytes[48] = 4;
        assert!(Record::decode(&bytes).is_err());
        bytes[48] = 200;
        bytes[72] = 200;
        assert!(Record::decode(&bytes).is_err());
    }
    /// A call of 100 bytes with two pieces behind a prefix of one byte, and a tail of two.
    fn in_pieces(table: [u32; 4]) -> [u8; 104 + 8 + 16] {
        let mut bytes = [0; 104 + 8 + 16];
        bytes[0] = kind::DATA;
        bytes[48] = 100; // len
        bytes[72] = 1; // prefix_len
        bytes[76] = 2; // tail_len
        bytes[84] = 2; // pieces
        bytes[104..112].copy_from_slice(b"abbcccyz");
        for (entry, value) in bytes[112..].as_chunks_mut().0.iter_mut().zip(table) {
            *entry = u32::to_le_bytes(value);
        }
        bytes
    }

    #[test]
    fn pieces_lie_where_the_table_says() {
        let bytes = in_pieces([1, 2, 95, 3]);
        let Ok(Record::Data(_, Captured { prefix, pieces, tail })) = Record::decode(&bytes) else { panic!("data") };
        assert_eq!((prefix, tail), (&b"a"[..], &b"yz"[..]));
        assert!(pieces.iter().eq([(1, &b"bb"[..]), (95, b"ccc")]));
        let wrong = [
            ([0, 2, 95, 3], "within the prefix"),
            ([1, 2, 96, 3], "within the tail"),
            ([1, 2, 2, 3], "within the piece before"),
            ([95, 2, 1, 3], "descending"),
            ([1, 5, 95, 0], "empty"),
            ([1, 2, 90, 4], "more than there is"),
            ([1, 2, 90, 2], "less than there is"),
            ([1, u32::MAX, u32::MAX, u32::MAX], "absurd"),
        ];
        for (table, what) in wrong {
            assert!(Record::decode(&in_pieces(table)).is_err(), "{what}");
        }
        for size in 0..bytes.len() {
            assert!(Record::decode(&bytes[..size]).is_err(), "{size} bytes");
        }
    }

    #[test]
    fn no_more_pieces_than_the_programs_make() {
        let mut bytes = in_pieces([1, 2, 95, 3]);
        for pieces in [0, 1, 3, 200] {
            bytes[84] = pieces;
            assert!(Record::decode(&bytes).is_err(), "{pieces} pieces");
        }
        bytes[84..88].fill(0xff);
        assert!(Record::decode(&bytes).is_err());
    }
}
