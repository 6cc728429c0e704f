//! A route of a service, ready to be drawn from.

use std::sync::Arc;

use super::distribution::{Bytes, Distribution, Nanos};
use super::rng::Rng;
use super::scenario::Protocol;
use super::template::Template;

/// Requests of one form.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// As it is written in the scenario.
    pub(super) text: Arc<str>,
    pub(super) target: Template,
    pub(super) grpc: bool,
    pub(super) methods: Vec<(Arc<str>, u32)>,
    pub(super) weight: u32,
    /// HTTP's status codes, or gRPC's.
    pub(super) status: Vec<(u16, u32)>,
    pub(super) latency: Distribution<Nanos>,
    pub(super) queue: Distribution<Nanos>,
    pub(super) request_body: Option<Distribution<Bytes>>,
    pub(super) response_body: Distribution<Bytes>,
    pub(super) calls: Vec<Step>,
}

/// What is called at one time.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// One, or several in parallel.
    pub(super) calls: Vec<CallTo>,
    pub(super) chance: u32,
    pub(super) times: u32,
}

/// A call to another service.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallTo {
    pub(super) service: usize,
    /// One of its routes by weight, if none is named.
    pub(super) route: Option<usize>,
    /// For one of several in parallel.
    pub(super) chance: u32,
}

impl Route {
    /// Whether its requests can be sent by this protocol. HTTP/2's `:path` is a path; the other forms of targets are HTTP/1's.
    pub(super) fn fits(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http1 => !self.grpc,
            Protocol::Http2 => self.grpc || self.text.starts_with('/'),
        }
    }

    pub(super) fn method(&self, rng: &mut Rng) -> Arc<str> {
        let at = rng.weighted(self.methods.iter().map(|(_, weight)| *weight));
        Arc::clone(&self.methods[at].0)
    }

    pub(super) fn status(&self, rng: &mut Rng) -> u16 {
        self.status[rng.weighted(self.status.iter().map(|(_, weight)| *weight))].0
    }

    /// The size of the request's body, if it has one.
    pub(super) fn request_size(&self, method: &str, rng: &mut Rng) -> Option<u64> {
        match &self.request_body {
            Some(size) => Some(size.draw(rng)),
            None => (self.grpc || matches!(method, "POST" | "PUT" | "PATCH")).then(|| rng.between(1, 600)),
        }
    }
}
