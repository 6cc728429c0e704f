//! A virtual shard: the connections whose keys end in the same bits, within bounds.

use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::conn::{Conn, Context};
use super::losses::Losses;
use super::lru::Lru;
use super::parser::EndKind;
use super::standstill::{Outbox, Standstill};
use crate::diagnostic::DiagnosticKind;
use crate::event::{Body, Event, Loss};
use crate::exchange::{Finding, What};
use crate::facts::ConnInfo;
use crate::ids::ConnKey;
use crate::limits::{Limits, SHARDS};
use crate::time::MonoNanos;

/// The virtual shard that a connection belongs to, below [`SHARDS`].
pub fn shard_of(conn: ConnKey) -> usize {
    usize::from(conn.get().to_le_bytes()[0]) % SHARDS
}

/// One of the [`SHARDS`] parts of stage 1: follows its connections and reads what they carry.
///
/// What it finds depends on the events and the watermarks that it is given, in their order, and on nothing else.
#[derive(Debug)]
pub struct Shard {
    limits: Limits,
    index: FxHashMap<ConnKey, u32>,
    conns: Lru<Conn>,
    /// The connections on which bytes wait for earlier ones, by the time at which those are given up.
    deadlines: BTreeSet<(MonoNanos, u32)>,
    /// Connections closed last, whose late events must not begin a new one.
    closed: VecDeque<ConnKey>,
    losses: Losses,
    /// Memory that connections use beyond their own size.
    held_bytes: usize,
    standstill: Standstill,
}

/// How long bytes wait for earlier ones, in nanoseconds of tape time: the recorder's reorder window.
const REORDER_NANOS: u64 = 50_000_000;
/// How many closed connections are remembered.
const CLOSED: usize = 64;

