//! Unary gRPC calls, to measure a replay's speed with: one busy server behind many connections, each with several streams
//! under way.
//!
//! The shape is fixed: 20 methods; 64 connections in turns, each for 100 calls, of which up to 8 are under way at once and
//! answered in another order; messages of 200 to 2000 bytes, of which the first 64 are captured. A call is four events: the arrival
//! of the request, its read (HEADERS and DATA), the write of the response's HEADERS and DATA, the write of its trailers.

use std::collections::VecDeque;

use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Source, Stamp};
use crate::facts::{ConnInfo, ProcessInfo, Role};
use crate::ids::{Origin, ProcKey, Tgid, Tid};
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;

use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, HeaderEncoder, PREFACE, SETTINGS, Style, frame};
use super::rng::Rng;

/// A workload of so many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcWorkload {
    /// How many.
    pub calls: u64,
    /// What all choices are drawn from.
    pub seed: u64,
}

const CONNECTIONS: usize = 64;
const PER_CONNECTION: u32 = 100;
/// Captured bytes of a message.
const CAPTURED: usize = 64;
const INDEXED: Style = Style { indexed: true, huffman: true };
const LITERAL: Style = Style { indexed: false, huffman: true };

impl GrpcWorkload {
    /// The events, in tape order. Memory does not depend on the number of calls.
    pub fn events(self) -> impl Iterator<Item = EventBuf> {
        let mut generator = Generator::new(self.seed);
        let (mut left, mut turn) = (self.calls, 0);
        std::iter::from_fn(move || {
            while generator.ready.is_empty() && left > 0 {
                let under_way = generator.rng.between(1, 8).min(left);
                generator.round(turn % CONNECTIONS, under_way);
                (left, turn) = (left - under_way, turn + 1);
            }
            generator.ready.pop_front()
        })
    }
}

/// One connection.
#[derive(Default)]
struct Slot {
    info: Option<ConnInfo>,
    streams: u32,
    received: u64,
    sent: u64,
    encoders: [HeaderEncoder; 2],
}

