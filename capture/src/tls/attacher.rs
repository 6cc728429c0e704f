//! The threads that attach and detach: a process that has just begun does not wait, and detaching takes long.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, Builder, JoinHandle};

use aya::maps::{MapData, RingBuf};
use redtape_abi::{Life, kind};
use redtape_core::{MonoNanos, Tgid};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::time::Timespec;

use super::attach::{Outcome, TlsProbes};
use crate::bpf::{Attached, FunctionPrograms};
use crate::capabilities::{ProbeFunctions, WriteAnywhere, drop_unneeded};
use crate::clock::mono_now;

/// Detached at a time, each by a thread of its own: they wait for the same grace periods of the kernel.
const DETACHED_AT_ONCE: usize = 64;

/// Where a chosen process begins, others follow: for so long after each, attaching is kept quick, by something that is done
/// once in a beat. A beat is shorter than a grace period, which is a tick of the kernel's clock at least.
const QUICK_NANOS: u64 = 1_000_000_000;
const BEAT_NANOS: u64 = 4_000_000;
const BEAT: Timespec = Timespec { tv_sec: 0, tv_nsec: BEAT_NANOS.cast_signed() };

/// The nice value of who comes first.
const FIRST: i32 = -20;

/// Values of [`Life::kind`].
const FORK: u32 = kind::FORK as u32;
const EXEC: u32 = kind::EXEC as u32;
const MAPPED: u32 = kind::MAPPED as u32;

/// What has happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was chosen.
    Chosen(Tgid),
    /// It has ended, or is not chosen any longer.
    Ended(Tgid),
    /// What the programs tell of chosen processes.
    Life(Life),
}

/// Attaches to the TLS libraries of chosen processes.
pub(crate) struct Attacher {
    place: Place,
    outcome: Arc<Outcome>,
}

/// Where it is done.
enum Place {
    /// At once, by whoever tells the news.
    Here(Box<Work>),
    There(Thread),
    /// Nowhere: programs on functions could not be loaded, or there is no thread to be had.
    Nowhere,
}

#[derive(Debug)]
struct Thread {
    news: Option<Sender<News>>,
    /// Counts what was sent: the thread waits for this and for the programs.
    bell: Arc<OwnedFd>,
    handle: Option<JoinHandle<()>>,
}

struct Work {
    probes: TlsProbes,
    lives: RingBuf<MapData>,
    /// Before the threads begin, what is sent waits.
    ended: Sender<Vec<Attached>>,
    detached: Option<Receiver<Vec<Attached>>>,
    /// When a chosen process was last forked, or began to run a program.
    busy: MonoNanos,
}

impl Attacher {
    /// Until [`Attacher::go_on`] the work is done by whoever calls [`Attacher::tell`], and what the programs tell waits.
    pub(crate) fn new(
        programs: Result<(FunctionPrograms, RingBuf<MapData>), impl ToString>,
        about_to_run: Option<PathBuf>,
    ) -> Self {
        let outcome = Arc::new(Outcome::default());
        let place = match programs {
            Ok((programs, lives)) => {
                allow_many_files();
                let (ended, detached) = channel();
                let probes = TlsProbes::new(programs, about_to_run, Arc::clone(&outcome));
                Place::Here(Box::new(Work { probes, lives, ended, detached: Some(detached), busy: mono_now() }))
            }
            Err(error) => {
                outcome.refused.get_or_init(|| error.to_string());
                Place::Nowhere
            }
        };
        Self { place, outcome }
    }

    /// From now on, the work is done by threads.
    pub(crate) fn go_on(&mut self) {
        if let Place::Here(work) = &self.place {
            // Who is waiting for the recording may want to be attached to next.
            work.keep_quick();
        }
        self.place = match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Here(work) => match Thread::start(work) {
                Ok(thread) => Place::There(thread),
                Err(error) => {
                    self.outcome.refused.get_or_init(|| error.to_string());
                    Place::Nowhere
                }
            },
            same => same,
        };
    }

    /// Something has happened.
    pub(crate) fn tell(&mut self, what: News) {
        match &mut self.place {
            Place::Here(work) => work.act(what),
            Place::There(thread) => thread.tell(what),
            Place::Nowhere => {}
        }
    }

    /// Whether the files of a process were found when they were last looked for. One that was over too soon for that may have
    /// used a library that is seen into.
    pub(crate) fn has_looked_at(&self, tgid: Tgid) -> bool {
        self.outcome.processes().looked_at.contains(&tgid)
    }

    /// The processes that were attached to since the last call, and when.
    pub(crate) fn take_attached(&self) -> Vec<(Tgid, MonoNanos)> {
        std::mem::take(&mut self.outcome.processes().attached)
    }

    /// Why attaching was refused, after which nothing more is tried, or did not work somewhere.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.outcome.refused.get().or_else(|| self.outcome.failed.get()).map(String::as_str)
    }
}

