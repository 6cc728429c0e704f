//! Which times what a replay exports gets: by the command line, else by where it goes.

use std::cell::OnceCell;
use std::time::SystemTime;

use redtape_core::WallNanos;

use super::args::TimeArgs;
use super::replayed::Replayed;
use crate::failure::Result;
use crate::input::Tape;
use crate::rebase::{Extent, Rebase};

/// Looks at the tapes no sooner than needed, and once.
pub(crate) struct Times<'a> {
    args: &'a TimeArgs,
    tapes: &'a [Tape],
    now: WallNanos,
    extent: OnceCell<Extent>,
}

impl<'a> Times<'a> {
    /// The times of a replay of `tapes` that begins now.
    pub(crate) fn new(args: &'a TimeArgs, tapes: &'a [Tape]) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = WallNanos::new(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        Self { args, tapes, now, extent: OnceCell::new() }
    }

    /// The times of what goes to a file: as recorded, unless the command line moves them.
    ///
    /// # Errors
    ///
    /// A tape cannot be read, or it is not known when it ends.
    pub(crate) fn of_file(&self) -> Result<Replayed> {
        self.replayed(self.args.rebase.unwrap_or(Rebase::None))
    }

    /// The times of what goes to a back end: recent ones, unless the command line says otherwise.
    ///
    /// # Errors
    ///
    /// A tape cannot be read, or it is not known when it ends.
    pub(crate) fn of_back_end(&self) -> Result<Replayed> {
        let default = if self.args.is_paced() { Rebase::FROM_NOW } else { Rebase::JUST_NOW };
        self.replayed(self.args.rebase.unwrap_or(default))
    }

    fn replayed(&self, rebase: Rebase) -> Result<Replayed> {
        let run = self.args.run_id.as_deref();
        if rebase == Rebase::None && run.is_none() {
            return Ok(Replayed::default());
        }
        let extent = match self.extent.get() {
            Some(extent) => *extent,
            None => *self.extent.get_or_init({
                let extent = Extent::of(self.tapes)?;
                move || extent
            }),
        };
        Ok(Replayed::new(extent.start, rebase.shift(extent, self.now)?, run))
    }

    /// What is worth knowing of the times of a back end that takes spans by their times.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let (time, rebase) = (self.args, self.args.rebase);
        let ahead = (time.speed.is_ahead() || time.max_idle.is_some()) && time.is_paced();
        match rebase {
            Some(Rebase::None) => Some(
                "with --rebase none spans have the times of the recording: a back end such as Tempo finds older ones by their \
                 trace's id, not by search (ingestion_time_range_slack)",
            ),
            None | Some(Rebase::Start(_)) if ahead => Some(
                "at this pace the exported times run ahead of the clock, and back ends may refuse what is in the future: \
                 --rebase end=now-5s puts all of them into the past",
            ),
            _ => None,
        }
    }
}
