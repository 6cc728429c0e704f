//! Spans as Beyla's `trace_printer` prints them.

use std::fmt;
use std::io::{self, Write};

use redtape_core::{Span, SpanId, SpanKind};
use serde_json::{Map, Value, json};

use super::text::printable;

/// Writes a span as one line:
/// `TIME (TOTAL[HANDLER]) STATUS METHOD PATH(ROUTE) [PEER]->[HOST:PORT] contentLen:NB responseLen:NB svc=[SVC LANG] traceparent=[…]`.
///
/// Times are in UTC. Unlike Beyla's, what stands behind the seconds is their fraction.
pub(crate) fn write_beyla_text(out: &mut impl Write, span: &Span) -> io::Result<()> {
    let facts = Facts::new(span);
    let Facts { status, peer, host, total, handler, .. } = &facts;
    let (method, path, route) = (span.http.method(), printable(span.http.path()), printable(&span.route));
    write!(out, "{} ({}[{}]) ", time(span.start_wall.unix_nanos()), Go(*total), Go(*handler))?;
    write!(out, "{status} {} {path}({route}) ", printable(method))?;
    write!(out, "[{}]->[{}:{}] ", peer.0, printable(&host.0), host.1)?;
    write!(out, "contentLen:{}B responseLen:{}B ", facts.request_size, facts.response_size)?;
    write!(out, "svc=[{} {}] ", printable(&facts.service), facts.language)?;
    let parent = span.parent_span_id.unwrap_or(SpanId([0; 8]));
    let flags = u8::from(span.sampled);
    writeln!(out, "traceparent=[00-{}-{}[{parent}]-{flags:02x}]", span.trace_id, span.span_id)
}

/// Writes a span as a line of JSON, or as several if `indent`: an array, as Beyla writes one for each batch, with one element.
pub(crate) fn write_beyla_json(out: &mut impl Write, span: &Span, indent: bool) -> io::Result<()> {
    let facts = Facts::new(span);
    let (peer, host) = (&facts.peer, &facts.host);
    let (server, grpc) = (span.kind == SpanKind::Server, span.is_grpc());
    let micros = |nanos: u64| (nanos / 1_000).to_string();
    let start = span.start_wall.unix_nanos();
    let mut attributes = Map::new();
    let mut say = |key: &str, value: String| attributes.insert(key.into(), value.into());
    say("method", if grpc { span.http.path().into() } else { span.http.method().into() });
    say("status", facts.status.to_string());
    say("serverAddr", host.0.clone());
    say("serverPort", host.1.to_string());
    if !grpc {
        say("url", span.http.path().into());
        say("contentLen", facts.request_size.to_string());
        say("responseLen", facts.response_size.to_string());
        say("route", span.route.to_string());
    }
    if server {
        say("clientAddr", peer.0.clone());
    }
    let parent = span.parent_span_id.unwrap_or(SpanId([0; 8]));
    let object = json!([{
        "type": match (grpc, server) {
            (false, true) => "HTTP",
            (false, false) => "HTTPClient",
            (true, true) => "GRPC",
            (true, false) => "GRPCClient",
        },
        "kind": if server { "SPAN_KIND_SERVER" } else { "SPAN_KIND_CLIENT" },
        "peer": peer.0,
        "peerPort": peer.1.to_string(),
        "host": facts.host_address,
        "hostPort": host.1.to_string(),
        "traceID": span.trace_id.to_string(),
        "spanID": span.span_id.to_string(),
        "parentSpanID": parent.to_string(),
        "traceFlags": u8::from(span.sampled).to_string(),
        "peerName": if server { "" } else { &*span.service.name },
        "hostName": if server { &*span.service.name } else { &*host.0 },
        "start": micros(start),
        "handlerStart": micros(start + (facts.total - facts.handler)),
        "end": micros(start.saturating_add(facts.total)),
        "duration": Go(facts.total).to_string(),
        "durationUSec": micros(facts.total),
        "handlerDuration": Go(facts.handler).to_string(),
        "handlerDurationUSec": micros(facts.handler),
        "attributes": Value::Object(attributes),
    }]);
    if indent { serde_json::to_writer_pretty(&mut *out, &object) } else { serde_json::to_writer(&mut *out, &object) }?;
    writeln!(out)
}

/// What both forms say.
struct Facts {
    status: u16,
    /// The client's address and port.
    peer: (String, u16),
    /// What the server is called, and its port.
    host: (String, u16),
    host_address: String,
    /// Nanoseconds from the arrival on, and from the first read on.
    total: u64,
    handler: u64,
    request_size: u64,
    response_size: u64,
    service: String,
    language: &'static str,
}

impl Facts {
    fn new(span: &Span) -> Self {
        let http = &span.http;
        let (client, server) = match span.kind {
            SpanKind::Server => (http.remote, http.local),
            SpanKind::Client => (http.local, http.remote),
        };
        let end = |socket: Option<std::net::SocketAddr>| {
            socket.map_or((String::new(), 0), |socket| (socket.ip().to_canonical().to_string(), socket.port()))
        };
        let (namespace, name) = (&span.service.namespace, &span.service.name);
        let total = span.duration_nanos();
        let named = span.server_address().map(String::from);
        Self {
            status: if span.is_grpc() { http.grpc_status } else { http.status_code }.unwrap_or(0),
            peer: end(client),
            host: (named.unwrap_or_default(), span.server_port().unwrap_or(0)),
            host_address: end(server).0,
            total,
            handler: total.saturating_sub(span.queue_nanos.unwrap_or(0)),
            request_size: http.request_size.unwrap_or(0),
            response_size: http.response_size.unwrap_or(0),
            service: if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") },
            language: span.service.process.language().unwrap_or("generic"),
        }
    }
}

/// `2026-11-22 21:36:48.12345`, in UTC.
fn time(unix_nanos: u64) -> String {
    let moment = jiff::Timestamp::from_nanosecond(unix_nanos.into());
    moment.map_or_else(
        |_| unix_nanos.to_string(),
        |moment| format!("{}.{:05}", moment.strftime("%Y-%m-%d %H:%M:%S"), unix_nanos % 1_000_000_000 / 10_000),
    )
}

/// Nanoseconds as Go prints a duration: `1.5ms`, `2m0.25s`.
struct Go(u64);

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, per) = match self.0 {
            0 => return f.write_str("0s"),
            1..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            1_000_000..1_000_000_000 => ("ms", 1_000_000),
            _ => ("s", 1_000_000_000),
        };
        let mut whole = self.0 / per;
        if unit == "s" {
            let (hours, minutes) = (whole / 3_600, whole / 60 % 60);
            if hours > 0 {
                write!(f, "{hours}h")?;
            }
            if whole >= 60 {
                write!(f, "{minutes}m")?;
            }
            whole %= 60;
        }
        write!(f, "{whole}")?;
        let digits = per.ilog10() as usize;
        let fraction = format!("{:0digits$}", self.0 % per);
        let fraction = fraction.trim_end_matches('0');
        if !fraction.is_empty() && digits > 0 {
            write!(f, ".{fraction}")?;
        }
        f.write_str(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::{Go, time};

    #[test]
    fn durations_are_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_000, "1µs"),
            (12_050, "12.05µs"),
            (1_500_000, "1.5ms"),
            (3_000_000_001, "3.000000001s"),
            (120_250_000_000, "2m0.25s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(Go(nanos).to_string(), text);
        }
    }

    #[test]
    fn fractions_are_of_the_second() {
        assert_eq!(time(951_782_400_012_345_678), "2000-02-29 00:00:00.01234");
    }
}
