//! The command line's part of exports: times.

use std::time::Duration;

use clap::Args;

use crate::pace::Speed;
use crate::rebase::Rebase;

/// When what is replayed is exported, and what times it gets.
#[derive(Args, Debug)]
#[command(next_help_heading = "Time")]
pub struct TimeArgs {
    /// How fast: `max`, or a factor of the speed at which it was recorded, such as `1x`, `10x` or `0.5x`
    #[arg(long, value_name = "SPEED", default_value = "max")]
    pub speed: Speed,
    /// Wait no longer than this where nothing happens on the tape (in tape time; exported times stay as they are)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_idle: Option<Duration>,
    /// Move all exported times by the same: `end=now-5s` (default to a back end), `start=now` (default with --speed), `none`
    /// (default to a file), or any moment as in `start=2026-05-04T12:00:00Z`
    #[arg(long, value_name = "HOW")]
    pub rebase: Option<Rebase>,
    /// Name this replay: exports carry the name, and trace and span ids are made of it
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub run_id: Option<String>,
}

/// A length of time such as `500ms`, `5s` or `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let length: jiff::SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is no duration: write a number and a unit, as in `500ms` or `5s`"))?;
    Duration::try_from(length).map_err(|_| format!("`{text}` is negative"))
}
