//! The records' structs. None has padding: what the programs write is what was meant.

use crate::decode::Field;

/// Kinds of records.
#[expect(missing_docs, reason = "each is the record of that name")]
pub mod kind {
    pub const CONN: u8 = 1;
    pub const DATA: u8 = 2;
    pub const ACCEPT: u8 = 3;
    pub const CONNECT: u8 = 4;
    pub const SHUTDOWN: u8 = 5;
    pub const FD_CLOSE: u8 = 6;
    pub const ARRIVAL: u8 = 7;
    pub const CLOSED: u8 = 8;
    pub const SOCKET_ERROR: u8 = 9;
    pub const EXEC: u8 = 10;
    pub const EXIT: u8 = 11;
    pub const FORK: u8 = 12;
    pub const IO_URING: u8 = 13;
    pub const LISTEN: u8 = 14;
    pub const TLS_DATA: u8 = 15;
    pub const TLS_CLUE: u8 = 16;
    pub const TLS_CLOSED: u8 = 17;
    /// Only of a [`Life`](super::Life).
    pub const MAPPED: u8 = 18;
}

/// Lanes: records of one CPU are numbered per lane, because an interrupt's program may run in the middle of a system
/// call's, and 5.10 has no atomic instruction that would return a number.
pub mod lane {
    /// Programs on entry and exit of system calls.
    pub const CALL: u8 = 0;
    /// Programs on socket states.
    pub const STATE: u8 = 1;
    /// The program on arrivals.
    pub const ARRIVAL: u8 = 2;
    /// Programs on fork, exec and exit.
    pub const PROCESS: u8 = 3;
    /// Programs on functions of TLS libraries. New kernels let another thread of the CPU in between, so once in a long while a number
    /// of this lane is given out twice, which is no loss.
    pub const TLS: u8 = 4;
    /// How many lanes there are.
    pub const COUNT: usize = 5;
}

/// Bits of [`Data::flags`] and [`Control::flags`]; the first four are the tape format's.
pub mod data_flags {
    /// The socket was in non-blocking mode, or the call asked not to wait.
    pub const NONBLOCKING: u16 = 1;
    /// `MSG_PEEK`: the bytes stay in the socket.
    pub const PEEK: u16 = 2;
    /// Payload was wanted, but the copy from user memory failed.
    pub const FAULT: u16 = 4;
    /// The position is a guess.
    pub const POS_GUESSED: u16 = 8;
}

/// Bits of [`Conn::flags`].
pub mod conn_flags {
    /// Both initial sequence numbers are known.
    pub const ISN_KNOWN: u8 = 1;
    /// It was open before it was first seen.
    pub const PREEXISTING: u8 = 2;
}

/// Values of [`Conn::role`].
#[expect(missing_docs, reason = "each is what it says")]
pub mod role {
    pub const UNKNOWN: u8 = 0;
    pub const CLIENT: u8 = 1;
    pub const SERVER: u8 = 2;
}

/// Values of [`Data::rule`]: how the carrier is known. The first two are the tape format's.
pub mod tie {
    /// It is not known.
    pub const NONE: u8 = 0;
    /// The program gave its descriptor to the library.
    pub const SET_FD: u8 = 1;
    /// The library used it while it was called.
    pub const CALL: u8 = 2;
    /// Several were found, which contradict each other.
    pub const CONFLICT: u8 = 255;
}

macro_rules! record {
    ($(#[$doc:meta])* $name:ident: $size:literal bytes { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        const _: () = assert!(size_of::<$name>() == $size && 0 $(+ size_of::<$type>())* == $size && $size % 8 == 0);

        impl Field for $name {
            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: Field::take(bytes)?,)* })
            }
        }
    };
}

