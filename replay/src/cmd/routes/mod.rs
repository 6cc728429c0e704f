//! `routes`: the decorator by itself, and what traffic says of its patterns.

mod args;
mod learn;
mod lint;
mod stats;

use std::io::{self, BufRead, Write};

use redtape_core::config::Config;
use redtape_core::{Decorator, Explanation, Limits, SpanKind};

use super::unwritable;
use crate::cli;
use crate::failure::{Failure, Kind, Result};
use crate::settings::{evidence, read_config, unusable};
use crate::stdout::Output;
pub use args::{Routes, RoutesApply, RoutesExplain, RoutesLearn, RoutesLint, RoutesSettings};
use stats::Stats;

pub(super) fn run(args: &Routes, out: &mut Output) -> Result {
    match args {
        Routes::Apply(args) => apply(args, out),
        Routes::Explain(args) => explain(args, out),
        Routes::Learn(args) => learn::run(args, out),
        Routes::Lint(args) => lint::run(args, out),
    }
}

fn apply(args: &RoutesApply, out: &mut Output) -> Result {
    let mut decorator = make_decorator(&args.settings, args.evidence)?;
    let mut stats = args.stats.then(Stats::default);
    let mut input = io::stdin().lock();
    let mut line = String::new();
    if args.evidence == cli::Evidence::Online {
        while read_line(&mut input, &mut line)? && !out.closed() {
            take_line(&mut decorator, &args.settings, &line, &mut stats, out)?;
        }
    } else {
        let mut lines = Vec::new();
        while read_line(&mut input, &mut line)? {
            let Request { service, method, path } = Request::parse(&line, &args.settings);
            decorator.observe(service, kind(&args.settings), method, path);
            lines.push(std::mem::take(&mut line));
        }
        lines.iter().try_for_each(|line| take_line(&mut decorator, &args.settings, line, &mut stats, out))?;
    }
    stats.map_or(Ok(()), |stats| stats.write(out).map_err(unwritable))
}

/// Decides about a line, and counts or writes what was decided.
fn take_line(
    decorator: &mut Decorator,
    settings: &RoutesSettings,
    line: &str,
    stats: &mut Option<Stats>,
    out: &mut Output,
) -> Result {
    let Request { service, method, path } = Request::parse(line, settings);
    let decision = decorator.decorate(service, kind(settings), method, path);
    if let Some(stats) = stats {
        stats.add(path, &decision);
        return Ok(());
    }
    let route = if decision.ignored.traces && decision.ignored.metrics { "" } else { &decision.route };
    writeln!(out, "{path}\t{route}").map_err(unwritable)
}

/// Reads a line without its end. `false` at the end of the input.
fn read_line(input: &mut impl BufRead, line: &mut String) -> Result<bool> {
    line.clear();
    let read = input.read_line(line);
    let read = read.map_err(|error| Failure::message(Kind::Input, format!("standard input: {error}")))?;
    let text = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(text);
    Ok(read > 0)
}

fn explain(args: &RoutesExplain, out: &mut Output) -> Result {
    let mut decorator = make_decorator(&args.settings, cli::Evidence::Online)?;
    for path in &args.paths {
        let path = path_of(path);
        let explanation = decorator.explain(&args.settings.service, kind(&args.settings), "GET", path);
        write_explanation(out, path, &explanation).map_err(unwritable)?;
    }
    Ok(())
}

/// The path of what may be a URL, as from a browser.
fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => url,
    }
}

fn write_explanation(out: &mut Output, path: &str, explanation: &Explanation) -> io::Result<()> {
    let Explanation { decision, ignored_by, segments } = explanation;
    let route = if decision.route.is_empty() { "no route" } else { &decision.route };
    writeln!(out, "{path}\t{route}\tby {}", decision.rule)?;
    if let Some(pattern) = ignored_by {
        writeln!(out, "  ignored, by the pattern {pattern}")?;
    }
    for segment in segments {
        writeln!(out, "  {}\t{}\t{}", segment.segment, segment.output, segment.reason)?;
    }
    Ok(())
}

fn make_decorator(settings: &RoutesSettings, from: cli::Evidence) -> Result<Decorator> {
    let config = settings.config.as_deref().map_or_else(|| Ok(Config::default()), |path| read_config(path, false))?;
    config.decorator(evidence(from), &Limits::default()).map_err(unusable)
}

const fn kind(settings: &RoutesSettings) -> SpanKind {
    if settings.outgoing { SpanKind::Client } else { SpanKind::Server }
}

/// A line of `routes apply`.
struct Request<'a> {
    service: &'a str,
    method: &'a str,
    path: &'a str,
}

impl<'a> Request<'a> {
    fn parse(line: &'a str, settings: &'a RoutesSettings) -> Self {
        let mut parts = line.splitn(3, '\t');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(service), Some(method), Some(path)) => Self { service, method, path },
            (Some(service), Some(path), None) => Self { service, method: "GET", path },
            _ => Self { service: &settings.service, method: "GET", path: line },
        }
    }
}
