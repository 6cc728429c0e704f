//! The only-enclosing rule: a call made while its process serves exactly one request belongs to it. Not a fact but a
//! guess, so it is behind a switch, and never applied to a destination that the process also calls on its own account.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rustc_hash::{FxHashMap, FxHashSet};

use super::node::NodeId;
use crate::ids::ProcKey;

/// Destinations remembered as called outside of any request; beyond that the rule is switched off.
const BACKGROUND_LIMIT: usize = 16 << 10;

/// The open requests of each process, and the calls that processes make without one.
#[derive(Debug, Default)]
pub(super) struct Enclosing {
    open: FxHashMap<ProcKey, BTreeMap<u64, NodeId>>,
    background: FxHashSet<(ProcKey, Option<SocketAddr>)>,
}

impl Enclosing {
    /// A request was read; `number` counts requests in their order.
    pub(super) fn open(&mut self, process: ProcKey, number: u64, request: NodeId) {
        self.open.entry(process).or_default().insert(number, request);
    }

    /// It was answered.
    pub(super) fn close(&mut self, process: ProcKey, number: u64) {
        if let Some(requests) = self.open.get_mut(&process) {
            requests.remove(&number);
            if requests.is_empty() {
                self.open.remove(&process);
            }
        }
    }

    /// A call begins: remembers its destination if there is no request that it could belong to.
    pub(super) fn call(&mut self, process: ProcKey, destination: Option<SocketAddr>) {
        if !self.open.contains_key(&process) && self.background.len() < BACKGROUND_LIMIT {
            self.background.insert((process, destination));
        }
    }

    /// The requests that were open when the call with this number began and still are, at its end: none, one or "several".
    pub(super) fn only(&self, process: ProcKey, destination: Option<SocketAddr>, number: u64) -> Only {
        let known = self.background.len() < BACKGROUND_LIMIT && !self.background.contains(&(process, destination));
        let mut around = self.open.get(&process).filter(|_| known).into_iter().flat_map(|open| open.range(..number));
        match (around.next(), around.next()) {
            (None, _) => Only::None,
            (Some((_, &request)), None) => Only::One(request),
            (Some(_), Some(_)) => Only::Several,
        }
    }
}

/// How many requests enclose a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    None,
    One(NodeId),
    Several,
}