record! {
    /// What every record begins with.
    #[derive(Default)]
    Header: 24 bytes {
        /// One of [`kind`].
        kind: u8,
        /// One of [`lane`].
        lane: u8,
        /// The CPU that it was made on.
        cpu: u16,
        /// 0.
        reserved: u32,
        /// Its number among the records of the CPU and lane; numbers that found the ring full are missing.
        seq: u64,
        /// `CLOCK_MONOTONIC` in nanoseconds: a call's exit, else the moment itself.
        time: u64,
    }
}

record! {
    /// A connection's facts. Sent before its first other record, and again whenever they have changed.
    Conn: 112 bytes {
        /// [`kind::CONN`]
        header: Header,
        /// The socket's key: its cookie, or with bit 63 set a number made by the programs.
        cookie: u64,
        /// When the handshake was completed, 0 if that was not seen.
        established: u64,
        /// The position of the next byte to be read when it was first seen.
        first_in: u64,
        /// The position of the next byte to be written when it was first seen.
        first_out: u64,
        /// This end's address; IPv4 in the first four bytes.
        local: [u8; 16],
        /// The other end's address.
        remote: [u8; 16],
        /// Inode number of the network namespace.
        netns: u32,
        /// Initial sequence number of what this end sends.
        isn_local: u32,
        /// Initial sequence number of what this end receives.
        isn_remote: u32,
        /// The process that connected, accepted or used it first; 0 before the accept.
        tgid: u32,
        /// This end's port.
        local_port: u16,
        /// The other end's port.
        remote_port: u16,
        /// 2: IPv4, 10: IPv6.
        family: u16,
        /// One of [`role`].
        role: u8,
        /// Bits of [`conn_flags`].
        flags: u8,
    }
}

record! {
    /// A call that moved bytes. Behind it come `prefix_len` bytes of the payload's start, those of the pieces, `tail_len` of its
    /// end, and the table of the pieces: for each, the offset from the call's first byte and the length as `u32`s.
    #[derive(Default)]
    Data: 104 bytes {
        /// [`kind::DATA`] or [`kind::TLS_DATA`]
        header: Header,
        /// The key of the socket, or of the TLS object: a number with bit 62 set.
        cookie: u64,
        /// When the call was entered; its exit if that was not seen.
        entry: u64,
        /// The position of its first byte: 0 is the first byte after the handshake, or the first that was seen of the TLS object.
        pos: u64,
        /// How many bytes the call moved; 0 for a read at the end of the stream.
        len: u64,
        /// The process.
        tgid: u32,
        /// The thread.
        tid: u32,
        /// How often the thread had returned from an event wait.
        loop_turn: u32,
        /// The descriptor; -1 of a TLS object.
        fd: i32,
        /// Captured bytes of the payload's start.
        prefix_len: u32,
        /// Captured bytes of the payload's end, apart from the prefix.
        tail_len: u32,
        /// One of [`crate::call`], or the number of a TLS library's function as the tape format has it.
        source: u8,
        /// 0: received, 1: sent.
        out: u8,
        /// Bits of [`data_flags`].
        flags: u16,
        /// Captured pieces between prefix and tail: entries of the table behind the payload, at most
        /// [`PIECES_MAX`](crate::limits::PIECES_MAX).
        pieces: u32,
        /// Of a TLS object the key of the socket that carries it, 0 if it is not known.
        carrier: u64,
        /// The number of the TLS library, as the tape format has it; 0 of a socket.
        library: u8,
        /// One of [`tie`].
        rule: u8,
        /// 1: the TLS object is older than what was seen of it.
        joined: u8,
        /// 0.
        reserved: u8,
        /// 0.
        reserved_too: u32,
    }
}

