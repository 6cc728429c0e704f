//! The attributes of spans and resources, by OpenTelemetry's semantic conventions for HTTP (stable since 1.23) and gRPC.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::exchange::Outcome;
use crate::http2::error_name;
use crate::ids::SpanId;
use crate::kubernetes::PodFact;
use crate::span::{Service, Span, SpanKind, Status};
use crate::time::MonoNanos;
use crate::track::is_usual_method;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// A number.
    Int(i64),
    /// A text.
    Text(Cow<'a, str>),
}

/// The keys of a span's attributes, ascending.
pub const KEYS: [&str; 28] = [
    "client.address",
    "client.port",
    "error.type",
    "http.request.body.size",
    "http.request.method",
    "http.request.method_original",
    "http.response.body.size",
    "http.response.status_code",
    "http.route",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.version",
    "redtape.accept_wait_ns",
    "redtape.link",
    "redtape.link_strength",
    "redtape.tls.tie",
    "redtape.truncated",
    "rpc.grpc.status_code",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "server.address",
    "server.port",
    "url.full",
    "url.path",
    "url.query",
    "url.scheme",
    "user_agent.original",
];

/// A key and its value.
pub type Attribute<'a> = (&'static str, AttributeValue<'a>);

/// One of the two children that show where a server's time went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// `in queue` or `processing`.
    pub name: &'static str,
    /// Its id, derived from the parent's.
    pub span_id: SpanId,
    /// Its start.
    pub start: MonoNanos,
    /// Its end.
    pub end: MonoNanos,
}

impl Span {
    /// `http.request.method`: `_OTHER` unless semantic conventions know the method.
    pub fn method(&self) -> &str {
        self.usual_method().unwrap_or("_OTHER")
    }

    /// The method as the span's name has it: `HTTP` unless semantic conventions know it.
    pub(crate) fn method_in_name(&self) -> &str {
        self.usual_method().unwrap_or("HTTP")
    }

    fn usual_method(&self) -> Option<&str> {
        Some(self.http.method()).filter(|method| is_usual_method(method.as_bytes()))
    }

    /// Whether it is of a gRPC call.
    pub const fn is_grpc(&self) -> bool {
        self.http.head.is_grpc()
    }

    /// Whether its path is one that routes are made of: it is known, and not the name of a gRPC method.
    pub fn has_path(&self) -> bool {
        !self.is_grpc() && !self.http.head.target().is_empty()
    }

    /// The name of a gRPC call: `package.Service/Method`, or `grpc` where that is not known.
    pub(crate) fn rpc_name(&self) -> &str {
        let path = self.http.path();
        Some(path.strip_prefix('/').unwrap_or(path)).filter(|name| !name.is_empty()).unwrap_or("grpc")
    }

    /// `rpc.service` and `rpc.method` of a gRPC call.
    pub fn rpc(&self) -> Option<(&str, &str)> {
        if !self.is_grpc() {
            return None;
        }
        self.http.path().strip_prefix('/')?.rsplit_once('/')
    }

