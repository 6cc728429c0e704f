//! The engine's side of a live run: blocks, what is learned from outside, and signals, one after the other, in one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redtape_core::config::{Config, ConfigText};
use redtape_core::tape::{Block, BlockKind, CloseReason, Meta, Outside, ReadReport};
use redtape_core::{Body, Count, Engine, Event, Evidence, Ext, Horizon, Origin, Tgid};

use super::keep::Keep;
use super::tapes::{Awaited, Incoming};
use super::watch::Watch;
use crate::export::ExportCounters;
use crate::failure::{Failure, Kind, Result};
use crate::interrupt::{Ending, Interrupt};
use crate::run::{Ran, drain, finish, take_block};
use crate::serve::Health;
use crate::settings::{HORIZON, unusable};
use crate::sink::OutputSink;

/// How long the loop waits for something to come: it also bounds how late a signal is seen.
const WAIT: Duration = Duration::from_millis(50);
/// How long whoever cannot be told may take to do it by himself.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of a configuration: a block of a tape has to hold it.
const CONFIG_MAX: usize = 200 << 10;

/// See the module.
pub(super) struct Session {
    /// The configuration that the engine goes by; without one, it is that of the first tape.
    pub(super) config: Option<ConfigText>,
    pub(super) watch: Option<Watch>,
    pub(super) ignore_traceparent: bool,
    pub(super) keep: Option<Keep>,
    pub(super) quiet: bool,
    /// How it is, for who asks for `/healthz`.
    pub(super) health: Option<Health>,
    pub(super) counters: Arc<ExportCounters>,
    pub(super) awaited: Awaited,
    /// How long the run may take to end, and when it has to be over.
    pub(super) shutdown: Duration,
    pub(super) ending: Ending,
    pub(super) state: State,
}

/// How far a session has come.
#[derive(Default)]
pub(super) struct State {
    engine: Option<Engine>,
    /// What the engine began with, and what it has come to go by.
    began_with: ConfigText,
    goes_by: ConfigText,
    /// What the recorder has taken up since its tape began.
    recorder_goes_by: Option<ConfigText>,
    horizon: String,
    origin: Option<Origin>,
    /// What was learned before there was a tape.
    early: Outside,
    /// A tape has begun, and is not over.
    open: bool,
    /// A block has come.
    recording: bool,
    /// The processes that the present tape begins with, until it was said how many they are.
    chosen: Option<BTreeSet<Tgid>>,
    tapes: Vec<(String, ReadReport)>,
}

/// How a session ended.
pub(super) struct Over {
    /// What is left of the engine; `None` if no tape has come.
    pub(super) ran: Option<Ran>,
    /// What the reading thread ended with; `None` if it was not waited for.
    pub(super) read: Option<Result>,
}

/// Tells whoever records to close the tape. Says whether anybody could be told.
pub(super) trait Tells {
    fn end(&mut self) -> bool;
}

