//! The tape that an import writes: events to blocks in memory, which whoever reads the import takes from there.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use redtape_core::tape::{CloseReason, Meta, Writer, WriterOptions};
use redtape_core::{Body, ClockAnchor, Event, Ext, Loss, MonoNanos, Origin, WallNanos};

/// Bytes of a tape between its writer and its reader.
#[derive(Clone, Default)]
pub(super) struct Blocks(Arc<Mutex<Vec<u8>>>);

impl Blocks {
    /// Takes what was written into `into`, whose own bytes are dropped.
    pub(super) fn take(&self, into: &mut Vec<u8>) {
        into.clear();
        std::mem::swap(into, &mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes events in order of time. The capture's clock tells nanoseconds since the Unix epoch, and so does the tape's
/// monotonic one.
pub(crate) struct Transcript {
    writer: Writer<Blocks>,
    origin: Origin,
    /// The number of the next event.
    seq: u64,
    connections: u64,
    /// The latest time of an event; `None` before the first.
    now: Option<u64>,
    /// Until when losses were told.
    lossy_until: MonoNanos,
}

impl Transcript {
    /// Begins a tape.
    pub(super) fn new(meta: &Meta, blocks: Blocks, options: WriterOptions) -> io::Result<Self> {
        let writer = Writer::new(blocks, meta, options)?;
        Ok(Self { writer, origin: meta.origin, seq: 0, connections: 0, now: None, lossy_until: MonoNanos::ZERO })
    }

    /// What numbers of connections and processes are counted in.
    pub(super) const fn origin(&self) -> Origin {
        self.origin
    }

    /// The latest time of an event.
    pub(super) fn now(&self) -> u64 {
        self.now.unwrap_or_default()
    }

    /// The number of a new connection.
    pub(super) const fn next_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    /// Takes an event. One from before another is marked `late`.
    #[inline]
    pub(super) fn push(&mut self, time: u64, body: Body<'_>) -> io::Result<()> {
        if self.now.is_none() {
            self.begin(time)?;
        }
        let late = time < self.now();
        let entry = body.is_entry();
        let event = Event { time: MonoNanos::new(time), cpu: 0, seq: self.seq, late, body, ext: Ext::default() };
        self.writer.push(&event)?;
        if !entry {
            self.seq += 1;
            self.now = Some(self.now().max(time));
        }
        Ok(())
    }

    /// Tells of a loss. One that lies within another that was told is in it.
    pub(super) fn lose(&mut self, time: u64, loss: Loss) -> io::Result<()> {
        if loss.from < self.lossy_until {
            return Ok(());
        }
        self.lossy_until = loss.to;
        self.push(time, Body::Loss(loss))
    }

    /// The clock, before the first event.
    #[cold]
    fn begin(&mut self, time: u64) -> io::Result<()> {
        self.now = Some(time);
        let anchor = ClockAnchor {
            mono: MonoNanos::new(time),
            boot_nanos: time,
            wall: WallNanos::new(time),
            uncertainty_nanos: 0,
        };
        self.push(time, Body::Clock { origin: self.origin, anchor })
    }

    /// Writes what is left, and the end of the tape. Without `whole` the tape has none: so its readers know that the
    /// capture it was made of was cut.
    pub(super) fn finish(mut self, whole: bool) -> io::Result<()> {
        if whole { self.writer.finish(CloseReason::Done).map(drop) } else { self.writer.flush() }
    }
}
