//! The traffic that the speed of a replay is measured with: one busy server behind many keep-alive connections.
//!
//! The shape is fixed, so that figures stay comparable, with those of other tools too: 20 routes with ids in their
//! paths; 64 connections open at a time, each for 100 transactions; bodies of 200 to 2000 bytes in POST, PUT and PATCH
//! requests and in all responses; one response in ten chunked; 1.5 % of the responses 500 or 503; latencies that grow
//! from route to route, 0.2 to 7 ms. A transaction is exactly four events, those of an event-driven server:
//!
//! 1. the arrival of the request,
//! 2. its read, of which at most 300 bytes are captured,
//! 3. the write of the response's head and first half, of which at most 300 bytes are captured,
//! 4. the write of the second half, of which the last 16 bytes are captured, and the line before a chunk.
//!
//! Beside these, a connection has its dictionary entry, an accept, the arrival and the read of its end, and two closes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Source, Stamp};
use crate::facts::{ConnInfo, Endpoint, ProcessInfo, Role};
use crate::ids::{ConnKey, Origin, ProcKey, Tgid, Tid};
use crate::ranges::{Ranges, RangesBuf};
use crate::time::{ClockAnchor, MonoNanos, WallNanos};

use super::rng::Rng;

/// A workload of so many transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many.
    pub transactions: u64,
    /// What all choices are drawn from.
    pub seed: u64,
}

/// What is true of one route of a [`Workload`]. All sums are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTotals {
    /// The method.
    pub method: &'static str,
    /// The path (and query), with `{}` for each id.
    pub template: &'static str,
    /// Transactions.
    pub count: u64,
    /// Responses of status 500 and above.
    pub errors: u64,
    /// From the arrival of the request to the exit of its read.
    pub queue_nanos: u64,
    /// From the arrival of the request to the exit of the response's last write: the span.
    pub duration_nanos: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of response bodies.
    pub response_bytes: u64,
}

const ROUTES: [(&str, &str); 20] = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/api/v1/users/{}"),
    ("GET", "/api/v1/users/{}/orders"),
    ("POST", "/api/v1/users"),
    ("PUT", "/api/v1/users/{}"),
    ("DELETE", "/api/v1/users/{}/sessions/{}"),
    ("GET", "/api/v1/orders/{}"),
    ("POST", "/api/v1/orders"),
    ("PATCH", "/api/v1/orders/{}"),
    ("GET", "/api/v1/orders/{}/items/{}"),
    ("GET", "/api/v1/products?page={}"),
    ("GET", "/api/v1/products/{}"),
    ("GET", "/api/v1/products/{}/reviews"),
    ("POST", "/api/v1/products/{}/reviews"),
    ("GET", "/api/v1/search?q=item{}"),
    ("POST", "/api/v1/cart/{}/items"),
    ("GET", "/api/v1/cart/{}"),
    ("POST", "/api/v1/checkout"),
    ("GET", "/static/img/{}.png"),
];
const CONNECTIONS: usize = 64;
const PER_CONNECTION: u32 = 100;
/// Captured bytes of a call.
const CAPTURED: usize = 300;
/// Captured bytes at the end of a call that moves the rest of a body.
const CAPTURED_END: usize = 16;
/// What happens on one connection at one time fits into its slot of this many nanoseconds, so that events come in order.
const SLOT: u64 = 20_000;
const ROUND: u64 = CONNECTIONS as u64 * SLOT;

impl Workload {
    /// The events, in tape order. Memory does not depend on the number of transactions.
    pub fn events(self) -> WorkloadEvents {
        WorkloadEvents::new(self)
    }

