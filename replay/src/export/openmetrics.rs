//! `--openmetrics FILE`: metrics with their times, for `promtool tsdb create-blocks-from openmetrics`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redtape_core::WallNanos;
use redtape_core::metric::{History, Snapshot};

use super::exports::{Exporter, Sent};
use super::replayed::{RUN_LABEL, Replayed};
use super::steps::Steps;
use crate::failure::{Failure, Kind, Result};
use crate::sink::Now;

/// Collects what changes, and writes all of it when the end is known.
pub(crate) struct OpenMetricsFile {
    path: PathBuf,
    force: bool,
    replayed: Replayed,
    steps: Steps,
    history: History,
}

impl OpenMetricsFile {
    /// An exporter to `path`, or to standard output for `-`, with a snapshot each `step` and times as in the replay.
    ///
    /// # Errors
    ///
    /// The file exists, and it is not to be overwritten by `force`.
    pub(crate) fn new(path: &Path, force: bool, step: Duration, replayed: Replayed) -> Result<Self> {
        if !force && path != Path::new("-") && path.exists() {
            let message = format!("{}: exists already; --force overwrites it", path.display());
            return Err(Failure::message(Kind::Usage, message));
        }
        let nanos = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        let history = History::new(nanos, replayed.run().map(|run| (RUN_LABEL, run)));
        Ok(Self { path: path.into(), force, replayed, steps: Steps::new(step), history })
    }

    /// A file is written under another name, so that there is all of it or nothing.
    fn write(&self) -> io::Result<()> {
        if self.path == Path::new("-") {
            return match write(&self.history, io::stdout().lock()) {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                other => other,
            };
        }
        let unfinished = self.path.with_added_extension("part");
        let file = if self.force { File::create(&unfinished) } else { File::create_new(&unfinished) }?;
        let written = write(&self.history, file).and_then(|()| fs::rename(&unfinished, &self.path));
        if written.is_err() {
            // What is left of it is of no use; that it cannot be removed is not what failed.
            let _ = fs::remove_file(&unfinished);
        }
        written
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
        let path = self.path.display();
        self.write()
            .map_err(|error| Failure::message(Kind::Environment, format!("{path}: cannot be written: {error}")))?;
        let what = if self.path == Path::new("-") {
            "samples to standard output".into()
        } else {
            format!("samples to {path}")
        };
        Ok(Sent::written(self.history.samples(), what))
    }

    fn wants_spans(&self) -> bool {
        false
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(self.steps.interval())
    }
}

fn write(history: &History, out: impl Write) -> io::Result<()> {
    let mut text = Text { out: BufWriter::with_capacity(64 << 10, out), error: None };
    // Nothing but what is written to fails, and that is told better by its own error.
    let _ = history.write(&mut text);
    match text.error {
        Some(error) => Err(error),
        None => text.out.flush(),
    }
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
