//! Gives an account of exchanges that have happened: their truth, as each side has it.

use std::ops::Range;
use std::sync::Arc;

use crate::exchange::Outcome;
use crate::ids::SpanId;
use crate::span::{LinkRule, SpanKind};
use crate::time::WallNanos;

use super::channel::Cause;
use super::line::{Line, Side, Thread, covering};
use super::plan::{Fate, Plan};
use super::truth::{ExchangeId, Truth, Unknowable};
use super::world::Service;

/// An exchange that has happened.
pub(super) struct Done {
    pub(super) plan: Plan,
    /// What the client's thread was working on.
    pub(super) cause: Cause,
    /// Why nobody can know that.
    pub(super) unknowable: Option<Unknowable>,
    pub(super) pipelined: bool,
    pub(super) request: Range<u64>,
    pub(super) response: Option<Range<u64>>,
}

impl Done {
    /// The first line of a request of HTTP/1.
    pub(super) fn first_line(&self) -> Range<u64> {
        let len = self.plan.request.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1);
        self.request.start..self.request.start + len
    }
}

/// Who took part on one side.
pub(super) struct Party<'a> {
    pub(super) conversation: u64,
    pub(super) side: Side,
    pub(super) service: &'a Service,
    pub(super) thread: &'a Thread,
}

impl Party<'_> {
    /// The truth of `done`, which is the `first` of its connection or not.
    pub(super) fn truth(&self, line: &Line, done: &Done, first: bool, captured: bool) -> Truth {
        let Done { plan, request, response, .. } = done;
        let end = line.end(self.side);
        let (requests, responses) = (line.flow(Side::Client), line.flow(Side::Server));
        let read = covering(&requests.reads, request.start).map(|stamp| stamp.exit);
        let arrival = covering(&requests.arrivals, request.start).filter(|_| line.arrivals);
        let sent = covering(&requests.writes, request.start).map(|stamp| stamp.entry);
        let calls = if self.side == Side::Client { &responses.reads } else { &responses.writes };
        let last = response.as_ref().and_then(|range| covering(calls, range.end.checked_sub(1)?));
        let server = self.side == Side::Server;
        let start = if server { arrival.or(read) } else { sent };
        let caller = line.end(Side::Client);
        let caller = caller.recorded.then_some(ExchangeId { conn: caller.info.key, pos: request.start });
        let parent = if server { caller } else { done.cause.parent };
        let unknowable = done.unknowable.filter(|_| !server && parent.is_some());
        // The wire names the trace, and a recorded parent in the same trace is nearer than the one on the wire.
        let near = server || plan.context.is_none() || done.cause.context.is_some();
        let link = match parent {
            Some(_) if server => Some(LinkRule::Connection),
            Some(_) if near && unknowable.is_none() => Some(LinkRule::Thread),
            _ => plan.context.map(|_| LinkRule::Wire),
        };
        Truth {
            // The names on the tape, and its times, are given to all of a conversation at its end.
            span_id: SpanId([0; 8]),
            parent_span_id: None,
            tls: false,
            start_wall: WallNanos::default(),
            id: ExchangeId { conn: end.info.key, pos: request.start },
            conversation: self.conversation,
            kind: if server { SpanKind::Server } else { SpanKind::Client },
            process: self.thread.process,
            service: self.service.name.clone(),
            tid: self.thread.tid,
            blocking: !self.thread.evented && !self.thread.helper,
            route: Arc::clone(&plan.template),
            method: plan.method.to_string(),
            target: plan.target.clone(),
            status: response.as_ref().map(|_| plan.status),
            outcome: match plan.fate {
                Fate::Cut { .. } => Outcome::CutResponse,
                Fate::Unanswered | Fate::Abandoned => Outcome::NoResponse,
                Fate::Reset => Outcome::Reset,
                Fate::Reusable | Fate::Closed | Fate::Tunnel => Outcome::Complete,
            },
            start: start.expect("invariant: every request is written and read"),
            end: last.map(|stamp| stamp.exit),
            queue_nanos: if server { arrival.zip(read).map(|(arrival, read)| read.since(arrival)) } else { None },
            accept_wait_nanos: (server && first).then(|| line.accept_wait()).flatten(),
            grpc_status: plan.grpc_status.filter(|_| plan.fate == Fate::Reusable),
            request_size: (!matches!(plan.fate, Fate::Abandoned | Fate::Reset)).then_some(plan.request.size),
            response_size: match plan.fate {
                Fate::Reusable | Fate::Closed => Some(plan.response.size),
                Fate::Tunnel | Fate::Cut { .. } | Fate::Unanswered | Fate::Abandoned | Fate::Reset => None,
            },
            parent,
            link,
            unknowable,
            captured,
            pipelined: done.pipelined,
            context: plan.context,
            request: request.clone(),
            response: response.clone(),
        }
    }
}
