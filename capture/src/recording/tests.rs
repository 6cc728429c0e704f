//! The loop, with made-up probes and a tape in memory.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use redtape_core::config::{Discovery, DiscoveryConfig, Targets};
use redtape_core::{
    Body, BodyBuf, ClockAnchor, ConnInfo, Event, EventBuf, MonoNanos, Origin, ProcKey, ProcessInfo, Tgid,
};

use super::{EndReason, EventSink, RecordSource, Recording, RecordingError, Until};
use crate::process::{ProcFs, ProcessTable};
use crate::progress::Progress;

#[derive(Default)]
struct Script {
    calls: Vec<String>,
    /// Events of these times are there from the beginning.
    times: Vec<MonoNanos>,
    /// How often the ring is not emptied by one look.
    full: u32,
}

impl RecordSource for Script {
    fn follow(&mut self, process: Tgid) -> io::Result<()> {
        self.calls.push(format!("follow {}", process.0));
        Ok(())
    }

    fn unfollow(&mut self, process: Tgid) -> io::Result<()> {
        self.calls.push(format!("unfollow {}", process.0));
        Ok(())
    }

    fn follow_listener(&mut self, _: u32, port: u16) -> io::Result<()> {
        self.calls.push(format!("listen {port}"));
        Ok(())
    }

    fn unfollow_listener(&mut self, _: u32, port: u16) -> io::Result<()> {
        self.calls.push(format!("unlisten {port}"));
        Ok(())
    }

    fn describe_process(&mut self, info: ProcessInfo) {
        self.calls.push(format!("describe {}", info.tgid.0));
    }

    fn describe_connection(&mut self, _: ConnInfo) {}

    fn clock(&mut self, _: ClockAnchor) {
        self.calls.push("clock".to_owned());
    }

    fn wait(&mut self, _: Duration) {}

    fn take_in(&mut self, _: &mut ProcessTable) -> bool {
        self.full = self.full.saturating_sub(1);
        self.full == 0
    }

    fn conclude(&mut self, _: &mut ProcessTable) {}

    fn hand_over(&mut self, now: MonoNanos, each: &mut dyn FnMut(&Event<'_>) -> io::Result<()>) -> io::Result<()> {
        let due = self.times.iter().take_while(|time| **time <= now).count();
        for time in self.times.drain(..due) {
            each(&EventBuf::new(time, BodyBuf::Plain(Body::Exec { process: ProcKey::default() })).as_event())?;
        }
        Ok(())
    }

    fn arrival_hook(&self) -> &str {
        ""
    }

    fn lost(&self) -> u64 {
        3
    }
}

#[derive(Default)]
struct Memory {
    events: Vec<EventBuf>,
    room: Option<usize>,
}

impl EventSink for Memory {
    fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        if self.room.is_some_and(|room| self.events.len() >= room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.events.push((*event).into());
        Ok(())
    }

    fn snapshot(&mut self, _: MonoNanos, _: &[ConnInfo]) -> io::Result<()> {
        Ok(())
    }

    fn flush_due(&mut self, _: MonoNanos) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn finish(&mut self, _: EndReason) -> io::Result<()> {
        Ok(())
    }
}

/// Ends after a number of turns of the loop.
struct Turns(u32);

impl Until for Turns {
    fn ended(&mut self, _: Duration, _: &ProcessTable) -> Option<EndReason> {
        self.0 = self.0.saturating_sub(1);
        (self.0 == 0).then_some(EndReason::Signal)
    }
}

fn processes(pid: u32) -> ProcessTable {
    let targets = Targets { target_pids: vec![pid], ..Targets::default() };
    let discovery = Discovery::new(&DiscoveryConfig::default(), &targets).unwrap();
    ProcessTable::new(ProcFs::new(), discovery, Origin([1; 16]))
}

#[test]
fn follows_then_writes_all_that_came_before_the_end() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut source = Script { times: [7, u64::MAX - 1].map(MonoNanos::new).to_vec(), ..Script::default() };
    let mut sink = Memory::default();
    let mut recording = Recording::new(Origin([1; 16]), &mut source, &mut sink, processes(pid), Duration::from_secs(5));
    recording.start().unwrap();
    let end = recording.run(&mut Turns(3), &mut Progress::new(true)).unwrap();
    let totals = recording.totals();
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(end, EndReason::Signal);
    assert_eq!((totals.events, totals.lost, totals.processes), (2, 3, 1));
    assert_eq!(source.calls, ["clock", &format!("describe {pid}"), &format!("follow {pid}"), "clock"]);
    assert!(matches!(&sink.events[0].body, BodyBuf::Process(info) if info.tgid == Tgid(pid)));
    let times: Vec<_> = sink.events[1..].iter().map(|event| event.time.nanos()).collect();
    assert_eq!(times, [7, u64::MAX - 1], "also what is young when the end comes");
}

#[test]
fn the_end_takes_in_all_that_is_there() {
    let mut source = Script { full: 100, ..Script::default() };
    let mut sink = Memory::default();
    let mut recording =
        Recording::new(Origin([1; 16]), &mut source, &mut sink, processes(u32::MAX), Duration::from_secs(5));
    recording.start().unwrap();
    recording.run(&mut Turns(1), &mut Progress::new(true)).unwrap();
    assert_eq!(source.full, 0);
}

#[test]
fn a_full_disk_is_the_tapes_fault() {
    let mut source = Script { times: vec![MonoNanos::new(7)], ..Script::default() };
    let mut sink = Memory { room: Some(0), ..Memory::default() };
    let mut recording =
        Recording::new(Origin([1; 16]), &mut source, &mut sink, processes(u32::MAX), Duration::from_secs(5));
    recording.start().unwrap();
    let error = recording.run(&mut Turns(9), &mut Progress::new(true)).unwrap_err();
    assert!(matches!(error, RecordingError::Sink(error) if error.kind() == io::ErrorKind::StorageFull));
}
