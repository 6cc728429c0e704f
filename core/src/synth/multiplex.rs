//! A conversation in HTTP/2: streams of HTTP and gRPC, many at a time, on one connection.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::time::MonoNanos;

use super::account::Done;
use super::channel::{Cause, Channel};
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, HeaderEncoder, PADDED, PING, PREFACE,
    RST_STREAM, SETTINGS, Style, WINDOW_UPDATE, frame,
};
use super::line::{Side, Thread};
use super::message::Bytes;
use super::plan::{Fate, Plan, draw_context};
use super::rng::Rng;
use super::route::Route;
use super::scenario::Scenario;
use super::simulation::Simulation;
use super::world::Service;

/// A stream under way.
struct Stream {
    number: u32,
    /// The service's name.
    host: Arc<str>,
    /// What of it each side has yet to send.
    up: VecDeque<Part>,
    down: VecDeque<Part>,
    done: Done,
    /// Where the request's head ends, once it is sent; where all of the request ends.
    head_end: Option<u64>,
    request_end: Option<u64>,
    grpc: bool,
    /// When the server has done its own work for it, once it has read the request.
    due: Option<MonoNanos>,
    /// The server has also made its calls for it.
    worked: bool,
}

/// One thing that a side sends on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The head of a message, or an interim response.
    Head {
        interim: bool,
        end: bool,
    },
    Data {
        len: u64,
        end: bool,
        /// A gRPC message of so many bytes begins with it.
        message: Option<u32>,
    },
    Trailers,
    Reset(u32),
}

const MAX_FRAME: u64 = 16_384;

/// What both ends of an HTTP/2 connection keep between streams.
#[derive(Default)]
pub(super) struct Streams {
    encoders: [HeaderEncoder; 2],
    opened: u32,
}

