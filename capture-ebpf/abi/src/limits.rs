//! Every bound of the kernel side: payload sizes and map sizes.

/// Bytes kept of a direction since it last turned, at most: one read of this size is captured whole.
pub const HEAD_BYTES_MAX: u32 = 8192;
/// Bytes kept from the start of a call that lies behind the head, and of its end, at most (each).
pub const EDGE_BYTES_MAX: u32 = 512;
/// The default of both edges: a large transfer costs its record and twice this.
pub const EDGE_BYTES: u32 = 64;
/// Of a TLS record on the raw socket, only its head is kept (RFC 8446, section 5.1).
pub const TLS_HEAD_BYTES: u32 = 5;
/// Bytes kept of the payload of an HTTP/2 DATA frame: the head of a gRPC message.
pub const FRAME_DATA_BYTES: u32 = 5;
/// A DATA frame of no more than this is kept whole: it costs less than the place of a further piece.
pub const FRAME_WHOLE_BYTES: u32 = 16;
/// Captured pieces of one call on an HTTP/2 connection.
pub const PIECES_MAX: u32 = 16;
/// The last pieces are left to frames that are not DATA, such as the trailers behind a large body.
pub const DATA_PIECES_MAX: u32 = 12;
/// Steps of the walk through the frames of one call: a frame takes one, and one more where it lies in several segments of an
/// iovec. Enough for 1 MiB in DATA frames of the default size.
pub const FRAME_STEPS_MAX: u32 = 80;
/// Segments of an iovec that payload is gathered from.
pub const SEGMENTS_MAX: u32 = 8;
/// Messages of one recvmmsg or sendmmsg whose lengths are summed.
pub const MESSAGES_MAX: u32 = 64;

/// The ring buffer's default size in bytes: a power of two, and a multiple of the page size.
pub const RING_BYTES: u32 = 64 << 20;
/// The size of the ring buffer for [`Life`](crate::Life): some two thousand of them.
pub const LIVES_BYTES: u32 = 64 << 10;
/// The reader is woken once this many bytes wait; below that it drains by its own timer.
pub const WAKE_BYTES: u32 = 1 << 20;

/// Processes that can be followed at a time.
pub const FOLLOWED_MAX: u32 = 16 << 10;
/// Sockets that can be followed at a time.
pub const SOCKETS_MAX: u32 = 64 << 10;
/// Threads that can be followed at a time.
pub const THREADS_MAX: u32 = 64 << 10;
/// Pairs of network namespace and listening port.
pub const LISTENERS_MAX: u32 = 16 << 10;
/// TLS objects that can be followed at a time; the one idle for longest goes first.
pub const TLS_OBJECTS_MAX: u32 = 32 << 10;
/// Threads that can be in a function of a TLS library at a time.
pub const TLS_THREADS_MAX: u32 = 16 << 10;
/// Records of plaintext that can be in the making at a time, on all CPUs together; 17 KiB each.
pub const TLS_SCRATCHES: u32 = 128;
/// Goroutines that are remembered to have called Go's crypto/tls; the one that called it longest ago goes first.
pub const TLS_GOROUTINES_MAX: u32 = 32 << 10;
/// Clues sent of the same socket for the same TLS object; of another socket, there are always more.
pub const TLS_CLUES_MAX: u8 = 8;

/// System call numbers that the table of calls covers.
pub const SYSCALLS_MAX: usize = 512;
