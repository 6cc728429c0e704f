//! The event: one fact on a tape. Recorded, synthetic, imported and live events are all of this type.

use crate::facts::{ConnInfo, ProcessInfo};
use crate::ids::{ConnKey, Origin, ProcKey, Tid};
use crate::ranges::{Ranges, RangesBuf};
use crate::time::{ClockAnchor, MonoNanos};
use crate::tls::TieRule;

/// One fact on a tape, borrowing its payload from the block it was read from.
///
/// Events come in order of `time`, but for the ones marked `late`. Reads and accepts count at their exit, writes and
/// connects at their entry: so a cause stands before its effect, also across processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The moment it counts at.
    pub time: MonoNanos,
    /// The CPU that recorded it.
    pub cpu: u16,
    /// Its number among the events of that CPU; a hole in the numbers is a loss.
    pub seq: u64,
    /// It arrived after the recorder's reorder window had passed, so `time` may be smaller than an earlier event's.
    pub late: bool,
    /// What happened.
    pub body: Body<'a>,
    /// Facts of newer versions of the format, kept as they are.
    pub ext: Ext<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// accept(2) returned a connection. Of a TLS connection it is its carrier's accept, told again when the two were tied.
    Accept {
        /// The new connection.
        conn: ConnKey,
        /// Who accepted it.
        process: ProcKey,
        /// Thread and times of the call.
        stamp: Stamp,
    },
    /// Bytes became readable at a socket, whoever reads them and whenever.
    Arrival {
        /// The connection.
        conn: ConnKey,
        /// The position behind the last byte that is now readable.
        end: u64,
        /// The peer has ended its stream there.
        fin: bool,
    },
    /// The clocks were read.
    Clock {
        /// The recording host.
        origin: Origin,
        /// What they said.
        anchor: ClockAnchor,
    },
    /// The connection is over: TCP reached CLOSE, and no more events of it follow.
    Close {
        /// The connection.
        conn: ConnKey,
    },
    /// connect(2) was called.
    Connect {
        /// The connection.
        conn: ConnKey,
        /// Who called.
        process: ProcKey,
        /// Thread and times of the call.
        stamp: Stamp,
        /// 0, or the errno the call returned (`EINPROGRESS` is usual on non-blocking sockets).
        errno: u16,
    },
    /// A dictionary entry: what is known of a connection. Precedes the first event of the connection in each block.
    Connection(&'a ConnInfo),
    /// Bytes were read or written.
    Data(Data<'a>),
    /// Facts that were learned from outside while the tape ran, under OpenTelemetry's names: a pod
    /// ([`Pod`](crate::Pod)), a changed configuration ([`ConfigText`](crate::config::ConfigText)).
    Enrich(&'a [(String, String)]),
    /// A process began to run a program.
    Exec {
        /// The process.
        process: ProcKey,
    },
    /// A process ended.
    Exit {
        /// The process.
        process: ProcKey,
    },
    /// A file descriptor of the connection was closed. Other descriptors may still keep it open.
    FdClose {
        /// The connection.
        conn: ConnKey,
        /// Who closed it.
        process: ProcKey,
        /// The thread.
        tid: Tid,
    },
    /// Records are missing.
    Loss(Loss),
    /// A dictionary entry: what is known of a process. Precedes the first event of the process in each block.
    Process(&'a ProcessInfo),
    /// shutdown(2) was called.
    Shutdown {
        /// The connection.
        conn: ConnKey,
        /// Who called.
        process: ProcKey,
        /// Thread and times of the call.
        stamp: Stamp,
        /// Which directions were shut.
        how: Shutdown,
    },
    /// The kernel reported an error on the socket (`ECONNRESET`, `ETIMEDOUT`, ...).
    SocketError {
        /// The connection.
        conn: ConnKey,
        /// The errno.
        errno: u16,
    },
    /// Nothing else happened until now: lets timeouts run on tape time.
    Tick,
    /// It became known which TCP connection carries a TLS connection, or that this cannot be known. The entry of the TLS
    /// connection that precedes this event has what is known of the carrier's socket.
    TlsTie {
        /// The TLS connection.
        conn: ConnKey,
        /// The carrier's number within the same origin; 0 for [`TieRule::Contradicted`].
        carrier: u64,
        /// How it became known.
        rule: TieRule,
    },
}

impl Body<'_> {
    /// Whether it tells what is known, and not that something happened: a dictionary entry, or facts from outside.
    pub const fn is_entry(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Enrich(_) | Self::Process(_))
    }

    /// The connection that it is about, if any.
    pub fn conn(&self) -> Option<ConnKey> {
        match self {
            Self::Accept { conn, .. }
            | Self::Arrival { conn, .. }
            | Self::Close { conn }
            | Self::Connect { conn, .. }
            | Self::FdClose { conn, .. }
            | Self::Shutdown { conn, .. }
            | Self::SocketError { conn, .. }
            | Self::TlsTie { conn, .. } => Some(*conn),
            Self::Connection(info) => Some(info.key),
            Self::Data(data) => Some(data.conn),
            Self::Clock { .. }
            | Self::Enrich(_)
            | Self::Exec { .. }
            | Self::Exit { .. }
            | Self::Loss(_)
            | Self::Process(_)
            | Self::Tick => None,
        }
    }
}

/// One call that moved bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// The connection.
    pub conn: ConnKey,
    /// The caller's process.
    pub process: ProcKey,
    /// Thread and times of the call.
    pub stamp: Stamp,
    /// Read or written.
    pub direction: Direction,
    /// The call.
    pub source: Source,
    /// The position of the first byte in its stream, from the socket's own sequence numbers.
    pub pos: u64,
    /// How many bytes the call moved. 0 for a read: the peer has ended its stream.
    pub len: u64,
    /// When the bytes came that it was read from, for a connection that has no arrivals of its own: a TLS connection's
    /// ciphertext arrives at its carrier.
    pub arrived: Option<MonoNanos>,
    /// The captured parts of the payload.
    pub ranges: Ranges<'a>,
}

