//! `replay`: tapes to spans, metrics or a summary.

use std::io::Write;
use std::sync::Arc;

use redtape_core::config::Config;
use redtape_core::metric::{Text, TextFormat, write_text};
use redtape_core::{Decorator, MonoNanos, Span};

use super::exporters::exporters;
use super::serving::serve;
use super::summary::{Facts, write_summary};
use super::unwritable;
use crate::cli::{Evidence, MetricFormat, Replay, Settings, SpanFormat};
use crate::export::{Tee, Times};
use crate::failure::{Failure, Kind, Result, all};
use crate::input::Tape;
use crate::pace::Pace;
use crate::printer::Printer;
use crate::run::{Ran, run as run_engine};
use crate::settings::{config, options, take_environment};
use crate::sink::{NoSpans, Now, OutputSink};
use crate::stdout::Output;
use crate::write::{write_span_json, write_span_text};

pub(super) fn run(args: &Replay, out: &mut Output) -> Result {
    let tapes = Tape::open_all(&args.input.tapes)?;
    tapes.iter().filter(|_| args.quiet).for_each(Tape::hush);
    let facts = Facts::of(&tapes);
    let mut config = config(&args.settings, tapes.first().map(|tape| tape.reader.meta()), args.quiet)?;
    let mut exporting = config.clone();
    if asks_environment(args) {
        take_environment(&mut exporting, args.quiet)?;
    }
    let counters = Arc::default();
    let times = Times::new(&args.time, &tapes);
    // First, so that a port in use is known before anything is begun.
    let server = serve(&args.export, &exporting, &times, &counters, args.quiet)?;
    let mut exports = exporters(args, &exporting, &tapes, &times, &counters)?;
    if args.otlp.is_used() {
        config.otel_traces_export.sampler = exporting.otel_traces_export.sampler;
    }
    config.otel_metrics_export.histogram_aggregation = exporting.otel_metrics_export.histogram_aggregation;
    // Standard output has none; what is exported has those that its variable asks for.
    config.prometheus_export.exemplar_filter = exporting.prometheus_export.exemplar_filter;
    let pace = Pace::new(args.time.speed, args.time.max_idle);
    if let Some(server) = &server {
        exports.add(server.exporter());
    }
    let (ran, printed) = match (args.spans, args.trace_printer) {
        (None, Some(printer)) => {
            let mut printer = Printer::as_beyla(out, printer);
            let mut tee = Tee::new(&mut printer, &mut exports);
            let ran = with_evidence(tapes, &config, &args.settings, args.quiet, pace, &mut tee)?;
            (ran, tee.finish().and_then(|()| printer.finish()))
        }
        (None, None) => {
            let mut nothing = NoSpans;
            let mut tee = Tee::new(&mut nothing, &mut exports);
            let ran = with_evidence(tapes, &config, &args.settings, args.quiet, pace, &mut tee)?;
            (ran, tee.finish())
        }
        (Some(format), _) => {
            let mut spans = Spans { out, format, sorted: args.sort.map(|_| Vec::new()) };
            let mut tee = Tee::new(&mut spans, &mut exports);
            let ran = with_evidence(tapes, &config, &args.settings, args.quiet, pace, &mut tee)?;
            (ran, tee.finish().and_then(|()| spans.finish()))
        }
    };
    let now = Now { wall: ran.end, metrics: &ran.metrics, totals: &ran.totals };
    let exported = exports.finish(now, &Arc::new(ran.metrics.snapshot()), args.quiet);
    let shown = printed.and_then(|()| {
        ran.check(args.input.strict, args.quiet)?;
        match args.metrics {
            _ if args.prints_spans() => Ok(()),
            _ if args.otlp.is_on_stdout() || args.export.is_on_stdout() => Ok(()),
            Some(format) => write_metrics(out, &ran, format),
            None => write_summary(out, &facts, &ran).map_err(unwritable),
        }
    });
    // What did not arrive is no reason to withhold the result, nor the other way round.
    all([shown, exported])?;
    if let (Some(server), Some(linger)) = (server, args.export.linger) {
        out.flush().map_err(unwritable)?;
        server.linger(linger)?;
    }
    Ok(())
}

/// Whether the environment is asked: only for what says where things go, and how. What is printed, and what `--openmetrics`
/// writes, does not depend on it.
const fn asks_environment(args: &Replay) -> bool {
    let (otlp, remote_write) = (&args.otlp, &args.remote_write.remote_write);
    otlp.is_used() || otlp.otlp_file.is_some() || remote_write.is_some() || args.export.serves()
}

