//! What a synthetic tape is made of: a document that a user writes in YAML, or a test in Rust.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::capture::CapturePolicy;
use super::distribution::{Bytes, Count, Distribution, Nanos};
use super::per_mille::PerMille;
use crate::config::Period;

/// A synthetic recording. Equal scenarios give equal events and equal truth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "redtape synthetic scenario")]
pub struct Scenario {
    /// What it is for, for readers.
    pub description: String,
    /// What all choices are drawn from.
    pub seed: u64,
    /// How many requests the clients send, calls between services not counted. 1000, if there is no `duration`.
    pub requests: Option<u64>,
    /// For how long the clients send requests.
    #[schemars(with = "Option<String>")]
    pub duration: Option<Period>,
    /// Who sends requests from outside.
    pub clients: Clients,
    /// The services, by `service.name`.
    pub services: BTreeMap<String, Service>,
    /// Hosts whose clocks differ, by name.
    pub hosts: BTreeMap<String, Host>,
    /// What lies between services.
    pub network: Network,
    /// How it is recorded.
    pub recorder: Recorder,
    /// How often things happen.
    pub per_mille: PerMille,
    /// What the text was that this was read from, as a number: the origin of the recording depends on it.
    #[serde(skip)]
    pub fingerprint: u128,
}

/// Those who send requests from outside.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Which services they send requests to, by weight. By default, those that no other service calls.
    pub to: Weights<String>,
    /// Connections that are open at one time, at most; one that ends makes room for the next.
    pub connections: u32,
    /// Time from the beginning of one connection to that of the next: an arrival rate. By default there is always one as soon as
    /// there is room.
    pub interval: Option<Distribution<Nanos>>,
    /// Requests that a connection is used for.
    pub keep_alive: Distribution<Count>,
    /// How long a client waits from one response to its next request.
    pub pause: Distribution<Nanos>,
    /// Streams that an HTTP/2 connection has under way at one time.
    pub streams: Distribution<Count>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            to: Weights::default(),
            connections: 16,
            interval: None,
            keep_alive: Distribution::constant(10),
            pause: Distribution::uniform(10_000, 3_000_000),
            streams: Distribution::uniform(1, 8),
        }
    }
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// What it answers.
    pub routes: Vec<Route>,
    /// What it calls to answer a request of a route that names no calls of its own.
    pub calls: Vec<Call>,
    /// What is spoken with it, by weight of the connections. By default HTTP/1, and HTTP/2 where all routes are gRPC.
    pub protocols: Weights<Protocol>,
    /// Connections to it are encrypted.
    pub tls: bool,
    /// It is elsewhere, and nothing of it is recorded.
    pub foreign: bool,
    /// How it does many things at a time.
    pub threads: Threads,
    /// The host that it runs on; hosts that are not listed under `hosts` have the same clock.
    pub host: String,
    /// How long connections wait to be accepted.
    pub accept_wait: Distribution<Nanos>,
    /// How often its process is replaced by a new one. The old one answers what it has read, and exits.
    #[schemars(with = "Option<String>")]
    pub restart_every: Option<Period>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            routes: vec![Route { path: Some("/".to_owned()), ..Route::default() }],
            calls: Vec::new(),
            protocols: Weights::default(),
            tls: false,
            foreign: false,
            threads: Threads::Blocking,
            host: String::new(),
            accept_wait: Distribution::uniform(3_000, 40_000),
            restart_every: None,
        }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, and 1.0 now and then.
    Http1,
    /// HTTP/2 without an upgrade, gRPC in it.
    Http2,
}

/// How a service does many things at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Threads {
    /// A thread a connection, which waits in its calls.
    Blocking,
    /// One thread waits for the events of all connections.
    EventLoop,
}