impl Thread {
    fn start(work: Box<Work>) -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (news, received) = channel();
        let heard = Arc::clone(&bell);
        let handle = Builder::new().name("attach".to_owned()).spawn(move || {
            // It works for moments, and for programs that do not wait. What the kernel does not grant is done without.
            let _refused = setpriority_process(None, FIRST);
            match drop_unneeded(WriteAnywhere::No, ProbeFunctions::Yes) {
                Ok(()) => work.run(&received, &heard),
                Err(error) => work.probes.refuse(&error),
            }
        })?;
        Ok(Self { news: Some(news), bell, handle: Some(handle) })
    }

    fn tell(&self, what: News) {
        // Once the thread has ended, there is nothing to be told any more.
        if self.news.as_ref().is_some_and(|news| news.send(what).is_ok()) {
            self.ring();
        }
    }

    fn ring(&self) {
        // It can only fail if it has rung so often that it need not.
        let _full = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Drop for Thread {
    /// Detaches everything.
    fn drop(&mut self) {
        self.news = None;
        self.ring();
        let _panicked = self.handle.take().map(JoinHandle::join);
    }
}

impl Work {
    fn run(mut self, news: &Receiver<News>, bell: &OwnedFd) {
        // Without that thread, everything stays attached until the end.
        let detached = self.detached.take();
        let detacher =
            detached.map(|detached| Builder::new().name("detach".to_owned()).spawn(move || detach(&detached)));
        let mut beaten = mono_now();
        self.busy = beaten;
        while self.act_on(news) {
            let now = mono_now();
            let timeout = (now.since(self.busy) < QUICK_NANOS).then_some(BEAT);
            if timeout.is_some() && now.since(beaten) >= BEAT_NANOS {
                self.keep_quick();
                beaten = now;
            }
            let lives = self.lives.as_fd();
            let mut waited_for = [PollFd::new(bell, PollFlags::IN), PollFd::from_borrowed_fd(lives, PollFlags::IN)];
            // A signal ends the wait early, which does no harm.
            let _interrupted = poll(&mut waited_for, timeout.as_ref());
            // It says how often it was rung, which does not matter.
            let _count = rustix::io::read(bell, &mut [0_u8; 8]);
        }
        let _ended = self.ended.send(self.probes.forget_all());
        drop(self);
        if let Some(Ok(detacher)) = detacher {
            let _panicked = detacher.join();
        }
    }

    /// Acts on all that there is. Returns whether there is going to be more.
    fn act_on(&mut self, news: &Receiver<News>) -> bool {
        let mut due = Vec::new();
        while let Some(life) = self.lives.next() {
            due.extend(Life::decode(&life).map(News::Life));
        }
        let end = loop {
            match news.try_recv() {
                Ok(what) => due.push(what),
                Err(end) => break end,
            }
        };
        // Who loads a program maps many files in a row. One look shows them all, as all of this has happened already.
        let mut looked = BTreeSet::new();
        for what in due {
            let again = match what {
                News::Life(Life { kind: MAPPED, tgid, .. }) => !looked.insert(tgid),
                News::Life(Life { kind: EXEC, tgid, .. }) => {
                    looked.insert(tgid);
                    false
                }
                _ => false,
            };
            if !again {
                self.act(what);
            }
        }
        end == TryRecvError::Empty
    }

    fn act(&mut self, what: News) {
        match what {
            News::Chosen(tgid) => self.probes.look(tgid),
            News::Ended(tgid) => self.forget(tgid),
            News::Life(Life { kind: FORK, tgid, parent, .. }) => {
                self.busy = mono_now();
                // Breakpoints are copied with the memory, probes are not.
                if self.probes.has(Tgid(parent)) {
                    self.probes.look(Tgid(tgid));
                }
            }
            News::Life(Life { kind: EXEC, tgid, .. }) => {
                self.busy = mono_now();
                self.forget(Tgid(tgid));
                self.probes.look(Tgid(tgid));
            }
            News::Life(Life { tgid, .. }) => self.probes.look(Tgid(tgid)),
        }
    }

    fn forget(&mut self, tgid: Tgid) {
        let attached = self.probes.forget(tgid);
        self.detach(attached);
    }

    fn keep_quick(&self) {
        self.detach(self.probes.keep_quick().into_iter().collect());
    }

    fn detach(&self, attached: Vec<Attached>) {
        if !attached.is_empty() {
            // If nobody receives it, it is dropped at once.
            let _dropped = self.ended.send(attached);
        }
    }
}

/// What is attached takes a descriptor each: some twenty a process.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    // Within what is granted anyhow, this is never refused.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn detach(ended: &Receiver<Vec<Attached>>) {
    let _always_granted = setpriority_process(None, 0);
    while let Ok(first) = ended.recv() {
        let mut all: Vec<_> = first.into_iter().chain(ended.try_iter().flatten()).collect();
        while !all.is_empty() {
            thread::scope(|scope| {
                for attached in all.drain(all.len().saturating_sub(DETACHED_AT_ONCE)..) {
                    // Where no thread is to be had, it is dropped at once.
                    let _dropped = Builder::new().spawn_scoped(scope, move || drop(attached));
                }
            });
        }
    }
}