/// Who made a call, and when: all that linking needs to know of syscalls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The calling thread.
    pub tid: Tid,
    /// How the call was made.
    pub flags: DataFlags,
    /// How often the thread had returned from an epoll or io_uring wait: its turn of the event loop.
    pub loop_turn: u32,
    /// When the call was entered; equal to `exit` if only the exit was seen.
    pub entry: MonoNanos,
    /// When the call returned.
    pub exit: MonoNanos,
}

/// Bits that say how a call was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataFlags(pub u16);

impl DataFlags {
    /// The socket was in non-blocking mode, or the call asked not to wait.
    pub const NONBLOCKING: Self = Self(1);
    /// `MSG_PEEK`: the bytes stay in the socket and are read again.
    pub const PEEK: Self = Self(2);
    /// Payload was wanted, but the copy from user memory failed.
    pub const FAULT: Self = Self(4);
    /// The position is the recorder's guess: the socket's sequence numbers were not to be had.
    pub const POS_GUESSED: Self = Self(8);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The way of bytes, as seen from the recorded socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

impl Direction {
    /// The other way.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::In => Self::Out,
            Self::Out => Self::In,
        }
    }
}

/// Which directions shutdown(2) shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `SHUT_RD`
    Read,
    /// `SHUT_WR`
    Write,
    /// `SHUT_RDWR`
    Both,
}

/// The call that moved bytes. The numbers are the tape format's and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the system call or library function of that name")]
#[repr(u8)]
pub enum Source {
    Read = 1,
    Write = 2,
    Readv = 3,
    Writev = 4,
    Recvfrom = 5,
    Sendto = 6,
    Recvmsg = 7,
    Sendmsg = 8,
    Recvmmsg = 9,
    Sendmmsg = 10,
    Sendfile = 11,
    Splice = 12,
    /// Bytes read from a packet capture: the call is not known.
    Packet = 13,
    SslRead = 14,
    SslWrite = 15,
    GnutlsRecv = 16,
    GnutlsSend = 17,
    GoTlsRead = 18,
    GoTlsWrite = 19,
    /// A number of a newer format.
    Unknown = 0,
}

