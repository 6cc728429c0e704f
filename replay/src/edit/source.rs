//! The events of the tapes that a command is given, in one order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redtape_core::edit::{duplicates, merged_meta};
use redtape_core::tape::{Align, EventSource, Merge, Meta, ReadError};
use redtape_core::{Body, BodyBuf, ClockAnchor, Count, Event, EventBuf, MonoNanos};

use crate::failure::{Failure, Kind, Result};
use crate::import::Bytes;
use crate::input::{Tape, read_failure};
use crate::moment::Moment;
use crate::run::warn_of_gap;

/// Tapes that are read together.
pub(super) struct Source {
    names: Vec<String>,
    merge: Merge<Bytes>,
    /// META of a tape of all of their events.
    pub(super) meta: Meta,
    /// META of each, and by what name it was given.
    pub(super) metas: Vec<Meta>,
    /// Events that were looked at before their turn.
    ahead: std::collections::VecDeque<EventBuf>,
    current: Option<EventBuf>,
}

/// Warns that nothing is known of some connections or processes, because there were too many.
pub(crate) fn warn_of_forgotten(count: u64) {
    if count > 0 {
        let of = Count(count, "connection or process");
        eprintln!("redtape: warning: {of} too many to remember; of those idle for longest nothing was known any more");
    }
}

/// So many events at most stand before the first reading of the clocks.
const OPENING_EVENTS: usize = 4096;

impl Source {
    pub(super) fn open(paths: &[PathBuf], align: Align, quiet: bool) -> Result<Self> {
        let mut tapes = Tape::open_all(paths)?;
        if quiet {
            tapes.iter().for_each(Tape::hush);
        }
        let metas: Vec<_> = tapes.iter().map(|tape| tape.reader.meta().clone()).collect();
        for (at, kept) in copies(paths, &metas)?.into_iter().rev() {
            let again = tapes.remove(at);
            if !quiet {
                let kept = kept.display();
                eprintln!("redtape: warning: {}: left out, as it is the same tape as {kept}", again.name);
            }
        }
        let metas: Vec<_> = tapes.iter().map(|tape| tape.reader.meta().clone()).collect();
        let meta = merged_meta(&metas.iter().collect::<Vec<_>>());
        let (names, readers): (Vec<_>, Vec<_>) = tapes.into_iter().map(|tape| (tape.name, tape.reader)).unzip();
        let merge = Merge::aligned(readers, align).map_err(|error| read_failure("the tapes", &error))?;
        if !quiet {
            merge.gaps().iter().for_each(warn_of_gap);
        }
        Ok(Self { names, merge, meta, metas, ahead: std::collections::VecDeque::new(), current: None })
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Result<Option<Event<'_>>> {
        if let Some(event) = self.ahead.pop_front() {
            return Ok(Some(self.current.insert(event).as_event()));
        }
        self.read()
    }

    fn read(&mut self) -> Result<Option<Event<'_>>> {
        let Self { names, merge, .. } = self;
        // The name of the tape that fails is known only when it has.
        let current = merge.current();
        let name = names.get(current).map_or("", String::as_str);
        merge.next_event().map_err(|error| read_failure(name, &error))
    }

    /// When the events begin, and the first reading of the clocks.
    pub(super) fn opening(&mut self) -> Result<(MonoNanos, Option<ClockAnchor>)> {
        let anchor = |event: &EventBuf| match event.body {
            BodyBuf::Plain(Body::Clock { anchor, .. }) => Some(anchor),
            _ => None,
        };
        while self.ahead.len() < OPENING_EVENTS && self.ahead.back().and_then(anchor).is_none() {
            let Some(event) = self.read()? else { break };
            let event = EventBuf::from(event);
            self.ahead.push_back(event);
        }
        let start = self.ahead.front().map_or(MonoNanos::ZERO, |event| event.time);
        Ok((start, self.ahead.iter().find_map(anchor)))
    }

    /// Two moments on the clock of the events.
    pub(super) fn moments(&mut self, from: Option<Moment>, to: Option<Moment>) -> Result<(MonoNanos, MonoNanos)> {
        if from.is_none() && to.is_none() {
            return Ok((MonoNanos::ZERO, MonoNanos::MAX));
        }
        let (start, anchor) = self.opening()?;
        let on_tape = |moment: Option<Moment>, unset| {
            let Some(moment) = moment else { return Ok(unset) };
            let message = "the tape does not begin with the time of day; give an offset such as +1.5s";
            moment.on(start, anchor).ok_or_else(|| Failure::message(Kind::Usage, message))
        };
        Ok((on_tape(from, MonoNanos::ZERO)?, on_tape(to, MonoNanos::MAX)?))
    }

    /// Warns of tapes that were not whole, or fails because of them.
    pub(super) fn check(&self, strict: bool, quiet: bool) -> Result {
        let reports = self.merge.reports();
        let mut named = reports.iter().filter_map(|(place, report)| Some((self.names.get(*place)?, report)));
        named.try_for_each(|(name, report)| Tape::check(name, report, strict, quiet))
    }
}