    /// What is true of each route.
    pub fn totals(self) -> Vec<RouteTotals> {
        let mut events = self.events();
        events.by_ref().for_each(drop);
        events.totals
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    Request,
    Response,
}

/// One connection and the transaction under way on it.
#[derive(Debug, Default)]
struct Slot {
    conn: ConnKey,
    done: u32,
    received: u64,
    sent: u64,
    route: usize,
    arrival: MonoNanos,
    body: u64,
    /// The response's head, its first half with the head, its second half.
    head: String,
    halves: [u64; 2],
    /// What stands between the halves of a chunked body; empty for others.
    chunk_line: String,
}

/// The iterator that [`Workload::events`] returns.
#[derive(Debug)]
pub struct WorkloadEvents {
    left: u64,
    rng: Rng,
    origin: Origin,
    process: ProcKey,
    opened: u64,
    turn: u32,
    sequence: u64,
    slots: Vec<Slot>,
    schedule: BinaryHeap<Reverse<(u64, usize, Step)>>,
    ready: VecDeque<EventBuf>,
    totals: Vec<RouteTotals>,
}

impl WorkloadEvents {
    fn new(workload: Workload) -> Self {
        const START: u64 = 1_000_000_000_000;
        let mut rng = Rng::new(workload.seed);
        let mut origin = Origin::default();
        origin.0[..8].copy_from_slice(&rng.bits().to_le_bytes());
        let process = ProcKey::new(origin, 1);
        let info = ProcessInfo {
            key: process,
            origin,
            id: 1,
            tgid: Tgid(1000),
            comm: "server".to_owned(),
            exe: "/usr/bin/server".to_owned(),
            cmdline: vec!["server".to_owned()],
            env: vec![("OTEL_SERVICE_NAME".to_owned(), "shop".to_owned())],
            listening: vec![8080],
            ..ProcessInfo::default()
        };
        let anchor = ClockAnchor {
            mono: MonoNanos::new(START),
            boot_nanos: START,
            wall: WallNanos::new(1_700_000_000_000_000_000),
            uncertainty_nanos: 0,
        };
        let start = MonoNanos::new(START);
        let clock = BodyBuf::Plain(Body::Clock { origin, anchor });
        let ready = [clock, BodyBuf::Process(Box::new(info))].map(|body| EventBuf::new(start, body)).into();
        let total = |(method, template)| RouteTotals {
            method,
            template,
            count: 0,
            errors: 0,
            queue_nanos: 0,
            duration_nanos: 0,
            request_bytes: 0,
            response_bytes: 0,
        };
        Self {
            left: workload.transactions,
            rng,
            origin,
            process,
            opened: 0,
            turn: 0,
            sequence: 0,
            slots: std::iter::repeat_with(Slot::default).take(CONNECTIONS).collect(),
            schedule: (0..CONNECTIONS).map(|at| Reverse((START + at as u64 * SLOT, at, Step::Open))).collect(),
            ready,
            totals: ROUTES.map(total).into(),
        }
    }

    /// What is true of each route, as far as events have been taken.
    pub fn totals(&self) -> &[RouteTotals] {
        &self.totals
    }

    fn step(&mut self, now: u64, at: usize, step: Step) {
        self.turn += 1;
        match step {
            Step::Open => {
                self.open(now, at);
                self.again(now, 100_000, at, Step::Request);
            }
            Step::Request if self.left > 0 && self.slots[at].done < PER_CONNECTION => {
                self.left -= 1;
                let route = self.rng.below(ROUTES.len() as u64) as usize;
                self.request(now, at, route);
                let latency = 200_000 + route as u64 * 137_000 + self.rng.below(4_000_000);
                self.again(now, latency, at, Step::Response);
            }
            Step::Request => {
                self.close(now, at);
                if self.left > 0 {
                    self.again(now, 500_000, at, Step::Open);
                }
            }
            Step::Response => {
                self.respond(now, at);
                let pause = self.rng.between(200_000, 5_000_000);
                self.again(now, pause, at, Step::Request);
            }
        }
    }

    /// Schedules the next step of a connection about `delay` from now, in the connection's slot.
    fn again(&mut self, now: u64, delay: u64, at: usize, step: Step) {
        self.schedule.push(Reverse((now + delay.div_ceil(ROUND).max(1) * ROUND, at, step)));
    }

    fn push(&mut self, time: u64, body: BodyBuf) {
        self.ready.push_back(EventBuf::new(MonoNanos::new(time), body));
    }

