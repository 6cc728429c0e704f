//! Several tapes at once: rotated sets file by file, tapes of several recordings merged by time.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;

use super::reader::{ReadError, ReadReport, Reader};
use super::source::{EventSource, TapeSource};
use crate::event::{Body, Event, Loss, LossCause};
use crate::ids::Origin;
use crate::time::{ClockAnchor, MonoNanos};

/// Files that are missing in the middle of a rotated set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetGap {
    /// The set.
    pub set: [u8; 16],
    /// The first missing number.
    pub from: u32,
    /// The last missing number.
    pub to: u32,
}

/// How the times of several tapes are put on one clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// By the time of day, or as they are where they are of one boot of one host.
    #[default]
    Clock,
    /// All begin when the first one does.
    Start,
}

/// The events of several tapes in order of time.
///
/// Tapes of one rotated set are read one after the other, in the order of their numbers. The times of tapes of other
/// hosts, or of other boots of a host, are shifted to the clock of the first tape by the wall clocks of both.
pub struct Merge<R> {
    chains: Vec<Chain<R>>,
    gaps: Vec<SetGap>,
    /// The tape that is being read.
    current: usize,
    /// How the tapes were that have been read, by their place in what was given.
    reports: BTreeMap<usize, ReadReport>,
}

/// Tapes that are read one after the other.
struct Chain<R> {
    current: TapeSource<R>,
    /// Its place in what was given.
    place: usize,
    later: Later<R>,
    /// The time of the next event; `None` at the end.
    next_time: Option<MonoNanos>,
    last_time: MonoNanos,
}

/// The other files of a set.
struct Later<R> {
    /// With their places; whether files are missing before each.
    files: VecDeque<(usize, Reader<R>, bool)>,
    /// The next one and its place, where it was looked into.
    next: Option<(usize, TapeSource<R>)>,
    shift: i64,
}

impl<R: Read> Merge<R> {
    /// The events of tapes that were just opened, aligned by their clocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn new(tapes: impl IntoIterator<Item = Reader<R>>) -> Result<Self, ReadError> {
        Self::aligned(tapes, Align::Clock)
    }

    /// The events of tapes that were just opened.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn aligned(tapes: impl IntoIterator<Item = Reader<R>>, align: Align) -> Result<Self, ReadError> {
        let mut merge = Self { chains: Vec::new(), gaps: Vec::new(), current: 0, reports: BTreeMap::new() };
        let mut sets: Vec<Vec<(usize, Reader<R>)>> = Vec::new();
        for (place, tape) in tapes.into_iter().enumerate() {
            let set = |tape: &Reader<R>| tape.meta().set.map(|member| member.set);
            match sets.iter_mut().find(|tapes| set(&tape).is_some() && set(&tapes[0].1) == set(&tape)) {
                Some(tapes) => tapes.push((place, tape)),
                None => sets.push(vec![(place, tape)]),
            }
        }
        let (mut clock, mut start): (Option<Clock>, Option<MonoNanos>) = (None, None);
        for mut files in sets {
            files.sort_by_key(|(_, file)| number(file));
            let mut files: VecDeque<_> = merge.with_gaps(files).into();
            let Some((place, first, _)) = files.pop_front() else { continue };
            merge.current = place;
            let boot_id = first.meta().boot_id.clone();
            let mut current = TapeSource::new(first);
            let anchor = current.first_anchor()?;
            let clock = clock.get_or_insert(Clock { boot_id: boot_id.clone(), anchor });
            let shift = match (align, current.peek_time()?) {
                (Align::Clock, _) => clock.shift(&boot_id, anchor),
                (Align::Start, None) => 0,
                (Align::Start, Some(first)) => {
                    let start = start.get_or_insert(first);
                    start.nanos().checked_signed_diff(first.nanos()).unwrap_or_default()
                }
            };
            current.shift_times(shift);
            let next_time = current.peek_time()?;
            let later = Later { files, next: None, shift };
            merge.chains.push(Chain { current, place, later, next_time, last_time: MonoNanos::ZERO });
        }
        Ok(merge)
    }

    /// Files that are missing in the middle of rotated sets. Where they would be, there is a [`crate::Loss`].
    pub fn gaps(&self) -> &[SetGap] {
        &self.gaps
    }

    /// The place, in what was given, of the tape that is being read: the one that an error is about.
    pub const fn current(&self) -> usize {
        self.current
    }

    /// In what state each tape was, by its place in what was given. Complete at the end.
    pub fn reports(&self) -> BTreeMap<usize, ReadReport> {
        let under_way = self.chains.iter().map(|chain| (chain.place, *chain.current.reader().report()));
        self.reports.clone().into_iter().chain(under_way).collect()
    }

    /// Notes the gaps between the files of a set.
    fn with_gaps(&mut self, files: Vec<(usize, Reader<R>)>) -> Vec<(usize, Reader<R>, bool)> {
        let mut expected = None;
        let mut found = Vec::new();
        for (place, file) in files {
            let number = number(&file);
            let gap = expected.filter(|&expected| number > expected);
            if let (Some(from), Some(member)) = (gap, file.meta().set) {
                self.gaps.push(SetGap { set: member.set, from, to: number - 1 });
            }
            expected = Some(number.saturating_add(1));
            found.push((place, file, gap.is_some()));
        }
        found
    }
}

