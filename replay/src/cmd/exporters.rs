//! What a replay exports, and with which times: by the command line, with what it leaves open from elsewhere.

use std::io;
use std::path::Path;
use std::sync::Arc;

use redtape_core::WallNanos;
use redtape_core::config::Config;

use super::serving::ttl;
use crate::cli::Replay;
use crate::destination::{Destination, is_stdout};
use crate::export::{
    Batching, Duty, ExportCounters, Exports, MetricForm, OpenMetricsFile, OtlpFile, OtlpMetrics, OtlpSpans,
    RemoteWrite, Sampling, Signal, Target, Times, receivers,
};
use crate::failure::{Failure, Kind, Result};
use crate::input::Tape;
use crate::interrupt::Interrupt;

/// The exporters that the command line asks for. `config` has the environment over it.
pub(super) fn exporters(
    args: &Replay,
    config: &Config,
    tapes: &[Tape],
    times: &Times<'_>,
    counters: &Arc<ExportCounters>,
) -> Result<Exports> {
    let receivers = receivers(&args.otlp, config)?;
    // Whoever waits for a back end or for the clock wants to be able to stop it.
    let interruptible = !receivers.is_empty() || args.remote_write.remote_write.is_some() || args.time.is_paced();
    let interrupt = if interruptible { Interrupt::on_signals().map_err(no_signals)? } else { Interrupt::default() };
    let mut exports = Exports::new(interrupt.clone());
    let remote_write = &config.redtape.remote_write;
    let step = args.export.metrics_step.unwrap_or(remote_write.interval).0;
    if step.is_zero() {
        return Err(Failure::message(Kind::Usage, "--metrics-step: without a distance, samples have no end"));
    }
    if let Some(path) = &args.export.openmetrics {
        if args.export.is_on_stdout() && (args.prints_spans() || args.metrics.is_some() || args.otlp.is_on_stdout()) {
            let message = "--openmetrics -: standard output has another result already; give a file";
            return Err(Failure::message(Kind::Usage, message));
        }
        exports.add(OpenMetricsFile::new(create(args, path)?, step, times.of_file()?));
    }
    let origin = origin(tapes);
    let form = MetricForm::of(config)?;
    if let Some(path) = &args.otlp.otlp_file {
        if is_stdout(path) && (args.prints_spans() || args.metrics.is_some()) {
            let message = "--otlp-file -: standard output has --spans or --metrics already; give a file";
            return Err(Failure::message(Kind::Usage, message));
        }
        exports.add(OtlpFile::new(create(args, path)?, origin, form, times.of_file()?));
    }
    let duty = Duty { counters: Arc::clone(counters), interrupt, quiet: args.quiet, ..Duty::default() };
    if let Some(target) = Target::given(&args.remote_write, remote_write)? {
        let native = config.native_histograms();
        let sampling = Sampling { step, ttl_nanos: ttl(config), native, replayed: times.of_back_end()? };
        exports.add(RemoteWrite::new(target, sampling, duty.clone())?);
    }
    for receiver in &receivers {
        let (replayed, duty) = (times.of_back_end()?, duty.clone());
        match receiver.signal {
            Signal::Traces => exports.add(OtlpSpans::new(receiver, Batching::of(config), replayed, duty)?),
            Signal::Metrics => exports.add(OtlpMetrics::new(receiver, origin, form, replayed, duty)?),
        }
    }
    let sends = !receivers.is_empty() || args.remote_write.remote_write.is_some();
    if let Some(warning) = times.warning().filter(|_| sends && !args.quiet) {
        eprintln!("redtape: warning: {warning}");
    }
    if let Some(warning) = times.without_effect().filter(|_| !args.quiet) {
        eprintln!("redtape: warning: {warning}");
    }
    Ok(exports)
}

/// Since when a tape's metrics count, and where it was recorded.
fn origin(tapes: &[Tape]) -> (WallNanos, &str) {
    let metas = || tapes.iter().map(|tape| tape.reader.meta());
    let started = metas().map(|meta| meta.started).min().unwrap_or(WallNanos::new(0));
    (started, metas().next().map_or("", |meta| &meta.host))
}

fn create(args: &Replay, path: &Path) -> Result<Destination> {
    Destination::create(path, args.export.force, &args.input.tapes)
}

fn no_signals(error: io::Error) -> Failure {
    Failure::message(Kind::Environment, format!("signals cannot be caught: {error}"))
}
