//! What stage 1 hands to stage 2: requests as they begin, exchanges as they end, and what it could not make sense of.

use std::sync::Arc;

use crate::diagnostic::DiagnosticKind;
use crate::event::Stamp;
use crate::facts::{ConnInfo, Role};
use crate::ids::{ConnKey, ProcKey, SpanId, TraceId};
use crate::time::MonoNanos;

/// One result of stage 1. Results are put in one total order by `at`, `conn`, `pos` and the order of [`What`].
#[derive(Clone, Debug)]
pub struct Finding {
    /// The tape time at which it became final: the watermark, not the time of the fact itself.
    pub at: MonoNanos,
    /// The connection.
    pub conn: ConnKey,
    /// A position in the connection's request stream.
    pub pos: u64,
    /// What was found.
    pub what: What,
}

impl Finding {
    /// Memory in use, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let what = match &self.what {
            What::Started(_) => size_of::<Started>(),
            What::Ended(exchange) => exchange.held_bytes(),
            What::Opened(_) | What::Learned(_) => size_of::<ConnInfo>(),
            What::NotAlone | What::Diagnostic(..) | What::Closed => 0,
        };
        size_of::<Self>() + what
    }
}

/// What stage 1 found. The variants stand in the order in which results of the same time and place are taken.
#[derive(Clone, Debug)]
pub enum What {
    /// A connection was seen for the first time.
    Opened(Arc<ConnInfo>),
    /// More is known of a connection than when it began.
    Learned(Arc<ConnInfo>),
    /// A request's head is complete.
    Started(Box<Started>),
    /// Of the request at this place, [`Started::alone`] holds no longer.
    NotAlone,
    /// An exchange is over.
    Ended(Box<Exchange>),
    /// Something was wrong, and how often.
    Diagnostic(DiagnosticKind, u64),
    /// No more of this connection follows.
    Closed,
}

/// A request whose head is complete: enough to link it to its surroundings while it is under way.
#[derive(Clone, Debug)]
pub struct Started {
    /// The connection.
    pub conn: Arc<ConnInfo>,
    /// The side it was seen from.
    pub role: Role,
    /// The process that read (server) or wrote (client) the request's first byte.
    pub process: ProcKey,
    /// The position of its first byte in the request stream. With `conn` it names the exchange.
    pub pos: u64,
    /// The call that moved its first byte.
    pub first: Stamp,
    /// The call that moved the last byte of its head.
    pub head: Stamp,
    /// No request that the tape lacks, or that began before a loss, can be under way on its connection beside it. Of HTTP/1,
    /// whose requests are answered in their order, it holds until bytes of the response have moved, and on where no
    /// request can be hidden behind it: see [`What::NotAlone`].
    pub alone: bool,
    /// The trace context that it carries.
    pub context: Option<TraceContext>,
}

/// A request and its response, or as much of them as there is.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The connection.
    pub conn: Arc<ConnInfo>,
    /// The side it was seen from.
    pub role: Role,
    /// The process that read (server) or wrote (client) the request's first byte.
    pub process: ProcKey,
    /// For the first request on an accepted connection: how long the connection stood in the accept queue, in
    /// nanoseconds.
    pub accept_wait_nanos: Option<u64>,
    /// The request.
    pub request: Request,
    /// The final response (not an interim one of status 1xx, except 101), if there was any.
    pub response: Option<Response>,
    /// The error code with which its stream was given up (RFC 9113, section 7), by RST_STREAM or GOAWAY.
    pub reset: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended: the exit of the call that moved the response's last byte, else when it became clear that none
    /// follows.
    pub end: MonoNanos,
}

impl Exchange {
    /// What is told of it when its request's head is complete; `alone` as in [`Started`].
    pub(crate) fn started(&self, alone: bool) -> Started {
        let message = &self.request.message;
        Started {
            conn: Arc::clone(&self.conn),
            role: self.role,
            process: self.process,
            pos: message.pos,
            first: message.first,
            head: message.last,
            alone,
            context: self.request.head.context,
        }
    }

    /// Memory in use while it is under way, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.request.head.held_bytes()
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response is complete. (A response that ends with its connection is complete when the connection ends in order.)
    Complete,
    /// The connection ended in the middle of the response.
    CutResponse,
    /// The connection ended before a response: `error.type` is `no_response`.
    NoResponse,
    /// One end gave its stream up before the response was complete (RST_STREAM or GOAWAY): `error.type` is the error's name.
    Reset,
    /// Bytes were lost, or the tape ends: what happened is not known. Kept out of histograms.
    Incomplete,
}

/// A request as read from the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where and when.
    pub message: Message,
    /// What it asks for.
    pub head: RequestHead,
}

/// A response as read from the wire.
#[derive(Clone, Debug)]
pub struct Response {
    /// Where and when.
    pub message: Message,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The status of a gRPC call, from the trailers.
    pub grpc_status: Option<u16>,
}

/// Position and times of a message in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The position of its first byte.
    pub pos: u64,
    /// The call that moved its first byte.
    pub first: Stamp,
    /// The call that moved its last byte (so far).
    pub last: Stamp,
    /// When its first byte became readable; only for received messages, where the tape has arrivals.
    pub arrival: Option<MonoNanos>,
    /// The size of the body on the wire without framing, in bytes; `None` if it cannot be known.
    pub body_len: Option<u64>,
    /// Part of the head was not captured or too long: attributes may be missing.
    pub truncated: bool,
}

