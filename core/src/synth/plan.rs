//! Decides what one exchange will be: the messages, and how it ends.

use std::sync::Arc;

use crate::exchange::TraceContext;
use crate::ids::{SpanId, TraceId};

use super::message::{Bytes, Composer, Framing};
use super::per_mille::PerMille;
use super::rng::Rng;
use super::scenario::Scenario;
use super::world::Service;

/// How an exchange leaves its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Ready for the next.
    Reusable,
    /// Closed by the server after the response.
    Closed,
    /// Closed by the server instead of a response.
    Unanswered,
    /// Closed or reset by the server in the middle of the response's body.
    Cut { reset: bool },
    /// Closed by the client in the middle of the request's body.
    Abandoned,
    /// No longer HTTP.
    Tunnel,
    /// A stream that one end resets.
    Reset,
}

/// An exchange before it happens.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The number of the route among the service's.
    pub(super) route: usize,
    /// The route as the scenario writes it.
    pub(super) template: Arc<str>,
    pub(super) method: Arc<str>,
    pub(super) target: String,
    pub(super) request: Bytes,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects: bool,
    /// Sent before the final response.
    pub(super) hints: Option<&'static [u8]>,
    pub(super) status: u16,
    pub(super) grpc_status: Option<u16>,
    pub(super) response: Bytes,
    pub(super) fate: Fate,
    pub(super) context: Option<TraceContext>,
}

impl Plan {
    /// Draws an exchange. With `simple`, one that leaves the connection reusable and can be pipelined.
    pub(super) fn draw(
        scenario: &Scenario,
        rng: &mut Rng,
        service: &Service,
        number: usize,
        simple: bool,
        cause: Option<TraceContext>,
    ) -> Self {
        let (mix, route, host) = (&scenario.per_mille, &service.routes[number], &*service.name);
        let (mut method, mut target) = (route.method(rng), route.target.fill(rng));
        let mut fate = if simple { Fate::Reusable } else { draw_fate(mix, rng) };
        let mut template = Arc::clone(&route.text);
        let upgrade = fate == Fate::Tunnel && rng.chance(500);
        if fate == Fate::Tunnel {
            let other = if upgrade { ("GET", "/socket".to_owned()) } else { ("CONNECT", format!("{host}:443")) };
            (method, target) = (other.0.into(), other.1);
            template = target.as_str().into();
        }
        let body = if fate == Fate::Tunnel { None } else { route.request_size(&method, rng) };
        if fate == Fate::Abandoned && body.is_none() {
            fate = Fate::Reusable;
        }
        let context = draw_context(mix, rng, cause);
        let old = fate == Fate::Closed && rng.chance(300);
        let expects = body.is_some_and(|size| size > 0) && fate == Fate::Reusable && !simple && rng.chance(mix.interim);
        let framing = match (body, fate) {
            (None, _) => Framing::None,
            (Some(size), Fate::Abandoned) => Framing::Length(size + 200),
            (Some(size), _) if !old && rng.chance(mix.chunked) => Framing::Chunked(size),
            (Some(size), _) => Framing::Length(size),
        };
        let (bare, lures) = (rng.chance(mix.bare_line_feeds), rng.chance(mix.lures));
        let line = Line { method: &method, target: &target, host, old, line_end: line_end(bare), lures };
        let request = request(rng, &line, framing, (expects, upgrade), context);
        let status = match fate {
            Fate::Tunnel => {
                if upgrade {
                    101
                } else {
                    200
                }
            }
            Fate::Cut { .. } => 200,
            _ => route.status(rng),
        };
        let size = route.response_body.draw(rng);
        let framing = response_framing(mix, rng, size, (&method, status), old, &mut fate);
        let line_end = line_end(rng.chance(mix.bare_line_feeds));
        let version = if old { "HTTP/1.0" } else { "HTTP/1.1" };
        let composer = Composer::new(rng, &format!("{version} {status} {}", reason(status)), line_end, lures);
        let response = response(composer, fate, upgrade, framing);
        let hinted = !old && fate == Fate::Reusable && rng.chance(mix.interim);
        let hints = hinted.then_some(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".as_slice());
        Self {
            route: number,
            template,
            method,
            target,
            request,
            expects,
            hints,
            status,
            grpc_status: None,
            response,
            fate,
            context,
        }
    }
}

/// What of a request stands in its first lines.
struct Line<'a> {
    method: &'a str,
    target: &'a str,
    host: &'a str,
    /// HTTP/1.0
    old: bool,
    line_end: &'static str,
    lures: bool,
}

