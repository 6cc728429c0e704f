//! `--openmetrics FILE`: metrics with their times, for `promtool tsdb create-blocks-from openmetrics`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redtape_core::WallNanos;
use redtape_core::metric::{Snapshot, write_openmetrics};

use super::exports::{Exporter, Sent};
use super::shift::Shift;
use crate::failure::{Failure, Kind, Result};
use crate::sink::Now;

/// Writes all snapshots to a file when the last is known, since the samples of a series have to be together.
pub(crate) struct OpenMetricsFile {
    path: PathBuf,
    shift: Shift,
    snapshots: Vec<(WallNanos, Arc<Snapshot>)>,
}

impl OpenMetricsFile {
    /// An exporter to `path`, with all times moved by `shift`.
    pub(crate) fn new(path: &Path, shift: Shift) -> Self {
        Self { path: path.into(), shift, snapshots: Vec::new() }
    }
}

impl Exporter for OpenMetricsFile {
    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        self.snapshots.push((self.shift.apply(at), Arc::clone(snapshot)));
        Ok(())
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.snapshots.push((self.shift.apply(now.wall), Arc::clone(last)));
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
