//! Which times what a replay exports gets: by the command line, else by where it goes.

use std::cell::{Cell, OnceCell};
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
        let default = if self.args.is_paced() { Rebase::FROM_NOW } else { Rebase::JUST_NOW };
        self.replayed(self.args.rebase.unwrap_or(default))
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

    /// What is worth knowing of the times of what goes to back ends.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        match self.args.rebase {
            Some(Rebase::None) => Some(
                "with --rebase none everything has the times of the recording: a back end such as Tempo finds older spans by their \
                 trace's id, not by search (ingestion_time_range_slack), and Prometheus refuses samples that are much older than \
                 its newest (out_of_order_time_window)",
            ),
            None | Some(Rebase::Start(_)) if self.runs_ahead() => Some(
                "at this pace the exported times run ahead of the clock, and back ends may refuse what is in the future: \
                 --rebase end=now-5s puts all of them into the past",
            ),
            _ => None,
        }
    }

    /// Whether tape time goes faster than the clock. At full speed that is so where the start is where it shall be, not the end.
    fn runs_ahead(&self) -> bool {
        let TimeArgs { speed, max_idle, rebase, .. } = self.args;
        speed.is_ahead() && (self.args.is_paced() || rebase.is_some()) || max_idle.is_some() && self.args.is_paced()
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
        for (arguments, expected) in [
            ("--speed 10x", true),
            ("--speed 1x --max-idle 1s", true),
            ("--rebase start=now", true),
            ("--speed 1x", false),
            ("--speed 10x --rebase end=now-5s", false),
            ("--max-idle 1s", false),
            ("", false),
        ] {
            let warning = with(arguments, |times| times.warning());
            assert_eq!(warning.is_some_and(|text| text.contains("ahead")), expected, "{arguments}");
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