/// Runs the engine over tapes; with `--evidence whole`, a first time before that, to learn routes.
pub(crate) fn with_evidence(
    tapes: Vec<Tape>,
    config: &Config,
    settings: &Settings,
    quiet: bool,
    pace: Pace,
    sink: &mut impl OutputSink,
) -> Result<Ran> {
    let jobs = settings.jobs.into();
    let mut second = options(config, settings)?;
    if settings.evidence == Evidence::Online {
        return run_engine(tapes, second, jobs, quiet, pace, sink);
    }
    if let Some(pipe) = tapes.iter().find(|tape| tape.size.is_none()) {
        let message = format!("{}: --evidence whole reads a tape twice, so it needs a file, not a pipe", pipe.name);
        return Err(Failure::message(Kind::Usage, message));
    }
    let paths: Vec<_> = tapes.iter().map(|tape| tape.name.clone().into()).collect();
    let (decorator, ran) = learn(tapes, config, settings, quiet)?;
    if ran.unread.is_some() {
        return Ok(ran);
    }
    second.decorator = decorator;
    let again = Tape::open_all(&paths)?;
    again.iter().for_each(Tape::hush);
    run_engine(again, second, jobs, quiet, pace, sink)
}

/// The decorator of a configuration, once it has seen all of the tapes; and how these were.
pub(crate) fn learn(tapes: Vec<Tape>, config: &Config, settings: &Settings, quiet: bool) -> Result<(Decorator, Ran)> {
    let mut seen = Learn(options(config, settings)?.decorator);
    let mut first = options(config, settings)?;
    // Patterns are for the second pass; in the first, no span may be left out.
    first.decorator = Decorator::with_defaults(&first.limits);
    first.everything = true;
    let ran = run_engine(tapes, first, settings.jobs.into(), quiet, Pace::default(), &mut seen)?;
    Ok((seen.0, ran))
}

/// Shows the decorator all requests before it has to decide.
struct Learn(Decorator);

impl OutputSink for Learn {
    fn span(&mut self, span: &Span) -> Result {
        if span.has_path() {
            self.0.observe(&span.service.name, span.kind, span.http.method(), span.http.path());
        }
        Ok(())
    }
}

/// Prints the metrics as they are at the end.
pub(crate) fn write_metrics(out: &mut Output, ran: &Ran, format: MetricFormat) -> Result {
    let snapshot = ran.metrics.snapshot();
    match format {
        MetricFormat::Json => {
            serde_json::to_writer(&mut *out, &snapshot).map_err(|error| unwritable(error.into()))?;
            writeln!(out).map_err(unwritable)
        }
        MetricFormat::Openmetrics => {
            let mut text = String::new();
            write_text(&mut text, &snapshot, &Text::plain(TextFormat::OpenMetrics))
                .expect("invariant: writing to a string does not fail");
            out.write_all(text.as_bytes()).map_err(unwritable)
        }
    }
}

/// Writes spans as they come, or all at the end, sorted.
struct Spans<'a> {
    out: &'a mut Output,
    format: SpanFormat,
    sorted: Option<Vec<(MonoNanos, usize, Vec<u8>)>>,
}

impl Spans<'_> {
    fn finish(&mut self) -> Result {
        let mut lines = self.sorted.take().unwrap_or_default();
        lines.sort();
        lines.iter().try_for_each(|(_, _, line)| self.out.write_all(line)).map_err(unwritable)
    }
}

impl OutputSink for Spans<'_> {
    fn span(&mut self, span: &Span) -> Result {
        let Some(lines) = &mut self.sorted else {
            return write(self.out, span, self.format).map_err(unwritable);
        };
        let mut line = Vec::new();
        write(&mut line, span, self.format).map_err(unwritable)?;
        lines.push((span.end, lines.len(), line));
        Ok(())
    }

    /// Whoever reads along sees what there is.
    fn attend(&mut self, _: Now<'_>) -> Result {
        self.out.flush().map_err(unwritable)
    }

    fn is_closed(&self) -> bool {
        self.out.closed()
    }
}

fn write(out: &mut impl Write, span: &Span, format: SpanFormat) -> std::io::Result<()> {
    match format {
        SpanFormat::Json => write_span_json(out, span),
        SpanFormat::Text => write_span_text(out, span),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        replay: Replay,
    }

    #[test]
    fn the_environment_is_asked_where_something_goes_to_a_back_end() {
        let asks = |arguments: &[&str]| {
            asks_environment(&Command::parse_from([&["replay", "a.tape"], arguments].concat()).replay)
        };
        for arguments in [&["--remote-write", "http://a"][..], &["--prometheus", ":9090"], &["--otlp"]] {
            assert!(asks(arguments), "{arguments:?}");
        }
        for arguments in [&[][..], &["--openmetrics", "a.om"], &["--spans", "json"]] {
            assert!(!asks(arguments), "{arguments:?}");
        }
    }
}
