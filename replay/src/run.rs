//! The loop: events from tapes into the engine, outputs to a sink.

use std::thread;
use std::time::{Duration, Instant};

use redtape_core::metric::Registry;
use redtape_core::tape::{Block, EventSource, Merge, ReadReport, SetGap};
use redtape_core::{Body, Engine, EngineOptions, MonoNanos, Origin, Totals, WallNanos};

use crate::failure::{Failure, Result};
use crate::input::{Tape, read_failure};
use crate::pace::Pace;
use crate::parallel;
use crate::progress::Progress;
use crate::sink::{Now, OutputSink, deliver};

/// How often a sink is told of a replay that waits: scrapes move, and Ctrl-C is noticed.
const ATTEND_EVERY: Duration = Duration::from_millis(100);

/// What is left of a run when all outputs have been delivered.
pub(crate) struct Ran {
    pub(crate) metrics: Registry,
    pub(crate) totals: Totals,
    /// When the tape ended.
    pub(crate) end: WallNanos,
    /// How each tape was, by name.
    pub(crate) reports: Vec<(String, ReadReport)>,
    /// Files that are missing in rotated sets.
    pub(crate) gaps: Vec<SetGap>,
    /// Why a tape could not be read on. What was read before is delivered all the same.
    pub(crate) unread: Option<Failure>,
}

impl Ran {
    /// Warns of tapes that were not whole, or fails because of them.
    pub(crate) fn check(&self, strict: bool, quiet: bool) -> Result {
        if let Some(unread) = &self.unread {
            return Err(unread.again());
        }
        for gap in self.gaps.iter().filter(|_| !quiet) {
            warn_of_gap(gap);
        }
        self.reports.iter().try_for_each(|(name, report)| Tape::check(name, report, strict, quiet))
    }

    /// From the first event to the last, in nanoseconds.
    pub(crate) fn duration_nanos(&self) -> u64 {
        self.totals.first.map_or(0, |first| self.totals.last.since(first))
    }
}

/// Says that files are missing.
pub(crate) fn warn_of_gap(gap: &SetGap) {
    eprintln!("redtape: warning: files {} to {} of a rotated set are missing", gap.from, gap.to);
}

/// Runs tapes through the engine. The result is the same for any number of `jobs`; one thread is enough for what is held to a
/// pace.
pub(crate) fn run(
    mut tapes: Vec<Tape>,
    mut options: EngineOptions,
    jobs: usize,
    quiet: bool,
    pace: Pace,
    sink: &mut impl OutputSink,
) -> Result<Ran> {
    options.spans = sink.wants_spans();
    options.metrics_step_nanos = sink.metrics_step().map(|step| u64::try_from(step.as_nanos()).unwrap_or(u64::MAX));
    let size = tapes.iter().map(|tape| tape.size).sum();
    let progress = Progress::new(size, quiet);
    match (tapes.pop(), tapes.is_empty()) {
        (Some(tape), true) if jobs > 1 && pace.is_max() => parallel::run(tape, options, jobs, progress, sink),
        (Some(tape), true) => run_one(tape, options, progress, pace, sink),
        (last, _) => {
            tapes.extend(last);
            run_merged(tapes, options, progress, pace, sink)
        }
    }
}

fn run_one(
    mut tape: Tape,
    options: EngineOptions,
    mut progress: Progress,
    mut pace: Pace,
    sink: &mut impl OutputSink,
) -> Result<Ran> {
    let mut engine = Engine::new(options);
    engine.meta(tape.reader.meta());
    let mut block = Block::default();
    let unread = loop {
        match tape.reader.read_block(&mut block) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(read_failure(&tape.name, &error)),
        }
        take_block(&mut engine, &block, None, |engine, time| await_due(&mut pace, time, engine, sink))?;
        drain(&mut engine, sink)?;
        progress.at(tape.reader.bytes_read(), engine.totals().events);
        if sink.is_closed() {
            break None;
        }
    };
    Ok(Ran { unread, ..finish(engine, sink, vec![(tape.name, *tape.reader.report())])? })
}

