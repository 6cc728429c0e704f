//! `--openmetrics FILE`: metrics with their times, for `promtool tsdb create-blocks-from openmetrics`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redtape_core::WallNanos;
use redtape_core::metric::{Snapshot, write_openmetrics};

use super::exports::{Exporter, Sent};
use super::replayed::Replayed;
use crate::failure::{Failure, Kind, Result};
use crate::sink::Now;

/// Writes all snapshots to a file when the last is known, since the samples of a series have to be together.
pub(crate) struct OpenMetricsFile {
    path: PathBuf,
    replayed: Replayed,
    snapshots: Vec<(WallNanos, Arc<Snapshot>)>,
}

impl OpenMetricsFile {
    /// An exporter to `path`, with times as in the replay.
    pub(crate) fn new(path: &Path, replayed: Replayed) -> Self {
        Self { path: path.into(), replayed, snapshots: Vec::new() }
    }
}

impl Exporter for OpenMetricsFile {
    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        self.snapshots.push((self.replayed.time(at), Arc::clone(snapshot)));
        Ok(())
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.snapshots.push((self.replayed.time(now.wall), Arc::clone(last)));
        let snapshots: Vec<_> = self.snapshots.iter().map(|(at, snapshot)| (Some(*at), &**snapshot)).collect();
        let mut text = String::new();
        write_openmetrics(&mut text, &snapshots).expect("invariant: writing to a string does not fail");
        let path = self.path.display();
        fs::write(&self.path, text)
            .map_err(|error| Failure::message(Kind::Environment, format!("{path} cannot be written: {error}")))?;
        Ok(Sent { what: format!("samples to {path}"), arrived: snapshots.len() as u64, ..Sent::default() })
    }

    fn wants_spans(&self) -> bool {
        false
    }
}