    /// The span's name: method and route, or the method alone; of gRPC the service and method.
    pub fn name(&self) -> Cow<'_, str> {
        if self.is_grpc() {
            return self.rpc_name().into();
        }
        let method = self.method_in_name();
        if self.route.is_empty() { method.into() } else { format!("{method} {}", self.route).into() }
    }

    /// Nanoseconds from start to end.
    pub const fn duration_nanos(&self) -> u64 {
        self.end.since(self.start)
    }

    /// Whether the exchange is known in part only: kept out of the histograms.
    pub fn incomplete(&self) -> bool {
        self.outcome == Outcome::Incomplete
    }

    /// How the exchange was broken off, if it was.
    pub(crate) fn broken_off(&self) -> Option<&'static str> {
        match self.outcome {
            Outcome::NoResponse => Some("no_response"),
            Outcome::CutResponse => Some("cut_response"),
            // A gRPC call that the client cancels is no failure of the server.
            Outcome::Reset if self.status == Status::Error => {
                Some(self.http.reset.and_then(error_name).unwrap_or("reset"))
            }
            Outcome::Reset | Outcome::Complete | Outcome::Incomplete => None,
        }
    }

    /// `error.type` of a failure: `no_response`, `cut_response`, the name of the error with which its stream was reset
    /// (`cancel`), or the status code, of gRPC its own.
    pub fn error_type(&self) -> Option<Cow<'static, str>> {
        if self.status != Status::Error {
            return None;
        }
        let code = if self.is_grpc() { self.http.grpc_status } else { self.http.status_code };
        self.broken_off().map(Into::into).or_else(|| Some(code?.to_string().into()))
    }

    /// The address of the server's end of the connection.
    pub(crate) const fn server_socket(&self) -> Option<SocketAddr> {
        match self.kind {
            SpanKind::Server => self.http.local,
            SpanKind::Client => self.http.remote,
        }
    }

    /// `server.address`: the host that the request names, else the server's address.
    pub fn server_address(&self) -> Option<Cow<'_, str>> {
        let named = self.http.host().map(|(name, _)| name.into());
        named.or_else(|| Some(self.server_socket()?.ip().to_canonical().to_string().into()))
    }

    /// `server.port`: the port that the request names, else the server's port.
    pub fn server_port(&self) -> Option<u16> {
        self.http.host().and_then(|(_, port)| port).or_else(|| Some(self.server_socket()?.port()))
    }

    /// `client.address`: for servers, where the connection comes from.
    pub fn client_address(&self) -> Option<String> {
        let remote = self.http.remote.filter(|_| self.kind == SpanKind::Server)?;
        Some(remote.ip().to_canonical().to_string())
    }

    /// `url.full`, for clients: without user name and password, which stay secret.
    fn url_full(&self) -> Option<String> {
        let host = self.server_address()?;
        let host = if host.contains(':') { format!("[{host}]").into() } else { host };
        let port = self
            .server_port()
            .filter(|&port| port != default_port(self.http.scheme))
            .map_or(String::new(), |port| format!(":{port}"));
        let query = self.http.query().map_or(String::new(), |query| format!("?{}", self.shown.query(query)));
        Some(format!("{}://{host}{port}{}{query}", self.http.scheme, self.http.path()))
    }

    /// All attributes that are shown, sorted by key.
    pub fn attributes(&self) -> Vec<Attribute<'_>> {
        let mut attributes = self.all_attributes();
        attributes.retain(|(key, _)| !self.shown.hides(key));
        attributes
    }

    /// All attributes, sorted by key. What they say has no secrets, but some may be hidden.
    pub(crate) fn all_attributes(&self) -> Vec<Attribute<'_>> {
        let http = &self.http;
        let size = |size: Option<u64>| size.map(|size| AttributeValue::Int(i64::try_from(size).unwrap_or(i64::MAX)));
        let (server, client) = (self.kind == SpanKind::Server, self.kind == SpanKind::Client);
        let peer = http.remote.map(|remote| (remote.ip().to_canonical().to_string(), i64::from(remote.port())));
        let original =
            self.usual_method().is_none().then(|| http.method()).filter(|method| !method.is_empty()).map(text);
        let rpc = self.rpc();
        [
            ("client.address", self.client_address().map(text)),
            ("client.port", http.remote.filter(|_| server).map(|remote| AttributeValue::Int(remote.port().into()))),
            ("error.type", self.error_type().map(text)),
            ("http.request.body.size", size(http.request_size)),
            ("http.request.method", Some(text(self.method()))),
            ("http.request.method_original", original),
            ("http.response.body.size", size(http.response_size)),
            ("http.response.status_code", http.status_code.map(|code| AttributeValue::Int(code.into()))),
            ("http.route", Some(&*self.route).filter(|route| !route.is_empty()).map(text)),
            ("network.peer.address", peer.as_ref().map(|(address, _)| text(address.clone()))),
            ("network.peer.port", peer.map(|(_, port)| AttributeValue::Int(port))),
            ("network.protocol.version", Some(text(http.version().as_str()))),
            ("redtape.accept_wait_ns", size(self.accept_wait_nanos)),
            ("redtape.link", self.link.map(|link| text(link.rule.as_str()))),
            ("redtape.link_strength", self.link.map(|link| text(link.strength.as_str()))),
            ("redtape.tls.tie", http.untied.then(|| text("unknown"))),
            ("redtape.truncated", http.truncated.then(|| text("true"))),
            ("rpc.grpc.status_code", http.grpc_status.map(|code| AttributeValue::Int(code.into()))),
            ("rpc.method", rpc.map(|(_, method)| text(method))),
            ("rpc.service", rpc.map(|(service, _)| text(service))),
            ("rpc.system", self.is_grpc().then(|| text("grpc"))),
            ("server.address", self.server_address().map(text)),
            ("server.port", self.server_port().map(|port| AttributeValue::Int(port.into()))),
            (
                "url.full",
                Some(()).filter(|()| client && !http.head.target().is_empty()).and_then(|()| self.url_full()).map(text),
            ),
            ("url.path", Some(http.path()).filter(|_| server && !http.head.target().is_empty()).map(text)),
            ("url.query", http.query().filter(|_| server).map(|query| text(self.shown.query(query)))),
            ("url.scheme", Some(text(http.scheme))),
            ("user_agent.original", http.user_agent().map(text)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }

    /// The children `in queue` and `processing`, where the span has them.
    pub fn phases(&self) -> Option<[Phase; 2]> {
        let queue = self.queue_nanos.filter(|_| self.phases)?;
        let read = self.start.plus(queue).min(self.end);
        let phase = |name, purpose, start, end| Phase { name, span_id: self.span_id.child(purpose), start, end };
        Some([phase("in queue", 1, self.start, read), phase("processing", 2, read, self.end)])
    }
}

