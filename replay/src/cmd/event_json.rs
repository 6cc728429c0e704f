//! `events --json`: an event as one object.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redtape_core::edit::Subject;
use redtape_core::{Body, DataFlags, Direction, Event, MonoNanos, Role, Stamp};
use serde::Serialize;

/// The keys of `events --json`. They are part of the contract with scripts. What an event does not have is left out.
#[derive(Default, Serialize)]
struct Line<'a> {
    /// Since the first event.
    time_ns: u64,
    kind: &'static str,
    cpu: u16,
    seq: u64,
    #[serde(skip_serializing_if = "is_false")]
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pos: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    peek: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    captured: Vec<Captured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    fin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_unix_nano: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<&'a [(String, String)]>,
}

/// A piece of a call's payload.
#[derive(Serialize)]
struct Captured {
    /// From the call's first byte.
    offset: u64,
    len: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Writes an event, and what is known of its connection and process.
pub(super) fn write_json(
    out: &mut impl Write,
    event: &Event<'_>,
    subject: &Subject<'_>,
    start: MonoNanos,
    payload: bool,
) -> io::Result<()> {
    let (conn, process) = (subject.conn(), subject.process());
    let mut line = Line {
        time_ns: event.time.since(start),
        kind: subject.kind(),
        cpu: event.cpu,
        seq: event.seq,
        late: event.late,
        conn: event.body.conn().map(|key| format!("c{:08x}", key.get() >> 32)),
        role: conn.map(|info| match info.role {
            Role::Client => "client",
            Role::Server => "server",
            Role::Unknown => "unknown",
        }),
        local: conn.and_then(|info| info.endpoint).map(|ends| ends.local.to_string()),
        remote: conn.and_then(|info| info.endpoint).map(|ends| ends.remote.to_string()),
        tls: conn.and_then(|info| info.tls).map(redtape_core::TlsLibrary::name),
        pid: process.map(|info| info.tgid.0),
        comm: process.map(|info| &*info.comm),
        exe: process.map(|info| &*info.exe),
        ..Line::default()
    };
    line.fill(event, payload);
    serde_json::to_writer(&mut *out, &line)?;
    writeln!(out)
}

impl<'a> Line<'a> {
    fn stamp(&mut self, stamp: Stamp) {
        self.tid = Some(stamp.tid.0);
        self.took_ns = Some(stamp.exit.since(stamp.entry));
        self.peek = stamp.flags.contains(DataFlags::PEEK);
    }

    /// What only events of its kind have.
    fn fill(&mut self, event: &Event<'a>, payload: bool) {
        match event.body {
            Body::Accept { stamp, .. } => self.stamp(stamp),
            Body::Arrival { end, fin, .. } => (self.end, self.fin) = (Some(end), fin),
            Body::Clock { anchor, .. } => self.wall_unix_nano = Some(anchor.wall.unix_nanos().to_string()),
            Body::Connect { stamp, errno, .. } => {
                self.stamp(stamp);
                self.errno = Some(errno);
            }
            Body::Data(data) => {
                self.stamp(data.stamp);
                self.direction = Some(if data.direction == Direction::In { "in" } else { "out" });
                (self.source, self.pos, self.len) = (Some(data.source.name()), Some(data.pos), Some(data.len));
                let piece = |(offset, bytes): (u64, &[u8])| Captured {
                    offset,
                    len: bytes.len(),
                    base64: payload.then(|| STANDARD.encode(bytes)),
                };
                self.captured = data.ranges.iter().map(piece).collect();
            }
            Body::Enrich(facts) => self.facts = Some(facts),
            Body::FdClose { tid, .. } => self.tid = Some(tid.0),
            Body::Loss(loss) => (self.cause, self.count) = (Some(loss.cause.name()), Some(loss.count)),
            Body::Shutdown { stamp, how, .. } => {
                self.stamp(stamp);
                self.how = Some(match how {
                    redtape_core::Shutdown::Read => "read",
                    redtape_core::Shutdown::Write => "write",
                    redtape_core::Shutdown::Both => "both",
                });
            }
            Body::SocketError { errno, .. } => self.errno = Some(errno),
            Body::TlsTie { carrier, rule, .. } => (self.carrier, self.rule) = (Some(carrier), Some(rule.name())),
            Body::Close { .. }
            | Body::Connection(_)
            | Body::Exec { .. }
            | Body::Exit { .. }
            | Body::Process(_)
            | Body::Tick => {}
        }
    }
}