struct Generator {
    rng: Rng,
    origin: Origin,
    process: ProcKey,
    now: u64,
    opened: u64,
    slots: Vec<Slot>,
    ready: VecDeque<EventBuf>,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let (origin, now) = (Origin([9; 16]), 1_000_000_000_000);
        let process = ProcKey::new(origin, 1);
        let info = ProcessInfo {
            key: process,
            origin,
            id: 1,
            tgid: Tgid(1000),
            comm: "store".to_owned(),
            exe: "/usr/bin/store".to_owned(),
            ..ProcessInfo::default()
        };
        let slots = std::iter::repeat_with(Slot::default).take(CONNECTIONS).collect();
        let ready = VecDeque::from([EventBuf::new(MonoNanos::new(now), BodyBuf::Process(Box::new(info)))]);
        Self { rng: Rng::new(seed), origin, process, now, opened: 0, slots, ready }
    }

    fn push(&mut self, body: BodyBuf) {
        self.ready.push_back(EventBuf::new(MonoNanos::new(self.now), body));
    }

    /// A call that moves `bytes` and then a message of `body` bytes, of which not all is captured.
    fn data(&mut self, at: usize, direction: Direction, bytes: &[u8], body: usize) {
        self.now += 2_000;
        let time = MonoNanos::new(self.now);
        let stamp = Stamp { tid: Tid(1000), flags: DataFlags::NONBLOCKING, loop_turn: 1, entry: time, exit: time };
        let slot = &mut self.slots[at];
        let Some(conn) = slot.info.as_ref().map(|info| info.key) else { return };
        let (source, pos) = match direction {
            Direction::In => (Source::Read, &mut slot.received),
            Direction::Out => (Source::Write, &mut slot.sent),
        };
        let (from, len) = (*pos, (bytes.len() + body) as u64);
        *pos += len;
        let payload = RangesBuf::prefix([bytes, &[b'x'; CAPTURED][..CAPTURED.min(body)]].concat());
        let (process, ranges) = (self.process, Ranges::EMPTY);
        self.push(BodyBuf::Data(
            Data { conn, process, stamp, direction, source, pos: from, len, arrived: None, ranges },
            payload,
        ));
    }

    fn open(&mut self, at: usize) {
        self.opened += 1;
        let info = ConnInfo {
            process: self.process,
            role: Role::Server,
            netns: 1,
            established: Some(MonoNanos::new(self.now)),
            ..ConnInfo::unknown(self.origin, self.opened)
        };
        self.slots[at] = Slot { info: Some(info.clone()), ..Slot::default() };
        self.push(BodyBuf::Connection(Box::new(info)));
        let mut settings = Vec::new();
        frame(SETTINGS, 0, 0, &[], &mut settings);
        self.data(at, Direction::In, &[PREFACE, &settings].concat(), 0);
        self.data(at, Direction::Out, &settings, 0);
    }

    /// So many calls at once on one connection.
    fn round(&mut self, at: usize, under_way: u64) {
        let slot = &self.slots[at];
        if slot.info.is_none() || slot.streams >= PER_CONNECTION {
            if let Some(info) = &slot.info {
                let close = Body::Close { conn: info.key };
                self.push(BodyBuf::Plain(close));
            }
            self.open(at);
        }
        let mut open = Vec::new();
        for _ in 0..under_way {
            let slot = &mut self.slots[at];
            slot.streams += 1;
            let stream = 2 * slot.streams - 1;
            let (bytes, body) = self.request(at, stream);
            let slot = &self.slots[at];
            if let Some(conn) = slot.info.as_ref().map(|info| info.key) {
                let end = slot.received + (bytes.len() + body) as u64;
                self.push(BodyBuf::Plain(Body::Arrival { conn, end, fin: false }));
            }
            self.data(at, Direction::In, &bytes, body);
            open.push(stream);
        }
        while !open.is_empty() {
            let stream = open.swap_remove(self.rng.below(open.len() as u64) as usize);
            self.respond(at, stream);
        }
    }

    fn request(&mut self, at: usize, stream: u32) -> (Vec<u8>, usize) {
        let path = format!("/shop.v1.Store/Method{}", self.rng.below(20));
        let context = format!("00-{:016x}{:016x}-{:016x}-01", self.rng.bits(), self.rng.bits(), self.rng.bits() | 1);
        let body = self.rng.between(200, 2_000) as usize;
        let (encoder, mut block) = (&mut self.slots[at].encoders[0], Vec::new());
        for (name, value, style) in [
            (":method", "POST", INDEXED),
            (":scheme", "http", INDEXED),
            (":path", &path, INDEXED),
            (":authority", "store.example.test:9000", INDEXED),
            ("content-type", "application/grpc", INDEXED),
            ("user-agent", "grpc-go/1.66.0", INDEXED),
            ("te", "trailers", INDEXED),
            ("grpc-timeout", "4999871u", LITERAL),
            ("traceparent", &context, LITERAL),
        ] {
            encoder.field(name, value, style, &mut block);
        }
        let mut bytes = Vec::new();
        frame(HEADERS, END_HEADERS, stream, &block, &mut bytes);
        data_head(stream, END_STREAM, body, &mut bytes);
        (bytes, body)
    }

    fn respond(&mut self, at: usize, stream: u32) {
        let body = self.rng.between(200, 2_000) as usize;
        let status = if self.rng.chance(15) { "13" } else { "0" };
        let (encoder, mut head, mut trailers) = (&mut self.slots[at].encoders[1], Vec::new(), Vec::new());
        encoder.field(":status", "200", INDEXED, &mut head);
        encoder.field("content-type", "application/grpc", INDEXED, &mut head);
        encoder.field("grpc-status", status, INDEXED, &mut trailers);
        encoder.field("grpc-message", "", INDEXED, &mut trailers);
        let mut bytes = Vec::new();
        frame(HEADERS, END_HEADERS, stream, &head, &mut bytes);
        data_head(stream, 0, body, &mut bytes);
        self.data(at, Direction::Out, &bytes, body);
        bytes.clear();
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &trailers, &mut bytes);
        self.data(at, Direction::Out, &bytes, 0);
    }
}

/// The head of a DATA frame whose payload follows.
fn data_head(stream: u32, flags: u8, len: usize, out: &mut Vec<u8>) {
    let mut head = Vec::new();
    frame(DATA, flags, stream, &vec![0; len], &mut head);
    out.extend_from_slice(head.get(..9).unwrap_or_default());
}
