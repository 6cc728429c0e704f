//! The loop with several threads: one runs stage 2, the other jobs a part of stage 1 each; one more, which has little
//! to do, reads blocks.
//!
//! ```text
//!            ┌─▶ stage 1, part 0 ─┐
//!  reader ───┼─▶ stage 1, part 1 ─┼─▶ stage 2 ─▶ sink
//!            └─▶       …         ─┘
//! ```
//!
//! Each part decodes the block's records of its own connections and skips the others. Stage 2 takes a block's findings
//! when all parts have sent theirs, and puts them in the same total order that one thread would have had. Then the block
//! goes back to the reader, which fills it again: fresh memory costs more than what is read into it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use redtape_core::tape::{Block, ReadError, ReadReport};
use redtape_core::{EngineOptions, Finding, Limits, Merge, MonoNanos, Part, Stage1, Stage2};

use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, read_failure};
use crate::progress::Progress;
use crate::run::Ran;
use crate::sink::{Now, OutputSink, deliver};

/// Blocks that may be under way to each thread: enough that none waits for another's block, few enough for memory.
const BLOCKS_AHEAD: usize = 4;

/// A block on its way to all parts and to stage 2.
#[derive(Clone)]
struct Delivery {
    block: Arc<Block>,
    bytes_read: u64,
}

/// What a part found in a block.
#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
    events: u64,
    late: u64,
    /// Where the tape was with the first of the events.
    first: Option<MonoNanos>,
}

/// What the reader's thread ends with: the tape's state, and why it cannot be read on.
type Read = (ReadReport, Option<ReadError>);

/// Runs one tape through the engine with `jobs` threads, at least two.
pub(crate) fn run(
    tape: Tape,
    options: EngineOptions,
    jobs: usize,
    progress: Progress,
    sink: &mut impl OutputSink,
) -> Result<Ran> {
    let limits = options.limits;
    let parts = jobs.saturating_sub(1).max(1);
    let mut stage2 = Stage2::new(options);
    stage2.meta(tape.reader.meta());
    let name = tape.name.clone();
    let (taken, read) = thread::scope(|scope| {
        let (to_stage2, deliveries) = sync_channel(BLOCKS_AHEAD);
        let mut to_all = vec![to_stage2];
        let mut results = Vec::new();
        for index in 0..parts {
            let (to_part, blocks) = sync_channel(BLOCKS_AHEAD);
            let (to_stage2, found) = sync_channel(BLOCKS_AHEAD);
            to_all.push(to_part);
            results.push(found);
            scope.spawn(move || work(Part { index, of: parts }, &limits, &blocks, &to_stage2));
        }
        let (to_reader, done) = channel();
        let reader = scope.spawn(move || read_blocks(tape, &to_all, &done));
        let blocks = Blocks { deliveries, results, done: to_reader };
        // Where this thread stops early, closed channels end the others.
        let taken = take_all(&mut stage2, blocks, progress, sink);
        (taken, reader.join())
    });
    taken?;
    let read = read.map_err(|_| Failure::message(Kind::Input, format!("{name}: the reading thread failed")))?;
    let (report, error) = read;
    let unread = error.map(|error| read_failure(&name, &error));
    Ok(Ran {
        metrics: stage2.metrics().clone(),
        totals: stage2.totals().clone(),
        end: stage2.wall(stage2.totals().last),
        reports: vec![(name, report)],
        gaps: Vec::new(),
        unread,
    })
}

/// What stage 2 gets its work from.
struct Blocks {
    deliveries: Receiver<Delivery>,
    /// What each part found.
    results: Vec<Receiver<Found>>,
    /// Where blocks go that nobody needs any more.
    done: Sender<Block>,
}

