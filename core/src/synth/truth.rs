//! What really happened, as the simulation knows it.

use std::ops::Range;
use std::sync::Arc;

use crate::exchange::{Outcome, TraceContext};
use crate::ids::{ConnKey, ProcKey, SpanId, Tid};
use crate::span::{LinkRule, SpanKind};
use crate::time::{MonoNanos, WallNanos};

/// Names one side of an exchange: the recorded end of its connection and the position of the request's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId {
    /// The recorded end.
    pub conn: ConnKey,
    /// The position of the request's first byte in its stream.
    pub pos: u64,
}

/// Why the request that a call is made for cannot be known from what threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknowable {
    /// The calling thread waits for events: it may work for any request.
    EventLoop,
    /// Another thread makes the call than the one that has read the request.
    OtherThread,
    /// The calling thread has read other requests, too, that it has not answered.
    SharedThread,
}

impl Unknowable {
    /// A short name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventLoop => "event_loop",
            Self::OtherThread => "other_thread",
            Self::SharedThread => "shared_thread",
        }
    }
}

/// One side of one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Which one.
    pub id: ExchangeId,
    /// The id that its span has.
    pub span_id: SpanId,
    /// The id that its parent's span has.
    pub parent_span_id: Option<SpanId>,
    /// The number of the conversation it is part of.
    pub conversation: u64,
    /// Which side was recorded.
    pub kind: SpanKind,
    /// The process on this side.
    pub process: ProcKey,
    /// Its service name.
    pub service: Arc<str>,
    /// The thread that read the request (server) or wrote it (client).
    pub tid: Tid,
    /// Whether the socket is blocking and the thread never waits for events: where rule R2 applies.
    pub blocking: bool,
    /// The connection is encrypted.
    pub tls: bool,
    /// The route as the scenario writes it.
    pub route: Arc<str>,
    /// The method as sent.
    pub method: String,
    /// The request target as sent.
    pub target: String,
    /// The final status, if a response was begun.
    pub status: Option<u16>,
    /// The status of a gRPC call that has ended.
    pub grpc_status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// Server: arrival of the request's first byte, where arrivals are recorded, else the exit of the read that got it.
    /// Client: entry of the write that sent it.
    pub start: MonoNanos,
    /// The same on the host's wall clock.
    pub start_wall: WallNanos,
    /// Exit of the call that moved the response's last byte; `None` where there is no response.
    pub end: Option<MonoNanos>,
    /// Server: nanoseconds from the arrival of the request's first byte to the exit of the read that got it.
    pub queue_nanos: Option<u64>,
    /// First exchange of an accepted connection: nanoseconds from the end of the handshake to the exit of the accept.
    pub accept_wait_nanos: Option<u64>,
    /// Bytes of the request's body without framing; `None` where the client broke it off.
    pub request_size: Option<u64>,
    /// Bytes of the response's body without framing; `None` where it has no end (cut, or a tunnel).
    pub response_size: Option<u64>,
    /// The span around it: for a server the client's side of the same exchange, for a client the exchange that its
    /// thread was working on.
    pub parent: Option<ExchangeId>,
    /// By what its parent can be known, of all that a recorder sees. `None` where it has no parent, or `unknowable` says why not.
    pub link: Option<LinkRule>,
    /// Why nobody can know the recorded parent of a call.
    pub unknowable: Option<Unknowable>,
    /// Whether enough was captured to know of it: all of its first line, and of those of the requests in front of it on its
    /// connection, as nothing else tells how many responses they get.
    pub captured: bool,
    /// Whether it was sent before the response to the request before it had come.
    pub pipelined: bool,
    /// The trace context on the wire.
    pub context: Option<TraceContext>,
    /// The request's bytes in their stream.
    pub request: Range<u64>,
    /// The final response's bytes in their stream.
    pub response: Option<Range<u64>>,
}

impl Truth {
    /// The parent of its span, as far as it can be known: the recorded one, or whom the request names.
    pub fn known_parent(&self) -> Option<SpanId> {
        match self.link? {
            LinkRule::Wire => self.context.map(|context| context.parent_id),
            LinkRule::Connection | LinkRule::Thread | LinkRule::OnlyEnclosing => self.parent_span_id,
        }
    }
}