/// The port that a URL of this scheme need not name.
fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

impl Service {
    /// The resource's attributes, sorted by key. Arguments of the command are left out: they may hold secrets.
    pub fn resource(&self) -> Vec<Attribute<'_>> {
        let process = &self.process;
        let some = |value: &'_ str| !value.is_empty();
        let executable = process.executable();
        let container = self.container.as_ref();
        let id = container.map(|container| &*container.id).filter(|id| some(id));
        let pod = PodFact::ALL.map(|fact| (fact.key(), container.and_then(|container| container.fact(fact)).map(text)));
        let own = [
            ("process.executable.name", Some(executable).filter(|name| some(name)).map(text)),
            ("process.executable.path", Some(&*process.exe).filter(|path| some(path)).map(text)),
            ("process.pid", Some(AttributeValue::Int(process.tgid.0.into())).filter(|_| process.tgid.0 != 0)),
            ("service.instance.id", Some(text(&*self.instance))),
            ("service.name", Some(text(&*self.name))),
            ("service.namespace", Some(&*self.namespace).filter(|name| some(name)).map(text)),
            ("telemetry.sdk.language", process.language().map(text)),
            ("telemetry.sdk.name", Some(text("redtape"))),
            ("telemetry.sdk.version", Some(text(env!("CARGO_PKG_VERSION")))),
        ];
        let host = Some(&*self.host).filter(|host| some(host));
        let host_id = self.host_id.as_deref();
        [("container.id", id.map(text)), ("host.id", host_id.map(text)), ("host.name", host.map(text))]
            .into_iter()
            .chain(pod)
            .chain(own)
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }
}

