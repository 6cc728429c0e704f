//! Remote write as an exporter.

use std::sync::Arc;
use std::time::Duration;

use redtape_core::WallNanos;
use redtape_core::metric::Snapshot;
use reqwest::Url;

use super::args::RemoteWriteArgs;
use super::samples::Samples;
use super::sender::{Sender, Settings, headers};
use crate::export::steps::Steps;
use crate::export::{Duty, ExportCounters, Exporter, Replayed, Sent};
use crate::failure::{Failure, Kind, Result};
use crate::sink::Now;

/// Sends all metrics at each step.
pub(crate) struct RemoteWrite {
    samples: Samples,
    sender: Sender,
    counters: Arc<ExportCounters>,
    replayed: Replayed,
    steps: Steps,
    stale: bool,
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
    /// What times samples get.
    pub(crate) replayed: Replayed,
}

impl RemoteWrite {
    /// An exporter to `url`.
    ///
    /// # Errors
    ///
    /// `url` or a header cannot be used, or the environment does not allow it.
    pub(crate) fn new(url: &str, args: &RemoteWriteArgs, sampling: Sampling, duty: Duty) -> Result<Self> {
        let url = parse(url)?;
        let mut named = url.clone();
        // Neither fails for http. What is secret is not printed.
        let _ = named.set_username("");
        let _ = named.set_password(None);
        let settings = Settings {
            url,
            headers: headers(&args.remote_write_header)?,
            timeout: args.remote_write_timeout.0,
            retry: args.remote_write_retry.0,
            duty: duty.clone(),
            name: format!("samples to {named}"),
        };
        let step = sampling.step;
        Ok(Self {
            samples: Samples::new(step, sampling.ttl_nanos, sampling.replayed.run()),
            sender: Sender::start(settings)?,
            counters: duty.counters,
            replayed: sampling.replayed,
            steps: Steps::new(step),
            stale: args.remote_write_stale,
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
        self.sender.send(self.samples.end(self.last.unwrap_or(now.wall), last, self.stale));
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

fn parse(text: &str) -> Result<Url> {
    let wrong = |why: &dyn std::fmt::Display| {
        let message = format!("--remote-write: {why}: give a URL such as http://127.0.0.1:9090/api/v1/write");
        Failure::message(Kind::Usage, message)
    };
    let url = Url::parse(text).map_err(|error| wrong(&error))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(wrong(&format!("`{scheme}` is neither http nor https"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_before_anything_is_sent() {
        for (text, part) in [
            ("localhost:9090", "`localhost` is neither http nor https"),
            ("9090", "relative URL without a base"),
            ("http://", "empty host"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("--remote-write: ") && error.contains(part), "{text}: {error}");
        }
        assert!(parse("http://user:secret@127.0.0.1:9090/api/v1/write").is_ok());
    }

    #[test]
    fn a_header_that_is_none_is_told_without_its_value() {
        let error = headers(&[("Bad Name".into(), "secret".into())]).unwrap_err().to_string();
        assert_eq!(error, "--remote-write-header: `Bad Name` cannot be a header");
    }
}
