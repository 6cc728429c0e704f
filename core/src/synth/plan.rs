//! Decides what one exchange will be: the messages, and how it ends.

use crate::exchange::TraceContext;
use crate::ids::{SpanId, TraceId};

use super::message::{Bytes, Composer, Framing};
use super::rng::Rng;
use super::scenario::Scenario;

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
    pub(super) method: &'static str,
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
    pub(super) fn draw(scenario: &Scenario, rng: &mut Rng, host: &str, simple: bool) -> Self {
        let mix = &scenario.mix;
        let (mut method, mut target) = resource(rng);
        let mut fate = if simple { Fate::Reusable } else { draw_fate(scenario, rng) };
        let upgrade = fate == Fate::Tunnel && rng.chance(500);
        if fate == Fate::Tunnel {
            (method, target) = if upgrade { ("GET", "/socket".to_owned()) } else { ("CONNECT", format!("{host}:443")) };
        }
        if fate == Fate::Abandoned {
            method = "POST";
        }
        let has_body = matches!(method, "POST" | "PUT" | "PATCH");
        let context = rng.chance(mix.traceparent).then(|| draw_context(rng));
        let old = fate == Fate::Closed && rng.chance(300);
        let size = draw_size(rng, scenario.body_bytes);
        let expects = has_body && size > 0 && fate == Fate::Reusable && !simple && rng.chance(mix.interim);
        let framing = match (has_body, fate) {
            (false, _) => Framing::None,
            (true, Fate::Abandoned) => Framing::Length(size + 200),
            (true, _) if !old && rng.chance(mix.chunked) => Framing::Chunked(size),
            (true, _) => Framing::Length(size),
        };
        let (bare, lures) = (rng.chance(mix.bare_line_feeds), rng.chance(mix.lures));
        let line = Line { method, target: &target, host, old, line_end: line_end(bare), lures };
        let request = request(rng, &line, framing, (expects, upgrade), context);
        let status = draw_status(rng, mix.errors, method, fate, upgrade);
        let framing = response_framing(scenario, rng, method, status, old, &mut fate);
        let line_end = line_end(rng.chance(mix.bare_line_feeds));
        let version = if old { "HTTP/1.0" } else { "HTTP/1.1" };
        let composer = Composer::new(rng, &format!("{version} {status} {}", reason(status)), line_end, lures);
        let response = response(composer, fate, upgrade, framing);
        let hinted = !old && fate == Fate::Reusable && rng.chance(mix.interim);
        let hints = hinted.then_some(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".as_slice());
        Self { method, target, request, expects, hints, status, grpc_status: None, response, fate, context }
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

pub(super) fn resource(rng: &mut Rng) -> (&'static str, String) {
    let id = rng.between(1, 99_999);
    let (method, target) = match rng.below(12) {
        0 => ("GET", "/".to_owned()),
        1 => ("GET", "/healthz".to_owned()),
        2 => ("POST", "/api/v1/orders".to_owned()),
        3 => ("PUT", format!("/api/v1/users/{id}")),
        4 => ("DELETE", format!("/api/v1/users/{id}/sessions/{}", rng.between(1, 9))),
        5 => ("PATCH", format!("/api/v1/orders/{id}")),
        6 => ("HEAD", format!("/static/img/{id}.png")),
        7 => ("GET", format!("/api/v1/search?q=item{id}&page={}", rng.between(1, 9))),
        8 => ("POST", format!("/api/v1/cart/{id}/items")),
        9 => ("OPTIONS", "*".to_owned()),
        10 => ("GET", format!("http://shop.example.test/api/v1/products/{id}")),
        _ => ("GET", format!("/api/v1/products/{id}/reviews")),
    };
    (method, target)
}

/// Mostly small, sometimes none, seldom large.
fn draw_size(rng: &mut Rng, most: u64) -> u64 {
    match rng.below(10) {
        0 => 0,
        1..=6 => rng.between(1, most.min(600)),
        7 | 8 => rng.between(1, most.min(5_000)),
        _ => rng.between(1, most.max(1)),
    }
}

pub(super) fn draw_context(rng: &mut Rng) -> TraceContext {
    let mut trace_id = [0; 16];
    trace_id[..8].copy_from_slice(&rng.bits().max(1).to_be_bytes());
    trace_id[8..].copy_from_slice(&rng.bits().to_be_bytes());
    TraceContext { trace_id: TraceId(trace_id), parent_id: SpanId(rng.bits().max(1).to_be_bytes()), flags: 1 }
}

fn draw_fate(scenario: &Scenario, rng: &mut Rng) -> Fate {
    let mix = &scenario.mix;
    let fates = [
        (mix.closing, Fate::Closed),
        (mix.unanswered, Fate::Unanswered),
        (mix.cut, Fate::Cut { reset: rng.chance(500) }),
        (mix.abandoned, Fate::Abandoned),
        (mix.tunnels, Fate::Tunnel),
    ];
    fates.into_iter().find(|&(often, _)| rng.chance(often)).map_or(Fate::Reusable, |(_, fate)| fate)
}

fn draw_status(rng: &mut Rng, errors: u32, method: &str, fate: Fate, upgrade: bool) -> u16 {
    match fate {
        Fate::Tunnel => return if upgrade { 101 } else { 200 },
        Fate::Cut { .. } => return 200,
        _ if rng.chance(errors) => return *rng.pick(&[500, 503]),
        _ => {}
    }
    match (rng.below(20), method) {
        (0, _) => 404,
        (1, "GET") => 304,
        (2, _) => 302,
        (_, "DELETE") => 204,
        (_, "POST") => 201,
        _ => 200,
    }
}

fn response_framing(
    scenario: &Scenario,
    rng: &mut Rng,
    method: &str,
    status: u16,
    old: bool,
    fate: &mut Fate,
) -> Framing {
    let size = draw_size(rng, scenario.body_bytes);
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
        _ if !old && rng.chance(scenario.mix.chunked) => Framing::Chunked(size),
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