fn text<'a>(text: impl Into<Cow<'a, str>>) -> AttributeValue<'a> {
    AttributeValue::Text(text.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exchange::{RequestHead, Version};
    use crate::metric::spans::server;
    use crate::shown::ShownAttributes;

    #[test]
    fn address_and_port_come_from_the_same_place() {
        let of = |host: &str| {
            let mut span = server("/a");
            span.http.head = RequestHead::new("GET", "/a", Some(host), None, Version::Http11, None);
            (span.server_address().map(Cow::into_owned), span.server_port())
        };
        assert_eq!(of("h:81"), (Some("h".into()), Some(81)));
        assert_eq!(of("h"), (Some("h".into()), Some(8080)));
        assert_eq!(of(":81"), (Some("10.0.0.1".into()), Some(8080)));
    }

    #[test]
    fn calls_of_grpc_are_named_by_their_method() {
        let mut span = server("");
        span.http.head = RequestHead::new("POST", "/p.S/M", None, None, Version::Http2, None).with_grpc();
        (span.http.grpc_status, span.status) = (Some(13), Status::Error);
        assert_eq!((&*span.name(), span.rpc(), span.has_path()), ("p.S/M", Some(("p.S", "M")), false));
        assert_eq!(span.error_type().as_deref(), Some("13"));
        let attributes = span.attributes();
        assert!(attributes.is_sorted_by_key(|(key, _)| *key) && KEYS.is_sorted());
        assert!(attributes.iter().all(|(key, _)| KEYS.contains(key)));
        for (key, value) in [
            ("rpc.grpc.status_code", AttributeValue::Int(13)),
            ("rpc.method", text("M")),
            ("rpc.service", text("p.S")),
            ("rpc.system", text("grpc")),
            ("network.protocol.version", text("2")),
        ] {
            assert!(attributes.contains(&(key, value)), "{key}");
        }
        // The client gave up: for the server that is no error.
        (span.http.grpc_status, span.status, span.outcome) = (Some(1), Status::Unset, Outcome::Reset);
        assert_eq!(span.error_type(), None);
    }

    #[test]
    fn attributes_can_be_hidden_and_secrets_always_are() {
        let mut span = server("/a");
        span.http.head = RequestHead::new("GET", "/a?token=t&b=1", Some("h"), None, Version::Http11, None);
        span.shown = Arc::new(ShownAttributes::new(&["client.*".into()], vec!["token".into()]).unwrap());
        let attributes = span.attributes();
        assert!(attributes.contains(&("url.query", text("token=REDACTED&b=1"))));
        assert!(!attributes.iter().any(|(key, _)| key.starts_with("client.")));
        assert!(span.all_attributes().iter().any(|(key, _)| *key == "client.address"));
        span.kind = SpanKind::Client;
        assert!(span.attributes().contains(&("url.full", text("http://h:50000/a?token=REDACTED&b=1"))));
    }

    #[test]
    fn streams_that_were_reset_say_why() {
        let mut span = server("/a");
        (span.outcome, span.status) = (Outcome::Reset, Status::Error);
        for (code, name) in [(Some(8), "cancel"), (Some(7), "refused_stream"), (Some(99), "reset"), (None, "reset")] {
            span.http.reset = code;
            assert_eq!(span.error_type().as_deref(), Some(name));
        }
    }

    #[test]
    fn what_is_not_known_of_a_request_is_left_out() {
        let mut span = server("");
        span.http.head = RequestHead::new("", "", None, None, Version::Http2, None);
        span.http.truncated = true;
        let keys: Vec<_> = span.attributes().into_iter().map(|(key, _)| key).collect();
        assert!(!keys.contains(&"url.path") && !keys.contains(&"http.request.method_original"), "{keys:?}");
        assert!(keys.contains(&"redtape.truncated") && !span.has_path());
        assert_eq!((span.method(), &*span.name()), ("_OTHER", "HTTP"));
    }

    #[test]
    fn methods_that_nobody_knows_have_no_names() {
        let mut span = server("/a");
        span.http.head = RequestHead::new("get", "/a", None, None, Version::Http11, None);
        assert_eq!((span.method(), &*span.name()), ("_OTHER", "HTTP /a"));
        assert!(span.attributes().contains(&("http.request.method_original", text("get"))));
        span.http.head = RequestHead::new("TRACE", "/a", None, None, Version::Http11, None);
        assert_eq!((span.method(), &*span.name()), ("TRACE", "TRACE /a"));
    }
}