record! {
    /// A thread moved TLS records between a socket and a TLS object that works in memory, as it seems.
    TlsClue: 64 bytes {
        /// [`kind::TLS_CLUE`]
        header: Header,
        /// The TLS object's key.
        object: u64,
        /// The socket's key.
        carrier: u64,
        /// Bytes of plaintext that the library moved; 0 if none, as during a handshake.
        plain: u32,
        /// Length of the first TLS record that the socket call moved, without its head.
        record: u32,
        /// Bytes that the socket call moved.
        moved: u32,
        /// The process.
        tgid: u32,
        /// 0: received, 1: sent.
        out: u8,
        /// The number of the library, as the tape format has it.
        library: u8,
        /// The type of that TLS record.
        content: u8,
        /// 1: the object is older than what was seen of it.
        joined: u8,
        /// 0.
        reserved: u32,
    }
}

record! {
    /// An accept, connect, shutdown or close of a descriptor.
    Control: 64 bytes {
        /// [`kind::ACCEPT`], [`kind::CONNECT`], [`kind::SHUTDOWN`] or [`kind::FD_CLOSE`].
        header: Header,
        /// The socket's key.
        cookie: u64,
        /// When the call was entered; its exit if that was not seen.
        entry: u64,
        /// The process.
        tgid: u32,
        /// The thread.
        tid: u32,
        /// How often the thread had returned from an event wait.
        loop_turn: u32,
        /// The descriptor.
        fd: i32,
        /// Connect: the errno, 0 if it succeeded. Shutdown: how.
        detail: u16,
        /// Bits of [`data_flags`].
        flags: u16,
        /// 0.
        reserved: u32,
    }
}

record! {
    /// Bytes became readable at a socket.
    Arrival: 48 bytes {
        /// [`kind::ARRIVAL`]
        header: Header,
        /// The socket's key.
        cookie: u64,
        /// The position behind the last byte that is readable.
        end: u64,
        /// 1: the peer's stream ends there.
        fin: u64,
    }
}

record! {
    /// A socket or a TLS object is gone, or a socket reports an error.
    Socket: 40 bytes {
        /// [`kind::CLOSED`], [`kind::TLS_CLOSED`] or [`kind::SOCKET_ERROR`].
        header: Header,
        /// The socket's or the object's key.
        cookie: u64,
        /// The errno, or 0.
        errno: u32,
        /// 0.
        reserved: u32,
    }
}

record! {
    /// What happened to a process.
    Process: 40 bytes {
        /// [`kind::EXIT`], [`kind::FORK`] or [`kind::IO_URING`].
        header: Header,
        /// The process; of a fork, the child.
        tgid: u32,
        /// Of a fork, the parent; else 0.
        parent: u32,
        /// 1: it is followed.
        followed: u32,
        /// 0.
        reserved: u32,
    }
}

record! {
    /// A process began to listen.
    Listen: 40 bytes {
        /// [`kind::LISTEN`]
        header: Header,
        /// The process.
        tgid: u32,
        /// Inode number of the socket's network namespace.
        netns: u32,
        /// 1: the process is followed, and so are the connections that arrive there.
        followed: u32,
        /// The port; 0 if the socket is not bound, and the kernel has yet to choose one.
        port: u16,
        /// 0.
        reserved: u16,
    }
}

record! {
    /// What happened to a followed process, for who attaches to its TLS library: in a ring of its own, so that it waits for
    /// nothing else. It may be lost, and has no header.
    Life: 16 bytes {
        /// [`kind::FORK`], [`kind::EXEC`], or [`kind::MAPPED`]: it mapped a file that it may execute, so a library.
        kind: u32,
        /// The process.
        tgid: u32,
        /// Of a fork, its parent, else 0.
        parent: u32,
        /// 0
        reserved: u32,
    }
}

record! {
    /// A process began to run a program.
    Exec: 256 bytes {
        /// [`kind::EXEC`]
        header: Header,
        /// The process.
        tgid: u32,
        /// 1: it is followed.
        followed: u32,
        /// The thread's name: the program's base name, cut to 15 bytes and terminated by a zero.
        comm: [u8; 16],
        /// The path of the executable, of a script its interpreter's, as it was called: neither made absolute nor are links
        /// followed. Terminated by a zero, cut where it is longer.
        exe: [u8; 208],
    }
}
