//! Decoding of records from the ring buffer's bytes: every field is copied out by its own width, so no alignment, no
//! length and no value of the input can do harm.

use core::fmt;

use crate::record::{Arrival, Conn, Control, Data, Header, Process, Socket, kind};

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

impl Field for [u8; 16] {
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
    Data {
        /// The call.
        call: Data,
        /// What was captured from its first byte on.
        prefix: &'a [u8],
        /// What was captured of its end, at `call.len - tail.len()`.
        tail: &'a [u8],
    },
    /// A process began to run a program.
    Exec(Process),
    /// A process ended.
    Exit(Process),
    /// A descriptor was closed.
    FdClose(Control),
    /// A followed process made a child, which is followed too.
    Fork(Process),
    /// A followed process uses io_uring, whose reads and writes are not seen.
    IoUring(Process),
    /// shutdown(2) was called.
    Shutdown(Control),
    /// The kernel reported an error on the socket.
    SocketError(Socket),
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
                let call: Data = Field::take(&mut rest)?;
                let (prefix, behind) = rest.split_at_checked(usize::try_from(call.prefix_len).ok()?)?;
                let (tail, behind) = behind.split_at_checked(usize::try_from(call.tail_len).ok()?)?;
                if u64::from(call.prefix_len).checked_add(u64::from(call.tail_len))? > call.len {
                    return None;
                }
                rest = behind;
                Self::Data { call, prefix, tail }
            }
            kind::EXEC => Self::Exec(Field::take(&mut rest)?),
            kind::EXIT => Self::Exit(Field::take(&mut rest)?),
            kind::FD_CLOSE => Self::FdClose(Field::take(&mut rest)?),
            kind::FORK => Self::Fork(Field::take(&mut rest)?),
            kind::IO_URING => Self::IoUring(Field::take(&mut rest)?),
            kind::SHUTDOWN => Self::Shutdown(Field::take(&mut rest)?),
            kind::SOCKET_ERROR => Self::SocketError(Field::take(&mut rest)?),
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
            Self::Closed(record) | Self::SocketError(record) => &record.header,
            Self::Conn(record) => &record.header,
            Self::Data { call, .. } => &call.header,
            Self::Exec(record) | Self::Exit(record) | Self::Fork(record) | Self::IoUring(record) => &record.header,
        }
    }
}