impl<R: Read> EventSource for Merge<R> {
    fn next_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        for chain in &mut self.chains {
            self.current = chain.place;
            chain.settle(&mut self.reports)?;
        }
        let next = self.chains.iter_mut().filter(|chain| chain.next_time.is_some());
        let Some(chain) = next.min_by_key(|chain| chain.next_time) else { return Ok(None) };
        self.current = chain.place;
        chain.take()
    }
}

impl<R: Read> Chain<R> {
    /// Finds out the time of the next event, if that is not known.
    fn settle(&mut self, reports: &mut BTreeMap<usize, ReadReport>) -> Result<(), ReadError> {
        if self.next_time.is_some() {
            return Ok(());
        }
        self.next_time = self.current.peek_time()?;
        while self.next_time.is_none()
            && let Some((place, next)) = self.later.take(self.last_time)
        {
            reports.insert(self.place, *self.current.reader().report());
            (self.place, self.current) = (place, next);
            self.next_time = self.current.peek_time()?;
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        self.last_time = self.last_time.max(self.next_time.take().unwrap_or_default());
        let origin = Some(self.current.reader().meta().origin).filter(|&origin| origin != Origin::default());
        let Some(event) = self.current.next_event()? else { return Ok(None) };
        let Body::Loss(loss) = event.body else { return Ok(Some(event)) };
        // The end of a tape that was not closed is missing up to where the next file of the set begins.
        let to = match loss.cause {
            LossCause::Truncated => self.later.begin(self.last_time)?.map_or(loss.to, |begin| begin.max(loss.from)),
            _ => loss.to,
        };
        Ok(Some(Event { body: Body::Loss(Loss { to, origin, ..loss }), ..event }))
    }
}

impl<R: Read> Later<R> {
    /// The next file, where the one before it ended at `last_time`.
    fn take(&mut self, last_time: MonoNanos) -> Option<(usize, TapeSource<R>)> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        let (place, mut file, gap) = self.files.pop_front()?;
        if gap {
            let last_time = last_time.nanos().saturating_add_signed(self.shift.saturating_neg());
            file.after_missing_file(MonoNanos::new(last_time));
        }
        file.shift_times(self.shift);
        Some((place, TapeSource::new(file)))
    }

    /// When the next file begins.
    fn begin(&mut self, last_time: MonoNanos) -> Result<Option<MonoNanos>, ReadError> {
        self.next = self.take(last_time);
        match &mut self.next {
            Some((_, next)) => next.peek_time(),
            None => Ok(None),
        }
    }
}

fn number<R: Read>(tape: &Reader<R>) -> u32 {
    tape.meta().set.map_or(0, |member| member.number)
}

/// The clock that events are put on.
struct Clock {
    boot_id: String,
    anchor: Option<ClockAnchor>,
}

impl Clock {
    /// What must be added to the times of a tape. 0 where the clock is the same, or cannot be compared.
    fn shift(&self, boot_id: &str, anchor: Option<ClockAnchor>) -> i64 {
        let (Some(base), Some(other)) = (self.anchor, anchor) else { return 0 };
        if boot_id == self.boot_id && !boot_id.is_empty() {
            return 0;
        }
        let offset = |anchor: ClockAnchor| i128::from(anchor.wall.unix_nanos()) - i128::from(anchor.mono.nanos());
        i64::try_from(offset(other) - offset(base)).unwrap_or_default()
    }
}
