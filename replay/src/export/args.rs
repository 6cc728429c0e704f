//! The command line's part of exports: OTLP and times.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use redtape_core::config::{Compression, Period, Protocol};

use crate::destination::is_stdout;
use crate::pace::Speed;
use crate::rebase::Rebase;
use crate::url::or_tape;

/// The flags that say where spans and metrics go by OTLP; the others are about how.
const RECEIVER: &str = "receiver";

/// Spans and metrics by OTLP.
#[derive(Args, Clone, Debug, Default)]
#[command(group(ArgGroup::new(RECEIVER).multiple(true)))]
#[command(next_help_heading = "OTLP (over the variables OTEL_EXPORTER_OTLP_*, and those over the configuration)")]
pub struct OtlpArgs {
    /// Send spans and metrics to a receiver: gRPC on port 4317, else HTTP, to which /v1/traces and /v1/metrics are added;
    /// without a URL, to where the environment or the configuration says
    #[arg(long, value_name = "URL", num_args = 0..=1, value_parser = or_tape, group = RECEIVER)]
    pub otlp: Option<Option<String>>,
    /// Send spans to this very URL
    #[arg(long, value_name = "URL", group = RECEIVER)]
    pub otlp_traces: Option<String>,
    /// Send metrics to this very URL
    #[arg(long, value_name = "URL", group = RECEIVER)]
    pub otlp_metrics: Option<String>,
    /// Write spans and metrics as OTLP JSON, a request a line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub otlp_file: Option<PathBuf>,
    /// Speak `grpc`, `http/protobuf` or `http/json`, whatever the port
    #[arg(long, value_name = "PROTOCOL", requires = RECEIVER)]
    pub otlp_protocol: Option<Protocol>,
    /// A header of each request; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = header, requires = RECEIVER)]
    pub otlp_header: Vec<(String, String)>,
    /// How long the receiver may take to answer a request [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = RECEIVER)]
    pub otlp_timeout: Option<Duration>,
    /// How long to go on trying, where the receiver is down or busy [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = RECEIVER)]
    pub otlp_retry: Option<Duration>,
    /// `gzip` or `none`
    #[arg(long, value_name = "HOW", requires = RECEIVER)]
    pub otlp_compression: Option<Compression>,
    /// The certificates (PEM) that the receiver's must come from, instead of those that the system trusts
    #[arg(long, value_name = "FILE", requires = RECEIVER)]
    pub otlp_certificate: Option<String>,
    /// A certificate (PEM) to show to the receiver
    #[arg(long, value_name = "FILE", requires = RECEIVER)]
    pub otlp_client_certificate: Option<String>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = RECEIVER)]
    pub otlp_client_key: Option<String>,
    /// Accept any certificate of the receiver
    #[arg(long, requires = RECEIVER)]
    pub otlp_insecure_skip_verify: bool,
}

impl OtlpArgs {
    /// Whether anything goes to a receiver.
    pub(crate) const fn is_used(&self) -> bool {
        self.otlp.is_some() || self.otlp_traces.is_some() || self.otlp_metrics.is_some()
    }

    /// Whether standard output has OTLP.
    pub(crate) fn is_on_stdout(&self) -> bool {
        self.otlp_file.as_deref().is_some_and(is_stdout)
    }
}

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

impl TimeArgs {
    /// Whether the replay ever waits for the clock.
    pub(crate) fn is_paced(&self) -> bool {
        self.speed != Speed::MAX
    }
}

/// A length of time, written as in a configuration.
fn duration(text: &str) -> Result<Duration, String> {
    text.parse().map(|Period(length)| length).map_err(|error| error.to_string())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no header: write KEY=VALUE"))?;
    Ok((key.trim().into(), value.trim().into()))
}