/// Takes a block into the engine. What it lacks is lacking of `origin` alone, if that is given. `before` comes before each
/// event, with its time.
pub(crate) fn take_block(
    engine: &mut Engine,
    block: &Block,
    origin: Option<Origin>,
    mut before: impl FnMut(&mut Engine, MonoNanos) -> Result,
) -> Result {
    let mut events = block.events();
    while let Some(mut event) = events.next() {
        if let Body::Loss(loss) = &mut event.body {
            loss.origin = origin;
        }
        before(engine, event.time)?;
        // Also what a part of stage 1 skips, and what cannot be read, moves the tape on.
        engine.reach(events.latest());
        engine.push(&event);
    }
    engine.reach(events.latest().max(block.last_time()));
    Ok(())
}

/// Several tapes are put in one order of time first, which is work for one thread.
fn run_merged(
    tapes: Vec<Tape>,
    options: EngineOptions,
    mut progress: Progress,
    mut pace: Pace,
    sink: &mut impl OutputSink,
) -> Result<Ran> {
    let mut engine = Engine::new(options);
    let (names, readers): (Vec<_>, Vec<_>) = tapes.into_iter().map(|tape| (tape.name, tape.reader)).unzip();
    for reader in &readers {
        engine.meta(reader.meta());
    }
    let mut merge = Merge::new(readers).map_err(|error| read_failure("the tapes", &error))?;
    let unread = loop {
        let name = |merge: &Merge<_>| names.get(merge.current()).map_or("", String::as_str).to_owned();
        let event = match merge.next_event() {
            Ok(Some(event)) => event,
            Ok(None) => break None,
            Err(error) => break Some(read_failure(&name(&merge), &error)),
        };
        await_due(&mut pace, event.time, &mut engine, sink)?;
        engine.push(&event);
        if engine.totals().events.is_multiple_of(4096) {
            drain(&mut engine, sink)?;
            progress.at(0, engine.totals().events);
            if sink.is_closed() {
                break None;
            }
        }
    };
    let reports = names.into_iter().zip(merge.reports().into_values()).collect();
    Ok(Ran { gaps: merge.gaps().to_vec(), unread, ..finish(engine, sink, reports)? })
}

/// Waits until `time` is due. What the engine has is delivered first, and the sink is told every now and then that it may
/// look at where the engine is.
fn await_due(pace: &mut Pace, time: MonoNanos, engine: &mut Engine, sink: &mut impl OutputSink) -> Result {
    // Apart from the waiting, so that events at full speed cost no call.
    pace.due(time).map_or(Ok(()), |due| wait_until(due, engine, sink))
}

fn wait_until(due: Instant, engine: &mut Engine, sink: &mut impl OutputSink) -> Result {
    drain(engine, sink)?;
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || sink.is_closed() {
            return Ok(());
        }
        thread::sleep(left.min(ATTEND_EVERY));
        attend(engine, sink)?;
    }
}

/// Delivers what the engine has, and lets the sink look at where it is.
pub(crate) fn drain(engine: &mut Engine, sink: &mut impl OutputSink) -> Result {
    while let Some(output) = engine.poll_output() {
        deliver(output, sink)?;
    }
    attend(engine, sink)
}

fn attend(engine: &Engine, sink: &mut impl OutputSink) -> Result {
    let totals = engine.totals();
    sink.attend(Now { wall: engine.wall(totals.last), metrics: engine.metrics(), totals })
}

/// Ends the engine, and delivers what it has left.
pub(crate) fn finish(
    mut engine: Engine,
    sink: &mut impl OutputSink,
    reports: Vec<(String, ReadReport)>,
) -> Result<Ran> {
    engine.finish();
    drain(&mut engine, sink)?;
    Ok(Ran {
        metrics: engine.metrics().clone(),
        totals: engine.totals().clone(),
        end: engine.wall(engine.totals().last),
        reports,
        gaps: Vec::new(),
        unread: None,
    })
}
