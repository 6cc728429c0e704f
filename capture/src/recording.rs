//! The loop of a recording: probes to events to tape, until something ends it.
//!
//! It owns the order of things and nothing else. The probes stand behind [`RecordSource`], the tape behind [`EventSink`],
//! so that the loop is tested without a kernel and without a disk.

use std::io;
use std::time::Duration;

use redtape_core::{Body, ConnInfo, Event, MonoNanos, Origin, Tgid};

use crate::host::{clock_anchor, monotonic_now};
use crate::process::{Change, ProcFs, ProcessTable};
use crate::progress::{Progress, Totals};
use crate::snapshot::snapshot;

/// How far behind the clock events are written, so that records of different CPUs can be put in order.
pub const REORDER_WINDOW: Duration = Duration::from_millis(50);

/// How long the loop waits for records at most: it also bounds how late a signal is seen.
const WAIT: Duration = Duration::from_millis(10);

/// How often the clocks are written to the tape.
const CLOCK_PERIOD: Duration = Duration::from_secs(10);

/// How long the tape may be without an event before a tick is written.
const TICK_PERIOD: Duration = Duration::from_millis(100);

/// The probes, and the transcription of their records to events.
pub trait RecordSource {
    /// Records of this process are wanted from now on.
    ///
    /// # Errors
    /// The table in the kernel is full or not to be written.
    fn follow(&mut self, process: Tgid) -> io::Result<()>;

    /// Records of this process are not wanted any longer.
    ///
    /// # Errors
    /// The table in the kernel is not to be written.
    fn unfollow(&mut self, process: Tgid) -> io::Result<()>;

    /// Connections that come in at this port are wanted, before any process has accepted them.
    ///
    /// # Errors
    /// The table in the kernel is full or not to be written.
    fn follow_listener(&mut self, netns: u32, port: u16) -> io::Result<()>;

    /// These connections are open already.
    ///
    /// # Errors
    /// The table in the kernel is full or not to be written.
    fn know_connections(&mut self, connections: &[ConnInfo]) -> io::Result<()>;

    /// Waits for records, at most for `timeout`. A signal ends the wait.
    ///
    /// # Errors
    /// The ring cannot be waited for.
    fn wait(&mut self, timeout: Duration) -> io::Result<()>;

    /// Takes in the records that are there, and tells `processes` of forks, execs and exits.
    ///
    /// # Errors
    /// The ring cannot be read.
    fn take_in(&mut self, processes: &mut ProcessTable) -> io::Result<()>;

