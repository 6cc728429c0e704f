//! The command line's part of remote write.

use clap::{ArgGroup, Args};
use redtape_core::config::Period;

use crate::url::or_tape;

/// The flags by which metrics are exported in samples with times of their own.
pub(crate) const SAMPLES: &str = "samples";

/// Metrics to a receiver of Prometheus' remote write.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new(SAMPLES).multiple(true)))]
#[command(next_help_heading = "Remote write")]
pub struct RemoteWriteArgs {
    /// Send metrics to this URL, with their times, as in `http://127.0.0.1:9090/api/v1/write`; without a URL, to where the
    /// configuration says
    #[arg(long, value_name = "URL", num_args = 0..=1, value_parser = or_tape, group = SAMPLES)]
    pub remote_write: Option<Option<String>>,
    /// A header of each request, as in `Authorization=Bearer …`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = header, requires = "remote_write")]
    pub remote_write_header: Vec<(String, String)>,
    /// How long the receiver may take to answer a request [default: 10s]
    #[arg(long, value_name = "DURATION", requires = "remote_write")]
    pub remote_write_timeout: Option<Period>,
    /// How long to go on trying, where the receiver is down or busy [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "remote_write")]
    pub remote_write_retry: Option<Period>,
    /// In the end, tell the receiver that all series have ended
    #[arg(long, requires = "remote_write")]
    pub remote_write_stale: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no header: write KEY=VALUE"))?;
    Ok((key.trim().into(), value.trim().into()))
}
