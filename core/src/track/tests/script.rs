//! Conversations as text: makes events of a script, runs them through a shard and writes down what it finds.
//!
//! A line is one event, a millisecond after the one before. `>` is towards the server, `<` towards the client:
//! ```text
//! > BYTES          one call moved BYTES; \r \n \xNN \\ are escapes, {N} are N bytes that were not captured
//! > @POS BYTES     the same bytes again, or early: at POS, without moving the stream on
//! gap > N          N bytes whose record is lost
//! eof >            the sender's direction is over
//! arrive N         the request stream has arrived up to N bytes behind what was read
//! accept, connect, close, reset, peek > BYTES, tick MS, loss, shutdown
//! ```
//! The first line may name what was known of the connection: `client`, `server` (the default), `unknown`, each with
//! `attached` behind it where the connection is older than the recording.

use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Loss, LossCause, Shutdown, Source, Stamp};
use crate::exchange::{Finding, What};
use crate::facts::{ConnInfo, Role};
use crate::ids::{ConnKey, Origin, ProcKey, Tid};
use crate::limits::Limits;
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;
use crate::track::Shard;

/// A millisecond.
pub(super) const MS: u64 = 1_000_000;

/// One connection's events.
pub(super) struct Script {
    pub(super) events: Vec<EventBuf>,
    info: ConnInfo,
    now: u64,
    next: [u64; 2],
}

impl Script {
    pub(super) fn new(role: Role, attached: bool, id: u64) -> Self {
        let info = ConnInfo {
            role,
            established: (!attached).then_some(MonoNanos::ZERO),
            preexisting: attached,
            ..ConnInfo::unknown(Origin::default(), id)
        };
        let mut script = Self { events: Vec::new(), info: info.clone(), now: 0, next: [0; 2] };
        script.push(BodyBuf::Connection(Box::new(info)));
        script
    }