/// A recipient may take a bare line feed for the end of a line (RFC 9112, section 2.2).
const fn line_end(bare: bool) -> &'static str {
    if bare { "\n" } else { "\r\n" }
}

/// The trace context of a request: the one of the request that it is sent for, with another parent, or that of a new trace.
pub(super) fn draw_context(mix: &PerMille, rng: &mut Rng, cause: Option<TraceContext>) -> Option<TraceContext> {
    let parent_id = SpanId(rng.bits().max(1).to_be_bytes());
    if let Some(context) = cause {
        return Some(TraceContext { parent_id, ..context });
    }
    let mut trace_id = [0; 16];
    trace_id[..8].copy_from_slice(&rng.bits().max(1).to_be_bytes());
    trace_id[8..].copy_from_slice(&rng.bits().to_be_bytes());
    rng.chance(mix.traceparent).then_some(TraceContext { trace_id: TraceId(trace_id), parent_id, flags: 1 })
}

fn draw_fate(mix: &PerMille, rng: &mut Rng) -> Fate {
    let fates = [
        (mix.closing, Fate::Closed),
        (mix.unanswered, Fate::Unanswered),
        (mix.cut, Fate::Cut { reset: rng.chance(500) }),
        (mix.abandoned, Fate::Abandoned),
        (mix.tunnels, Fate::Tunnel),
    ];
    fates.into_iter().find(|&(often, _)| rng.chance(often)).map_or(Fate::Reusable, |(_, fate)| fate)
}

fn response_framing(
    mix: &PerMille,
    rng: &mut Rng,
    size: u64,
    (method, status): (&str, u16),
    old: bool,
    fate: &mut Fate,
) -> Framing {
    match (*fate, status) {
        (Fate::Tunnel, _) | (_, 204) => Framing::None,
        (Fate::Cut { .. }, _) => {
            // A response without a body cannot be cut in it.
            if method == "HEAD" {
                *fate = Fate::Closed;
                return Framing::Announced(size);
            }
            Framing::Length(size + 200)
        }
        (_, 304) => Framing::Announced(size),
        _ if method == "HEAD" => Framing::Announced(size),
        (Fate::Closed, _) if rng.chance(500) => Framing::Close(size),
        _ if !old && rng.chance(mix.chunked) => Framing::Chunked(size),
        _ => Framing::Length(size),
    }
}

fn request(
    rng: &mut Rng,
    line: &Line<'_>,
    framing: Framing,
    (expects, upgrade): (bool, bool),
    context: Option<TraceContext>,
) -> Bytes {
    let Line { method, target, host, old, line_end, lures } = *line;
    let version = if old { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut composer = Composer::new(rng, &format!("{method} {target} {version}"), line_end, lures);
    composer.header("Host", host);
    composer.header("User-Agent", "synth/1.0");
    composer.filler();
    if upgrade {
        composer.header("Connection", "Upgrade");
        composer.header("Upgrade", "websocket");
        composer.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    }
    if expects {
        composer.header("Expect", "100-continue");
    }
    if let Some(TraceContext { trace_id, parent_id, flags }) = context {
        composer.header("traceparent", &format!("00-{trace_id}-{parent_id}-{flags:02x}"));
    }
    composer.filler();
    composer.finish(framing)
}

/// The reason phrase, which is optional (RFC 9112, section 4).
const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        404 => "Not Found",
        500 => "Internal Server Error",
        _ => "",
    }
}

fn response(mut composer: Composer<'_>, fate: Fate, upgrade: bool, framing: Framing) -> Bytes {
    composer.filler();
    if fate == Fate::Closed {
        composer.header("Connection", "close");
    }
    if upgrade {
        composer.header("Connection", "Upgrade");
        composer.header("Upgrade", "websocket");
    }
    composer.finish(framing)
}
