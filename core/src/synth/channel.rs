//! A connection with who works at its far end.

use std::collections::BTreeMap;

use crate::exchange::TraceContext;

use super::account::Done;
use super::line::{Line, Side, Thread};
use super::multiplex::Streams;
use super::truth::{ExchangeId, Unknowable};

/// The server's thread of one connection, and the connections that it has opened itself.
pub(super) struct Worker {
    pub(super) thread: Thread,
    pub(super) service: usize,
    pub(super) generation: u32,
    /// By service, and by its place among calls at the same time.
    pub(super) channels: BTreeMap<(usize, usize), Channel>,
}

/// A connection with the worker at its far end.
pub(super) struct Channel {
    pub(super) line: Line,
    /// The calling service and its generation.
    pub(super) caller: (usize, u32),
    /// The calling thread when it connected.
    pub(super) client: Thread,
    pub(super) worker: Box<Worker>,
    /// Exchanges of which no account was given yet.
    pub(super) exchanges: Vec<Done>,
    /// Of others one was.
    pub(super) used: bool,
    /// Whether the first lines of all requests were captured at each end.
    pub(super) captured: [bool; 2],
    /// What is left of HTTP/2 between streams.
    pub(super) streams: Option<Box<Streams>>,
}

/// Why a request is sent: the request that its sender works on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cause {
    pub(super) parent: Option<ExchangeId>,
    pub(super) context: Option<TraceContext>,
    /// Its thread has read other requests that it has not answered.
    pub(super) shared: bool,
}

impl Cause {
    /// Why it cannot be known for which request `thread` makes a call.
    pub(super) const fn unknowable(&self, thread: &Thread) -> Option<Unknowable> {
        if thread.evented {
            Some(Unknowable::EventLoop)
        } else if thread.helper {
            Some(Unknowable::OtherThread)
        } else if self.shared {
            Some(Unknowable::SharedThread)
        } else {
            None
        }
    }
}

impl Channel {
    /// The request at `pos`, if its server is recorded.
    pub(super) fn cause(&self, pos: u64) -> Option<ExchangeId> {
        let end = self.line.end(Side::Server);
        end.recorded.then_some(ExchangeId { conn: end.info.key, pos })
    }

    /// Whether the server has read the head of a request behind the exchange number `at`, and the end of that one can be told: where
    /// it is in chunks that were not captured, nobody knows that there is anything behind it.
    pub(super) fn has_read_behind(&self, at: usize) -> bool {
        let read = self.line.flow(Side::Client).read;
        let ends = self.exchanges.get(at).is_some_and(|done| {
            let request = &done.plan.request;
            let chunked = (request.bytes.len() - request.head) as u64 != request.size;
            !chunked || self.line.end(Side::Server).has_captured(&done.request)
        });
        ends && self
            .exchanges
            .get(at + 1)
            .is_some_and(|next| next.request.start + next.plan.request.head as u64 <= read)
    }

    /// The connection, and the thread at its `side`.
    pub(super) fn at<'a>(&'a mut self, side: Side, client: &'a mut Thread) -> (&'a mut Line, &'a mut Thread) {
        let thread = match side {
            Side::Client => client,
            Side::Server => &mut self.worker.thread,
        };
        (&mut self.line, thread)
    }
}
