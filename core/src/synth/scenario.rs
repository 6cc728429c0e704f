//! What a synthetic tape is made of: the few numbers that determine all of it.

use crate::event::EventBuf;
use crate::ids::Origin;
use crate::time::MonoNanos;

use super::capture::CapturePolicy;
use super::conversation::Conversation;
use super::merge::Merge;
use super::truth::Truth;
use super::world::World;

/// A synthetic recording. Equal scenarios give equal events and equal truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What all choices are drawn from.
    pub seed: u64,
    /// How many connections are opened to the entrance of the world; each is the root of one conversation.
    pub connections: u32,
    /// Requests on each of these, at most. (A connection may end earlier by its own fate.)
    pub requests_per_connection: u32,
    /// Nanoseconds between the beginnings of two conversations. The smaller, the more of them overlap.
    pub spacing_nanos: u64,
    /// When the first begins.
    pub start: MonoNanos,
    /// Whether arrivals are recorded (queue times are known).
    pub arrivals: bool,
    /// How much of payloads is captured.
    pub capture: CapturePolicy,
    /// The size of the largest bodies, in bytes.
    pub body_bytes: u64,
    /// What happens how often.
    pub mix: Mix,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 0,
            connections: 8,
            requests_per_connection: 6,
            spacing_nanos: 3_000_000,
            start: MonoNanos::new(1_000_000_000_000),
            arrivals: true,
            capture: CapturePolicy::default(),
            body_bytes: 40_000,
            mix: Mix::default(),
        }
    }
}

/// How often things happen, each in parts of a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Conversations whose client end is recorded too.
    pub recorded_clients: u32,
    /// Conversations in HTTP/2, half of whose streams are gRPC.
    pub http2: u32,
    /// Requests that are sent without waiting for the response before them.
    pub pipelined: u32,
    /// Requests whose handling calls other services.
    pub calls: u32,
    /// Requests that carry a `traceparent`.
    pub traceparent: u32,
    /// Bodies in chunks.
    pub chunked: u32,
    /// Responses of status 500 or 503.
    pub errors: u32,
    /// Requests that wait long for their first read.
    pub queued: u32,
    /// Connections that wait long to be accepted.
    pub slow_accepts: u32,
    /// Requests that expect `100 Continue`, or whose responses are preceded by `103 Early Hints`.
    pub interim: u32,
    /// Messages with a bare line feed at the end of lines.
    pub bare_line_feeds: u32,
    /// Bodies and tunnels that look like messages. Where bytes are lost, nobody could tell such a body from what it looks like.
    pub lures: u32,
    /// Exchanges after which the connection becomes a tunnel (101, CONNECT).
    pub tunnels: u32,
    /// Exchanges after which the server closes, in order; half of these responses end with the connection.
    pub closing: u32,
    /// Requests that the server closes the connection on, without a word.
    pub unanswered: u32,
    /// Responses that break off, and streams that are reset.
    pub cut: u32,
    /// Requests that the client breaks off in their body.
    pub abandoned: u32,
}

impl Default for Mix {
    /// A bit of everything.
    fn default() -> Self {
        Self {
            recorded_clients: 300,
            http2: 0,
            pipelined: 150,
            calls: 300,
            traceparent: 200,
            chunked: 250,
            errors: 40,
            queued: 100,
            slow_accepts: 150,
            interim: 60,
            bare_line_feeds: 30,
            lures: 0,
            tunnels: 15,
            closing: 40,
            unanswered: 15,
            cut: 20,
            abandoned: 10,
        }
    }
}

impl Mix {
    /// Requests and responses one after the other, all of which end well.
    pub const PLAIN: Self = Self {
        recorded_clients: 0,
        http2: 0,
        pipelined: 0,
        calls: 0,
        traceparent: 0,
        chunked: 0,
        errors: 0,
        queued: 0,
        slow_accepts: 0,
        interim: 0,
        bare_line_feeds: 0,
        lures: 0,
        tunnels: 0,
        closing: 0,
        unanswered: 0,
        cut: 0,
        abandoned: 0,
    };
}

impl Scenario {
    /// The recording's origin; it depends on the seed.
    pub fn origin(&self) -> Origin {
        World::new(self.seed).origin
    }

    /// The events in the order of a tape: the clock, the processes, then all conversations, merged by time.
    ///
    /// Memory is bounded by the conversations that overlap, however many there are in all.
    pub fn events(&self) -> impl Iterator<Item = EventBuf> + use<> {
        Merge::new(self.clone())
    }

    /// The truth of every recorded side of every exchange, conversation by conversation.
    pub fn truth(&self) -> impl Iterator<Item = Truth> + use<> {
        let (scenario, world) = (self.clone(), World::new(self.seed));
        (0..self.connections).flat_map(move |number| Conversation::simulate(&scenario, &world, number).truth)
    }

    /// One of the conversations, `number` < `connections`, by itself.
    pub fn conversation(&self, number: u32) -> Conversation {
        Conversation::simulate(self, &World::new(self.seed), number)
    }
}
