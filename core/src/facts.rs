//! What a tape's dictionaries say of connections and processes.

use std::net::SocketAddr;

use crate::ids::{ConnKey, Origin, ProcKey, Tgid};
use crate::time::MonoNanos;

/// Which side of a connection a socket is on, told by accept and connect, never by port numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The socket existed before the recording and neither its state nor a listener told the side.
    #[default]
    Unknown,
    /// It connected: it sends requests.
    Client,
    /// It was accepted from a listener: it receives requests.
    Server,
}

/// The extensions of a dictionary entry, encoded as those of events are ([`Ext`](crate::Ext)). None take no more than a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryExt(Option<Box<Box<[u8]>>>);

impl EntryExt {
    /// The bytes; none where there are no extensions.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| bytes)
    }
}

impl From<&[u8]> for EntryExt {
    fn from(bytes: &[u8]) -> Self {
        Self((!bytes.is_empty()).then(|| Box::new(bytes.into())))
    }
}

/// The two addresses of a socket, as the kernel has them (IPv4-mapped IPv6 addresses stay as they are).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// This end's address.
    pub local: SocketAddr,
    /// The other end's address, as seen from here (before any address translation on the way).
    pub remote: SocketAddr,
}

/// One end of a TCP connection.
///
/// Stream positions are 64-bit offsets from the first byte after the handshake. Where a connection is older than the
/// recording and its initial sequence numbers are not known, position 0 is the first byte that the recorder knew of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// Its key in memory: made of `origin` and `id`.
    pub key: ConnKey,
    /// The recording that saw it first.
    pub origin: Origin,
    /// Its number within the origin: the socket cookie, where the kernel has one.
    pub id: u64,
    /// The process that owned it when it was first seen.
    pub process: ProcKey,
    /// Client or server.
    pub role: Role,
    /// The addresses; unknown where the record that carries them was lost.
    pub endpoint: Option<Endpoint>,
    /// The inode number of the network namespace, 0 if unknown.
    pub netns: u32,
    /// The initial sequence number of what this end sends. The peer's end has the same number as `isn_remote`, across
    /// address translation.
    pub isn_local: Option<u32>,
    /// The initial sequence number of what this end receives.
    pub isn_remote: Option<u32>,
    /// When the handshake was completed; `None` if that was not seen.
    pub established: Option<MonoNanos>,
    /// It was open before the recording began: its streams begin in the middle, at `first_in` and `first_out`. Not so of a connection that a
    /// slice cuts between two exchanges: its streams begin there, too, but at a message's beginning.
    pub preexisting: bool,
    /// The position of the first byte received that the tape can have.
    pub first_in: u64,
    /// The position of the first byte sent that the tape can have.
    pub first_out: u64,
    /// It is the plaintext side of a TLS connection: a TLS object of this library. What is known of its socket was copied from
    /// the TCP connection that carries it; where that is not known, `endpoint` is `None`.
    pub tls: Option<TlsLibrary>,
    /// Facts of newer versions of the format, kept as they are.
    pub ext: EntryExt,
}

impl ConnInfo {
    /// A connection of which nothing is known but its number.
    pub fn unknown(origin: Origin, id: u64) -> Self {
        Self {
            key: ConnKey::new(origin, id),
            origin,
            id,
            process: ProcKey::default(),
            role: Role::Unknown,
            endpoint: None,
            netns: 0,
            isn_local: None,
            isn_remote: None,
            established: None,
            preexisting: false,
            first_in: 0,
            first_out: 0,
            tls: None,
            ext: EntryExt::default(),
        }
    }

    /// Whether it is the plaintext of a TLS connection whose socket is not known.
    pub const fn is_untied(&self) -> bool {
        self.tls.is_some() && self.endpoint.is_none()
    }
}

/// The library that a TLS connection's plaintext was read from. The numbers are the tape format's and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TlsLibrary {
    /// One of a newer format.
    Unknown = 255,
    /// OpenSSL, and its descendants with the same functions: `BoringSSL`, `LibreSSL`, AWS-LC.
    OpenSsl = 1,
    /// GnuTLS.
    GnuTls = 2,
    /// Go's `crypto/tls`.
    GoTls = 3,
}

impl TlsLibrary {
    /// The library with this number, [`TlsLibrary::Unknown`] for a number of a newer format.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::OpenSsl,
            2 => Self::GnuTls,
            3 => Self::GoTls,
            _ => Self::Unknown,
        }
    }

    /// A short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::OpenSsl => "openssl",
            Self::GnuTls => "gnutls",
            Self::GoTls => "go",
        }
    }
}

/// A process as it was when it was last looked at. A later entry with the same key replaces the earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its key in memory: made of `origin` and `id`.
    pub key: ProcKey,
    /// The recording that saw it.
    pub origin: Origin,
    /// Its number within the origin: unique over the recording, also when the kernel reuses a process id.
    pub id: u64,
    /// Its process id, in the recorder's pid namespace.
    pub tgid: Tgid,
    /// Its parent's process id, 0 if unknown.
    pub parent: Tgid,
    /// When it started, on the monotonic clock; zero if unknown.
    pub started: MonoNanos,
    /// `/proc/PID/comm`.
    pub comm: String,
    /// What `/proc/PID/exe` points to; empty if not readable.
    pub exe: String,
    /// The arguments, the program first.
    pub cmdline: Vec<String>,
    /// The path of its cgroup (the v2 one, else the longest of the v1 ones).
    pub cgroup: String,
    /// Inode number of its network namespace, 0 if unknown.
    pub netns: u32,
    /// Inode number of its pid namespace, 0 if unknown.
    pub pidns: u32,
    /// Inode number of its mount namespace, 0 if unknown.
    pub mntns: u32,
    /// Environment variables that name the service (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`) and no others.
    pub env: Vec<(String, String)>,
    /// The TCP ports that it listened on when it was last looked at, ascending.
    pub listening: Vec<u16>,
    /// It uses io_uring, whose reads and writes the recorder does not see.
    pub io_uring: bool,
    /// It uses TLS by a library whose plaintext the recorder does not see.
    pub opaque_tls: bool,
    /// Facts of newer versions of the format, kept as they are.
    pub ext: EntryExt,
}

impl ProcessInfo {
    /// The base name of the executable; empty if it is not known. Of one that was replaced while it ran, without the mark
    /// that the kernel sets.
    pub fn executable(&self) -> &str {
        let exe = self.exe.strip_suffix(" (deleted)").unwrap_or(&self.exe);
        exe.rsplit('/').next().unwrap_or_default()
    }
}