    /// Hands over the events up to `until` in order.
    ///
    /// # Errors
    /// That of `each`.
    fn hand_over(&mut self, until: MonoNanos, each: &mut dyn FnMut(&Event<'_>) -> io::Result<()>) -> io::Result<()>;

    /// What tells arrivals on this kernel, for the tape; empty if nothing does.
    fn arrival_hook(&self) -> &str;

    /// Records that were lost so far, for whatever cause.
    fn lost(&self) -> u64;
}

/// The tape.
pub trait EventSink {
    /// Writes an event.
    ///
    /// # Errors
    /// The disk is full, or the pipe is closed. What was written before stays readable.
    fn push(&mut self, event: &Event<'_>) -> io::Result<()>;

    /// Notes the connections that were open when the recording began.
    ///
    /// # Errors
    /// As for [`EventSink::push`].
    fn snapshot(&mut self, time: MonoNanos, connections: &[ConnInfo]) -> io::Result<()>;

    /// Writes out what has waited for long enough at `now`.
    ///
    /// # Errors
    /// As for [`EventSink::push`].
    fn flush_due(&mut self, now: MonoNanos) -> io::Result<()>;

    /// Bytes written so far.
    fn bytes(&self) -> u64;

    /// Completes the tape.
    ///
    /// # Errors
    /// The disk is full. What was written before stays readable.
    fn finish(&mut self, reason: EndReason) -> io::Result<()>;
}

/// What the loop asks whether to go on.
pub trait Until {
    /// Why the recording is to end now, if it is.
    fn ended(&mut self, elapsed: Duration, processes: &ProcessTable) -> Option<EndReason>;
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// SIGINT or SIGTERM.
    Signal,
    /// `--duration` has passed.
    Duration,
    /// The command and its descendants have ended.
    CommandEnded,
    /// All processes that were chosen by id have ended.
    TargetsEnded,
    /// The reader of the pipe has gone.
    PipeClosed,
}

/// What went wrong, on which side.
#[derive(Debug)]
pub enum RecordingError {
    /// The processes or the probes.
    Source(io::Error),
    /// The tape.
    Sink(io::Error),
}

/// A recording while it runs.
pub struct Recording<'a> {
    origin: Origin,
    source: &'a mut dyn RecordSource,
    sink: &'a mut dyn EventSink,
    processes: ProcessTable,
    poll_interval: Duration,
    totals: Totals,
    started: MonoNanos,
    last_event: MonoNanos,
}

impl<'a> Recording<'a> {
    /// A recording of what `processes` chooses. Looks for new ones every `poll_interval`.
    pub fn new(
        origin: Origin,
        source: &'a mut dyn RecordSource,
        sink: &'a mut dyn EventSink,
        processes: ProcessTable,
        poll_interval: Duration,
    ) -> Self {
        let started = monotonic_now();
        let totals = Totals::default();
        Self { origin, source, sink, processes, poll_interval, totals, started, last_event: started }
    }

    /// Finds the processes, has them followed, and notes the connections that they have open. After this, nothing that
    /// they do is missed.
    ///
    /// # Errors
    /// `/proc`, the probes or the tape fail. What could not be looked at is returned as warnings instead.
    pub fn start(&mut self) -> Result<Vec<String>, RecordingError> {
        self.write(Body::Clock { origin: self.origin, anchor: clock_anchor() })?;
        self.rescan()?;
        let snapshot = snapshot(&ProcFs::new(), self.origin, self.processes.followed());
        self.source.know_connections(&snapshot.connections).map_err(RecordingError::Source)?;
        self.sink.snapshot(monotonic_now(), &snapshot.connections).map_err(RecordingError::Sink)?;
        self.totals.connections += snapshot.connections.len() as u64;
        let warning = |failed: &crate::snapshot::Unreadable| {
            let (pid, error) = (failed.tgid.0, &failed.error);
            format!("connections already open in the network namespace of process {pid} are not followed: {error}")
        };
        Ok(snapshot.unreadable.iter().map(warning).collect())
    }

    /// Records until `until` says so, then writes what is still on its way.
    ///
    /// # Errors
    /// The probes or the tape fail. What was written before stays.
    pub fn run(&mut self, until: &mut impl Until, progress: &mut Progress) -> Result<EndReason, RecordingError> {
        let window = nanos(REORDER_WINDOW);
        let (mut next_scan, mut next_clock) = (self.started, self.started.plus(nanos(CLOCK_PERIOD)));
        next_scan = next_scan.plus(nanos(self.poll_interval));
        loop {
            self.source.wait(WAIT).map_err(RecordingError::Source)?;
            let now = monotonic_now();
            self.source.take_in(&mut self.processes).map_err(RecordingError::Source)?;
            self.apply_changes()?;
            self.hand_over(now.minus(window))?;
            if now >= next_scan {
                self.rescan()?;
                next_scan = now.plus(nanos(self.poll_interval));
            }
            if now >= next_clock {
                self.write(Body::Clock { origin: self.origin, anchor: clock_anchor() })?;
                next_clock = now.plus(nanos(CLOCK_PERIOD));
            }
            self.sink.flush_due(now).map_err(RecordingError::Sink)?;
            progress.show(&self.totals());
            if let Some(reason) = until.ended(Duration::from_nanos(now.since(self.started)), &self.processes) {
                self.source.take_in(&mut self.processes).map_err(RecordingError::Source)?;
                self.apply_changes()?;
                self.hand_over(MonoNanos::MAX)?;
                self.write(Body::Clock { origin: self.origin, anchor: clock_anchor() })?;
                return Ok(reason);
            }
        }
    }

    /// What has been recorded so far.
    pub fn totals(&self) -> Totals {
        Totals {
            bytes: self.sink.bytes(),
            lost: self.source.lost(),
            processes: self.processes.followed().count(),
            ..self.totals
        }
    }

    fn rescan(&mut self) -> Result<(), RecordingError> {
        self.processes.scan().map_err(|error| RecordingError::Source(io::Error::other(error)))?;
        self.apply_changes()
    }

    /// Tells the probes and the tape what is new of processes. Facts go before the events of the process.
    fn apply_changes(&mut self) -> Result<(), RecordingError> {
        for change in self.processes.take_changes() {
            match change {
                Change::Follow(info) => {
                    self.source.follow(info.tgid).map_err(RecordingError::Source)?;
                    self.write(Body::Process(&info))?;
                }
                Change::Update(info) => self.write(Body::Process(&info))?,
                Change::Unfollow(tgid) => self.source.unfollow(tgid).map_err(RecordingError::Source)?,
                Change::Listen { netns, port } => {
                    self.source.follow_listener(netns, port).map_err(RecordingError::Source)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the events up to `until`, or a tick where there has been none for a while.
    fn hand_over(&mut self, until: MonoNanos) -> Result<(), RecordingError> {
        let Self { sink, totals, last_event, .. } = self;
        let mut sink_failed = false;
        let result = self.source.hand_over(until, &mut |event| {
            totals.events += 1;
            totals.connections += u64::from(matches!(event.body, Body::Connection(_)));
            *last_event = event.time.max(*last_event);
            sink.push(event).inspect_err(|_| sink_failed = true)
        });
        result
            .map_err(|error| if sink_failed { RecordingError::Sink(error) } else { RecordingError::Source(error) })?;
        if until != MonoNanos::MAX && until.since(self.last_event) >= nanos(TICK_PERIOD) {
            self.write_at(until, Body::Tick)?;
            self.last_event = until;
        }
        Ok(())
    }

    fn write(&mut self, body: Body<'_>) -> Result<(), RecordingError> {
        self.write_at(monotonic_now(), body)
    }

    fn write_at(&mut self, time: MonoNanos, body: Body<'_>) -> Result<(), RecordingError> {
        let event = Event { time, cpu: 0, seq: 0, late: false, body, ext: redtape_core::Ext::default() };
        self.sink.push(&event).map_err(RecordingError::Sink)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
