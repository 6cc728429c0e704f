//! The loop of a recording: probes to events to tape, until something ends it.
//!
//! It owns the order of things and nothing else. The probes stand behind [`RecordSource`], the tape behind [`EventSink`],
//! so that the loop is tested without a kernel and without a disk.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use redtape_core::config::Discovery;
use redtape_core::{Body, ClockAnchor, ConnInfo, Event, Ext, MonoNanos, Origin, ProcessInfo, Tgid};

use crate::clock::{mono_now, read_clocks};
use crate::process::{Change, ProcFs, ProcessTable};
use crate::progress::{Progress, Totals};
use crate::snapshot::{Unreadable, snapshot};
use crate::transcribe::WINDOW_NANOS;

/// How long the loop waits for records at most: it also bounds how late a signal is seen.
const WAIT: Duration = Duration::from_millis(10);

/// How long the end of a recording waits for the records that are still on their way. What is left then is lost.
const REST: Duration = Duration::from_secs(2);

/// How many programs are named at the end of a recording, at most.
const NAMED_MAX: usize = 16;

/// How often the clocks are written to the tape.
const CLOCK_PERIOD: Duration = Duration::from_secs(10);

/// The probes, and the transcription of their records to events.
pub trait RecordSource {
    /// Records of this process, and facts of it, are wanted from now on.
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

    /// Connections that come in at this port are not wanted any longer.
    ///
    /// # Errors
    /// The table in the kernel is not to be written.
    fn unfollow_listener(&mut self, netns: u32, port: u16) -> io::Result<()>;

    /// Facts of a process, to be handed over before the process's events that are still to come.
    fn describe_process(&mut self, info: ProcessInfo);

    /// Facts of a connection that was open already.
    fn describe_connection(&mut self, info: ConnInfo);

    /// A reading of the clocks, to be handed over in its place.
    fn clock(&mut self, anchor: ClockAnchor);

    /// All processes that are there are followed, and whoever waits for the recording is about to go on.
    fn ready(&mut self) {}

    /// Waits for records, at most for `timeout`. A signal ends the wait.
    fn wait(&mut self, timeout: Duration);

    /// Takes in records that are there, and tells `processes` of forks, execs and exits. Returns whether that was all of
    /// them.
    fn take_in(&mut self, processes: &mut ProcessTable) -> bool;

    /// Tells `processes` what is only certain of them at the recording's end, when everything has been taken in.
    fn conclude(&mut self, processes: &mut ProcessTable);