    /// Reads a script.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
        let words: Vec<&str> = lines.peek().map(|line| line.split(' ').collect()).unwrap_or_default();
        let role = match words.first() {
            Some(&"client") => Some(Role::Client),
            Some(&"server") => Some(Role::Server),
            Some(&"unknown") => Some(Role::Unknown),
            _ => None,
        };
        if role.is_some() {
            lines.next();
        }
        let mut script = Self::new(role.unwrap_or(Role::Server), words.get(1) == Some(&"attached"), 1);
        lines.for_each(|line| script.line(line));
        script
    }

    pub(super) fn line(&mut self, line: &str) {
        self.now += MS;
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let conn = self.info.key;
        let stamp = self.stamp();
        let process = ProcKey::default();
        match word {
            ">" | "<" => self.data(self.direction(word), rest, DataFlags::default()),
            "peek" => self.data(self.direction(&rest[..1]), &rest[2..], DataFlags::PEEK),
            "gap" => {
                let (way, count) = rest.split_once(' ').unwrap();
                self.next[self.direction(way) as usize] += count.parse::<u64>().unwrap();
            }
            "eof" if self.direction(rest) == Direction::Out => {
                self.plain(Body::Shutdown { conn, process, stamp, how: Shutdown::Write })
            }
            "eof" => self.call(Direction::In, self.next[0], 0, RangesBuf::default(), DataFlags::default()),
            "arrive" => {
                let end = self.next[0] + rest.parse::<u64>().unwrap();
                self.plain(Body::Arrival { conn, end, fin: false });
            }
            "accept" => self.plain(Body::Accept { conn, process, stamp }),
            "connect" => self.plain(Body::Connect { conn, process, stamp, errno: 0 }),
            "close" => self.plain(Body::Close { conn }),
            "fdclose" => self.plain(Body::FdClose { conn, process, tid: Tid(1) }),
            "reset" => self.plain(Body::SocketError { conn, errno: 104 }),
            "tick" => {
                self.now += rest.parse::<u64>().unwrap() * MS;
                self.plain(Body::Tick);
            }
            "loss" => {
                let now = MonoNanos::new(self.now);
                self.plain(Body::Loss(Loss { cause: LossCause::RingFull, count: 1, from: now, to: now, origin: None }));
            }
            _ => panic!("unknown line {line:?}"),
        }
    }

    fn direction(&self, way: &str) -> Direction {
        let towards_server = if self.info.role == Role::Client { Direction::Out } else { Direction::In };
        if way == ">" { towards_server } else { towards_server.reverse() }
    }

    fn data(&mut self, direction: Direction, text: &str, flags: DataFlags) {
        let explicit = text.strip_prefix('@').and_then(|rest| rest.split_once(' '));
        let (pos, text) = match explicit {
            Some((pos, text)) => (pos.parse().unwrap(), text),
            None => (self.next[direction as usize], text),
        };
        let (ranges, len) = payload(text);
        if explicit.is_none() && flags != DataFlags::PEEK {
            self.next[direction as usize] += len;
        }
        self.call(direction, pos, len, ranges, flags);
    }

    /// Adds a call that moved `bytes` next in this direction, a millisecond after the event before.
    pub(super) fn bytes(&mut self, way: &str, bytes: &[u8]) {
        self.now += MS;
        let direction = self.direction(way);
        let pos = self.next[direction as usize];
        self.next[direction as usize] += bytes.len() as u64;
        self.call(direction, pos, bytes.len() as u64, RangesBuf::prefix(bytes), DataFlags::default());
    }

    fn call(&mut self, direction: Direction, pos: u64, len: u64, ranges: RangesBuf, flags: DataFlags) {
        let stamp = Stamp { flags, ..self.stamp() };
        let (conn, process, source) = (self.info.key, ProcKey::default(), Source::Read);
        let data = Data { conn, process, stamp, direction, source, pos, len, arrived: None, ranges: Ranges::EMPTY };
        self.push(BodyBuf::Data(data, ranges));
    }

    /// As [`Self::bytes`], of a call of which only `pieces` were captured: their offsets and lengths.
    pub(super) fn parts(&mut self, way: &str, bytes: &[u8], pieces: &[(usize, usize)]) {
        self.now += MS;
        let direction = self.direction(way);
        let pos = self.next[direction as usize];
        self.next[direction as usize] += bytes.len() as u64;
        let mut ranges = RangesBuf::default();
        for &(from, len) in pieces {
            ranges.push(u32::try_from(from).unwrap(), &bytes[from..from + len]);
        }
        self.call(direction, pos, bytes.len() as u64, ranges, DataFlags::default());
    }

    /// The request stream has arrived up to so many bytes behind what was read.
    pub(super) fn arrive(&mut self, conn: ConnKey, count: u64) {
        self.now += MS;
        let end = self.next[0] + count;
        self.plain(Body::Arrival { conn, end, fin: false });
    }

    /// What comes next happened so many milliseconds earlier.
    pub(super) fn back(&mut self, ms: u64) {
        self.now -= ms * MS;
    }

    /// So many bytes of a direction are lost with the record of the call that moved them.
    pub(super) fn gap(&mut self, way: &str, count: usize) {
        self.next[self.direction(way) as usize] += count as u64;
    }

    pub(super) fn close(&mut self) {
        self.line("close");
    }

    fn stamp(&self) -> Stamp {
        let at = MonoNanos::new(self.now);
        Stamp { tid: Tid(1), flags: DataFlags::default(), loop_turn: 0, entry: at, exit: at }
    }

    fn plain(&mut self, body: Body<'static>) {
        self.push(BodyBuf::Plain(body));
    }

    fn push(&mut self, body: BodyBuf) {
        self.events.push(EventBuf::new(MonoNanos::new(self.now), body));
    }
}