/// The tapes of which another one given has all, by their places, ascending; and which that is. Of two with the same UUID, one is
/// the beginning of the other, or all of it.
fn copies<'a>(paths: &'a [PathBuf], metas: &[Meta]) -> Result<BTreeMap<usize, &'a Path>> {
    let (mut copies, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for (again, first) in duplicates(&metas.iter().collect::<Vec<_>>()) {
        let best = kept.entry(first).or_insert(first);
        let (Some(one), Some(other)) = (paths.get(*best), paths.get(again)) else { continue };
        if has_more(one, other)? {
            copies.insert(std::mem::replace(best, again), other);
        } else {
            copies.insert(again, one);
        }
    }
    Ok(copies.into_iter().map(|(at, path)| (at, path.as_path())).collect())
}

/// Whether `other`, a tape with the same UUID as `one`, has more events. Fails if either has an event that the other has not.
fn has_more(one: &Path, other: &Path) -> Result<bool> {
    let refuse = |why: &str| {
        let message = format!("{} and {} have the same UUID, {why}", one.display(), other.display());
        Err(Failure::message(Kind::Input, message))
    };
    let is_file = |path: &Path| path.metadata().is_ok_and(|data| data.is_file());
    if !is_file(one) || !is_file(other) {
        return refuse("and what is no file cannot be compared: give one of them");
    }
    let [mut first, mut second] = [Events::of(Tape::open(one)?)?, Events::of(Tape::open(other)?)?];
    for number in 0_u64.. {
        match (first.next()?, second.next()?) {
            (_, None) => return Ok(false),
            (None, Some(_)) => return Ok(true),
            (Some(one), Some(other)) if one == other => {}
            _ => return refuse(&format!("but are not the same: event {number} differs")),
        }
    }
    Ok(false)
}

/// The events of one tape.
struct Events(String, Merge<Bytes>);

impl Events {
    fn of(tape: Tape) -> Result<Self> {
        tape.hush();
        let failed = |error: ReadError| read_failure(&tape.name, &error);
        let merge = Merge::aligned(vec![tape.reader], Align::Clock).map_err(failed)?;
        Ok(Self(tape.name, merge))
    }

    /// The next event that was recorded: not what is told of the state of the tape.
    fn next(&mut self) -> Result<Option<EventBuf>> {
        let Self(name, merge) = self;
        loop {
            let event = merge.next_event().map_err(|error| read_failure(name, &error))?.map(EventBuf::from);
            let of_tape =
                |event: &EventBuf| matches!(&event.body, BodyBuf::Plain(Body::Loss(loss)) if loss.cause.is_in_bytes());
            if !event.as_ref().is_some_and(of_tape) {
                return Ok(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use redtape_core::Tgid;
    use redtape_core::tape::{CloseReason, Writer, WriterOptions};

    use super::*;

    fn tape(folder: &tempfile::TempDir, name: &str, numbers: std::ops::Range<u32>, cut: usize) -> PathBuf {
        let meta = Meta { tape: [7; 16], ..Meta::default() };
        let mut writer =
            Writer::new(Vec::new(), &meta, WriterOptions { compress: false, ..WriterOptions::PIPE }).unwrap();
        for number in numbers {
            let info = redtape_core::ProcessInfo { id: number.into(), tgid: Tgid(number), ..Default::default() };
            writer
                .push(&EventBuf::new(MonoNanos::new(number.into()), BodyBuf::Process(Box::new(info))).as_event())
                .unwrap();
            writer.push(&EventBuf::new(MonoNanos::new(number.into()), BodyBuf::Plain(Body::Tick)).as_event()).unwrap();
            writer.flush().unwrap();
        }
        let mut bytes = writer.finish(CloseReason::Done).unwrap().1;
        bytes.truncate(bytes.len() - cut);
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn of_copies_the_one_with_all_events_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [whole, again, cut] =
            [("whole", 0), ("again", 0), ("cut", 700)].map(|(name, cut)| tape(&folder, name, 1..9, cut));
        let other = tape(&folder, "other", 2..9, 0);
        let left = |paths: &[&PathBuf]| {
            let paths: Vec<_> = paths.iter().map(|path| (*path).clone()).collect();
            let metas: Vec<_> = paths.iter().map(|path| Tape::open(path).unwrap().reader.meta().clone()).collect();
            copies(&paths, &metas).map(|copies| copies.into_keys().collect::<Vec<_>>())
        };
        assert!(
            has_more(&cut, &whole).unwrap() && !has_more(&whole, &cut).unwrap(),
            "the cut one is a part of the whole"
        );
        assert_eq!(left(&[&whole, &again]).unwrap(), [1]);
        assert_eq!(left(&[&cut, &whole, &again]).unwrap(), [0, 2]);
        assert_eq!(left(&[&whole, &cut]).unwrap(), [1]);
        let error = left(&[&whole, &other]).unwrap_err().to_string();
        assert!(error.contains("have the same UUID, but are not the same: event 0 differs"), "{error}");
    }
}
