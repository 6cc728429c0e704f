//! The thread rule: a thread that has read a request and not yet answered it makes its calls on behalf of that request,
//! provided that both sockets block and that the thread has never waited for events, so that it can serve one request
//! at a time only.

use rustc_hash::FxHashMap;

use super::node::NodeId;
use crate::event::{DataFlags, Stamp};
use crate::ids::{ProcKey, Tid};

/// The open requests of each thread.
#[derive(Debug, Default)]
pub(super) struct Threads {
    open: FxHashMap<(ProcKey, Tid), Vec<NodeId>>,
}

/// Whether a call tells anything about the request that its thread works for.
pub(super) fn blocking(stamp: &Stamp) -> bool {
    stamp.loop_turn == 0 && !stamp.flags.contains(DataFlags::NONBLOCKING)
}

impl Threads {
    /// The thread has read a request.
    pub(super) fn open(&mut self, process: ProcKey, tid: Tid, request: NodeId) {
        self.open.entry((process, tid)).or_default().push(request);
    }

    /// The request has been answered.
    pub(super) fn close(&mut self, process: ProcKey, tid: Tid, request: NodeId) {
        if let Some(requests) = self.open.get_mut(&(process, tid)) {
            requests.retain(|&open| open != request);
            if requests.is_empty() {
                self.open.remove(&(process, tid));
            }
        }
    }

    /// Which requests are open is not known any more.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    /// The requests that the thread has read and not answered, in the order of reading.
    pub(super) fn requests(&self, process: ProcKey, tid: Tid) -> &[NodeId] {
        self.open.get(&(process, tid)).map_or(&[], Vec::as_slice)
    }
}