/// The version of HTTP (`network.protocol.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As in `network.protocol.version`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// The parts of a request's head that telemetry needs, in one allocation.
///
/// Bytes that are not UTF-8 are replaced by U+FFFD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Method, target, host and user agent, one after the other.
    text: Box<str>,
    ends: [u32; 3],
    has: u8,
    /// The version.
    pub version: Version,
    /// The trace context that it carries (`traceparent`, else `grpc-trace-bin`).
    pub context: Option<TraceContext>,
}

impl RequestHead {
    /// A head of these parts; `target` is the request target as sent, whatever its form (RFC 9112, section 3.2).
    pub fn new(
        method: &str,
        target: &str,
        host: Option<&str>,
        user_agent: Option<&str>,
        version: Version,
        context: Option<TraceContext>,
    ) -> Self {
        let [method, target] = [method, target].map(str::as_bytes);
        let [host, user_agent] = [host, user_agent].map(|value| value.map(str::as_bytes));
        Self::from_wire(method, target, host, user_agent, version, context)
    }

    /// A head of these parts as they were sent.
    pub(crate) fn from_wire(
        method: &[u8],
        target: &[u8],
        host: Option<&[u8]>,
        user_agent: Option<&[u8]>,
        version: Version,
        context: Option<TraceContext>,
    ) -> Self {
        let has = u8::from(host.is_some()) | u8::from(user_agent.is_some()) << 1;
        let parts = [method, target, host.unwrap_or_default(), user_agent.unwrap_or_default()];
        let (text, ends) = join(parts).unwrap_or_else(|| {
            let repaired = parts.map(String::from_utf8_lossy);
            join(repaired.each_ref().map(|part| part.as_bytes())).expect("invariant: each part is UTF-8 now")
        });
        Self { text, ends, has, version, context }
    }

    /// The same of a gRPC call.
    #[must_use]
    pub fn with_grpc(mut self) -> Self {
        self.set_grpc();
        self
    }

    /// It turns out to be of a gRPC call.
    pub(crate) fn set_grpc(&mut self) {
        self.has |= 4;
    }

    /// Whether it is of a gRPC call: HTTP/2 with content of type `application/grpc` (gRPC-Web is plain HTTP).
    pub const fn is_grpc(&self) -> bool {
        self.has & 4 != 0
    }

    /// The method as sent; empty if it is not known.
    pub fn method(&self) -> &str {
        self.part(0)
    }

    /// The request target as sent; empty if it is not known.
    pub fn target(&self) -> &str {
        self.part(1)
    }

    /// The `Host` header's value, or `:authority`.
    pub fn host(&self) -> Option<&str> {
        (self.has & 1 != 0).then(|| self.part(2))
    }

    /// The `User-Agent` header's value.
    pub fn user_agent(&self) -> Option<&str> {
        (self.has & 2 != 0).then(|| self.part(3))
    }

    /// Heap memory in use, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.text.len()
    }

    fn part(&self, at: usize) -> &str {
        let from = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let to = self.ends.get(at).map_or(self.text.len(), |&end| end as usize);
        &self.text[from..to]
    }
}

/// The parts one after the other, and where the first three end; `None` if one of them is not UTF-8.
///
/// Text that is UTF-8 as a whole, and has a character's boundary between any two parts, is so in each part.
fn join(parts: [&[u8]; 4]) -> Option<(Box<str>, [u32; 3])> {
    let text = String::from_utf8(parts.concat()).ok()?;
    let (mut end, mut ends) = (0, [0; 3]);
    for (slot, part) in ends.iter_mut().zip(parts) {
        end += part.len();
        if !text.is_char_boundary(end) {
            return None;
        }
        *slot = u32::try_from(end).expect("invariant: heads are bounded far below 4 GiB");
    }
    Some((text.into(), ends))
}

/// The fields of a `traceparent` header (W3C Trace Context, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The sender's span.
    pub parent_id: SpanId,
    /// `trace-flags`; bit 0 is `sampled`.
    pub flags: u8,
}

impl TraceContext {
    /// Whether the sender's span may be exported.
    pub const fn sampled(self) -> bool {
        self.flags & 1 != 0
    }

    /// Reads a header value. `None` if it is malformed, has an all-zero id, or version `ff`.
    ///
    /// A version newer than 00 may have more fields after a dash, which are ignored (section 3.2.4).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_first_chunk::<55>()?;
        let [version] = hex::<1>(&head[..2])?;
        let separated = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        let tail = if version == 0 { rest.is_empty() } else { rest.first().is_none_or(|&byte| byte == b'-') };
        if version == 0xff || !separated || !tail {
            return None;
        }
        let (trace_id, parent_id) = (hex::<16>(&head[3..35])?, hex::<8>(&head[36..52])?);
        let [flags] = hex::<1>(&head[53..55])?;
        let valid = trace_id != [0; 16] && parent_id != [0; 8];
        valid.then_some(Self { trace_id: TraceId(trace_id), parent_id: SpanId(parent_id), flags })
    }
}

/// Lower-case hexadecimal digits, as the specification requires.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (mut bytes, mut all) = ([0; N], 0);
    for (byte, &[high, low]) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let (high, low) = (DIGITS[usize::from(high)], DIGITS[usize::from(low)]);
        *byte = high << 4 | low;
        all |= high | low;
    }
    (all < 16).then_some(bytes)
}

/// The values of lower-case hexadecimal digits; 255 for other bytes.
const DIGITS: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};
