//! `--openmetrics FILE`: metrics with their times, for `promtool tsdb create-blocks-from openmetrics`.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use redtape_core::WallNanos;
use redtape_core::metric::{History, Snapshot};

use super::exports::{Exporter, Sent};
use super::replayed::{RUN_LABEL, Replayed};
use super::steps::Steps;
use crate::destination::Destination;
use crate::failure::Result;
use crate::sink::Now;

/// Collects what changes, and writes all of it when the end is known.
pub(crate) struct OpenMetricsFile {
    out: Destination,
    replayed: Replayed,
    steps: Steps,
    history: History,
}

impl OpenMetricsFile {
    /// An exporter with a snapshot each `step` and times as in the replay.
    pub(crate) fn new(out: Destination, step: Duration, replayed: Replayed) -> Self {
        let nanos = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        let history = History::new(nanos, replayed.run().map(|run| (RUN_LABEL, run)));
        Self { out, replayed, steps: Steps::new(step), history }
    }
}

impl Exporter for OpenMetricsFile {
    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        if self.steps.is_due(at) {
            self.history.add(self.replayed.time(at), snapshot);
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.history.add(self.replayed.time(now.wall), last);
        let Self { mut out, history, .. } = *self;
        write(&history, &mut out).map_err(out.failed())?;
        let sent = Sent::written(history.samples(), format!("samples to {}", out.name()));
        out.finish()?;
        Ok(sent)
    }

    fn wants_spans(&self) -> bool {
        false
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(self.steps.interval())
    }
}

fn write(history: &History, out: impl Write) -> io::Result<()> {
    let mut text = Text { out, error: None };
    // Nothing but what is written to fails, and that is told better by its own error.
    let _ = history.write(&mut text);
    text.error.map_or(Ok(()), Err)
}

/// Text to bytes: what failed is kept, as `fmt` has no place for it.
struct Text<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> fmt::Write for Text<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.out.write_all(text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}
