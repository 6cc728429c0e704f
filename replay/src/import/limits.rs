//! Every bound of importing. Reaching one is counted, told at the end, and decided the same way each time.

/// TCP connections that are followed at once. Those that are over go first, then those idle for longest.
pub(super) const FLOWS: usize = 16 << 10;

/// Segments of one connection that wait for bytes in front of them.
pub(super) const HELD_SEGMENTS: usize = 256;

/// Bytes of payload that wait in one connection.
pub(super) const HELD_BYTES: usize = 1 << 20;

/// Bytes of payload that wait in all connections.
pub(super) const HELD_BYTES_OF_ALL: usize = 8 << 20;

/// How long segments wait for bytes that their receiver has acknowledged: the capture lacks those, or has them out of
/// order. In nanoseconds of the capture's time.
pub(super) const REORDER_NANOS: u64 = 50_000_000;

/// How long segments wait for bytes that their receiver lacks, too, until the sender sends them again.
pub(super) const RETRANSMIT_NANOS: u64 = 60_000_000_000;

/// How far back the times of packets may go before that is a clock that was set, or a single packet's wrong time.
pub(super) const STEP_NANOS: u64 = RETRANSMIT_NANOS;

/// Sequence numbers so far from the expected ones are of another connection with the same addresses.
pub(super) const FAR: i64 = 128 << 20;

/// Windows of receivers are hardly larger.
pub(super) const WINDOW: i64 = 16 << 20;

/// Interfaces of one section of a pcapng file.
pub(super) const INTERFACES: usize = 16 << 10;

/// Events of one piece of an exported tape whose payload may follow.
pub(super) const EVENTS_OF_PIECE: usize = 64 << 10;

/// Bytes of payload of such a piece.
pub(super) const PAYLOAD_OF_PIECE: usize = 16 << 20;

/// IP packets of which not all fragments have come yet; the oldest goes first.
pub(super) const FRAGMENTED_PACKETS: usize = 64;

/// Bytes of one event's payload; a tape takes no longer ones than 256 KiB.
pub(super) const EVENT_PAYLOAD: usize = 128 << 10;

/// Bytes at the beginning of the input that its origin is derived from.
pub(super) const ORIGIN_BYTES: usize = 1 << 20;

/// Services, by address and port, that a capture has at once; the first told are forgotten first.
pub(super) const SERVICES: usize = 4 << 10;

/// Processes, threads of others, and calls that are under way, that are followed in a capture of system calls; in each case, the first to come are
/// forgotten first. The same holds for the descriptors of all processes that are sockets.
pub(super) const THREADS: usize = 32 << 10;
/// See [`THREADS`].
pub(super) const DESCRIPTORS: usize = 128 << 10;

/// Bytes of one block of a scap file.
pub(super) const SCAP_BLOCK: usize = 32 << 20;

/// Events of a capture of system calls that wait for a call that was entered before them.
pub(super) const WAITING_EVENTS: usize = 4 << 10;