/// Requests of one form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// The path, with an optional query: `/users/{int}`. Ids: `{int}`, `{int:50}` (from 1 to 50), `{hex}`, `{hex:24}`,
    /// `{base64:22}`, `{uuid}`, `{ulid}`, `{slug}`, `{email}`, `{date}`, and `{word}`, of which there are 24.
    pub path: Option<String>,
    /// Instead of a path: a gRPC method, as in `shop.v1.Cart/AddItem`.
    pub grpc: Option<String>,
    /// The methods, by weight. `GET` by default.
    pub methods: Weights<String>,
    /// How often it is asked for, relative to the other routes.
    pub weight: u32,
    /// What is answered, by weight: status codes, or for gRPC names or numbers (`OK`, `NOT_FOUND`, `14`).
    pub status: Weights<String>,
    /// How long the service works for the answer, its calls to others not counted.
    pub latency: Distribution<Nanos>,
    /// How long requests lie at the socket until they are read.
    pub queue: Distribution<Nanos>,
    /// The size of the request's body; POST, PUT, PATCH and gRPC have one by default, of up to 600 bytes.
    pub request_body: Option<Distribution<Bytes>>,
    /// The size of the response's body.
    pub response_body: Distribution<Bytes>,
    /// What the service calls for it. By default what it calls for all.
    pub calls: Option<Vec<Call>>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            path: None,
            grpc: None,
            methods: Weights::default(),
            weight: 1,
            status: Weights::default(),
            latency: Distribution::uniform(50_000, 3_000_000),
            queue: Distribution::constant(0),
            request_body: None,
            response_body: Distribution::uniform(0, 2_000),
            calls: None,
        }
    }
}

/// A call to another service, or several at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Call {
    /// The service.
    pub to: Option<String>,
    /// The path or gRPC method, as it is written there; any of the service's routes by default.
    pub route: Option<String>,
    /// How often it is made, in parts of a thousand.
    #[serde(deserialize_with = "super::per_mille::per_mille")]
    #[schemars(range(min = 0, max = 1000))]
    pub chance: u32,
    /// How many times, one after the other.
    pub times: u32,
    /// Instead of `to`: calls that are made at the same time, and all waited for.
    pub parallel: Vec<Call>,
}

impl Default for Call {
    fn default() -> Self {
        Self { to: None, route: None, chance: 1000, times: 1, parallel: Vec::new() }
    }
}

/// A host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// How far its clock is ahead, as in `3ms`, or behind, as in `-3ms`.
    pub skew: Skew,
}

/// What lies between services.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// How long a packet takes, drawn for each connection.
    pub latency: Distribution<Nanos>,
    /// By how many calls a message is written, at most.
    pub writes: Distribution<Count>,
    /// How much a read asks for.
    pub read_buffer: Distribution<Bytes>,
}

impl Default for Network {
    fn default() -> Self {
        let buffer = |size| super::distribution::Part { weight: 1, of: Distribution::constant(size) };
        Self {
            latency: Distribution::uniform(5_000, 80_000),
            writes: Distribution::uniform(1, 3),
            read_buffer: Distribution::Mixed([700, 4_096, 16_384, 65_536].map(buffer).into()),
        }
    }
}

/// How a scenario is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recorder {
    /// Arrivals are recorded, so that queue times are known.
    pub arrivals: bool,
    /// Records that are lost, in parts of a thousand.
    #[serde(deserialize_with = "super::per_mille::per_mille")]
    #[schemars(range(min = 0, max = 1000))]
    pub loss: u32,
    /// How much of payloads is captured.
    pub capture: CapturePolicy,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { arrivals: true, loss: 0, capture: CapturePolicy::default() }
    }
}

/// How far a clock is ahead (or, if negative, behind), in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub struct Skew(pub i64);

impl TryFrom<String> for Skew {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        let (size, sign) =
            text.strip_prefix('-').map_or((text.strip_prefix('+').unwrap_or(text), 1), |size| (size, -1));
        if size == "0" {
            return Ok(Self(0));
        }
        match size.parse().map(Period::nanos) {
            Ok(nanos) if nanos <= 60_000_000_000 => Ok(Self(sign * i64::try_from(nanos).unwrap_or(i64::MAX))),
            Ok(_) => Err(format!("`{text}` is too far: clocks differ by a minute at most")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Things with weights: each is drawn as often as its weight says, relative to the others. In YAML one thing may stand by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Weights<K>(pub BTreeMap<K, u32>);

impl<K> Default for Weights<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Weights<K> {
    /// Always this.
    pub fn only(key: K) -> Self {
        Self(BTreeMap::from([(key, 1)]))
    }
}

impl<K: fmt::Debug> fmt::Debug for Weights<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

mod read;

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "http1" => Ok(Self::Http1),
            "http2" => Ok(Self::Http2),
            _ => Err(format!("`{text}` is no protocol; {}", crate::config::hint(text, &["http1", "http2"]))),
        }
    }
}

#[cfg(test)]
mod tests;
