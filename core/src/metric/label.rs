//! The labels of metrics: their names, and what each says of a span.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::kubernetes::PodFact;
use crate::span::{Span, SpanKind, Status};

/// A label of a metric, in the order in which labels are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// `client_address`: where the request came from, without the port.
    ClientAddress,
    /// `error_type`: `no_response` or `cut_response`, where the connection ended before the response or in it, or the name of the
    /// error with which a stream was reset. Failures that have a status code are told by it.
    ErrorType,
    /// `http_request_method`; `_OTHER` for methods that semantic conventions do not know.
    Method,
    /// `http_response_status_code`
    StatusCode,
    /// `http_route`
    Route,
    /// `instance`: `service.instance.id`.
    Instance,
    /// `job`: `namespace/name`, or the name if there is no namespace.
    Job,
    /// `k8s_*`: a fact of the pod.
    Kubernetes(PodFact),
    /// `network_peer_address`: the address of the other end. Only to tell series apart.
    PeerAddress,
    /// All facts of the pod in one. Only to tell series apart.
    Pod,
    /// `rpc_grpc_status_code`
    RpcStatus,
    /// `rpc_method`: service and method as in the path, `/package.Service/Method`, as Beyla has it.
    RpcMethod,
    /// `rpc_system`: `grpc`
    RpcSystem,
    /// `server_address`. On the client's side the host that the request names, else the peer's address. On the
    /// server's side the socket's own address and not what the request names: otherwise any client could make new
    /// series at will.
    ServerAddress,
    /// `server_port`, from where `server_address` is.
    ServerPort,
    /// `service_name`
    ServiceName,
    /// `service_namespace`
    ServiceNamespace,
    /// The address of the server's end. Only to tell series apart.
    SocketAddress,
    /// The port of the server's end. Only to tell series apart.
    SocketPort,
    /// `source`: who made the metric.
    Source,
    /// `span_kind`, as in span metrics: `SPAN_KIND_SERVER`.
    SpanKind,
    /// `span_name`: method and route.
    SpanName,
    /// `status_code`, as in span metrics: `STATUS_CODE_UNSET`.
    SpanStatus,
    /// `target_instance`: Beyla 1.0's name of `instance`.
    TargetInstance,
    /// `url_path`
    UrlPath,
    /// `url_scheme`
    UrlScheme,
}

