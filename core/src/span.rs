//! The span: one exchange as seen from one side, with its place in a trace, its route and its service.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::exchange::{Outcome, RequestHead};
use crate::facts::ProcessInfo;
use crate::ids::{ConnKey, SpanId, TraceId};
use crate::kubernetes::Container;
use crate::shown::ShownAttributes;
use crate::signals::Signals;
use crate::time::{MonoNanos, WallNanos};

/// Which side of the exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpanKind {
    /// From the arrival of the request's first byte to the last byte of the response written.
    Server,
    /// From the request's first byte written to the response's last byte read.
    Client,
}

impl SpanKind {
    /// As in `--spans json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// A span's status (OpenTelemetry trace API, "Set Status"). Success is `Unset`, as semantic conventions want of
/// instrumentations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing to say.
    Unset,
    /// It failed: no response, a server's answer of 500 and above, a client's answer of 400 and above; of gRPC, a server's
    /// status that says that it is at fault, or a client's status other than OK.
    Error,
}

impl Status {
    /// As in `--spans json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Error => "error",
        }
    }
}

/// The service that a span belongs to: what becomes the OpenTelemetry resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `service.name`
    pub name: Box<str>,
    /// `service.namespace`, empty if there is none.
    pub namespace: Box<str>,
    /// `service.instance.id`, and the `instance` label in Prometheus.
    pub instance: Box<str>,
    /// `host.id`, where the configuration gives one.
    pub host_id: Option<Box<str>>,
    /// What is exported of it.
    pub signals: Signals,
    /// `host.name`, empty if the tape does not tell it.
    pub host: Box<str>,
    /// The process.
    pub process: Arc<ProcessInfo>,
    /// The container that the process is in.
    pub container: Option<Container>,
}

/// How a span found its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The rule.
    pub rule: LinkRule,
    /// How sure the rule is.
    pub strength: Strength,
}

/// The rule that gave a span its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkRule {
    /// The `traceparent` on the wire.
    Wire,
    /// The two ends of one connection, the same request.
    Connection,
    /// The thread that read the enclosing request, blocking, wrote this one.
    Thread,
    /// The only enclosing span there is.
    OnlyEnclosing,
}

impl LinkRule {
    /// As in the attribute `redtape.link`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wire => "traceparent",
            Self::Connection => "connection",
            Self::Thread => "thread",
            Self::OnlyEnclosing => "only_enclosing",
        }
    }
}

/// How sure a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// It follows from facts.
    Certain,
    /// Likely, from timing.
    Likely,
}

impl Strength {
    /// As in the attribute `redtape.link_strength`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
        }
    }
}

/// One exchange, as exported.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// Its parent; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// How the parent was found.
    pub link: Option<Link>,
    /// Its side.
    pub kind: SpanKind,
    /// The recorded end of the connection that it was seen on.
    pub conn: ConnKey,
    /// The position of its request's first byte in the request stream. With `conn` it names the exchange.
    pub pos: u64,
    /// Its service.
    pub service: Arc<Service>,
    /// Start, on the tape's clock.
    pub start: MonoNanos,
    /// End, on the tape's clock; never before `start`.
    pub end: MonoNanos,
    /// Start, as wall time.
    pub start_wall: WallNanos,
    /// How long the request waited for its first read, in nanoseconds; `None` where the tape has no arrival time, and
    /// for clients.
    pub queue_nanos: Option<u64>,
    /// Whether the children `in queue` and `processing` are exported with it.
    pub phases: bool,
    /// How long the connection stood in the accept queue before this, its first request, in nanoseconds.
    pub accept_wait_nanos: Option<u64>,
    /// Its status.
    pub status: Status,
    /// How the exchange ended.
    pub outcome: Outcome,
    /// `http.route`, empty if it has none.
    pub route: Arc<str>,
    /// Whether it counts in metrics and is exported as a span.
    pub ignored: Ignored,
    /// Whether it is of a trace that is exported by OTLP: its sampler chose it. Whoever prints spans prints all of them.
    pub sampled: bool,
    /// Which of its attributes are shown.
    pub shown: Arc<ShownAttributes>,
    /// What was asked and answered.
    pub http: HttpFields,
}

/// What a span is taken out of: by `ignored_patterns`, by the `exports` of its service, or because its process exports by
/// itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// It is not exported as a span.
    pub traces: bool,
    /// It does not count in metrics.
    pub metrics: bool,
}

/// What was asked and answered, of an HTTP exchange; a gRPC call is one.
#[derive(Clone, Debug)]
pub struct HttpFields {
    /// The request's head as sent; the methods read from it.
    pub head: RequestHead,
    /// `url.scheme`
    pub scheme: &'static str,
    /// It is of a TLS connection, and it is not known which socket carries that.
    pub untied: bool,
    /// `http.response.status_code`
    pub status_code: Option<u16>,
    /// `rpc.grpc.status_code`: from the trailers, or what a reset of the stream means.
    pub grpc_status: Option<u16>,
    /// The error code with which the stream was reset.
    pub reset: Option<u32>,
    /// `http.request.body.size`, in bytes.
    pub request_size: Option<u64>,
    /// `http.response.body.size`, in bytes.
    pub response_size: Option<u64>,
    /// This socket's address.
    pub local: Option<SocketAddr>,
    /// The other end's address.
    pub remote: Option<SocketAddr>,
    /// Part of the head was not captured: attributes may be missing.
    pub truncated: bool,
}
