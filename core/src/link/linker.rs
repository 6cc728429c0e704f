//! The linker: follows requests from their heads to their ends, decides their parents and hands finished exchanges on
//! as soon as their place in a trace is settled.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::enclosing::{Enclosing, Only};
use super::ends::{Ends, Partner};
use super::node::{Arena, Node, NodeId, Parent, Settled, request_ids};
use super::threads::{Threads, blocking};
use crate::diagnostic::DiagnosticKind;
use crate::exchange::{Exchange, Outcome, Started, TraceContext};
use crate::facts::{ConnInfo, Role};
use crate::ids::{ConnKey, Origin, SpanId, TraceId};
use crate::limits::Limits;
use crate::span::{Link, LinkRule, Strength};
use crate::time::MonoNanos;

/// Which rules link spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMode {
    /// The rules that follow from facts: the wire, the connection, the thread.
    #[default]
    Certain,
    /// Also the only-enclosing rule, which guesses.
    All,
    /// Only what is on the wire.
    Off,
}

/// How long a finished span may wait for its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Horizon {
    /// Until the end of the tape.
    #[default]
    End,
    /// This many nanoseconds of tape time after its end.
    Nanos(u64),
}

/// How spans are linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// The rules.
    pub mode: LinkMode,
    /// The patience.
    pub horizon: Horizon,
    /// Link as if no request carried a trace context: what such traffic says of itself then tells how good the rules are.
    pub ignore_traceparent: bool,
}

/// A finished exchange and its place in a trace.
#[derive(Debug)]
pub struct Linked {
    /// The exchange.
    pub exchange: Box<Exchange>,
    /// Its trace.
    pub trace_id: TraceId,
    /// The `sampled` flag that the trace came with, if it came by the wire.
    pub flag: Option<bool>,
    /// Its span.
    pub span_id: SpanId,
    /// Its parent, and how it was found.
    pub parent: Option<(SpanId, Link)>,
}

/// See the module.
#[derive(Debug)]
pub struct Linker {
    options: LinkOptions,
    limits: Limits,
    nodes: Arena,
    requests: FxHashMap<(ConnKey, u64), NodeId>,
    ends: Ends,
    threads: Threads,
    enclosing: Enclosing,
    /// Finished and not settled, in the order of their ends.
    held: VecDeque<(MonoNanos, NodeId)>,
    held_count: usize,
    /// Finished requests that a late peer may still want to find: where several recordings come together, and of streams that
    /// were reset.
    lingering: VecDeque<(MonoNanos, NodeId)>,
    now: MonoNanos,
    origin: Option<Origin>,
    several_origins: bool,
    ready: Vec<NodeId>,
    out: VecDeque<Linked>,
    diagnostics: VecDeque<DiagnosticKind>,
}

impl Linker {
    /// A linker with nothing in it.
    pub fn new(options: LinkOptions, limits: &Limits) -> Self {
        Self {
            options,
            limits: *limits,
            nodes: Arena::default(),
            requests: FxHashMap::default(),
            ends: Ends::new(limits.linked_connections),
            threads: Threads::default(),
            enclosing: Enclosing::default(),
            held: VecDeque::new(),
            held_count: 0,
            lingering: VecDeque::new(),
            now: MonoNanos::ZERO,
            origin: None,
            several_origins: false,
            ready: Vec::new(),
            out: VecDeque::new(),
            diagnostics: VecDeque::new(),
        }
    }

    /// The next exchange that has been settled, in the order of settling.
    pub fn poll(&mut self) -> Option<Linked> {
        self.out.pop_front()
    }

    /// The next of what went wrong.
    pub fn poll_diagnostic(&mut self) -> Option<DiagnosticKind> {
        self.diagnostics.pop_front()
    }

    /// A recording is on the tape. One that is told of before its connections are is waited for: its clock may be behind.
    pub fn recorded(&mut self, origin: Origin) {
        self.several_origins |= *self.origin.get_or_insert(origin) != origin;
    }

    /// A connection became known.
    pub fn opened(&mut self, info: &ConnInfo) {
        self.recorded(info.origin);
        if self.options.mode != LinkMode::Off {
            self.ends.open(info);
        }
    }

    /// A connection is over.
    pub fn closed(&mut self, conn: ConnKey, at: MonoNanos) {
        self.ends.close(conn, at);
    }

    /// Records are missing: the ends of requests may be among them, and the beginnings of others. What threads work for
    /// is known again when they read their next requests; calls under way may be made for a request that was lost.
    pub fn lost(&mut self) {
        self.threads.forget();
        for id in self.nodes.tentative() {
            self.set_parent(id, Parent::None);
        }
    }

