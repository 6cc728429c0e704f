//! A queue with a bound, and the thread that empties it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
pub(in crate::export) use tokio::sync::mpsc::Receiver as Queue;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Sender, channel};

use super::courier::{Courier, Destination, Duty};
use super::way::{BoxError, Way};
use crate::export::{Counted, Sent};
use crate::failure::{Failure, Kind, Result, chain};

/// A queue, the thread that empties it, and what brings away what is in it.
pub(in crate::export) struct Line<T> {
    queue: Sender<T>,
    thread: JoinHandle<()>,
    courier: Arc<Courier>,
    live: bool,
}

impl<T: Send + 'static> Line<T> {
    /// A line with room for `capacity` items to `destination`, on the thread `name`. `way` is made within the runtime on which
    /// `work` then empties the queue.
    ///
    /// # Errors
    ///
    /// There is no way, or no thread.
    pub(in crate::export) fn new<W: Future<Output = ()>>(
        name: &str,
        capacity: usize,
        (destination, duty): (Destination, Duty),
        way: impl FnOnce() -> std::result::Result<Box<dyn Way>, BoxError>,
        work: impl FnOnce(Queue<T>, Arc<Courier>) -> W + Send + 'static,
    ) -> Result<Self> {
        let unable =
            |error: io::Error| Failure::message(Kind::Environment, format!("no thread to export with: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(unable)?;
        let way = {
            let _within = runtime.enter();
            let unusable =
                |error: BoxError| Failure::message(Kind::Usage, format!("{}: {}", destination.name, chain(&*error)));
            way().map_err(unusable)?
        };
        let live = duty.live;
        let courier = Arc::new(Courier::new(way, destination, duty));
        let (queue, entries) = channel(capacity);
        let own = Arc::clone(&courier);
        let thread = thread::Builder::new().name(name.into());
        let thread = thread.spawn(move || runtime.block_on(work(entries, own))).map_err(unable)?;
        Ok(Self { queue, thread, courier, live })
    }

    /// Puts `item`, which is of `count` units, into the queue, and tells whether it is there. Where that is full a replay
    /// waits; a live run goes on without.
    pub(in crate::export) fn push(&self, item: T, count: u64) -> bool {
        let counters = self.courier.counters();
        self.look();
        counters.given(count);
        if !self.live {
            let sent = self.queue.blocking_send(item).is_ok();
            if !sent {
                counters.failed(count);
            }
            return sent;
        }
        let sent = self.queue.try_send(item);
        match &sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => counters.dropped(count),
            Err(TrySendError::Closed(_)) => counters.failed(count),
        }
        sent.is_ok()
    }

    /// Whether [`push`](Self::push) would put an item into the queue: at once, or after a wait.
    pub(in crate::export) fn has_room(&self) -> bool {
        !self.queue.is_closed() && (!self.live || self.queue.capacity() > 0)
    }

    /// Tells the counters how much waits.
    pub(in crate::export) fn look(&self) {
        self.courier.counters().look_at(&self.queue);
    }

    /// Waits until all is sent, or it is clear that it cannot be, and tells what became of it.
    pub(in crate::export) fn finish(self) -> Sent {
        self.courier.hurry();
        drop(self.queue);
        let ended = self.thread.join();
        let counters = self.courier.counters();
        let counted @ Counted { exported, failed, dropped, .. } = counters.counted();
        // What a thread that panicked had and what waited for it: that it panicked was told already.
        let lost = counted.pending();
        counters.failed(lost);
        let failed = failed + lost;
        let error = match self.courier.error() {
            _ if ended.is_err() => "the sending thread failed".into(),
            error if error.is_empty() && dropped > 0 => "the queue was full".into(),
            error => error,
        };
        let what = self.courier.name().into();
        Sent { what, arrived: exported, failed: failed + dropped, error, ..Sent::default() }
    }
}
