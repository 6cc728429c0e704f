//! The command: reads both sides in whatever form they come, and tells what changed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use redtape_core::Count;

use super::args::Diff;
use super::compare::{Changes, compare};
use super::series::{of_instances, series};
use super::side::Side;
use super::sink::Gather;
use super::{markdown, spans, text};
use crate::cli::Settings;
use crate::cmd::{unwritable, with_evidence};
use crate::failure::{Failure, Kind, Result};
use crate::input::Tape;
use crate::pace::Pace;
use crate::settings::config;
use crate::stdout::Output;

pub(crate) fn run(args: &Diff, out: &mut Output) -> Result {
    let after = args.after.as_ref().unwrap_or(&args.before);
    if args.before == Path::new("-") && after == Path::new("-") {
        return Err(Failure::message(Kind::Usage, "`-` is both sides, but there is one standard input"));
    }
    let both = args.config.as_deref();
    let [old, new] = [(&args.before, &args.config_a), (after, &args.config_b)]
        .map(|(path, config)| side(path, config.as_deref().or(both), args));
    let (old, new) = (old?, new?);
    let changes = compare(&old, &new, args.tolerance, &args.only);
    if [changes.routes.is_some(), changes.series.is_some(), changes.red.is_some(), changes.values.is_some()]
        == [false; 4]
        && changes.spans.is_none()
    {
        let message = format!(
            "{} and {} have nothing in common that could be compared: take files of one form",
            old.name, new.name
        );
        return Err(Failure::message(Kind::Usage, message));
    }
    write(out, &changes, args)?;
    // The result comes before what is said of it.
    out.flush().map_err(unwritable)?;
    match changes.differences {
        0 => Ok(()),
        count => Err(Failure::message(
            Kind::Check,
            format!("{}{}", Count(count as u64, "difference"), text::within(&changes)),
        )),
    }
}

fn write(out: &mut Output, changes: &Changes, args: &Diff) -> Result {
    if args.json {
        serde_json::to_writer(&mut *out, changes).map_err(|error| unwritable(error.into()))?;
        return writeln!(out).map_err(unwritable);
    }
    if args.markdown {
        return out.write_all(markdown::comment(changes, args.limit).as_bytes()).map_err(unwritable);
    }
    text::write(out, changes, args.limit).map_err(unwritable)
}

/// Reads one side.
fn side(path: &Path, config_file: Option<&Path>, args: &Diff) -> Result<Side> {
    let name = path.display().to_string();
    let mut ignored = of_instances();
    ignored.extend(args.ignore_label.iter().cloned());
    match form(path) {
        Form::Spans => spans::side(&name, BufReader::new(open(path)?)),
        Form::Metrics => metrics(&name, path, &ignored),
        Form::Tape => {
            let settings = Settings {
                config: config_file.map(Path::to_owned),
                jobs: args.jobs,
                ignore_traceparent: false,
                evidence: args.evidence,
            };
            let tape = Tape::open(path)?;
            let config = config(&settings, Some(tape.reader.meta()), args.quiet)?;
            let mut gather = Gather::default();
            let ran = with_evidence(vec![tape], &config, &settings, args.quiet, Pace::default(), &mut gather)?;
            ran.check(args.strict, args.quiet)?;
            let name = config_file.map_or(name.clone(), |config| format!("{name} with {}", config.display()));
            Ok(gather.finish(name, &ran, &ignored))
        }
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Or whatever is read in its place.
    Tape,
    Spans,
    Metrics,
}

/// By how a file begins. What cannot be read is taken for a tape, whose error says why.
fn form(path: &Path) -> Form {
    let mut first = [0];
    if path == Path::new("-") || File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_err() {
        return Form::Tape;
    }
    match first {
        [b'{'] => Form::Spans,
        [b'#'] => Form::Metrics,
        _ => Form::Tape,
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path)
        .map_err(|error| Failure::message(Kind::Input, format!("{}: cannot be read: {error}", path.display())))
}

fn metrics(name: &str, path: &Path, ignored: &BTreeSet<String>) -> Result<Side> {
    let fault = |line: usize, message: String| Failure::message(Kind::Input, format!("{name}:{line}: {message}"));
    let lines = (1..).zip(BufReader::new(open(path)?).lines());
    let lines: Vec<String> = lines
        .map(|(number, line)| line.map_err(|error| fault(number, format!("cannot be read: {error}"))))
        .collect::<Result<_>>()?;
    let series = series(lines.iter().map(String::as_str), ignored)
        .map_err(|(line, message)| fault(line, format!("{message}; read as metrics, as it begins with `#`")))?;
    Ok(Side { name: name.into(), series: Some(series), ..Side::default() })
}