    /// A request's head is complete.
    pub fn started(&mut self, started: &Started) {
        if self.nodes.len() >= self.limits.open_requests {
            self.diagnostics.push_back(DiagnosticKind::LinkTableFull);
            return;
        }
        let client = started.role == Role::Client;
        let thread = (!client && blocking(&started.head)).then_some(started.head.tid);
        let mut node = Node::new(started, thread);
        if self.options.ignore_traceparent {
            node.context = None;
        }
        let id = self.nodes.insert(node);
        self.requests.insert((started.conn.key, started.pos), id);
        if self.options.mode == LinkMode::Off {
            self.set_parent(id, Parent::None);
        } else if client {
            self.start_client(id, started);
        } else {
            self.start_server(id, started);
        }
    }

    /// Other requests may be under way from now on beside the one at this place: its thread may work for one of those.
    pub fn not_alone(&mut self, conn: ConnKey, pos: u64) {
        if let Some(&id) = self.requests.get(&(conn, pos))
            && let Some(node) = self.nodes.get_mut(id)
        {
            node.alone = false;
        }
    }

    fn start_server(&mut self, id: NodeId, started: &Started) {
        if blocking(&started.head) {
            self.threads.open(started.process, started.head.tid, id);
        }
        if self.options.mode == LinkMode::All {
            self.enclosing.open(started.process, id.number, id);
        }
        let parent = match self.client_end(started.conn.key, started.pos) {
            Peer::Found(client) => Parent::Certain(client, CONNECTION),
            Peer::NotYet => Parent::Waiting,
            // With one recording, whoever sends a request is known before it is read.
            Peer::None if self.several_origins => Parent::Waiting,
            Peer::None => Parent::None,
        };
        self.set_parent(id, parent);
    }

    fn start_client(&mut self, id: NodeId, started: &Started) {
        let requests = self.threads.requests(started.process, started.first.tid);
        // Behind lost bytes a request is taken for one only when the next ones confirm it: then its thread may have gone on.
        // And where other requests of its connection may be missing, it may work for one of those.
        let unsure =
            |request| self.nodes.get(request).is_none_or(|node| node.read > started.first.entry || !node.alone);
        let parent = match (blocking(&started.first), requests) {
            (true, &[request]) if unsure(request) => Parent::None,
            (true, &[request]) => Parent::Tentative(request, THREAD),
            (true, &[_, _, ..]) => {
                self.diagnostics.push_back(DiagnosticKind::AmbiguousLink);
                Parent::None
            }
            _ if self.options.mode == LinkMode::All => Parent::Waiting,
            _ => Parent::None,
        };
        if self.options.mode == LinkMode::All {
            self.enclosing.call(started.process, started.conn.endpoint.map(|endpoint| endpoint.remote));
        }
        self.set_parent(id, parent);
        self.adopt_waiting_server(id, started.conn.key, started.pos);
    }

    /// The server may have been read first: its recorder's clock may be behind, or this write may have blocked for long.
    fn adopt_waiting_server(&mut self, client: NodeId, conn: ConnKey, pos: u64) {
        let Partner::One(peer) = self.ends.partner(conn) else { return };
        let Some(&server) = self.requests.get(&(peer, pos)) else { return };
        let waits =
            self.nodes.get(server).is_some_and(|node| node.parent == Parent::Waiting && node.role == Role::Server);
        if waits && !self.nodes.is_above(server, client) {
            self.set_parent(server, Parent::Certain(client, CONNECTION));
        }
    }

    /// An exchange is over.
    pub fn ended(&mut self, exchange: Box<Exchange>, at: MonoNanos) {
        let key = (exchange.conn.key, exchange.request.message.pos);
        let Some(&id) = self.requests.get(&key) else { return self.ended_unknown(exchange) };
        let (role, destination) = (exchange.role, exchange.conn.endpoint.map(|endpoint| endpoint.remote));
        let Some(node) = self.nodes.get_mut(id) else { return self.ended_unknown(exchange) };
        node.open = false;
        // A client can reset a stream before the server has read of it.
        node.lingers = role == Role::Client && exchange.outcome == Outcome::Reset;
        node.exchange = Some(exchange);
        self.now = at;
        let (parent, process, thread) = (node.parent, node.process, node.thread);
        match (role, parent) {
            (Role::Client, Parent::Tentative(request, link)) => self.set_parent(id, Parent::Certain(request, link)),
            (Role::Client, Parent::Waiting) => {
                let parent = match self.enclosing.only(process, destination, id.number) {
                    Only::One(request) => Parent::Certain(request, ONLY_ENCLOSING),
                    Only::Several => {
                        self.diagnostics.push_back(DiagnosticKind::AmbiguousLink);
                        Parent::None
                    }
                    Only::None => Parent::None,
                };
                self.set_parent(id, parent);
            }
            (Role::Server, _) => {
                if let Some(tid) = thread {
                    self.threads.close(process, tid, id);
                }
                self.enclosing.close(process, id.number);
                self.refute_open_calls(id);
                if parent == Parent::Waiting {
                    self.decide_waiting_server(id, key);
                }
            }
            _ => {}
        }
        self.hand_on_or_hold(id);
    }