impl Label {
    /// Its name in Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientAddress => "client_address",
            Self::ErrorType => "error_type",
            Self::Method => "http_request_method",
            Self::StatusCode => "http_response_status_code",
            Self::Route => "http_route",
            Self::Instance => "instance",
            Self::Job => "job",
            Self::Kubernetes(fact) => fact.label(),
            Self::PeerAddress => "network_peer_address",
            Self::Pod => "k8s_pod",
            Self::RpcStatus => "rpc_grpc_status_code",
            Self::RpcMethod => "rpc_method",
            Self::RpcSystem => "rpc_system",
            Self::ServerAddress => "server_address",
            Self::ServerPort => "server_port",
            Self::ServiceName => "service_name",
            Self::ServiceNamespace => "service_namespace",
            Self::SocketAddress => "network_server_address",
            Self::SocketPort => "network_server_port",
            Self::Source => "source",
            Self::SpanKind => "span_kind",
            Self::SpanName => "span_name",
            Self::SpanStatus => "status_code",
            Self::TargetInstance => "target_instance",
            Self::UrlPath => "url_path",
            Self::UrlScheme => "url_scheme",
        }
    }

    /// Appends what it says of `span`; nothing where it does not apply.
    pub(super) fn write(self, span: &Span, out: &mut String) {
        match self {
            Self::ClientAddress => {
                if let (SpanKind::Server, Some(peer)) = (span.kind, span.http.remote) {
                    write_ip(peer.ip(), out);
                }
            }
            Self::ErrorType => out.push_str(span.broken_off().unwrap_or_default()),
            Self::Method => out.push_str(span.method()),
            Self::StatusCode => write_number(span.http.status_code, out),
            Self::Route => out.push_str(&span.route),
            Self::Instance | Self::TargetInstance => out.push_str(&span.service.instance),
            Self::Job => {
                if !span.service.namespace.is_empty() {
                    out.push_str(&span.service.namespace);
                    out.push('/');
                }
                out.push_str(&span.service.name);
            }
            Self::Kubernetes(fact) => {
                if let Some(container) = &span.service.container {
                    out.push_str(container.fact(fact).unwrap_or_default());
                }
            }
            Self::PeerAddress => write_socket(span.http.remote, out),
            Self::Pod => write_pod(span, out),
            Self::SocketAddress => write_socket(span.server_socket(), out),
            Self::SocketPort => write_number(span.server_socket().map(|socket| socket.port()), out),
            Self::RpcStatus => write_number(span.http.grpc_status, out),
            Self::RpcMethod if span.is_grpc() => out.push_str(span.http.path()),
            Self::RpcSystem if span.is_grpc() => out.push_str("grpc"),
            Self::RpcMethod | Self::RpcSystem => {}
            Self::ServerAddress => match (span.server_socket(), named_host(span)) {
                (_, Some((host, _))) => out.push_str(host),
                (Some(socket), None) => write_ip(socket.ip(), out),
                (None, None) => {}
            },
            Self::ServerPort => {
                let named = named_host(span).and_then(|(_, port)| port);
                write_number(named.or(span.server_socket().map(|socket| socket.port())), out);
            }
            Self::ServiceName => out.push_str(&span.service.name),
            Self::ServiceNamespace => out.push_str(&span.service.namespace),
            Self::Source => out.push_str("redtape"),
            Self::SpanKind => out.push_str(match span.kind {
                SpanKind::Server => "SPAN_KIND_SERVER",
                SpanKind::Client => "SPAN_KIND_CLIENT",
            }),
            Self::SpanName => {
                // As Span::name, without allocating.
                if span.is_grpc() {
                    return out.push_str(span.rpc_name());
                }
                out.push_str(span.method_in_name());
                if !span.route.is_empty() {
                    out.push(' ');
                    out.push_str(&span.route);
                }
            }
            Self::SpanStatus => out.push_str(match span.status {
                Status::Unset => "STATUS_CODE_UNSET",
                Status::Error => "STATUS_CODE_ERROR",
            }),
            Self::UrlPath => out.push_str(span.http.path()),
            Self::UrlScheme => out.push_str(span.http.scheme),
        }
    }
}

/// All facts of the pod that a span is of, if it is of one.
fn write_pod(span: &Span, out: &mut String) {
    let Some(container) = &span.service.container else { return };
    for fact in PodFact::ALL {
        out.push_str(container.fact(fact).unwrap_or_default());
        out.push('\0');
    }
}

/// What a client named: a server's clients may name what they like.
fn named_host(span: &Span) -> Option<(&str, Option<u16>)> {
    if span.kind == SpanKind::Client { span.http.host() } else { None }
}

fn write_socket(socket: Option<SocketAddr>, out: &mut String) {
    if let Some(socket) = socket {
        write_ip(socket.ip(), out);
    }
}

fn write_ip(ip: IpAddr, out: &mut String) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "." });
                write_number(Some(octet.into()), out);
            }
        }
        IpAddr::V6(ip) => {
            // Writing to a string cannot fail.
            let _ = write!(out, "{ip}");
        }
    }
}

fn write_number(number: Option<u16>, out: &mut String) {
    let Some(number) = number else { return };
    // By hand: this runs for each span, and formatting machinery costs more than all else here.
    for power in [10_000, 1_000, 100, 10, 1] {
        if number >= power || power == 1 {
            out.push(char::from(b'0' + u8::try_from(number / power % 10).unwrap_or(0)));
        }
    }
}