impl Shard {
    /// A shard without connections.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: *limits,
            index: FxHashMap::default(),
            conns: Lru::new(),
            deadlines: BTreeSet::new(),
            closed: VecDeque::new(),
            losses: Losses::default(),
            held_bytes: 0,
            standstill: Standstill::default(),
        }
    }

    /// Takes an event about one of the shard's connections; other events are ignored. `watermark` is the tape time
    /// reached with this event, and what is found goes to `out`.
    pub fn push(&mut self, event: &Event<'_>, watermark: MonoNanos, out: &mut Vec<Finding>) {
        let mut out = self.outbox(watermark, out);
        self.meet_deadlines(&mut out);
        self.take(event, &mut out);
        self.standstill = out.close();
    }

    const fn outbox<'a>(&self, watermark: MonoNanos, out: &'a mut Vec<Finding>) -> Outbox<'a> {
        Outbox::new(self.standstill, watermark, self.limits.shard_moment_bytes, out)
    }

    fn take(&mut self, event: &Event<'_>, out: &mut Outbox<'_>) {
        let Some(key) = event.body.conn() else { return };
        if let Body::Connection(info) = event.body {
            return self.open(info, out);
        }
        let Some(&at) = self.index.get(&key) else {
            let late = event.late || self.closed.contains(&key);
            let kind = if late { DiagnosticKind::LateEvent } else { DiagnosticKind::UnknownConnection };
            return out.push(key, 0, What::Diagnostic(kind, 1));
        };
        self.conns.touch(at);
        self.with(at, out, |conn, cx| conn.push(&event.body, event.time, cx));
        if let Body::Close { .. } = event.body {
            self.remove(at, out);
            self.remember(key);
        }
        self.make_room(0, out);
    }

    /// Tape time has reached `watermark`.
    #[inline]
    pub fn advance(&mut self, watermark: MonoNanos, out: &mut Vec<Finding>) {
        if !self.deadlines.is_empty() {
            let mut out = self.outbox(watermark, out);
            self.meet_deadlines(&mut out);
            self.standstill = out.close();
        }
    }

    /// Gives up the bytes that others have waited for until now.
    #[inline]
    fn meet_deadlines(&mut self, out: &mut Outbox<'_>) {
        while let Some(&(deadline, at)) = self.deadlines.first()
            && deadline < out.watermark
        {
            self.with(at, out, Conn::give_up);
            self.deadlines.remove(&(deadline, at));
        }
    }

    /// Records are missing, of any connection of a recording: what would else be an end without a response may be a
    /// lost response.
    pub fn lose(&mut self, loss: &Loss) {
        self.losses.add(loss, self.limits.origins);
    }

    /// The tape ends: what is under way is [`Incomplete`](crate::Outcome::Incomplete).
    pub fn finish(&mut self, watermark: MonoNanos, out: &mut Vec<Finding>) {
        // What is still held is within its own bounds.
        let mut out = Outbox::new(self.standstill, watermark, usize::MAX, out);
        out.report();
        while let Some(at) = self.oldest() {
            self.end(at, &mut out);
        }
        self.standstill = out.close();
    }

    /// A connection that is followed.
    pub(crate) fn conn(&self, key: ConnKey) -> Option<&Conn> {
        self.conns.get(*self.index.get(&key)?)
    }

    /// Memory that connections use beyond their own size, in bytes.
    #[cfg(test)]
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Memory in use, in bytes; tables count with what they have reserved.
    pub fn cost_bytes(&self) -> usize {
        self.held_bytes
            + self.conns.capacity() * (size_of::<Conn>() + 16)
            + self.conns.len() * size_of::<ConnInfo>()
            + self.index.capacity() * (size_of::<(ConnKey, u32)>() + 1)
            + self.closed.capacity() * size_of::<ConnKey>()
            + self.deadlines.len() * 32
    }

    /// A dictionary entry: a new connection, or more of a known one.
    fn open(&mut self, info: &ConnInfo, out: &mut Outbox<'_>) {
        let opened = if let Some(&at) = self.index.get(&info.key) {
            let Some(conn) = self.conns.get_mut(at) else { return };
            if !conn.learn(info) {
                return;
            }
            What::Learned(conn.info().clone())
        } else {
            if self.closed.contains(&info.key) {
                return;
            }
            self.make_room(1, out);
            let conn = Conn::new(info);
            let opened = conn.info().clone();
            let at = self.conns.insert(conn);
            self.index.insert(info.key, at);
            What::Opened(opened)
        };
        out.push(info.key, 0, opened);
    }

    /// Lets a connection work, and keeps account of its memory and deadline.
    #[inline]
    fn with(&mut self, at: u32, out: &mut Outbox<'_>, work: impl FnOnce(&mut Conn, &mut Context<'_, '_>)) {
        let Some(conn) = self.conns.get_mut(at) else { return };
        let (held, since) = (conn.held_bytes(), conn.waiting_since());
        let lossy_until = self.losses.until(conn.info().origin);
        work(conn, &mut Context { limits: &self.limits, lossy_until, out });
        self.held_bytes = self.held_bytes - held + conn.held_bytes();
        let now = conn.waiting_since();
        if now != since {
            if let Some(since) = since {
                self.deadlines.remove(&(since.plus(REORDER_NANOS), at));
            }
            if let Some(now) = now {
                self.deadlines.insert((now.plus(REORDER_NANOS), at));
            }
        }
    }

    /// Stops to follow a connection: how it goes on is not known.
    fn end(&mut self, at: u32, out: &mut Outbox<'_>) {
        let now = out.watermark;
        self.with(at, out, |conn, cx| conn.end_both(EndKind::Unknown, now, cx));
        self.remove(at, out);
    }

    /// Forgets a connection that has ended.
    fn remove(&mut self, at: u32, out: &mut Outbox<'_>) {
        let Some(conn) = self.conns.remove(at) else { return };
        let key = conn.info().key;
        self.held_bytes -= conn.held_bytes();
        self.index.remove(&key);
        out.push(key, 0, What::Closed);
    }

    fn remember(&mut self, key: ConnKey) {
        if self.closed.len() >= CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(key);
    }

    /// Whether there are too many connections to take `more`.
    #[inline]
    fn is_crowded(&self, more: usize) -> bool {
        self.conns.len() + more > self.limits.shard_connections.max(1)
    }

    /// Whether the connections hold too much memory.
    #[inline]
    const fn holds_too_much(&self) -> bool {
        self.held_bytes > self.limits.shard_buffered_bytes
    }

    /// Makes room for `more` connections, and within the memory they may hold.
    #[inline]
    fn make_room(&mut self, more: usize, out: &mut Outbox<'_>) {
        if self.is_crowded(more) || self.holds_too_much() {
            self.evict(more, out);
        }
    }

    /// Forgets the connections idle for longest, while there are too many to take `more`, or those of them that hold
    /// memory, while they hold too much.
    #[cold]
    fn evict(&mut self, more: usize, out: &mut Outbox<'_>) {
        if self.holds_too_much() {
            self.shed(out);
        }
        loop {
            let at = if self.is_crowded(more) {
                self.oldest()
            } else if self.holds_too_much() {
                self.conns.iter().find(|(_, conn)| conn.held_bytes() > 0).map(|(at, _)| at)
            } else {
                None
            };
            let Some(at) = at else { return };
            if let Some(conn) = self.conns.get_mut(at) {
                out.push(conn.info().key, 0, What::Diagnostic(DiagnosticKind::ConnectionEvicted, 1));
            }
            self.end(at, out);
        }
    }

    /// Has the connections idle for longest let go of what they can do without, until there is some room to spare.
    fn shed(&mut self, out: &mut Outbox<'_>) {
        let enough = self.limits.shard_buffered_bytes / 8 * 7;
        let mut over = self.held_bytes.saturating_sub(enough);
        let mut spare = Vec::new();
        for (at, conn) in self.conns.iter().filter(|(_, conn)| conn.spare_bytes() > 0) {
            spare.push(at);
            over = over.saturating_sub(conn.spare_bytes());
            if over == 0 {
                break;
            }
        }
        for at in spare {
            self.with(at, out, Conn::shed);
        }
    }

    fn oldest(&self) -> Option<u32> {
        self.conns.iter().next().map(|(at, _)| at)
    }
}