    /// Hands over, in order, the events that are old enough at `now` for nothing older to come; all of them if the
    /// recording is over, which is what [`MonoNanos::MAX`] says: records that were not taken in then are lost.
    ///
    /// # Errors
    /// That of `each`.
    fn hand_over(&mut self, now: MonoNanos, each: &mut dyn FnMut(&Event<'_>) -> io::Result<()>) -> io::Result<()>;

    /// What tells arrivals on this kernel, for the tape; empty if nothing does.
    fn arrival_hook(&self) -> &str;

    /// Why the plaintext of TLS is not recorded, if that was wanted and is refused.
    fn tls_refused(&self) -> Option<&str> {
        None
    }

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

    /// By what processes are to be chosen from now on, if that has changed.
    fn reloaded(&mut self) -> Option<Reloaded> {
        None
    }
}

/// A configuration that was taken up anew.
pub struct Reloaded {
    /// What chooses processes.
    pub discovery: Discovery,
    /// What the tape is told of it.
    pub facts: Vec<(String, String)>,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal,
    /// `--duration` has passed.
    Duration,
    /// The command and its descendants have ended.
    CommandEnded,
    /// All processes that were chosen by id have ended.
    TargetsEnded,
    /// The reader of the pipe has gone.
    PipeClosed,
    /// Something went wrong.
    Failed,
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
    io_uring: BTreeSet<String>,
    opaque_tls: BTreeSet<String>,
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
        let (totals, started) = (Totals::default(), mono_now());
        let (io_uring, opaque_tls) = (BTreeSet::new(), BTreeSet::new());
        Self { origin, source, sink, processes, poll_interval, totals, started, io_uring, opaque_tls }
    }

    /// Finds the processes, has them followed, and notes the connections that they have open. After this, nothing that
    /// they do is missed. What could not be looked at is returned.
    ///
    /// # Errors
    /// `/proc`, the probes or the tape fail.
    pub fn start(&mut self) -> Result<Vec<Unreadable>, RecordingError> {
        self.source.clock(read_clocks());
        self.rescan()?;
        let snapshot = snapshot(&ProcFs::new(), self.origin, self.processes.followed());
        // The tape's dictionary needs the owners first.
        for info in self.processes.followed() {
            let event = Event {
                time: self.started,
                cpu: 0,
                seq: 0,
                late: false,
                body: Body::Process(info),
                ext: Ext::default(),
            };
            self.sink.push(&event).map_err(RecordingError::Sink)?;
        }
        self.sink.snapshot(self.started, &snapshot.connections).map_err(RecordingError::Sink)?;
        for connection in snapshot.connections {
            self.totals.connections += 1;
            self.source.describe_connection(connection);
        }
        self.source.ready();
        Ok(snapshot.unreadable)
    }

    /// Records until `until` says so, then writes what is still on its way.
    ///
    /// # Errors
    /// The probes or the tape fail. What was written before stays.
    pub fn run(&mut self, until: &mut impl Until, progress: &mut Progress) -> Result<EndReason, RecordingError> {
        let mut next_scan = self.started.plus(nanos(self.poll_interval));
        let mut next_clock = self.started.plus(nanos(CLOCK_PERIOD));
        loop {
            self.source.wait(WAIT);
            let now = mono_now();
            let all = self.take_in()?;
            // Not before: a process that has ended is forgotten by the scan, but its records may still be in the ring.
            if all && now >= next_scan {
                self.rescan()?;
                next_scan = now.plus(nanos(self.poll_interval));
            }
            if now >= next_clock {
                self.source.clock(read_clocks());
                next_clock = now.plus(nanos(CLOCK_PERIOD));
            }
            if let Some(reloaded) = until.reloaded() {
                self.reload(reloaded)?;
            }
            self.hand_over(now)?;
            progress.show(&self.totals());
            if let Some(reason) = until.ended(Duration::from_nanos(now.since(self.started)), &self.processes) {
                self.take_in_the_rest()?;
                self.source.conclude(&mut self.processes);
                self.apply_changes()?;
                self.source.clock(read_clocks());
                self.hand_over(MonoNanos::MAX)?;
                if !self.io_uring.is_empty() || !self.opaque_tls.is_empty() {
                    // A block has the processes that its events name, and of these there may have been none since.
                    self.sink.snapshot(mono_now(), &[]).map_err(RecordingError::Sink)?;
                }
                return Ok(reason);
            }
        }
    }

    /// Chooses processes anew. Connections that the newly chosen have open are noted, as at the start.
    fn reload(&mut self, Reloaded { discovery, facts }: Reloaded) -> Result<(), RecordingError> {
        let before: BTreeSet<Tgid> = self.processes.followed().map(|info| info.tgid).collect();
        self.processes.reload(discovery);
        self.apply_changes()?;
        self.rescan()?;
        let new = self.processes.followed().filter(|info| !before.contains(&info.tgid));
        for connection in snapshot(&ProcFs::new(), self.origin, new).connections {
            self.totals.connections += 1;
            self.source.describe_connection(connection);
        }
        // Where the events have come to that are handed over; those that are held are younger.
        let now = mono_now();
        self.hand_over(now)?;
        let time = now.minus(WINDOW_NANOS);
        let event = Event { time, cpu: 0, seq: 0, late: false, body: Body::Enrich(&facts), ext: Ext::default() };
        self.sink.push(&event).map_err(RecordingError::Sink)
    }

    /// Takes in what was recorded until now. More may come meanwhile, for which there is an end to the wait.
    fn take_in_the_rest(&mut self) -> Result<(), RecordingError> {
        let deadline = mono_now().plus(nanos(REST));
        while !self.take_in()? && mono_now() < deadline {
            self.hand_over(mono_now())?;
        }
        Ok(())
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

    /// Names of recorded programs that use io_uring, whose reads and writes are not seen.
    pub fn io_uring_users(&self) -> impl Iterator<Item = &str> {
        self.io_uring.iter().map(String::as_str)
    }

    /// Names of recorded programs that use TLS whose plaintext is not seen.
    pub fn opaque_tls_users(&self) -> impl Iterator<Item = &str> {
        self.opaque_tls.iter().map(String::as_str)
    }

    /// Why the plaintext of TLS is not recorded, if that was wanted and is refused.
    pub fn tls_refused(&self) -> Option<&str> {
        self.source.tls_refused()
    }

    fn take_in(&mut self) -> Result<bool, RecordingError> {
        let all = self.source.take_in(&mut self.processes);
        self.apply_changes()?;
        Ok(all)
    }

    fn rescan(&mut self) -> Result<(), RecordingError> {
        self.processes.scan().map_err(|error| RecordingError::Source(io::Error::other(error)))?;
        self.apply_changes()
    }

    /// Tells the probes what is new of processes, and the tape by way of them.
    fn apply_changes(&mut self) -> Result<(), RecordingError> {
        for change in self.processes.take_changes() {
            if let Change::Follow(info) | Change::Update(info) = &change {
                for (used, names) in [(info.io_uring, &mut self.io_uring), (info.opaque_tls, &mut self.opaque_tls)] {
                    if used && names.len() < NAMED_MAX {
                        names.insert(info.comm.clone());
                    }
                }
            }
            let done = match change {
                Change::Follow(info) => {
                    let tgid = info.tgid;
                    self.source.describe_process(*info);
                    self.source.follow(tgid)
                }
                Change::Update(info) => {
                    self.source.describe_process(*info);
                    Ok(())
                }
                Change::Unfollow(tgid) => self.source.unfollow(tgid),
                Change::Listen { netns, port } => self.source.follow_listener(netns, port),
                Change::Unlisten { netns, port } => self.source.unfollow_listener(netns, port),
            };
            done.map_err(RecordingError::Source)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, now: MonoNanos) -> Result<(), RecordingError> {
        let Self { sink, totals, .. } = self;
        let write = &mut |event: &Event<'_>| {
            match event.body {
                // What is in TLS is a connection of its own beside the socket's.
                Body::Connection(info) if !info.preexisting && info.tls.is_none() => totals.connections += 1,
                body if !body.is_entry() => totals.events += 1,
                _ => {}
            }
            sink.push(event)
        };
        self.source.hand_over(now, write).map_err(RecordingError::Sink)?;
        self.sink.flush_due(now).map_err(RecordingError::Sink)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
