//! Every bound of core's tables and buffers. Reaching one is counted, reported, and decided the same way each time.

/// Virtual shards of stage 1. Fixed, so that no result depends on how many threads run them.
pub const SHARDS: usize = 64;

/// Connections that redaction follows; the one idle for longest goes first, and what comes of it later is not understood.
pub(crate) const REDACT_CONNECTIONS: usize = 16 << 10;
/// Events that wait in redaction for one that is not decided, at most; beyond, what is not decided is masked.
pub(crate) const REDACT_HELD_EVENTS: usize = 64 << 10;
/// Captured bytes of events that wait in redaction, at most.
pub(crate) const REDACT_HELD_BYTES: usize = 16 << 20;
/// How long an event waits in redaction at most, in nanoseconds of tape time.
pub(crate) const REDACT_HELD_NANOS: u64 = 5_000_000_000;

/// Connections, and processes, that slices, filters and `events` remember. Those idle for longest go first.
pub(crate) const EDIT_KNOWN: usize = 1 << 17;
/// Losses that a slice remembers of the time before it; the oldest go first.
pub(crate) const EDIT_LOSSES: usize = 1 << 10;

/// Bounds that a caller may lower (tests do) or raise. With the defaults a replay of a million connections that are never
/// closed peaks below 64 MiB (`docs/performance.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in one virtual shard; the one idle for longest goes first.
    pub shard_connections: usize,
    /// Bytes that the connections of one virtual shard hold beyond their fixed state: exchanges under way, partial heads,
    /// out-of-order pieces, arrivals, the state of HTTP/2. The header tables of the connections idle for longest go first; then, of
    /// the connections that hold any, the one idle for longest. The streams of one connection hold half of it at most.
    pub shard_buffered_bytes: usize,
    /// Bytes of what one virtual shard finds at one moment of tape time; more is dropped until time goes on.
    pub shard_moment_bytes: usize,
    /// Bytes of one request or response head; of HTTP/2 both as sent and as decoded.
    pub head_bytes: usize,
    /// Header lines of one head.
    pub head_lines: usize,
    /// Streams under way on one connection of HTTP/2; the oldest goes first. (See also `shard_buffered_bytes`.)
    pub streams: usize,
    /// Bytes of one direction's table of header fields of HTTP/2, as HPACK counts them.
    pub header_table_bytes: usize,
    /// Requests that wait for a response on one connection.
    pub pipelined_requests: usize,
    /// Out-of-order pieces kept for one direction of one connection.
    pub reorder_pieces: usize,
    /// Arrivals kept for one connection until their bytes are read.
    pub arrivals: usize,
    /// Requests under way that stage 2 follows in order to link them.
    pub open_requests: usize,
    /// Spans that stage 2 holds until their links are decided.
    pub held_spans: usize,
    /// Connections that stage 2 remembers in order to join their ends.
    pub linked_connections: usize,
    /// Recordings whose clocks stage 2 knows.
    pub origins: usize,
    /// Pods that stage 2 knows.
    pub pods: usize,
    /// Processes that stage 2 knows.
    pub processes: usize,
    /// Series of one metric; what comes after goes to the overflow series.
    pub series_per_metric: usize,
    /// Distinct paths that routes are learned from, of all services.
    pub route_paths: usize,
    /// Rows of the RED table; what comes after goes to one row more.
    pub red_rows: usize,
    /// Nodes of all learned route trees.
    pub route_nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shard_connections: 512,
            shard_buffered_bytes: 448 << 10,
            shard_moment_bytes: 512 << 10,
            head_bytes: 64 << 10,
            head_lines: 256,
            streams: 512,
            header_table_bytes: 64 << 10,
            pipelined_requests: 256,
            reorder_pieces: 32,
            arrivals: 256,
            open_requests: 32 << 10,
            held_spans: 16 << 10,
            linked_connections: 32 << 10,
            origins: 1 << 10,
            pods: 2 << 10,
            processes: 16 << 10,
            series_per_metric: 10_000,
            route_paths: 32 << 10,
            red_rows: 1_000,
            route_nodes: 100_000,
        }
    }
}