    fn stamp(&self, entry: u64, exit: u64) -> Stamp {
        let (entry, exit) = (MonoNanos::new(entry), MonoNanos::new(exit));
        Stamp { tid: Tid(1000), flags: DataFlags::NONBLOCKING, loop_turn: self.turn, entry, exit }
    }

    fn data(&mut self, at: usize, direction: Direction, [entry, exit]: [u64; 2], len: u64, payload: RangesBuf) {
        let stamp = self.stamp(entry, exit);
        let slot = &mut self.slots[at];
        let (time, source, pos) = match direction {
            Direction::In => (exit, Source::Read, &mut slot.received),
            Direction::Out => (entry, Source::Write, &mut slot.sent),
        };
        let from = *pos;
        *pos += len;
        let (conn, process) = (slot.conn, self.process);
        let data =
            Data { conn, process, stamp, direction, source, pos: from, len, arrived: None, ranges: Ranges::EMPTY };
        self.push(time, BodyBuf::Data(data, payload));
    }

    fn open(&mut self, now: u64, at: usize) {
        let id = self.opened + 1;
        self.opened += 1;
        // A new client address before ports could repeat.
        let host = (self.opened / 40_000).to_be_bytes();
        let client = Ipv4Addr::new(10, 1, host[6], host[7]);
        let port = u16::try_from(20_000 + self.opened % 40_000).expect("invariant: below 60 000");
        let conn = ConnKey::new(self.origin, id);
        let info = ConnInfo {
            process: self.process,
            role: Role::Server,
            endpoint: Some(Endpoint {
                local: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 8080)),
                remote: SocketAddr::from((client, port)),
            }),
            netns: 4_026_531_840,
            isn_local: Some((self.rng.bits() >> 32) as u32),
            isn_remote: Some((self.rng.bits() >> 32) as u32),
            established: Some(MonoNanos::new(now)),
            ..ConnInfo::unknown(self.origin, id)
        };
        self.slots[at] = Slot { conn, ..Slot::default() };
        self.push(now, BodyBuf::Connection(Box::new(info)));
        let stamp = self.stamp(now + 3_000, now + 5_000);
        self.push(now + 5_000, BodyBuf::Plain(Body::Accept { conn, process: self.process, stamp }));
    }

    fn request(&mut self, now: u64, at: usize, route: usize) {
        let (method, template) = ROUTES[route];
        let rng = &mut self.rng;
        let mut text = format!("{method} ");
        for (n, part) in template.split("{}").enumerate() {
            if n > 0 {
                push(&mut text, format_args!("{}", rng.between(1, 99_999)));
            }
            text.push_str(part);
        }
        let id = [rng.bits(), rng.bits(), rng.bits(), rng.bits() | 1];
        push(
            &mut text,
            format_args!(
                " HTTP/1.1\r\nHost: shop.example.test:8080\r\nUser-Agent: bench/1.0\r\nAccept: application/json, */*\r\n\
                 X-Request-Id: {:016x}\r\ntraceparent: 00-{:016x}{:016x}-{:016x}-01\r\n",
                id[0], id[1], id[2], id[3]
            ),
        );
        let body = if matches!(method, "POST" | "PUT" | "PATCH") { rng.between(200, 2_000) } else { 0 };
        if body > 0 {
            push(&mut text, format_args!("Content-Type: application/json\r\nContent-Length: {body}\r\n"));
        }
        text.push_str("\r\n");
        let len = text.len() as u64 + body;
        let payload = captured(text, body);
        let queue = rng.between(4_000, 9_000);
        let slot = &mut self.slots[at];
        (slot.route, slot.arrival, slot.done) = (route, MonoNanos::new(now), slot.done + 1);
        let (conn, end) = (slot.conn, slot.received + len);
        self.push(now, BodyBuf::Plain(Body::Arrival { conn, end, fin: false }));
        self.data(at, Direction::In, [now + queue - 2_000, now + queue], len, payload);
        self.plan_response(at, method);
        let totals = &mut self.totals[route];
        totals.count += 1;
        totals.queue_nanos += queue;
        totals.request_bytes += body;
    }

    fn plan_response(&mut self, at: usize, method: &str) {
        let (status, reason) = match self.rng.below(200) {
            0 | 1 => (500, "Internal Server Error"),
            2 => (503, "Service Unavailable"),
            3..=8 => (404, "Not Found"),
            9 => (302, "Found"),
            _ if method == "POST" => (201, "Created"),
            _ => (200, "OK"),
        };
        let body = self.rng.between(200, 2_000);
        let slot = &mut self.slots[at];
        let chunked = self.rng.below(10) == 0;
        slot.body = body;
        slot.head.clear();
        push(
            &mut slot.head,
            format_args!(
                "HTTP/1.1 {status} {reason}\r\nServer: bench/1.0\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
                 Content-Type: application/json\r\nConnection: keep-alive\r\n"
            ),
        );
        let (first, second) = (body / 2, body - body / 2);
        if chunked {
            push(&mut slot.head, format_args!("Transfer-Encoding: chunked\r\n\r\n{first:x}\r\n"));
            slot.chunk_line = format!("\r\n{second:x}\r\n");
            slot.halves = [first, slot.chunk_line.len() as u64 + second + LAST_CHUNK.len() as u64];
        } else {
            push(&mut slot.head, format_args!("Content-Length: {body}\r\n\r\n"));
            slot.chunk_line.clear();
            slot.halves = [first, second];
        }
        self.totals[slot.route].errors += u64::from(status >= 500);
    }

    fn respond(&mut self, now: u64, at: usize) {
        let slot = &mut self.slots[at];
        let (text, [first, second]) = (std::mem::take(&mut slot.head), slot.halves);
        let (route, body, arrival) = (slot.route, slot.body, slot.arrival);
        let mut ends = RangesBuf::prefix(slot.chunk_line.as_bytes());
        let last: &[u8] = if slot.chunk_line.is_empty() { b"" } else { LAST_CHUNK };
        let len = text.len() as u64 + first;
        let payload = captured(text, first);
        self.data(at, Direction::Out, [now, now + 3_000], len, payload);
        let tail = [&FILLER[..CAPTURED_END - last.len()], last].concat();
        ends.push(u32::try_from(second - tail.len() as u64).expect("invariant: at least 100 bytes"), &tail);
        let exit = now + self.rng.between(7_000, 12_000);
        self.data(at, Direction::Out, [now + 4_000, exit], second, ends);
        let totals = &mut self.totals[route];
        totals.duration_nanos += MonoNanos::new(exit).since(arrival);
        totals.response_bytes += body;
    }

    fn close(&mut self, now: u64, at: usize) {
        let Slot { conn, received, .. } = self.slots[at];
        let process = self.process;
        self.push(now, BodyBuf::Plain(Body::Arrival { conn, end: received, fin: true }));
        self.data(at, Direction::In, [now + 1_000, now + 2_000], 0, RangesBuf::default());
        self.push(now + 4_000, BodyBuf::Plain(Body::FdClose { conn, process, tid: Tid(1000) }));
        self.push(now + 6_000, BodyBuf::Plain(Body::Close { conn }));
    }
}

/// Body text.
const FILLER: &[u8] = b"{\"items\":[{\"id\":4711,\"name\":\"item-4711\",\"ok\":true},";
/// What follows the data of the last chunk but one, in a chunked body.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

impl Iterator for WorkloadEvents {
    type Item = EventBuf;

    fn next(&mut self) -> Option<EventBuf> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                let seq = self.sequence;
                self.sequence += 1;
                return Some(EventBuf { seq, ..event });
            }
            let Reverse((now, at, step)) = self.schedule.pop()?;
            self.step(now, at, step);
        }
    }
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("invariant: a String can be written to");
}

/// What is captured of a call that moves a head and `body` bytes: the bodies' bytes matter to nobody.
fn captured(head: String, body: u64) -> RangesBuf {
    let mut bytes = head.into_bytes();
    let len = CAPTURED.min(bytes.len() + usize::try_from(body).unwrap_or(CAPTURED));
    while bytes.len() < len {
        let missing = len - bytes.len();
        bytes.extend_from_slice(&FILLER[..FILLER.len().min(missing)]);
    }
    bytes.truncate(len);
    RangesBuf::prefix(bytes)
}