/// Bytes from their escaped form.
fn payload(text: &str) -> (RangesBuf, u64) {
    let (mut ranges, mut piece, mut len) = (RangesBuf::default(), Vec::new(), 0u64);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((count, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
            && let Ok(count) = count.parse::<u64>()
        {
            ranges.push(u32::try_from(len).unwrap(), &piece);
            len += piece.len() as u64 + count;
            piece.clear();
            rest = after;
        } else if first == '\\' {
            let (byte, used) = match rest.as_bytes()[1] {
                b'r' => (b'\r', 2),
                b'n' => (b'\n', 2),
                b't' => (b'\t', 2),
                b'x' => (u8::from_str_radix(&rest[2..4], 16).unwrap(), 4),
                byte => (byte, 2),
            };
            piece.push(byte);
            rest = &rest[used..];
        } else {
            piece.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[first.len_utf8()..];
        }
    }
    ranges.push(u32::try_from(len).unwrap(), &piece);
    (ranges, len + piece.len() as u64)
}

/// Runs events through a shard to the end of the tape.
pub(super) fn run(events: &[EventBuf], limits: &Limits) -> Vec<Finding> {
    let (mut shard, mut out) = (Shard::new(limits), Vec::new());
    let mut watermark = MonoNanos::ZERO;
    for event in events {
        watermark = watermark.max(event.time);
        match event.as_event() {
            event if event.body.conn().is_some() => shard.push(&event, watermark, &mut out),
            event => {
                if let Body::Loss(loss) = event.body {
                    shard.lose(&loss);
                }
                shard.advance(watermark, &mut out);
            }
        }
    }
    shard.finish(watermark, &mut out);
    assert_eq!(shard.held_bytes(), 0, "memory is accounted for");
    out
}

/// What was found, a line each; times in milliseconds.
pub(super) fn render(findings: &[Finding]) -> String {
    let ms = |at: MonoNanos| at.nanos() / MS;
    let mut text = String::new();
    for finding in findings {
        match &finding.what {
            What::Opened(_) | What::Learned(_) | What::NotAlone | What::Closed => {}
            What::Started(started) => text += &format!("start @{} {}\n", started.pos, ms(started.first.exit)),
            What::Diagnostic(kind, _) => text += &format!("! {}\n", kind.name()),
            What::Ended(exchange) => {
                let len = |len: Option<u64>| len.map_or("?".to_owned(), |len| len.to_string());
                let request = &exchange.request;
                let message = &request.message;
                let outcome = format!("{:?}", exchange.outcome);
                let known = |part: &'_ str| if part.is_empty() { "?".to_owned() } else { part.to_owned() };
                text += &format!("{} {} ", known(request.head.method()), known(request.head.target()));
                text += &format!("{}..{} {}", ms(message.first.exit), ms(message.last.exit), len(message.body_len));
                if let Some(response) = &exchange.response {
                    let message = &response.message;
                    text += &format!(" | {}", response.status);
                    if let Some(status) = response.grpc_status {
                        text += &format!("/{status}");
                    }
                    text += " ";
                    text += &format!("{}..{} {}", ms(message.first.exit), ms(message.last.exit), len(message.body_len));
                }
                text += &format!(" | {outcome} {}", ms(exchange.end));
                if let Some(code) = exchange.reset {
                    text += &format!(" reset {code}");
                }
                if request.head.is_grpc() {
                    text += " grpc";
                }
                if request.message.truncated
                    || exchange.response.as_ref().is_some_and(|response| response.message.truncated)
                {
                    text += " truncated";
                }
                if let Some(arrival) = request.message.arrival {
                    text += &format!(" arrived {}", ms(arrival));
                }
                text += "\n";
            }
        }
    }
    text
}

/// Runs a script and compares what was found with `expected`.
#[track_caller]
pub(super) fn check(script: &str, expected: &str) {
    check_with(&Limits::default(), script, expected);
}

/// As [`check`], with other limits.
#[track_caller]
pub(super) fn check_with(limits: &Limits, script: &str, expected: &str) {
    let found = render(&run(&Script::parse(script).events, limits));
    let expected: String =
        expected.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
    assert!(found == expected, "script:\n{script}\nfound:\n{found}\nexpected:\n{expected}");
}
