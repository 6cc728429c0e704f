//! The events of the tapes that a command is given, in one order.

use std::path::PathBuf;

use redtape_core::edit::{duplicates, merged_meta};
use redtape_core::tape::{Align, EventSource, Merge, Meta};
use redtape_core::{Body, ClockAnchor, Count, Event, EventBuf, MonoNanos};

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
        let twice = duplicates(&metas.iter().collect::<Vec<_>>());
        for (at, before) in twice.iter().rev() {
            let again = tapes.remove(*at);
            let first = tapes.get(*before).map_or("", |tape| &tape.name);
            if !quiet {
                eprintln!("redtape: warning: {}: left out, as it is the same tape as {first}", again.name);
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
            redtape_core::BodyBuf::Plain(Body::Clock { anchor, .. }) => Some(anchor),
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