impl Simulation<'_> {
    /// Both ends say that they speak HTTP/2.
    pub(super) fn begin_streams(&mut self, channel: &mut Channel, client: &mut Thread) {
        let mut first = PREFACE.to_vec();
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100], &mut first);
        // By one call, as all clients do; recorders tell HTTP/2 by it.
        self.send_at_once(channel, Side::Client, client, &first);
        self.receive_all(channel, Side::Server, client);
        let mut settings = Vec::new();
        frame(SETTINGS, 0, 0, &[], &mut settings);
        frame(SETTINGS, ACK, 0, &[], &mut settings);
        self.send(channel, Side::Server, client, &settings);
        channel.streams = Some(Box::default());
    }

    /// The server says that it is about to go, now and then.
    pub(super) fn say_farewell(&mut self, channel: &mut Channel, client: &mut Thread) {
        if self.rng.chance(300) {
            let server = &mut channel.worker.thread;
            server.now = server.now.max(client.now);
            let mut farewell = Vec::new();
            frame(GOAWAY, 0, 0, &[[0x7f, 0xff, 0xff, 0xff], [0; 4]].concat(), &mut farewell);
            self.send(channel, Side::Server, client, &farewell);
        }
        self.receive_all(channel, Side::Client, client);
    }

    /// Sends requests as streams that are under way at one time, and serves them.
    pub(super) fn exchange_streams(
        &mut self,
        channel: &mut Channel,
        client: &mut Thread,
        routes: &[usize],
        cause: Cause,
    ) {
        let Some(mut kept) = channel.streams.take() else { return };
        let service = self.world.service(channel.worker.service);
        let mut streams = Vec::new();
        for &route in routes {
            let pipelined = routes.len() > 1 && !streams.is_empty();
            let mut stream = self.draw_stream(service, route, 2 * kept.opened + 1, pipelined, cause);
            stream.done.unknowable = cause.unknowable(client);
            streams.push(stream);
            kept.opened += 1;
        }
        while streams.iter().any(|stream| !stream.up.is_empty() || !stream.down.is_empty()) {
            let up = self.batch(&mut streams, Side::Client, &mut kept.encoders[0], channel);
            if !up.is_empty() {
                client.spend(self.rng.between(1_000, 50_000));
                self.send(channel, Side::Client, client, &up);
                self.queue(&streams, channel);
                self.receive_all(channel, Side::Server, client);
            }
            self.work(&mut streams, channel);
            let down = self.batch(&mut streams, Side::Server, &mut kept.encoders[1], channel);
            if !down.is_empty() {
                self.send(channel, Side::Server, client, &down);
                self.receive_all(channel, Side::Client, client);
            }
        }
        self.receive_all(channel, Side::Client, client);
        channel.exchanges.extend(streams.into_iter().map(|stream| stream.done));
        channel.streams = Some(kept);
        self.account(channel);
    }

    /// What has been sent lies at the socket for as long as the first request in it does.
    fn queue(&mut self, streams: &[Stream], channel: &mut Channel) {
        let (read, world) = (channel.line.flow(Side::Client).read, self.world);
        let is_new = |stream: &&Stream| stream.head_end.is_some_and(|end| end > read);
        if let Some(stream) = streams.iter().find(is_new) {
            let route = &world.service(channel.worker.service).routes[stream.done.plan.route];
            self.wait_in_queue(channel, route, stream.done.request.start);
        }
    }

    /// The server works on the requests that it has read, until one of them can be answered.
    fn work(&mut self, streams: &mut [Stream], channel: &mut Channel) {
        let (read, world) = (channel.line.flow(Side::Client).read, self.world);
        let service = world.service(channel.worker.service);
        let now = channel.worker.thread.now;
        for stream in streams.iter_mut() {
            if stream.due.is_none() && stream.head_end.is_some_and(|end| end <= read) {
                stream.due = Some(now.plus(service.routes[stream.done.plan.route].latency.draw(self.rng)));
            }
        }
        let is_open = |stream: &&Stream| stream.head_end.is_some_and(|end| end <= read) && !stream.down.is_empty();
        let shared = streams.iter().filter(is_open).count() > 1;
        let waiting = streams.iter_mut().filter(|stream| !stream.worked && !stream.down.is_empty());
        let Some(first) =
            waiting.filter(|stream| stream.due.is_some()).min_by_key(|stream| (stream.due, stream.number))
        else {
            return;
        };
        let thread = &mut channel.worker.thread;
        thread.now = thread.now.max(first.due.unwrap_or(now));
        first.worked = true;
        let (pos, plan) = (first.done.request.start, &first.done.plan);
        let cause = Cause { parent: channel.cause(pos), context: plan.context, shared };
        self.call_others(&mut channel.worker, cause, &service.routes[plan.route]);
    }

    fn draw_stream(&mut self, service: &Service, number: usize, stream: u32, pipelined: bool, cause: Cause) -> Stream {
        let (rng, route) = (&mut *self.rng, &service.routes[number]);
        let mut plan = Plan::draw_stream(self.scenario, rng, route, number, cause);
        let mut up = VecDeque::from([Part::Head { interim: false, end: true }]);
        if let Some(size) = route.request_size(&plan.method, rng) {
            up = VecDeque::from([Part::Head { interim: false, end: false }]);
            plan.request.size = size + message_head(route);
            split_data(rng, plan.request.size, message_head(route), true, &mut up);
        }
        let mut down = VecDeque::new();
        if rng.chance(self.scenario.per_mille.interim) {
            down.push_back(Part::Head { interim: true, end: false });
        }
        let bodyless = matches!(plan.status, 204 | 304) || &*plan.method == "HEAD";
        let only = bodyless || route.grpc && plan.grpc_status != Some(0) && rng.chance(500);
        down.push_back(Part::Head { interim: false, end: only });
        if !only {
            plan.response.size = route.response_body.draw(rng) + message_head(route);
            split_data(rng, plan.response.size, message_head(route), !route.grpc, &mut down);
            if route.grpc {
                down.push_back(Part::Trailers);
            }
        }
        if plan.fate == Fate::Reset {
            // One of both gives up somewhere.
            let parts = if rng.chance(500) { &mut up } else { &mut down };
            let at = rng.below(parts.len() as u64) as usize;
            parts.truncate(at.max(1));
            if let Some(Part::Head { end, .. } | Part::Data { end, .. }) = parts.back_mut() {
                *end = false;
            }
            parts.push_back(Part::Reset(*rng.pick(&[2, 7, 8])));
        }
        let done = Done { plan, cause, unknowable: None, pipelined, request: 0..0, response: None };
        let (host, grpc) = (Arc::clone(&service.name), route.grpc);
        Stream {
            number: stream,
            host,
            up,
            down,
            done,
            head_end: None,
            request_end: None,
            grpc,
            due: None,
            worked: false,
        }
    }

    /// A few frames of `side`, of any streams that have something to send.
    fn batch(&mut self, streams: &mut [Stream], side: Side, encoder: &mut HeaderEncoder, channel: &Channel) -> Vec<u8> {
        let (base, read) = (channel.line.flow(side).sent, channel.line.flow(Side::Client).read);
        let mut bytes = Vec::new();
        for _ in 0..self.rng.between(1, 12) {
            self.chatter(&mut bytes);
            // Heads of requests come in the order of their streams.
            let next = streams.iter().position(|stream| stream.head_end.is_none());
            let ready: Vec<usize> = (0..streams.len())
                .filter(|&at| match side {
                    Side::Client => !streams[at].up.is_empty() && (streams[at].head_end.is_some() || Some(at) == next),
                    Side::Server => streams[at].can_answer(read),
                })
                .collect();
            if ready.is_empty() {
                break;
            }
            let stream = &mut streams[*self.rng.pick(&ready)];
            self.part(stream, side, encoder, base, &mut bytes);
        }
        bytes
    }

    /// Sends the next part of a stream.
    fn part(&mut self, stream: &mut Stream, side: Side, encoder: &mut HeaderEncoder, base: u64, bytes: &mut Vec<u8>) {
        let parts = if side == Side::Client { &mut stream.up } else { &mut stream.down };
        let Some(part) = parts.pop_front() else { return };
        let from = base + bytes.len() as u64;
        match part {
            Part::Head { interim, end } => {
                let block = stream.block(side, interim, end, encoder, self.rng);
                self.header_frames(stream.number, end, &block, bytes);
            }
            Part::Trailers => {
                let mut block = Vec::new();
                stream.end_fields(encoder, self.rng, &mut block);
                self.header_frames(stream.number, true, &block, bytes);
            }
            Part::Data { len, end, message } => {
                let mut body = vec![b'x'; usize::try_from(len).unwrap_or(0)];
                if let (Some(len), Some(head)) = (message, body.get_mut(..5)) {
                    head[0] = 0;
                    head[1..].copy_from_slice(&len.to_be_bytes());
                }
                let flags = if end { END_STREAM } else { 0 };
                if self.rng.chance(100) {
                    let padding = self.rng.below(20) as u8;
                    let padded = [&[padding][..], &body, &vec![0; padding.into()]].concat();
                    frame(DATA, flags | PADDED, stream.number, &padded, bytes);
                } else {
                    frame(DATA, flags, stream.number, &body, bytes);
                }
            }
            Part::Reset(code) => {
                frame(RST_STREAM, 0, stream.number, &code.to_be_bytes(), bytes);
                stream.up.clear();
                stream.down.clear();
            }
        }
        stream.sent(side, part, from..base + bytes.len() as u64);
    }

    /// A header block in one frame or several.
    fn header_frames(&mut self, stream: u32, end: bool, block: &[u8], bytes: &mut Vec<u8>) {
        let flags = if end { END_STREAM } else { 0 };
        if !self.rng.chance(100) {
            return frame(HEADERS, flags | END_HEADERS, stream, block, bytes);
        }
        let (head, rest) = block.split_at(self.rng.below(block.len() as u64) as usize);
        frame(HEADERS, flags, stream, head, bytes);
        frame(CONTINUATION, END_HEADERS, stream, rest, bytes);
    }

    /// Frames that are about no exchange.
    fn chatter(&mut self, bytes: &mut Vec<u8>) {
        match self.rng.below(20) {
            0 => frame(PING, 0, 0, &[7; 8], bytes),
            1 => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 64, 0], bytes),
            2 => frame(0xbe, 0, 0, b"an extension", bytes),
            _ => {}
        }
    }
}