impl Session {
    /// Takes what comes until the last tape is over or a signal ends it; then ends the engine.
    pub(super) fn run(
        mut self,
        incoming: &Receiver<Incoming>,
        interrupt: &Interrupt,
        recorder: &mut dyn Tells,
        sink: &mut impl OutputSink,
    ) -> Result<Over> {
        let (mut deadline, mut read) = (None, None);
        while read.is_none() && deadline.is_none_or(|deadline| Instant::now() < deadline) && !sink.is_closed() {
            match incoming.recv_timeout(WAIT) {
                Ok(Incoming::Tape(meta)) => self.begin(&meta, sink)?,
                Ok(Incoming::Block(block)) => {
                    self.counters.blocks.fetch_sub(1, Ordering::Relaxed);
                    self.block(&block)?;
                }
                Ok(Incoming::TapeEnd(name, report)) => self.end(name, &report),
                Ok(Incoming::Enrich(facts)) => self.enrich(&facts),
                Ok(Incoming::End(result)) => read = Some(result),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if deadline.is_none() && interrupt.asked() {
                self.ending.within(self.shutdown);
                // What a recorder needs is milliseconds; the rest of the time is for what is sent.
                let half = self.shutdown / 2;
                let time = match recorder.end() {
                    true => half,
                    false if self.state.open => half.min(GRACE),
                    false => Duration::ZERO,
                };
                deadline = Instant::now().checked_add(time);
            }
            if let Some(health) = &self.health {
                health.attend();
            }
            if self.watch.as_mut().is_some_and(Watch::changed) {
                self.reload();
            }
            if let Some(engine) = &mut self.state.engine {
                drain(engine, sink)?;
            }
        }
        let reason = if interrupt.asked() { CloseReason::Interrupted } else { CloseReason::Done };
        self.kept(|keep| keep.finish(reason));
        let State { engine, tapes, .. } = self.state;
        let ran = engine.map(|engine| finish(engine, sink, tapes)).transpose()?;
        Ok(Over { ran, read })
    }

    /// A tape begins: the first one, or that of a recorder that was started again.
    fn begin(&mut self, meta: &Meta, sink: &mut impl OutputSink) -> Result {
        let state = &mut self.state;
        state.open = true;
        state.origin = Some(meta.origin).filter(|&origin| origin != Origin::default());
        if state.engine.is_none() {
            let text = self.config.clone().unwrap_or_else(|| ConfigText::of_meta(meta));
            let config = match text.load("the tape's configuration") {
                Ok((config, _)) => config,
                Err(error) => return Err(Failure::new(Kind::Usage, error)),
            };
            let mut options = config.engine(true, Evidence::Online).map_err(unusable)?;
            options.links.ignore_traceparent = self.ignore_traceparent;
            options.spans = sink.wants_spans();
            options.metrics_step_nanos =
                sink.metrics_step().map(|step| u64::try_from(step.as_nanos()).unwrap_or(u64::MAX));
            state.horizon = match options.links.horizon {
                Horizon::End => "end".to_owned(),
                Horizon::Nanos(nanos) => format!("{nanos}ns"),
            };
            sink.begin(meta.started);
            state.engine = Some(Engine::new(options));
            (state.began_with, state.goes_by) = (text.clone(), text);
        }
        if let Some(engine) = &mut state.engine {
            engine.meta(meta);
        }
        let goes_on = meta.set.is_some_and(|member| member.number > 0) && state.recording;
        state.chosen = (!goes_on).then(BTreeSet::new);
        if let Some(health) = &self.health {
            health.go_on();
        }
        let mut meta = meta.clone();
        state.began_with.put_into(&mut meta);
        meta.extra.push((HORIZON.to_owned(), state.horizon.clone()));
        self.kept(|keep| keep.begin(&meta, CloseReason::Error));
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result {
        if block.kind() == BlockKind::Enrich
            && let Some(text) = ConfigText::from_facts(&block.annotation())
        {
            self.recorder_goes_by(text);
            if self.config.is_some() {
                return Ok(());
            }
        }
        self.tell(block);
        let Some(engine) = &mut self.state.engine else { return Ok(()) };
        take_block(engine, block, self.state.origin, |_, _| Ok(()))?;
        self.kept(|keep| keep.block(block));
        if !std::mem::replace(&mut self.state.recording, true) {
            let early = std::mem::take(&mut self.state.early);
            early.facts().for_each(|facts| self.enrich(facts));
        }
        Ok(())
    }

    /// Says that a tape has begun, and of how many processes, which are on it before anything else.
    fn tell(&mut self, block: &Block) {
        let Some(chosen) = &mut self.state.chosen else { return };
        for event in block.events() {
            match event.body {
                Body::Process(info) => drop(chosen.insert(info.tgid)),
                Body::Clock { .. } | Body::Enrich(_) | Body::Tick => {}
                _ => break,
            }
        }
        if block.kind() != BlockKind::Clock {
            let processes = Count(chosen.len() as u64, "process");
            if !self.quiet {
                eprintln!("redtape: live: recording {processes} so far; Ctrl-C ends it");
            }
            self.state.chosen = None;
        }
    }

    /// The recorder has taken up a configuration. Each file of a set that is kept says it again.
    fn recorder_goes_by(&mut self, text: ConfigText) {
        if self.state.recorder_goes_by.replace(text.clone()) != Some(text) && !self.quiet {
            eprintln!("redtape: live: the recorder goes by the changed configuration");
        }
    }

    fn end(&mut self, name: String, report: &ReadReport) {
        self.state.open = false;
        match report.totals.map(|totals| totals.reason) {
            // The next file goes on.
            Some(CloseReason::Rotated) => {}
            reason => {
                if reason.is_none() && !self.quiet {
                    eprintln!("redtape: warning: {name}: the tape ended without being closed");
                }
                self.kept(|keep| keep.finish(reason.unwrap_or(CloseReason::Error)));
            }
        }
        if let Some(gone) = self.awaited.gone.as_ref().filter(|_| self.ending.deadline().is_none()) {
            if let Some(health) = &self.health {
                health.wait(gone.clone(), true);
            }
            if !self.quiet {
                eprintln!("redtape: live: {gone}; waiting for the next one");
            }
        }
        // Of recorders that come and go, the last ones tell enough.
        self.state.tapes.truncate(64);
        self.state.tapes.insert(0, (name, *report));
    }

    /// Takes what was learned from outside: it counts from where the tape is now.
    fn enrich(&mut self, facts: &[(String, String)]) {
        match &mut self.state {
            State { engine: Some(engine), recording: true, .. } => {
                let time = engine.now();
                let body = Body::Enrich(facts);
                engine.push(&Event { time, cpu: 0, seq: 0, late: false, body, ext: Ext::default() });
                self.kept(|keep| keep.enrich(time, facts));
            }
            state => state.early.learn(facts),
        }
    }

    /// Reads the configuration anew. One that cannot be used changes nothing.
    fn reload(&mut self) {
        let Some(watch) = &self.watch else { return };
        let name = watch.path().display().to_string();
        match watch.read() {
            Err(error) => eprintln!("redtape: warning: {error}; the engine goes by the configuration before"),
            Ok((text, warnings)) if text != self.state.goes_by => {
                if !self.quiet {
                    warnings.iter().for_each(|warning| eprintln!("redtape: warning: {warning}"));
                    eprintln!(
                        "redtape: {name}: the engine has taken up routes, names and filters anew; links, limits, metrics \
                         and exports stay until live is started again, and what is recorded until the recorder follows"
                    );
                }
                self.enrich(&text.to_facts());
                self.state.goes_by = text;
            }
            Ok(_) => {}
        }
    }

    /// Does something with the ring of tapes. Where it cannot be written, live goes on without it.
    fn kept(&mut self, act: impl FnOnce(&mut Keep) -> std::io::Result<()>) {
        let Some(keep) = &mut self.keep else { return };
        if let Err(error) = act(keep) {
            eprintln!("redtape: warning: --keep {}: {error}; nothing is kept from here on", keep.folder().display());
            self.keep = None;
        }
    }
}

/// Checks a configuration, with the variables that stand for keys of it.
pub(super) fn check(
    yaml: &str,
    env: &BTreeMap<String, String>,
    name: &str,
) -> std::result::Result<(ConfigText, Config, Vec<String>), String> {
    if yaml.len() > CONFIG_MAX {
        return Err(format!("{name}: is of {} bytes; at most {CONFIG_MAX} are possible live", yaml.len()));
    }
    // What stands for the exporters alone is not on the tape, but has to be right as well.
    let (config, warnings) = Config::load(yaml, name, env).map_err(|error| error.to_string())?;
    let text = ConfigText::for_tape(yaml, name, env).map_err(|error| error.to_string())?;
    Ok((text, config, warnings.iter().map(ToString::to_string).collect()))
}