    fn decide_waiting_server(&mut self, id: NodeId, (conn, pos): (ConnKey, u64)) {
        match self.client_end(conn, pos) {
            Peer::Found(client) if !self.nodes.is_above(id, client) => {
                self.set_parent(id, Parent::Certain(client, CONNECTION));
            }
            Peer::NotYet | Peer::None if self.several_origins => {}
            _ => self.set_parent(id, Parent::None),
        }
    }

    /// A call that is still under way when its supposed cause has been answered was not made for it.
    fn refute_open_calls(&mut self, request: NodeId) {
        let children = self.nodes.get(request).map_or(Vec::new(), |node| node.children.clone());
        for child in children {
            let tentative = self.nodes.get(child).map(|node| node.parent);
            if matches!(tentative, Some(Parent::Tentative(parent, _)) if parent == request) {
                self.set_parent(child, Parent::None);
            }
        }
    }

    /// An exchange whose beginning was not followed, because too many were under way.
    fn ended_unknown(&mut self, exchange: Box<Exchange>) {
        let ids = request_ids(&exchange.conn, exchange.role, exchange.request.message.pos);
        let context = exchange.request.head.context.filter(|_| !self.options.ignore_traceparent);
        let (trace_id, parent) = match context {
            Some(context) => (context.trace_id, Some((context.parent_id, WIRE))),
            None => (ids.trace_id(), None),
        };
        let flag = context.map(TraceContext::sampled);
        self.out.push_back(Linked { exchange, trace_id, flag, span_id: ids.span_id(), parent });
    }

    /// Tape time has come to `at`.
    pub fn advance(&mut self, at: MonoNanos) {
        self.now = at;
        self.ends.advance(at);
        while let Some(&(due, id)) = self.lingering.front()
            && due <= at
        {
            self.lingering.pop_front();
            self.forget(id);
        }
        let Horizon::Nanos(horizon) = self.options.horizon else { return };
        while let Some(&(end, id)) = self.held.front()
            && end.plus(horizon) <= at
        {
            self.held.pop_front();
            if self.is_held(id) {
                self.diagnostics.push_back(DiagnosticKind::LinkHorizon);
                self.force(id);
            }
        }
    }

    /// The tape is over: what is held is let go, unlinked where undecided.
    pub fn finish(&mut self) {
        while let Some((_, id)) = self.held.pop_front() {
            self.force(id);
        }
    }

    fn hand_on_or_hold(&mut self, id: NodeId) {
        self.settle(id);
        let Some(node) = self.nodes.get_mut(id).filter(|node| node.exchange.is_some()) else { return };
        node.held = true;
        self.held.push_back((self.now, id));
        self.held_count += 1;
        while self.held_count > self.limits.held_spans
            && let Some((_, oldest)) = self.held.pop_front()
        {
            if self.is_held(oldest) {
                self.diagnostics.push_back(DiagnosticKind::SpanHeldTooLong);
                self.force(oldest);
            }
        }
        if self.held.len() > 2 * self.limits.held_spans {
            let nodes = &self.nodes;
            self.held.retain(|&(_, id)| nodes.get(id).is_some_and(|node| node.held));
        }
    }

    fn is_held(&self, id: NodeId) -> bool {
        self.nodes.get(id).is_some_and(|node| node.exchange.is_some())
    }

    /// Settles a node by giving up the undecided link that it waits for, its own or one above it.
    fn force(&mut self, id: NodeId) {
        let mut at = id;
        while let Some(node) = self.nodes.get(at)
            && node.settled.is_none()
        {
            match node.parent {
                Parent::Certain(parent, _) => at = parent,
                Parent::Tentative(..) | Parent::Waiting | Parent::None => {
                    self.set_parent(at, Parent::None);
                    return;
                }
            }
        }
    }

    fn client_end(&mut self, server: ConnKey, pos: u64) -> Peer {
        match self.ends.partner(server) {
            Partner::None => Peer::None,
            Partner::One(client) => self.requests.get(&(client, pos)).map_or(Peer::NotYet, |&id| Peer::Found(id)),
            Partner::Ambiguous => {
                self.diagnostics.push_back(DiagnosticKind::AmbiguousLink);
                Peer::None
            }
        }
    }

