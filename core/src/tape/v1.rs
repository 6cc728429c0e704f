//! The heads of records and dictionary entries, version 1. Frozen: fields are never added, removed or reordered.
//!
//! A new fact becomes a tagged extension of its record, or a new type with a new number. No attribute changes how these
//! types encode. Payload bytes are not part of them; they follow the head as they are.

use bincode::{Decode, Encode};

use super::codec::{take_u8, take_u16, take_u32, take_varint, unzigzag};

/// Numbers of event kinds. Below 32 an event is about a connection, and the connection's index precedes its head.
pub(super) mod kind {
    pub(crate) const ACCEPT: u8 = 1;
    pub(crate) const ARRIVAL: u8 = 2;
    pub(crate) const CLOSE: u8 = 3;
    pub(crate) const CONNECT: u8 = 4;
    pub(crate) const DATA: u8 = 5;
    pub(crate) const FD_CLOSE: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SOCKET_ERROR: u8 = 8;
    pub(crate) const TLS_DATA: u8 = 9;
    pub(crate) const TLS_TIE: u8 = 10;
    pub(crate) const TICK: u8 = 32;
    pub(crate) const EXEC: u8 = 33;
    pub(crate) const EXIT: u8 = 34;
    pub(crate) const CLOCK: u8 = 35;
    pub(crate) const LOSS: u8 = 36;

    /// Whether this version knows events of this number.
    pub(crate) const fn is_known(number: u8) -> bool {
        matches!(number, ACCEPT..=TLS_TIE | TICK..=LOSS)
    }

    /// The bits of the kind byte that hold the number.
    pub(crate) const NUMBER: u8 = 0x3f;
    /// The bit of the kind byte that says that extensions follow the head.
    pub(crate) const HAS_EXT: u8 = 0x40;
    /// The bit of the kind byte that marks an event as late.
    pub(crate) const LATE: u8 = 0x80;

    /// Whether events of this number are about a connection, whose index then precedes the head.
    pub(crate) const fn of_connection(number: u8) -> bool {
        number < 32
    }

