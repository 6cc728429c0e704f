//! Remote write as an exporter.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use redtape_core::WallNanos;
use redtape_core::metric::{Resolution, Snapshot};

use super::message::{TimeSeries, WriteRequest};
use super::samples::{End, Samples};
use super::target::Target;
use super::way::RemoteWriteWay;
use crate::export::send::{Backoff, BoxError, Courier, Destination, Line, Queue, Way};
use crate::export::steps::Steps;
use crate::export::{Duty, Exporter, Replayed, Sent};
use crate::failure::Result;
use crate::sink::Now;
use crate::url::without_credentials;

/// Requests that may wait. With those of [`REQUEST_SERIES`] each that is about 16 MiB.
const QUEUE: usize = 16;

/// Series of one request, of which most have one sample; what Prometheus itself sends is of this size.
const REQUEST_SERIES: usize = 2_000;

/// The first wait before a request is repeated; each further one is twice as long, up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A request, and how many samples it has.
type Request = (WriteRequest, u64);

/// Sends all metrics at each step.
pub(crate) struct RemoteWrite {
    samples: Samples,
    line: Line<Request>,
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
        let destination = Destination {
            name: format!("samples to {}", without_credentials(target.url.as_str())),
            counters: |counters| &counters.remote_write,
            timeout: target.timeout,
            backoff: Backoff { initial: FIRST_WAIT, longest: LONGEST_WAIT, elapsed: target.retry },
        };
        let way = || -> std::result::Result<Box<dyn Way>, BoxError> { Ok(Box::new(RemoteWriteWay::new(&target)?)) };
        let work = |mut queue: Queue<Request>, courier: Arc<Courier>| async move {
            while let Some((request, samples)) = queue.recv().await {
                courier.bring(request.encode_to_vec().into(), samples).await;
            }
        };
        let step = sampling.step;
        Ok(Self {
            samples: Samples::new(step, sampling.ttl_nanos, sampling.replayed.run(), sampling.native),
            line: Line::new("remote-write", QUEUE, (destination, duty), way, work)?,
            replayed: sampling.replayed,
            steps: Steps::new(step),
            end: target.end,
            last: None,
        })
    }

    /// Sends these, in as many requests as it takes, one after the other: order matters to the receiver.
    fn send(&self, mut series: Vec<TimeSeries>) {
        while !series.is_empty() {
            let rest = series.split_off(series.len().min(REQUEST_SERIES));
            let request = WriteRequest { timeseries: series };
            let samples = request.samples();
            self.line.push((request, samples), samples);
            series = rest;
        }
    }

    fn sample(&mut self, at: WallNanos, snapshot: &Snapshot) {
        let at = self.replayed.time(at);
        // Samples of a millisecond that has had its own would be refused.
        if self.last.is_none_or(|last| at.unix_nanos() / 1_000_000 > last.unix_nanos() / 1_000_000) {
            self.last = Some(at);
            let series = self.samples.step(at, snapshot);
            self.send(series);
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
        self.line.look();
        Ok(())
    }

    fn finish(mut self: Box<Self>, now: Now<'_>, last: &Arc<Snapshot>) -> Result<Sent> {
        self.sample(now.wall, last);
        self.send(self.samples.end(self.last.unwrap_or(now.wall), last, self.end));
        Ok(self.line.finish())
    }

    fn wants_spans(&self) -> bool {
        false
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(self.steps.interval())
    }
}