    /// Gives a node its parent, and settles what follows from that.
    fn set_parent(&mut self, id: NodeId, parent: Parent) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let before = std::mem::replace(&mut node.parent, parent);
        match (before, parent) {
            (Parent::Tentative(above, _), Parent::Certain(same, _)) if above == same => {
                // A settled parent keeps only calls that may yet be refuted.
                if let Some(above) = self.nodes.get_mut(above).filter(|above| above.settled.is_some()) {
                    above.children.retain(|&child| child != id);
                }
            }
            (_, Parent::Tentative(above, _) | Parent::Certain(above, _)) => match self.nodes.get_mut(above) {
                Some(above) if above.settled.is_some() && matches!(parent, Parent::Certain(..)) => {}
                Some(above) => above.children.push(id),
                None => return self.set_parent(id, Parent::None),
            },
            (_, Parent::Waiting | Parent::None) => {}
        }
        self.settle(id);
    }

    /// Settles `id` if its parent allows it, then those below it, and hands on the finished ones.
    fn settle(&mut self, id: NodeId) {
        let mut ready = std::mem::take(&mut self.ready);
        ready.push(id);
        let mut at = 0;
        while let Some(&id) = ready.get(at) {
            at += 1;
            let Some(settled) = self.nodes.get(id).and_then(|node| node.settled.or_else(|| self.settlement(node)))
            else {
                continue;
            };
            let Some(node) = self.nodes.get_mut(id) else { continue };
            let children =
                if node.settled.replace(settled).is_none() { std::mem::take(&mut node.children) } else { Vec::new() };
            if let Some(exchange) = node.exchange.take() {
                self.held_count -= usize::from(std::mem::take(&mut node.held));
                let (span_id, Settled { trace_id, flag, parent }) = (node.ids.span_id(), settled);
                self.out.push_back(Linked { exchange, trace_id, flag, span_id, parent });
            }
            self.pass_down(id, children, &mut ready);
        }
        // Only now: the ones below look their parents up.
        for &id in &ready {
            self.let_go(id);
        }
        ready.clear();
        self.ready = ready;
    }

    /// Sorts the children of a node that has just been settled: those that are certain follow, tentative ones stay.
    fn pass_down(&mut self, id: NodeId, mut children: Vec<NodeId>, ready: &mut Vec<NodeId>) {
        children.retain(|&child| {
            let tentative = matches!(self.nodes.get(child).map(|node| node.parent), Some(Parent::Tentative(..)));
            if !tentative {
                ready.push(child);
            }
            tentative
        });
        if let Some(node) = self.nodes.get_mut(id)
            && !children.is_empty()
        {
            node.children = children;
        }
    }

    /// Trace and parent of a node, if its parent is decided and settled.
    fn settlement(&self, node: &Node) -> Option<Settled> {
        let above = match node.parent {
            Parent::Waiting | Parent::Tentative(..) => return None,
            Parent::None => None,
            Parent::Certain(parent, link) => {
                let parent = self.nodes.get(parent)?;
                Some((parent.settled?, parent.ids.span_id(), link))
            }
        };
        Some(match (node.context, above) {
            // The wire names the trace; a recorded parent in the same trace is nearer than the one on the wire.
            (Some(context), Some((above, span_id, link))) if above.trace_id == context.trace_id => {
                let flag = Some(context.sampled());
                Settled { trace_id: context.trace_id, flag, parent: Some((span_id, link)) }
            }
            (Some(context), _) => {
                let (trace_id, flag) = (context.trace_id, Some(context.sampled()));
                Settled { trace_id, flag, parent: Some((context.parent_id, WIRE)) }
            }
            (None, Some((above, span_id, link))) => Settled { parent: Some((span_id, link)), ..above },
            (None, None) => Settled { trace_id: node.ids.trace_id(), flag: None, parent: None },
        })
    }

    /// A node that was handed on is no longer needed, unless its peer may come late.
    fn let_go(&mut self, id: NodeId) {
        if self.nodes.get(id).is_none_or(|node| node.settled.is_none() || node.open) {
            return;
        }
        if self.several_origins || self.nodes.get(id).is_some_and(|node| node.lingers) {
            self.lingering.push_back((self.now.plus(LINGER_NANOS), id));
        } else {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get(id) {
            self.requests.remove(&(node.conn, node.pos));
            self.nodes.remove(id);
        }
    }
}

/// The same request at the other end of its connection.
enum Peer {
    Found(NodeId),
    /// The other end is recorded, but this request was not seen there.
    NotYet,
    None,
}

/// How long a finished request is still found by a peer from another recording, whose clock may be behind.
const LINGER_NANOS: u64 = 1_000_000_000;

const WIRE: Link = Link { rule: LinkRule::Wire, strength: Strength::Certain };
const CONNECTION: Link = Link { rule: LinkRule::Connection, strength: Strength::Certain };
const THREAD: Link = Link { rule: LinkRule::Thread, strength: Strength::Certain };
const ONLY_ENCLOSING: Link = Link { rule: LinkRule::OnlyEnclosing, strength: Strength::Likely };
