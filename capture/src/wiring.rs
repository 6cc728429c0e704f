//! The probes and the transcription of their records, as the record loop wants them.

use std::io;
use std::path::Path;
use std::time::Duration;

use redtape_abi::Record;
use redtape_core::{ClockAnchor, ConnInfo, Event, MonoNanos, Origin, ProcessInfo, Tgid};

use crate::bpf::{PayloadLimits, ProbeOptions, Probes};
use crate::clock::mono_now;
use crate::command::find_program;
use crate::exit::Failure;
use crate::process::ProcessTable;
use crate::recording::RecordSource;
use crate::settings::Settings;
use crate::tls::{Attacher, News};
use crate::transcribe::Transcriber;

/// Loads the probes for a recording.
pub(crate) fn open_probes(settings: &Settings, origin: Origin) -> Result<Box<dyn RecordSource>, Failure> {
    let options = ProbeOptions {
        ring_bytes: settings.ring_size,
        every_listen: settings.by_ports,
        tls: settings.tls,
        payload: PayloadLimits { head: settings.payload, ..PayloadLimits::default() },
        ..ProbeOptions::default()
    };
    let mut probes = Probes::load(&options).map_err(Failure::environment)?;
    let (now, never) = (mono_now(), MonoNanos::default());
    let about_to_run = settings.command.first().and_then(|program| find_program(Path::new(program)));
    let tls = probes.take_functions().map(|programs| Attacher::new(programs, about_to_run));
    Ok(Box::new(Kernel { probes, transcriber: Transcriber::new(origin, now), tls, taken: never, asked: now }))
}

/// How often the kernel is asked what it skipped, in nanoseconds.
const ASK_NANOS: u64 = 1_000_000_000;

/// The kernel as a source of events.
struct Kernel {
    probes: Probes,
    transcriber: Transcriber,
    tls: Option<Attacher>,
    /// When the last record was made that was taken in.
    taken: MonoNanos,
    /// When the kernel was last asked what it skipped.
    asked: MonoNanos,
}

impl RecordSource for Kernel {
    fn follow(&mut self, process: Tgid) -> io::Result<()> {
        self.probes.follow(process.0).map_err(io::Error::other)?;
        if let Some(tls) = &mut self.tls {
            tls.tell(News::Chosen(process));
        }
        Ok(())
    }

    fn unfollow(&mut self, process: Tgid) -> io::Result<()> {
        self.probes.unfollow(process.0);
        if let Some(tls) = &mut self.tls {
            tls.tell(News::Ended(process));
        }
        Ok(())
    }

    fn follow_listener(&mut self, netns: u32, port: u16) -> io::Result<()> {
        self.probes.follow_listener(netns, port).map_err(io::Error::other)
    }

    fn unfollow_listener(&mut self, netns: u32, port: u16) -> io::Result<()> {
        self.probes.unfollow_listener(netns, port);
        Ok(())
    }

    fn describe_process(&mut self, info: ProcessInfo) {
        self.transcriber.describe_process(info);
    }

    fn describe_connection(&mut self, info: ConnInfo) {
        self.transcriber.describe_connection(info);
    }

    fn clock(&mut self, anchor: ClockAnchor) {
        self.transcriber.clock(anchor);
    }

    fn ready(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.go_on();
        }
    }

    fn wait(&mut self, timeout: Duration) {
        self.probes.wait(timeout);
    }

    fn take_in(&mut self, processes: &mut ProcessTable) -> bool {
        let Self { probes, transcriber, tls, taken, asked } = self;
        // Read before the ring is emptied: what is missing below these numbers afterwards is lost.
        let (positions, counters, now) = (probes.lane_positions(), probes.counters(), mono_now());
        probes.drain(&mut |record| {
            *taken = MonoNanos::new(record.header().time).max(*taken);
            take_record(&record, transcriber, processes, tls.as_ref());
        });
        for (tgid, at) in tls.as_ref().map(Attacher::take_attached).unwrap_or_default() {
            transcriber.sees_into(tgid, at);
        }
        if probes.is_drained() {
            transcriber.settle(&positions, &counters, now);
        }
        if now.since(*asked) >= ASK_NANOS {
            *asked = now;
            tell_skipped(probes, transcriber, now);
            for tgid in transcriber.opaque_tls(now) {
                processes.on_opaque_tls(tgid);
            }
        }
        probes.is_drained()
    }

    fn conclude(&mut self, processes: &mut ProcessTable) {
        for tgid in self.transcriber.opaque_tls(MonoNanos::MAX) {
            if is_known(self.tls.as_ref(), tgid) {
                processes.on_opaque_tls(tgid);
            }
        }
    }

    fn hand_over(&mut self, now: MonoNanos, each: &mut dyn FnMut(&Event<'_>) -> io::Result<()>) -> io::Result<()> {
        let Self { probes, transcriber, taken, .. } = self;
        if now == MonoNanos::MAX {
            // Of what the last look at the ring did not come to, everything is lost; of what came after it, nothing.
            if !probes.is_drained() {
                transcriber.settle(&probes.lane_positions(), &probes.counters(), mono_now());
            }
            transcriber.settle(&[], &probes.counters(), mono_now());
            tell_skipped(probes, transcriber, mono_now());
            transcriber.finish();
        } else {
            // A ring that holds more may hold what is as old as the last record taken.
            transcriber.advance(if probes.is_drained() { now } else { now.min(*taken) });
        }
        while let Some(event) = transcriber.pop() {
            each(&event.as_event())?;
        }
        Ok(())
    }

    fn arrival_hook(&self) -> &str {
        self.probes.arrival_hook().name()
    }

    fn tls_refused(&self) -> Option<&str> {
        self.tls.as_ref()?.refused()
    }

    fn lost(&self) -> u64 {
        self.transcriber.counts().lost
    }
}

/// Whether a process was looked at since it last mapped a library.
fn is_known(tls: Option<&Attacher>, tgid: Tgid) -> bool {
    tls.is_none_or(|tls| tls.has_looked_at(tgid))
}

fn tell_skipped(probes: &Probes, transcriber: &mut Transcriber, now: MonoNanos) {
    if let Some(total) = probes.skipped_runs() {
        transcriber.skipped(total, now);
    }
}

/// Lets the process table and the transcriber know of a record, in the order in which each can make sense of it.
fn take_record(
    record: &Record<'_>,
    transcriber: &mut Transcriber,
    processes: &mut ProcessTable,
    tls: Option<&Attacher>,
) {
    match record {
        Record::Fork(fork) => {
            processes.on_fork(Tgid(fork.parent), Tgid(fork.tgid), MonoNanos::new(fork.header.time));
        }
        Record::Exec(exec) => processes.on_exec(exec),
        Record::Listen(listener) => processes.on_listen(listener),
        Record::IoUring(user) => processes.on_io_uring(Tgid(user.tgid)),
        _ => {}
    }
    transcriber.record(record, &mut |tgid| processes.resolve(tgid).key);
    if let Record::Exit(exit) = record {
        if transcriber.leaves_opaque_tls(Tgid(exit.tgid)) && is_known(tls, Tgid(exit.tgid)) {
            processes.on_opaque_tls(Tgid(exit.tgid));
        }
        processes.on_exit(Tgid(exit.tgid));
    }
}
