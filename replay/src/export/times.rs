//! Which times what a replay exports gets: by the command line, else by where it goes.

use std::cell::{Cell, OnceCell};
use std::time::SystemTime;

use redtape_core::WallNanos;

use super::args::TimeArgs;
use super::replayed::Replayed;
use crate::failure::Result;
use crate::input::Tape;
use crate::rebase::{Extent, Rebase};

/// So far ahead of the clock nobody refuses anything.
const AHEAD_NANOS: u64 = 100_000_000;

/// Looks at the tapes no sooner than needed, and once.
pub(crate) struct Times<'a> {
    args: &'a TimeArgs,
    tapes: &'a [Tape],
    now: WallNanos,
    extent: OnceCell<Extent>,
    /// Something is exported that has times, or a run's name.
    used: Cell<bool>,
}

impl<'a> Times<'a> {
    /// The times of a replay of `tapes` that begins now.
    pub(crate) fn new(args: &'a TimeArgs, tapes: &'a [Tape]) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = WallNanos::new(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        Self { args, tapes, now, extent: OnceCell::new(), used: Cell::new(false) }
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
        self.replayed(self.rebase_of_back_end())
    }

    fn rebase_of_back_end(&self) -> Rebase {
        let default = if self.args.is_paced() { Rebase::FROM_NOW } else { Rebase::JUST_NOW };
        self.args.rebase.unwrap_or(default)
    }

    fn replayed(&self, rebase: Rebase) -> Result<Replayed> {
        self.used.set(true);
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

    /// What is worth knowing of the times of what goes to back ends, once those have been asked for.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        match self.args.rebase {
            Some(Rebase::None) => Some(
                "with --rebase none everything has the times of the recording: a back end such as Tempo finds older spans by their \
                 trace's id, not by search (ingestion_time_range_slack), and Prometheus refuses samples that are much older than \
                 its newest (out_of_order_time_window)",
            ),
            _ if self.runs_ahead() => Some(
                "the exported times run ahead of the clock, and back ends may refuse what is in the future: \
                 --rebase end=now-5s puts all of them into the past",
            ),
            _ => None,
        }
    }

    /// Whether something has a time, when it is sent, that has not come yet.
    fn runs_ahead(&self) -> bool {
        let Some(Extent { start, end }) = self.extent.get().copied() else { return false };
        let Ok(shift) = self.rebase_of_back_end().shift(Extent { start, end }, self.now) else { return false };
        let TimeArgs { speed, max_idle, .. } = self.args;
        let allowed = self.now.unix_nanos().saturating_add(AHEAD_NANOS);
        let moved = |time| shift.apply(time).unix_nanos();
        let Some(end) = end else {
            // How long a pipe will go on is not known; if it is faster than the clock, it gets ahead sooner or later.
            let overtakes = speed.is_ahead() || max_idle.is_some();
            return moved(start) > allowed
                || overtakes && moved(start).saturating_add(AHEAD_NANOS) >= self.now.unix_nanos();
        };
        // How much `--max-idle` cuts short is not known: all of it, at worst.
        let takes =
            if max_idle.is_some() { 0 } else { speed.takes(end.unix_nanos().saturating_sub(start.unix_nanos())) };
        moved(end) > allowed.saturating_add(takes)
    }

    /// What of the command line has no effect, since nothing was exported that it is about.
    pub(crate) fn without_effect(&self) -> Option<String> {
        let TimeArgs { rebase, run_id, .. } = self.args;
        let given = [("--run-id", run_id.is_some()), ("--rebase", rebase.is_some())];
        let given: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect();
        let (verb, them) = if given.len() == 1 { ("has", "it") } else { ("have", "them") };
        (!given.is_empty() && !self.used.get()).then(|| {
            format!(
                "{} {verb} no effect: nothing is exported that {them} could change; standard output is always as recorded \
                 (--otlp, --otlp-file, --remote-write, --openmetrics)",
                given.join(" and ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        time: TimeArgs,
    }

    fn with<T>(arguments: &str, ask: impl Fn(&Times<'_>) -> T) -> T {
        let args = Command::parse_from(std::iter::once("redtape").chain(arguments.split_whitespace())).time;
        ask(&Times::new(&args, &[]))
    }

    #[test]
    fn times_ahead_of_the_clock_are_said() {
        let start = WallNanos::new(1_700_000_000_000_000_000);
        let end = WallNanos::new(start.unix_nanos() + 60_000_000_000);
        for (arguments, of_file, of_pipe) in [
            ("--speed 10x", true, true),
            ("--speed 1x --max-idle 1s", true, true),
            ("--rebase start=now", true, true),
            ("--rebase start=2020-01-01T00:00:00Z", false, false),
            ("--rebase start=now-1h", false, false),
            ("--rebase end=now+1h", true, false),
            ("--speed 1x --rebase start=now+1h", true, true),
            ("--speed 1x", false, false),
            ("--speed 0.5x", false, false),
            ("--speed 10x --rebase end=now-5s", false, false),
            ("--max-idle 1s", false, false),
            ("", false, false),
        ] {
            for (end, expected) in [(Some(end), of_file), (None, of_pipe)] {
                let warning = with(arguments, |times| {
                    times.extent.set(Extent { start, end }).unwrap();
                    times.warning()
                });
                assert_eq!(warning.is_some_and(|text| text.contains("ahead")), expected, "{arguments} {end:?}");
            }
        }
        assert!(with("--rebase none", |times| times.warning()).is_some_and(|text| text.contains("of the recording")));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let said = |arguments: &str| with(arguments, |times| times.without_effect()).unwrap_or_default();
        assert!(said("--run-id a").starts_with("--run-id has no effect: "));
        assert!(said("--run-id a --rebase none").starts_with("--run-id and --rebase have no effect: "));
        assert_eq!(said("--speed 1x"), "");
        let exported = with("--rebase none", |times| {
            times.of_file().unwrap();
            times.without_effect()
        });
        assert_eq!(exported, None);
    }
}
