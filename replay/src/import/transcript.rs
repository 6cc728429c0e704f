//! The tape that an import writes: events to blocks in memory, which whoever reads the import takes from there.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use redtape_core::tape::{CloseReason, Meta, Writer, WriterOptions};
use redtape_core::{Body, ClockAnchor, Event, Ext, Loss, MonoNanos, Origin, WallNanos};

/// Bytes of a tape between its writer and its reader.
#[derive(Clone, Default)]
pub(crate) struct TapeBytes(Arc<Mutex<Vec<u8>>>);

impl TapeBytes {
    /// Takes what was written into `into`, whose own bytes are dropped.
    pub(crate) fn take(&self, into: &mut Vec<u8>) {
        into.clear();
        std::mem::swap(into, &mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Write for TapeBytes {
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
    /// `None` until there is something to write.
    writer: Option<Writer<TapeBytes>>,
    bytes: TapeBytes,
    options: WriterOptions,
    meta: Meta,
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
    pub(super) const fn new(meta: Meta, bytes: TapeBytes, options: WriterOptions) -> Self {
        let (writer, lossy_until) = (None, MonoNanos::ZERO);
        Self { writer, bytes, options, meta, seq: 0, connections: 0, now: None, lossy_until }
    }

    /// What numbers of connections and processes are counted in.
    pub(super) const fn origin(&self) -> Origin {
        self.meta.origin
    }

    /// The tape is one that was exported: from now on it is that one.
    pub(super) fn adopt(&mut self, meta: &Meta) {
        if self.writer.is_none() {
            self.meta = meta.clone();
        }
    }

    /// Takes an event as it was on a tape that was exported.
    pub(super) fn restore(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.writer()?.push(event)
    }

    fn writer(&mut self) -> io::Result<&mut Writer<TapeBytes>> {
        if self.writer.is_none() {
            self.writer = Some(Writer::new(self.bytes.clone(), &self.meta, self.options)?);
        }
        self.writer.as_mut().ok_or_else(|| io::Error::other("a tape without a writer"))
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
        let entry = body.is_entry();
        if self.now.is_none() && !entry {
            self.begin(time)?;
        }
        let late = time < self.now();
        let event = Event { time: MonoNanos::new(time), cpu: 0, seq: self.seq, late, body, ext: Ext::default() };
        self.writer()?.push(&event)?;
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
        self.push(time, Body::Clock { origin: self.meta.origin, anchor })
    }

    /// Writes what is left, and the end of the tape. Without `whole` the tape has none: so its readers know that the
    /// capture it was made of was cut.
    pub(super) fn finish(mut self, whole: bool) -> io::Result<()> {
        self.writer()?;
        match self.writer {
            Some(writer) if whole => writer.finish(CloseReason::Done).map(drop),
            Some(mut writer) => writer.flush(),
            None => Ok(()),
        }
    }
}
