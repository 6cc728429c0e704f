//! A conversation in HTTP/2: streams of HTTP and gRPC, many at a time, on one connection.

use std::collections::VecDeque;

use super::account::Done;
use super::conversation::{Channel, Simulation};
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, HeaderEncoder, PADDED, PING, PREFACE,
    RST_STREAM, SETTINGS, Style, WINDOW_UPDATE, frame,
};
use super::line::{Side, Thread};
use super::message::Bytes;
use super::plan::{Fate, Plan};
use super::rng::Rng;
use super::truth::ExchangeId;

/// A stream under way.
struct Stream {
    number: u32,
    /// What of it each side has yet to send.
    up: VecDeque<Part>,
    down: VecDeque<Part>,
    done: Done,
    /// Where the request's head ends, once it is sent; where all of the request ends.
    head_end: Option<u64>,
    request_end: Option<u64>,
    grpc: bool,
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
    },
    Trailers,
    Reset(u32),
}

const MAX_FRAME: u64 = 16_384;

impl Simulation<'_> {
    /// As many streams as an HTTP/1 conversation has requests, and more.
    pub(super) fn converse_in_streams(&mut self, mut channel: Channel, client: &mut Thread) {
        let most = u64::from(self.scenario.requests_per_connection) * 12;
        let count = self.rng.between(2, most.clamp(2, 100)) as u32;
        let host = self.world.service(channel.worker.service).name.clone();
        let mut encoders = [HeaderEncoder::default(), HeaderEncoder::default()];
        let mut streams: Vec<Stream> = (0..count).map(|n| self.draw_stream(2 * n + 1)).collect();
        let mut first = PREFACE.to_vec();
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100], &mut first);
        self.send(&mut channel, Side::Client, client, &first);
        self.receive_all(&mut channel, Side::Server, client);
        let mut settings = Vec::new();
        frame(SETTINGS, 0, 0, &[], &mut settings);
        frame(SETTINGS, ACK, 0, &[], &mut settings);
        self.send(&mut channel, Side::Server, client, &settings);
        while streams.iter().any(|stream| !stream.up.is_empty() || !stream.down.is_empty()) {
            client.spend(self.rng.between(10_000, 500_000));
            let up = self.batch(&mut streams, Side::Client, &mut encoders[0], &channel, &host);
            if !up.is_empty() {
                self.send(&mut channel, Side::Client, client, &up);
                self.receive_all(&mut channel, Side::Server, client);
            }
            channel.worker.thread.spend(self.rng.between(10_000, 500_000));
            self.call_for_one(&streams, &mut channel);
            let down = self.batch(&mut streams, Side::Server, &mut encoders[1], &channel, &host);
            if !down.is_empty() {
                self.send(&mut channel, Side::Server, client, &down);
                self.receive_all(&mut channel, Side::Client, client);
            }
        }
        if self.rng.chance(300) {
            let mut farewell = Vec::new();
            frame(GOAWAY, 0, 0, &[[0x7f, 0xff, 0xff, 0xff], [0; 4]].concat(), &mut farewell);
            self.send(&mut channel, Side::Server, client, &farewell);
            self.receive_all(&mut channel, Side::Client, client);
        }
        channel.exchanges = streams.into_iter().map(|stream| stream.done).collect();
        self.hang_up(channel, client);
    }

    /// The worker calls others for one of the requests that it has read and not answered.
    fn call_for_one(&mut self, streams: &[Stream], channel: &mut Channel) {
        let read = channel.line.flow(Side::Client).read;
        let is_open = |stream: &&Stream| stream.head_end.is_some_and(|end| end <= read) && !stream.down.is_empty();
        let open: Vec<&Stream> = streams.iter().filter(is_open).collect();
        if open.is_empty() {
            return;
        }
        let pos = self.rng.pick(&open).done.request.start;
        let end = channel.line.end(Side::Server);
        let parent = end.recorded.then_some(ExchangeId { conn: end.info.key, pos });
        self.call_others(&mut channel.worker, parent);
    }

    fn draw_stream(&mut self, number: u32) -> Stream {
        let rng = &mut self.rng;
        let grpc = rng.chance(500);
        let mut plan = Plan::draw_stream(self.scenario, rng, grpc);
        let upload = grpc || matches!(plan.method, "POST" | "PUT" | "PATCH");
        let mut up = VecDeque::from([Part::Head { interim: false, end: !upload }]);
        if upload {
            plan.request.size = draw_data(rng, self.scenario.body_bytes, true, &mut up);
        }
        let mut down = VecDeque::new();
        if rng.chance(self.scenario.mix.interim) {
            down.push_back(Part::Head { interim: true, end: false });
        }
        let only = rng.chance(200);
        down.push_back(Part::Head { interim: false, end: only });
        if !only {
            plan.response.size = draw_data(rng, self.scenario.body_bytes, !grpc, &mut down);
            if grpc {
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
        let done = Done { plan, parent: None, pipelined: number > 1, request: 0..0, response: None };
        Stream { number, up, down, done, head_end: None, request_end: None, grpc }
    }

    /// A few frames of `side`, of any streams that have something to send.
    fn batch(
        &mut self,
        streams: &mut [Stream],
        side: Side,
        encoder: &mut HeaderEncoder,
        channel: &Channel,
        host: &str,
    ) -> Vec<u8> {
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
            self.part(stream, side, encoder, base, host, &mut bytes);
        }
        bytes
    }

    /// Sends the next part of a stream.
    fn part(
        &mut self,
        stream: &mut Stream,
        side: Side,
        encoder: &mut HeaderEncoder,
        base: u64,
        host: &str,
        bytes: &mut Vec<u8>,
    ) {
        let parts = if side == Side::Client { &mut stream.up } else { &mut stream.down };
        let Some(part) = parts.pop_front() else { return };
        let from = base + bytes.len() as u64;
        match part {
            Part::Head { interim, end } => {
                let block = stream.block(side, interim, end, host, encoder, &mut self.rng);
                self.header_frames(stream.number, end, &block, bytes);
            }
            Part::Trailers => {
                let mut block = Vec::new();
                stream.end_fields(encoder, &mut self.rng, &mut block);
                self.header_frames(stream.number, true, &block, bytes);
            }
            Part::Data { len, end } => {
                let body = vec![b'x'; usize::try_from(len).unwrap_or(0)];
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

/// Draws the DATA of one message, whose last frame may end the stream, and returns its size.
fn draw_data(rng: &mut Rng, most: u64, end: bool, parts: &mut VecDeque<Part>) -> u64 {
    let frames = rng.between(1, 4);
    let mut size = 0;
    for n in 1..=frames {
        let len = if rng.chance(800) { rng.below(400) } else { rng.below(most.min(MAX_FRAME - 64)) };
        size += len;
        parts.push_back(Part::Data { len, end: end && n == frames });
    }
    size
}

impl Stream {
    /// Whether the server has something to send that it may send: a response ends after its request.
    fn can_answer(&self, read: u64) -> bool {
        let ends = matches!(
            self.down.front(),
            Some(Part::Trailers | Part::Head { end: true, .. } | Part::Data { end: true, .. })
        );
        let seen = |end: Option<u64>| end.is_some_and(|end| end <= read);
        !self.down.is_empty() && seen(self.head_end) && (!ends || seen(self.request_end))
    }

    fn block(
        &self,
        side: Side,
        interim: bool,
        end: bool,
        host: &str,
        encoder: &mut HeaderEncoder,
        rng: &mut Rng,
    ) -> Vec<u8> {
        let (plan, mut out) = (&self.done.plan, Vec::new());
        let mut field = |name: &str, value: &str, out: &mut Vec<u8>| {
            let style = Style { indexed: rng.chance(600), huffman: rng.chance(700) };
            encoder.field(name, value, style, out);
        };
        if side == Side::Client {
            field(":method", plan.method, &mut out);
            field(":scheme", "http", &mut out);
            field(":path", &plan.target, &mut out);
            field(":authority", host, &mut out);
            if self.grpc {
                field("content-type", "application/grpc", &mut out);
                field("te", "trailers", &mut out);
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
    fn draw_stream(scenario: &super::Scenario, rng: &mut Rng, grpc: bool) -> Self {
        let (method, target) = if grpc {
            let method = *rng.pick(&["GetItem", "ListItems", "Watch", "Put"]);
            ("POST", format!("/shop.v{}.Store/{method}", rng.between(1, 3)))
        } else {
            loop {
                let drawn = super::plan::resource(rng);
                if drawn.1.starts_with('/') {
                    break drawn;
                }
            }
        };
        let context = rng.chance(scenario.mix.traceparent).then(|| super::plan::draw_context(rng));
        Self {
            method,
            target,
            request: Bytes::default(),
            expects: false,
            hints: None,
            status: if grpc { 200 } else { *rng.pick(&[200, 201, 204, 301, 404, 429, 500, 503]) },
            grpc_status: grpc.then(|| *rng.pick(&[0, 0, 0, 5, 13, 14])),
            response: Bytes::default(),
            fate: if rng.chance(scenario.mix.cut) { Fate::Reset } else { Fate::Reusable },
            context,
        }
    }
}
