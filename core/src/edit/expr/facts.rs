//! An event with what is known of its connection and its process: what expressions are asked about.

use super::super::table::Table;
use super::field::Field;
use crate::event::{Body, Direction, Event};
use crate::facts::{ConnInfo, ProcessInfo, Role};
use crate::ids::{ConnKey, ProcKey, Tid};
use crate::service::process_name;
use crate::time::MonoNanos;

/// What is known so far of connections and processes. At most 131,072 of each: of more, those in use.
#[derive(Debug, Default)]
pub struct Known {
    conns: Table<ConnKey, Box<ConnInfo>>,
    processes: Table<ProcKey, Box<ProcessInfo>>,
    start: Option<MonoNanos>,
}

/// An event, and what is known of what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub(super) event: &'a Event<'a>,
    pub(super) conn: Option<&'a ConnInfo>,
    pub(super) process: Option<&'a ProcessInfo>,
    start: MonoNanos,
}

/// A value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Bytes(&'a [u8]),
}

impl Known {
    /// Takes note of what an event tells. To be called for every event, in order.
    pub fn learn(&mut self, event: &Event<'_>) {
        self.start.get_or_insert(event.time);
        match event.body {
            Body::Connection(info) => self.conns.insert(info.key, Box::new(info.clone())),
            Body::Process(info) => self.processes.insert(info.key, Box::new(info.clone())),
            body => {
                let conn = body.conn().and_then(|conn| self.conns.touch(conn));
                let process = caller(&body).or_else(|| conn.map(|info| info.process));
                process.map(|process| self.processes.touch(process));
            }
        }
    }

    /// Takes note that an event was dealt with: of what has ended nothing is asked any more.
    pub fn forget(&mut self, event: &Event<'_>) {
        match event.body {
            Body::Close { conn } => self.conns.remove(conn),
            Body::Exit { process } => self.processes.remove(process),
            _ => {}
        }
    }

    /// How many connections and processes there were too many, so that nothing is known of them any more.
    pub const fn forgotten(&self) -> u64 {
        self.conns.forgotten() + self.processes.forgotten()
    }

    /// What is known of the event.
    pub fn subject<'a>(&'a self, event: &'a Event<'a>) -> Subject<'a> {
        let conn = match event.body {
            Body::Connection(info) => Some(info),
            body => body.conn().and_then(|key| self.conns.get(key)).map(|info| &**info),
        };
        let process = match event.body {
            Body::Process(info) => Some(info),
            body => {
                let key = caller(&body).or_else(|| conn.map(|info| info.process));
                key.and_then(|key| self.processes.get(key)).map(|info| &**info)
            }
        };
        Subject { event, conn, process, start: self.start.unwrap_or(event.time) }
    }
}