/// Reads the tape, block by block.
fn read_blocks(mut tape: Tape, to_all: &[SyncSender<Delivery>], done: &Receiver<Block>) -> Read {
    loop {
        let mut block = done.try_recv().unwrap_or_default();
        match tape.reader.read_block(&mut block) {
            Ok(true) => {}
            ended => return (*tape.reader.report(), ended.err()),
        }
        let delivery = Delivery { block: Arc::new(block), bytes_read: tape.reader.bytes_read() };
        if to_all.iter().any(|to| to.send(delivery.clone()).is_err()) {
            return (*tape.reader.report(), None);
        }
    }
}

/// Runs a part of stage 1.
fn work(part: Part, limits: &Limits, blocks: &Receiver<Delivery>, to_stage2: &SyncSender<Found>) {
    let mut stage1 = Stage1::new(part, limits);
    let mut now = MonoNanos::ZERO;
    for Delivery { block, .. } in blocks {
        let mut found = Found::default();
        let mut events = block.events_where(|conn| part.has(conn));
        while let Some(event) = events.next() {
            now = now.max(events.latest()).max(event.time);
            if event.body.conn().is_some() && !event.body.is_entry() {
                found.events += 1;
                found.late += u64::from(event.late);
                found.first.get_or_insert(now);
            }
            stage1.push(&event, now, &mut found.findings);
        }
        now = now.max(events.latest()).max(block.last_time());
        // Before the findings: whoever has them all is then the last to hold the block.
        drop(block);
        if to_stage2.send(found).is_err() {
            return;
        }
    }
    let mut last = Found::default();
    stage1.finish(now, &mut last.findings);
    // Nobody may be waiting for it any more.
    let _ = to_stage2.send(last);
}

/// Runs stage 2.
fn take_all(stage2: &mut Stage2, blocks: Blocks, mut progress: Progress, sink: &mut impl OutputSink) -> Result {
    let Blocks { deliveries, results, done } = blocks;
    let (mut merge, mut now) = (Merge::default(), MonoNanos::ZERO);
    for Delivery { block, bytes_read } in deliveries {
        collect(&mut merge, stage2, &results);
        now = take_block(stage2, &mut merge, &block, now);
        if let Some(block) = Arc::into_inner(block) {
            // The reader may have come to the end of the tape.
            let _ = done.send(block);
        }
        drain(stage2, sink)?;
        progress.at(bytes_read, stage2.totals().events);
        if sink.is_closed() {
            return Ok(());
        }
    }
    collect(&mut merge, stage2, &results);
    merge.all().for_each(|finding| stage2.take(finding));
    stage2.finish(now);
    drain(stage2, sink)
}

/// Waits for what all parts found in a block.
fn collect(merge: &mut Merge, stage2: &mut Stage2, results: &[Receiver<Found>]) {
    for result in results {
        let Ok(mut found) = result.recv() else { continue };
        merge.pending().append(&mut found.findings);
        if let Some(first) = found.first {
            stage2.count(found.events, found.late, first);
        }
    }
}

/// Takes a block's facts and findings in their order; the tape had come to `now` before it. Returns how far it has come
/// then.
fn take_block(stage2: &mut Stage2, merge: &mut Merge, block: &Block, mut now: MonoNanos) -> MonoNanos {
    let mut facts = block.events_where(|_| false);
    while let Some(fact) = facts.next() {
        now = now.max(facts.latest()).max(fact.time);
        merge.before(now).for_each(|finding| stage2.take(finding));
        if !fact.body.is_entry() {
            stage2.count(1, fact.late.into(), now);
        }
        stage2.fact(&fact, now);
    }
    now = now.max(facts.latest()).max(block.last_time());
    merge.before(now).for_each(|finding| stage2.take(finding));
    now
}

fn drain(stage2: &mut Stage2, sink: &mut impl OutputSink) -> Result {
    while let Some(output) = stage2.poll_output() {
        deliver(output, sink)?;
    }
    let totals = stage2.totals();
    sink.attend(Now { wall: stage2.wall(totals.last), metrics: stage2.metrics(), totals })
}