    /// Whether events of this number name a process, whose index then precedes the head.
    pub(crate) const fn of_process(number: u8) -> bool {
        matches!(number, ACCEPT | CONNECT | DATA | FD_CLOSE | SHUTDOWN | TLS_DATA | EXEC | EXIT)
    }
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Stamp {
    pub(super) tid: u32,
    pub(super) flags: u16,
    pub(super) loop_turn: u32,
    /// How long before the event's time the call was entered, in nanoseconds (wrapping).
    pub(super) entry_before: i64,
    /// How long after the event's time the call returned, in nanoseconds (wrapping).
    pub(super) exit_after: i64,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Arrival {
    pub(super) end: u64,
    pub(super) fin: bool,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Connect {
    pub(super) stamp: Stamp,
    pub(super) errno: u16,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Data {
    pub(super) stamp: Stamp,
    /// 0 in, 1 out.
    pub(super) direction: u8,
    pub(super) source: u8,
    pub(super) pos: u64,
    pub(super) len: u64,
    /// Bytes captured from the call's first byte on.
    pub(super) prefix: u32,
    /// Further pieces, each with an 8-byte table entry behind the prefix.
    pub(super) pieces: u32,
}

impl Data {
    /// Takes a head from the front of `bytes`, as bincode does, in a third of the time: most records are of this kind.
    #[inline]
    pub(super) fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self {
            stamp: Stamp {
                tid: take_u32(bytes)?,
                flags: take_u16(bytes)?,
                loop_turn: take_u32(bytes)?,
                entry_before: unzigzag(take_varint(bytes)?),
                exit_after: unzigzag(take_varint(bytes)?),
            },
            direction: take_u8(bytes)?,
            source: take_u8(bytes)?,
            pos: take_varint(bytes)?,
            len: take_varint(bytes)?,
            prefix: take_u32(bytes)?,
            pieces: take_u32(bytes)?,
        })
    }
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct FdClose {
    pub(super) tid: u32,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Shutdown {
    pub(super) stamp: Stamp,
    /// 0 reading, 1 writing, 2 both.
    pub(super) how: u8,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct SocketError {
    pub(super) errno: u16,
}

/// What follows the head of [`Data`] where the call moved the plaintext of a TLS connection.
#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct TlsData {
    /// How long before the event's time its bytes had arrived, in nanoseconds (wrapping); `None` if that is not known.
    pub(super) arrived_before: Option<i64>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct TlsTie {
    /// The carrier's number within the TLS connection's origin.
    pub(super) carrier: u64,
    pub(super) rule: u8,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Clock {
    pub(super) mono: u64,
    pub(super) boot_nanos: u64,
    pub(super) wall: u64,
    pub(super) uncertainty_nanos: u32,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Loss {
    pub(super) cause: u8,
    pub(super) count: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Forms of dictionary entries: the byte before the entry. The heads of all begin like [`Bare`], and extensions follow them.
pub(super) mod form {
    /// Only [`super::Bare`]: nothing but the number is known. So are forms taken that a reader does not know.
    pub(crate) const BARE: u8 = 0;
    /// [`super::ConnEntry`] or [`super::ProcEntry`].
    pub(crate) const V1: u8 = 1;
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Bare {
    pub(super) origin: u32,
    pub(super) id: u64,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct ConnEntry {
    pub(super) origin: u32,
    pub(super) id: u64,
    /// Counted from 1 in the block's dictionary; 0 is an unknown process.
    pub(super) process: u32,
    /// 0 unknown, 1 client, 2 server.
    pub(super) role: u8,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) netns: u32,
    pub(super) isn_local: Option<u32>,
    pub(super) isn_remote: Option<u32>,
    pub(super) established: Option<u64>,
    pub(super) preexisting: bool,
    pub(super) first_in: u64,
    pub(super) first_out: u64,
    /// 0 plain TCP, else the number of the TLS library whose plaintext it is.
    pub(super) tls: u8,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Endpoint {
    pub(super) local: Addr,
    pub(super) remote: Addr,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct Addr {
    /// 4 or 6.
    pub(super) version: u8,
    /// An IPv4 address is in the first four bytes.
    pub(super) ip: [u8; 16],
    pub(super) port: u16,
    /// Of IPv6, else 0.
    pub(super) flowinfo: u32,
    /// Of IPv6, else 0.
    pub(super) scope_id: u32,
}

#[derive(Debug, PartialEq, Encode, Decode)]
pub(super) struct ProcEntry {
    pub(super) origin: u32,
    pub(super) id: u64,
    pub(super) tgid: u32,
    pub(super) parent: u32,
    pub(super) started: u64,
    pub(super) comm: String,
    pub(super) exe: String,
    pub(super) cmdline: Vec<String>,
    pub(super) cgroup: String,
    pub(super) netns: u32,
    pub(super) pidns: u32,
    pub(super) mntns: u32,
    pub(super) env: Vec<(String, String)>,
    pub(super) listening: Vec<u16>,
    pub(super) io_uring: bool,
    pub(super) opaque_tls: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codec::{decode_head, encode};
    use super::*;

    proptest! {
        #[test]
        fn data_heads_are_taken_as_bincode_reads_them(bytes in proptest::collection::vec(prop_oneof![0..10u8, 245..=255u8], 0..60)) {
            let mut rest = &bytes[..];
            let taken = Data::take(&mut rest).map(|head| (head, rest));
            prop_assert_eq!(taken, decode_head::<Data>(&bytes));
        }

        #[test]
        fn data_heads_are_taken_as_they_were_written(numbers: (u32, u16, u32, i64, i64), place: (u64, u64), rest: [u8; 2], pieces: (u32, u32)) {
            let (tid, flags, loop_turn, entry_before, exit_after) = numbers;
            let stamp = Stamp { tid, flags, loop_turn, entry_before, exit_after };
            let ((pos, len), [direction, source], (prefix, pieces)) = (place, rest, pieces);
            let head = Data { stamp, direction, source, pos, len, prefix, pieces };
            let mut bytes = Vec::new();
            encode(&head, &mut bytes);
            prop_assert_eq!(Data::take(&mut &bytes[..]), Some(head));
        }
    }
}