/// Bytes before a gRPC message: whether it is compressed, and its length.
const fn message_head(route: &Route) -> u64 {
    if route.grpc { 5 } else { 0 }
}

/// Splits the body of one message into DATA frames, the last of which may end the stream. With a `head`, it is one gRPC message.
fn split_data(rng: &mut Rng, size: u64, head: u64, end: bool, parts: &mut VecDeque<Part>) {
    let mut left = size;
    let mut message = u32::try_from(size - head).ok().filter(|_| head > 0);
    loop {
        let len = if rng.chance(700) { left } else { rng.below(left + 1) }.min(MAX_FRAME - 64);
        let len = if message.is_some() { len.max(head) } else { len };
        left -= len;
        parts.push_back(Part::Data { len, end: end && left == 0, message: message.take() });
        if left == 0 {
            return;
        }
    }
}

impl Stream {
    /// Whether the server has something to send that it may send: a response ends after its request.
    fn can_answer(&self, read: u64) -> bool {
        let ends = matches!(
            self.down.front(),
            Some(Part::Trailers | Part::Head { end: true, .. } | Part::Data { end: true, .. })
        );
        let seen = |end: Option<u64>| end.is_some_and(|end| end <= read);
        self.worked && !self.down.is_empty() && seen(self.head_end) && (!ends || seen(self.request_end))
    }