impl<'a> Subject<'a> {
    /// What is known of its connection.
    pub const fn conn(&self) -> Option<&'a ConnInfo> {
        self.conn
    }

    /// What is known of its process.
    pub const fn process(&self) -> Option<&'a ProcessInfo> {
        self.process
    }

    /// Whether it is of this connection, given as `events` shows it or by its number.
    pub fn is_of(&self, conn: &str) -> bool {
        self.any(Field::Conn, &mut |value| value == Value::Text(conn))
    }

    /// How long after the first event it was, in nanoseconds.
    pub fn since_start(&self) -> u64 {
        self.event.time.since(self.start)
    }

    /// What its kind is called.
    pub const fn kind(&self) -> &'static str {
        kind_name(&self.event.body)
    }

    /// Whether any value of the field passes the test; a field that the event lacks has none.
    pub(super) fn any(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        match field {
            Field::Comm | Field::Exe | Field::Pid | Field::Service => self.any_of_process(field, test),
            _ if field.is_of_connection() => self.any_of_connection(field, test),
            _ => self.any_of_event(field, test),
        }
    }

    fn any_of_process(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let Some(process) = self.process else { return false };
        match field {
            Field::Comm => test(Value::Text(&process.comm)),
            Field::Exe => test(Value::Text(&process.exe)),
            Field::Pid => test(Value::Number(process.tgid.0.into())),
            _ => test(Value::Text(&process_name(process))),
        }
    }

    fn any_of_connection(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        if let (Field::Conn, Some(key)) = (field, self.event.body.conn()) {
            let shown = format!("c{:08x}", key.get() >> 32);
            let id = self.conn.map(|info| info.id.to_string());
            return test(Value::Text(&shown)) || id.is_some_and(|id| test(Value::Text(&id)));
        }
        let Some(conn) = self.conn else { return false };
        let ends = |field| match (field, conn.endpoint) {
            (Field::Local | Field::LocalPort, Some(ends)) => [Some(ends.local), None],
            (Field::Remote | Field::RemotePort, Some(ends)) => [Some(ends.remote), None],
            (_, Some(ends)) => [Some(ends.local), Some(ends.remote)],
            (_, None) => [None, None],
        };
        match field {
            Field::Local | Field::Remote => ends(field)
                .into_iter()
                .flatten()
                .any(|end| test(Value::Text(&end.to_string())) || test(Value::Text(&end.ip().to_string()))),
            Field::LocalPort | Field::RemotePort | Field::Port => {
                ends(field).into_iter().flatten().any(|end| test(Value::Number(end.port().into())))
            }
            Field::Netns => test(Value::Number(conn.netns.into())),
            Field::Preexisting => test(Value::Flag(conn.preexisting)),
            Field::Role => test(Value::Text(role_name(conn.role))),
            Field::Tls => test(Value::Flag(conn.tls.is_some())),
            _ => false,
        }
    }

    fn any_of_event(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let event = self.event;
        match (field, event.body) {
            (Field::Cpu, _) => test(Value::Number(event.cpu.into())),
            (Field::Kind, body) => test(Value::Text(kind_name(&body))),
            (Field::Late, _) => test(Value::Flag(event.late)),
            (Field::Time, _) => test(Value::Number(event.time.since(self.start))),
            (Field::Direction, Body::Data(data)) => {
                test(Value::Text(if data.direction == Direction::In { "in" } else { "out" }))
            }
            (Field::Len, Body::Data(data)) => test(Value::Number(data.len)),
            (Field::Pos, Body::Data(data)) => test(Value::Number(data.pos)),
            (Field::Source, Body::Data(data)) => test(Value::Text(data.source.name())),
            (Field::Payload, Body::Data(data)) => data.ranges.iter().any(|(_, bytes)| test(Value::Bytes(bytes))),
            (Field::Errno, Body::Connect { errno, .. } | Body::SocketError { errno, .. }) => {
                test(Value::Number(errno.into()))
            }
            (Field::Tid, body) => tid_of(&body).is_some_and(|tid| test(Value::Number(tid.0.into()))),
            _ => false,
        }
    }
}

/// The process that made a call, or that it is about.
fn caller(body: &Body<'_>) -> Option<ProcKey> {
    let process = match *body {
        Body::Accept { process, .. }
        | Body::Connect { process, .. }
        | Body::FdClose { process, .. }
        | Body::Shutdown { process, .. }
        | Body::Exec { process }
        | Body::Exit { process } => process,
        Body::Data(data) => data.process,
        _ => return None,
    };
    (process != ProcKey::default()).then_some(process)
}

fn tid_of(body: &Body<'_>) -> Option<Tid> {
    match body {
        Body::Accept { stamp, .. } | Body::Connect { stamp, .. } | Body::Shutdown { stamp, .. } => Some(stamp.tid),
        Body::Data(data) => Some(data.stamp.tid),
        Body::FdClose { tid, .. } => Some(*tid),
        _ => None,
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Unknown => "unknown",
    }
}

/// What kinds of events are called.
pub(super) const KINDS: [&str; 17] = [
    "accept",
    "arrival",
    "clock",
    "close",
    "connect",
    "connection",
    "data",
    "enrich",
    "exec",
    "exit",
    "fd-close",
    "loss",
    "process",
    "shutdown",
    "socket-error",
    "tick",
    "tls-tie",
];

const fn kind_name(body: &Body<'_>) -> &'static str {
    match body {
        Body::Accept { .. } => "accept",
        Body::Arrival { .. } => "arrival",
        Body::Clock { .. } => "clock",
        Body::Close { .. } => "close",
        Body::Connect { .. } => "connect",
        Body::Connection(_) => "connection",
        Body::Data(_) => "data",
        Body::Enrich(_) => "enrich",
        Body::Exec { .. } => "exec",
        Body::Exit { .. } => "exit",
        Body::FdClose { .. } => "fd-close",
        Body::Loss(_) => "loss",
        Body::Process(_) => "process",
        Body::Shutdown { .. } => "shutdown",
        Body::SocketError { .. } => "socket-error",
        Body::Tick => "tick",
        Body::TlsTie { .. } => "tls-tie",
    }
}
