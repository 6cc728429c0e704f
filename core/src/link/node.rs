//! Requests under way, as nodes that point to their parents.
//!
//! ```text
//!             link refuted, or none to be had
//!   Waiting ─────────────────────────────────▶ settled: trace and parent id are final
//!      │ link found                                 ▲
//!      ▼                                            │ parent settled
//!   Tentative(parent) ──call ended in time──▶ Certain(parent)
//! ```

use crate::exchange::{Exchange, Started, TraceContext};
use crate::facts::{ConnInfo, Role};
use crate::ids::{ConnKey, IdHasher, ProcKey, SpanId, Tid, TraceId};
use crate::span::Link;
use crate::time::MonoNanos;

/// A node's place in the arena, and its number, by which a place that was used again is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId {
    index: u32,
    pub(super) number: u64,
}

/// What is known of a node's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// Undecided: a parent may yet turn up.
    Waiting,
    /// A parent by a rule that the end of the call has yet to confirm.
    Tentative(NodeId, Link),
    /// The parent.
    Certain(NodeId, Link),
    /// There is none.
    None,
}

/// What goes into the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) trace_id: TraceId,
    pub(super) flag: Option<bool>,
    pub(super) parent: Option<(SpanId, Link)>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) conn: ConnKey,
    pub(super) pos: u64,
    pub(super) role: Role,
    pub(super) process: ProcKey,
    /// The thread whose open request this is, for servers that block.
    pub(super) thread: Option<Tid>,
    /// When its head was complete.
    pub(super) read: MonoNanos,
    pub(super) ids: IdHasher,
    pub(super) context: Option<TraceContext>,
    pub(super) parent: Parent,
    pub(super) settled: Option<Settled>,
    /// No request that is not known to its thread can be under way on its connection.
    pub(super) alone: bool,
    /// The other end may look for it after it has ended.
    pub(super) lingers: bool,
    /// Its end has not been seen.
    pub(super) open: bool,
    /// It is in the queue of those that have ended and are not settled.
    pub(super) held: bool,
    /// The finished exchange, until it is handed on.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Those that have this node as their parent and are not settled.
    pub(super) children: Vec<NodeId>,
}

impl Node {
    pub(super) fn new(started: &Started, thread: Option<Tid>) -> Self {
        Self {
            conn: started.conn.key,
            pos: started.pos,
            role: started.role,
            process: started.process,
            thread,
            read: started.head.exit,
            ids: request_ids(&started.conn, started.role, started.pos),
            context: started.context,
            parent: Parent::Waiting,
            settled: None,
            alone: started.alone,
            lingers: false,
            open: true,
            held: false,
            exchange: None,
            children: Vec::new(),
        }
    }
}

/// The ids of a request: of the connection's origin and number, the request's direction and position.
pub(super) fn request_ids(conn: &ConnInfo, role: Role, pos: u64) -> IdHasher {
    let direction = u64::from(role == Role::Client);
    IdHasher::new(conn.origin, conn.id).with(direction).with(pos)
}

/// Nodes in reusable places.
#[derive(Debug, Default)]
pub(super) struct Arena {
    places: Vec<Option<(u64, Node)>>,
    free: Vec<u32>,
    next: u64,
}

impl Arena {
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        let number = self.next;
        self.next += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).expect("invariant: the linker bounds the number of nodes")
        });
        self.places[index as usize] = Some((number, node));
        NodeId { index, number }
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        let (number, node) = self.places.get(id.index as usize)?.as_ref()?;
        (*number == id.number).then_some(node)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        let (number, node) = self.places.get_mut(id.index as usize)?.as_mut()?;
        (*number == id.number).then_some(node)
    }

    /// The nodes whose link is not confirmed, in the order of their places.
    pub(super) fn tentative(&self) -> Vec<NodeId> {
        let places = self.places.iter().zip(0..).filter_map(|(place, index)| Some((place.as_ref()?, index)));
        places
            .filter(|((_, node), _)| matches!(node.parent, Parent::Tentative(..)))
            .map(|(&(number, _), index)| NodeId { index, number })
            .collect()
    }

    pub(super) fn remove(&mut self, id: NodeId) {
        if self.get(id).is_some() {
            self.places[id.index as usize] = None;
            self.free.push(id.index);
        }
    }

    /// Whether `ancestor` is `id` itself or above it.
    pub(super) fn is_above(&self, ancestor: NodeId, id: NodeId) -> bool {
        let mut at = id;
        loop {
            if at == ancestor {
                return true;
            }
            match self.get(at).map(|node| node.parent) {
                Some(Parent::Tentative(parent, _) | Parent::Certain(parent, _)) => at = parent,
                _ => return false,
            }
        }
    }
}