impl Source {
    /// The source with this number, [`Source::Unknown`] for a number of a newer format.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Readv,
            4 => Self::Writev,
            5 => Self::Recvfrom,
            6 => Self::Sendto,
            7 => Self::Recvmsg,
            8 => Self::Sendmsg,
            9 => Self::Recvmmsg,
            10 => Self::Sendmmsg,
            11 => Self::Sendfile,
            12 => Self::Splice,
            13 => Self::Packet,
            14 => Self::SslRead,
            15 => Self::SslWrite,
            16 => Self::GnutlsRecv,
            17 => Self::GnutlsSend,
            18 => Self::GoTlsRead,
            19 => Self::GoTlsWrite,
            _ => Self::Unknown,
        }
    }

    /// The name of the call.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Readv => "readv",
            Self::Writev => "writev",
            Self::Recvfrom => "recvfrom",
            Self::Sendto => "sendto",
            Self::Recvmsg => "recvmsg",
            Self::Sendmsg => "sendmsg",
            Self::Recvmmsg => "recvmmsg",
            Self::Sendmmsg => "sendmmsg",
            Self::Sendfile => "sendfile",
            Self::Splice => "splice",
            Self::Packet => "packet",
            Self::SslRead => "ssl_read",
            Self::SslWrite => "ssl_write",
            Self::GnutlsRecv => "gnutls_recv",
            Self::GnutlsSend => "gnutls_send",
            Self::GoTlsRead => "go_tls_read",
            Self::GoTlsWrite => "go_tls_write",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it moved the plaintext of a TLS connection.
    pub const fn is_tls(self) -> bool {
        matches!(
            self,
            Self::SslRead | Self::SslWrite | Self::GnutlsRecv | Self::GnutlsSend | Self::GoTlsRead | Self::GoTlsWrite
        )
    }
}

/// Records that were produced but are not on the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub cause: LossCause,
    /// How many records; for [`LossCause::Corrupt`] and [`LossCause::Truncated`], how many bytes of the tape.
    pub count: u64,
    /// The earliest moment that a lost record can be from.
    pub from: MonoNanos,
    /// The latest.
    pub to: MonoNanos,
    /// The recording that they are of; `None` for any on the tape. No tape says it: a reader of several tapes does, as what
    /// one lacks makes nothing unknown of another.
    pub origin: Option<Origin>,
}

/// Why records are missing. The numbers are the tape format's and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LossCause {
    /// A cause of a newer format.
    Unknown = 0,
    /// The ring buffer was full: the recorder did not keep up.
    RingFull = 1,
    /// A table of the BPF programs was full, so a socket could not be followed.
    MapFull = 2,
    /// The tape could not be written fast enough, or not at all.
    WriterFull = 3,
    /// Blocks of the tape are damaged; the count is in bytes.
    Corrupt = 4,
    /// The tape ends in the middle of a block; the count is in bytes.
    Truncated = 5,
    /// BPF programs were not run, because the CPU was in the middle of the same program: records that they would have made,
    /// at most.
    ProgramSkipped = 6,
    /// A capture of packets has a hole in a TCP stream; the count is of holes.
    NotCaptured = 7,
}

impl LossCause {
    /// The cause with this number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::RingFull,
            2 => Self::MapFull,
            3 => Self::WriterFull,
            4 => Self::Corrupt,
            5 => Self::Truncated,
            6 => Self::ProgramSkipped,
            7 => Self::NotCaptured,
            _ => Self::Unknown,
        }
    }

    /// Whether bytes of the tape were counted, and not records.
    pub const fn is_in_bytes(self) -> bool {
        matches!(self, Self::Corrupt | Self::Truncated)
    }

    /// A short name, as in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::RingFull => "ring_full",
            Self::MapFull => "map_full",
            Self::WriterFull => "writer_full",
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::ProgramSkipped => "program_skipped",
            Self::NotCaptured => "not_captured",
        }
    }
}

