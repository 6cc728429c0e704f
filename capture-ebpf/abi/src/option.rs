//! Indices into the read-only array `OPTIONS`. The verifier sees its values as constants and drops what they switch off.

/// 1: `bpf_get_current_task_btf` exists, so that the walk may begin with direct loads (from 5.11 on).
pub const DIRECT: usize = 0;
/// 1: `bpf_get_socket_cookie` may be called by tracing programs (from 5.12 on).
pub const COOKIE: usize = 1;
/// 1: every process is followed.
pub const FOLLOW_ALL: usize = 2;
/// 1: exec records are sent for every process, so that user space can choose among them.
pub const EXEC_ALL: usize = 3;
/// Bytes kept of a direction since it last turned, at most [`HEAD_BYTES_MAX`](crate::limits::HEAD_BYTES_MAX).
pub const HEAD_BYTES: usize = 4;
/// Bytes kept of the start of a call that lies behind the head, at most [`EDGE_BYTES_MAX`](crate::limits::EDGE_BYTES_MAX).
pub const PREFIX_BYTES: usize = 5;
/// Bytes kept of the end of a call that is not kept whole, at most [`EDGE_BYTES_MAX`](crate::limits::EDGE_BYTES_MAX).
pub const TAIL_BYTES: usize = 6;
/// Bytes waiting in the ring buffer from which on the reader is woken.
pub const WAKE_BYTES: usize = 7;
/// 1: listen records are sent for every process, so that user space can choose among them.
pub const LISTEN_ALL: usize = 8;
/// 1: the plaintext of TLS libraries is recorded.
pub const TLS: usize = 9;
/// The inode number of the recorder's pid namespace, in which process ids are told and looked up; 0 if it is the initial one, which
/// the kernel's own numbers are of.
pub const PID_NS_INODE: usize = 10;
/// How many options there are.
pub const COUNT: usize = 11;
