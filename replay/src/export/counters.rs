//! What became of what was exported, as it happens: for the internal metrics, which read while exporters run.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::Sender;

/// Counts of one signal, of things (spans, points, samples) unless said otherwise.
#[derive(Debug, Default)]
pub(crate) struct SignalCounters {
    given: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    requests: AtomicU64,
    retried: AtomicU64,
    waiting: AtomicU64,
    room: AtomicU64,
}

/// What [`SignalCounters`] had counted at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The exporter got them.
    pub(crate) given: u64,
    /// The back end took them.
    pub(crate) exported: u64,
    /// The back end did not take them, or could not be reached for as long as was tried.
    pub(crate) failed: u64,
    /// They were not even tried, because the queue was full.
    pub(crate) dropped: u64,
    /// Requests that were answered, in whatever way, or not.
    pub(crate) requests: u64,
    /// Requests that were one more try.
    pub(crate) retried: u64,
    /// What is in the queue now: spans, snapshots of metrics, or requests of remote write.
    pub(crate) waiting: u64,
    /// How much the queue holds; 0 without an exporter.
    pub(crate) room: u64,
}

impl Counted {
    /// What has neither arrived nor was it lost so far.
    pub(crate) fn pending(&self) -> u64 {
        self.given.saturating_sub(self.exported + self.failed + self.dropped)
    }
}

impl SignalCounters {
    /// The exporter got so many.
    pub(crate) fn given(&self, count: u64) {
        self.given.fetch_add(count, Ordering::Relaxed);
    }

    /// The back end took so many.
    pub(crate) fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Ordering::Relaxed);
    }

    /// So many were lost on the way to the back end, or refused by it.
    pub(crate) fn failed(&self, count: u64) {
        self.failed.fetch_add(count, Ordering::Relaxed);
    }

    /// So many found the queue full.
    pub(crate) fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// A request was made; `again` if it is one more try.
    pub(crate) fn request(&self, again: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.retried.fetch_add(again.into(), Ordering::Relaxed);
    }

    /// There is so much in this queue.
    pub(crate) fn look_at<T>(&self, queue: &Sender<T>) {
        let room = queue.max_capacity();
        self.room.store(room as u64, Ordering::Relaxed);
        self.waiting.store(room.saturating_sub(queue.capacity()) as u64, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(crate) fn counted(&self) -> Counted {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            given: load(&self.given),
            exported: load(&self.exported),
            failed: load(&self.failed),
            dropped: load(&self.dropped),
            requests: load(&self.requests),
            retried: load(&self.retried),
            waiting: load(&self.waiting),
            room: load(&self.room),
        }
    }
}

/// Counts of all signals. Shared: exporters count, and whoever wants reads.
#[derive(Debug, Default)]
pub(crate) struct ExportCounters {
    /// Spans by OTLP.
    pub(crate) traces: SignalCounters,
    /// Points of metrics by OTLP.
    pub(crate) metrics: SignalCounters,
    /// Samples by remote write.
    pub(crate) remote_write: SignalCounters,
    /// Blocks of a live run's tape that wait for the engine.
    pub(crate) blocks: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_apart() {
        let counters = ExportCounters::default();
        counters.traces.given(9);
        counters.traces.exported(3);
        counters.traces.failed(2);
        counters.traces.request(false);
        counters.traces.request(true);
        counters.metrics.dropped(1);
        let traces = Counted { given: 9, exported: 3, failed: 2, requests: 2, retried: 1, ..Counted::default() };
        assert_eq!(counters.traces.counted(), traces);
        assert_eq!(traces.pending(), 4);
        assert_eq!(counters.metrics.counted(), Counted { dropped: 1, ..Counted::default() });
        let (queue, _entries) = tokio::sync::mpsc::channel(4);
        queue.try_send(()).unwrap();
        counters.remote_write.look_at(&queue);
        let remote_write = Counted { waiting: 1, room: 4, ..Counted::default() };
        assert_eq!(counters.remote_write.counted(), remote_write);
    }
}