/// Extensions of a record: facts of newer versions, tagged, that this version keeps and passes on.
///
/// Encoded as a sequence of (tag: u16, length: u16, bytes), integers little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ext<'a>(pub &'a [u8]);

/// An [`Event`] that owns what it is made of: for generators, reorder windows and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBuf {
    /// As in [`Event`].
    pub time: MonoNanos,
    /// As in [`Event`].
    pub cpu: u16,
    /// As in [`Event`].
    pub seq: u64,
    /// As in [`Event`].
    pub late: bool,
    /// What happened.
    pub body: BodyBuf,
    /// The bytes of [`Ext`].
    pub ext: Vec<u8>,
}

/// A [`Body`] that owns what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyBuf {
    /// [`Body::Connection`]
    Connection(Box<ConnInfo>),
    /// [`Body::Data`]: its `ranges` are empty, the payload is beside it.
    Data(Data<'static>, RangesBuf),
    /// [`Body::Enrich`]
    Enrich(Vec<(String, String)>),
    /// A body that borrows nothing.
    Plain(Body<'static>),
    /// [`Body::Process`]
    Process(Box<ProcessInfo>),
}

impl EventBuf {
    /// An event at `time`, on CPU 0, unnumbered.
    pub const fn new(time: MonoNanos, body: BodyBuf) -> Self {
        Self { time, cpu: 0, seq: 0, late: false, body, ext: Vec::new() }
    }

    /// The event, borrowed.
    pub fn as_event(&self) -> Event<'_> {
        let body = match &self.body {
            BodyBuf::Connection(info) => Body::Connection(info),
            BodyBuf::Data(data, payload) => Body::Data(Data { ranges: payload.as_ranges(), ..*data }),
            BodyBuf::Enrich(facts) => Body::Enrich(facts),
            BodyBuf::Plain(body) => *body,
            BodyBuf::Process(info) => Body::Process(info),
        };
        let Self { time, cpu, seq, late, ext, .. } = self;
        Event { time: *time, cpu: *cpu, seq: *seq, late: *late, body, ext: Ext(ext) }
    }
}

impl From<Event<'_>> for EventBuf {
    fn from(event: Event<'_>) -> Self {
        let body = match event.body {
            Body::Connection(info) => BodyBuf::Connection(Box::new(info.clone())),
            Body::Process(info) => BodyBuf::Process(Box::new(info.clone())),
            Body::Enrich(facts) => BodyBuf::Enrich(facts.to_vec()),
            Body::Data(data) => BodyBuf::Data(Data { ranges: Ranges::EMPTY, ..data }, data.ranges.into()),
            Body::Accept { conn, process, stamp } => BodyBuf::Plain(Body::Accept { conn, process, stamp }),
            Body::Arrival { conn, end, fin } => BodyBuf::Plain(Body::Arrival { conn, end, fin }),
            Body::Clock { origin, anchor } => BodyBuf::Plain(Body::Clock { origin, anchor }),
            Body::Close { conn } => BodyBuf::Plain(Body::Close { conn }),
            Body::Connect { conn, process, stamp, errno } => {
                BodyBuf::Plain(Body::Connect { conn, process, stamp, errno })
            }
            Body::Exec { process } => BodyBuf::Plain(Body::Exec { process }),
            Body::Exit { process } => BodyBuf::Plain(Body::Exit { process }),
            Body::FdClose { conn, process, tid } => BodyBuf::Plain(Body::FdClose { conn, process, tid }),
            Body::Loss(loss) => BodyBuf::Plain(Body::Loss(loss)),
            Body::Shutdown { conn, process, stamp, how } => {
                BodyBuf::Plain(Body::Shutdown { conn, process, stamp, how })
            }
            Body::SocketError { conn, errno } => BodyBuf::Plain(Body::SocketError { conn, errno }),
            Body::Tick => BodyBuf::Plain(Body::Tick),
            Body::TlsTie { conn, carrier, rule } => BodyBuf::Plain(Body::TlsTie { conn, carrier, rule }),
        };
        let Event { time, cpu, seq, late, ext, .. } = event;
        Self { time, cpu, seq, late, body, ext: ext.0.to_vec() }
    }
}
