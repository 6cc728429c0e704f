//! Remote write as an exporter.

use std::sync::Arc;
use std::time::Duration;

use redtape_core::WallNanos;
use redtape_core::metric::{Resolution, Snapshot};

use super::samples::{End, Samples};
use super::sender::{Sender, Settings};
use super::target::Target;
use crate::export::steps::Steps;
use crate::export::{Duty, ExportCounters, Exporter, Replayed, Sent};
use crate::failure::Result;
use crate::sink::Now;

/// Sends all metrics at each step.
pub(crate) struct RemoteWrite {
    samples: Samples,
    sender: Sender,
    counters: Arc<ExportCounters>,
    replayed: Replayed,
    steps: Steps,
    end: End,
    /// The time of the last step.
    last: Option<WallNanos>,
}

/// What is sent, apart from where to.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    /// How far apart samples are, in tape time.
    pub(crate) step: Duration,
    /// Series that do not change for so long end.
    pub(crate) ttl_nanos: Option<u64>,
    /// Whether histograms are also sent as native ones, and how fine.
    pub(crate) native: Option<Resolution>,
    /// What times samples get.
    pub(crate) replayed: Replayed,
}

impl RemoteWrite {
    /// An exporter to `target`.
    ///
    /// # Errors
    ///
    /// The environment does not allow it.
    pub(crate) fn new(target: Target, sampling: Sampling, duty: Duty) -> Result<Self> {
        let mut named = target.url.clone();
        // Neither fails for http. What is secret is not printed.
        let _ = named.set_username("");
        let _ = named.set_password(None);
        let (end, counters) = (target.end, Arc::clone(&duty.counters));
        let settings = Settings { target, duty, name: format!("samples to {named}") };
        let step = sampling.step;
        Ok(Self {
            samples: Samples::new(step, sampling.ttl_nanos, sampling.replayed.run(), sampling.native),
            sender: Sender::start(settings)?,
            counters,
            replayed: sampling.replayed,
            steps: Steps::new(step),
            end,
            last: None,
        })
    }

    fn sample(&mut self, at: WallNanos, snapshot: &Snapshot) {
        let at = self.replayed.time(at);
        // Samples of a millisecond that has had its own would be refused.
        if self.last.is_none_or(|last| at.unix_nanos() / 1_000_000 > last.unix_nanos() / 1_000_000) {
            self.last = Some(at);
            self.sender.send(self.samples.step(at, snapshot));
        }
    }
}

impl Exporter for RemoteWrite {
    /// What a run before has sent is older.
    fn begin(&mut self, started: WallNanos) {
        self.samples.begin(self.replayed.time(started));
    }

    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        if self.steps.is_due(at) {
            self.sample(at, snapshot);
        }
        Ok(())
    }

    fn attend(&mut self, _: Now<'_>) -> Result {
        self.sender.look();
        Ok(())
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.sample(now.wall, last);
        self.sender.send(self.samples.end(self.last.unwrap_or(now.wall), last, self.end));
        let (what, error) = self.sender.finish();
        let counted = self.counters.remote_write.counted();
        let failed = counted.failed + counted.dropped;
        Ok(Sent { what, arrived: counted.exported, failed, error, ..Sent::default() })
    }

    fn wants_spans(&self) -> bool {
        false
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(self.steps.interval())
    }
}