    fn block(&self, side: Side, interim: bool, end: bool, encoder: &mut HeaderEncoder, rng: &mut Rng) -> Vec<u8> {
        let (plan, mut out) = (&self.done.plan, Vec::new());
        let mut field = |name: &str, value: &str, out: &mut Vec<u8>| {
            let style = Style { indexed: rng.chance(600), huffman: rng.chance(700) };
            encoder.field(name, value, style, out);
        };
        if side == Side::Client {
            field(":method", &plan.method, &mut out);
            field(":scheme", "http", &mut out);
            field(":path", &plan.target, &mut out);
            field(":authority", &self.host, &mut out);
            if self.grpc {
                field("content-type", "application/grpc", &mut out);
                field("te", "trailers", &mut out);
            } else if !end {
                field("content-type", "application/json", &mut out);
            }
            field("user-agent", "synth/2", &mut out);
            field("x-request-id", &format!("{:08x}", self.number.wrapping_mul(0x9e37_79b9)), &mut out);
            if let Some(context) = plan.context {
                let text = format!("00-{}-{}-{:02x}", context.trace_id, context.parent_id, context.flags);
                field("traceparent", &text, &mut out);
            }
            return out;
        }
        let status = if interim { 103 } else { plan.status };
        field(":status", &status.to_string(), &mut out);
        if !interim {
            field("server", "synth", &mut out);
            if self.grpc {
                field("content-type", "application/grpc", &mut out);
            } else if !end {
                field("content-type", "application/json", &mut out);
            }
            if end {
                self.end_fields(encoder, rng, &mut out);
            }
        }
        out
    }

    /// What stands in the last block of a gRPC response.
    fn end_fields(&self, encoder: &mut HeaderEncoder, rng: &mut Rng, out: &mut Vec<u8>) {
        if let Some(status) = self.done.plan.grpc_status {
            let style = Style { indexed: rng.chance(600), huffman: rng.chance(700) };
            encoder.field("grpc-status", &status.to_string(), style, out);
        }
    }

    /// A part went out, as these bytes.
    fn sent(&mut self, side: Side, part: Part, at: std::ops::Range<u64>) {
        let ended = matches!(part, Part::Head { end: true, .. } | Part::Data { end: true, .. });
        match (side, part) {
            (Side::Client, Part::Head { .. }) => {
                self.done.request = at.clone();
                self.head_end = Some(at.end);
            }
            (Side::Server, Part::Head { interim: false, .. }) => self.done.response = Some(at.clone()),
            (Side::Client, _) => self.done.request.end = at.end,
            (Side::Server, Part::Reset(_) | Part::Head { .. }) => {}
            (Side::Server, _) => {
                if let Some(response) = &mut self.done.response {
                    response.end = at.end;
                }
            }
        }
        if side == Side::Client && ended {
            self.request_end = Some(at.end);
        }
    }
}

impl Plan {
    /// Draws what a stream will be. The sizes are not known yet.
    fn draw_stream(scenario: &Scenario, rng: &mut Rng, route: &Route, number: usize, cause: Cause) -> Self {
        let status = route.status(rng);
        Self {
            route: number,
            template: Arc::clone(&route.text),
            method: route.method(rng),
            target: route.target.fill(rng),
            request: Bytes::default(),
            expects: false,
            hints: None,
            status: if route.grpc { 200 } else { status },
            grpc_status: route.grpc.then_some(status),
            response: Bytes::default(),
            fate: if rng.chance(scenario.per_mille.cut) { Fate::Reset } else { Fate::Reusable },
            context: draw_context(&scenario.per_mille, rng, cause.context),
        }
    }
}
