//! `routes learn`: patterns from traffic.

use std::fmt::Write as _;
use std::io::Write;

use redtape_core::config::{Config, RoutesConfig, Unmatched, WildcardChar};
use redtape_core::metric::Cardinality;
use redtape_core::{Count, LeftOut, Proposal, ProposedPattern, Span};
use serde::Serialize;

use super::RoutesLearn as Args;
use super::stats::Paths;
use crate::cli::{self, Settings};
use crate::cmd::replay::with_evidence;
use crate::cmd::unwritable;
use crate::destination::{Destination, is_stdout};
use crate::failure::{Failure, Kind, Result};
use crate::input::Tape;
use crate::pace::Pace;
use crate::settings::{config, unusable};
use crate::sink::{NoSpans, OutputSink};
use crate::stdout::Output;
use crate::write::{Table, printable};

/// The label that patterns are for.
const LABEL: &str = "http_route";

pub(super) fn run(args: &Args, out: &mut Output) -> Result {
    let tapes = Tape::open_all(&args.input.tapes)?;
    if let Some(pipe) = tapes.iter().find(|tape| tape.size.is_none()) {
        let message = format!("{}: routes are learned in several passes, which takes a file, not a pipe", pipe.name);
        return Err(Failure::message(Kind::Usage, message));
    }
    let to_file = !is_stdout(&args.output);
    let output = to_file.then(|| Destination::create(&args.output, args.force, &args.input.tapes)).transpose()?;
    let mut config = config(&args.settings, tapes.first().map(|tape| tape.reader.meta()), false)?;
    let before = Costs::of(args, &config)?;
    let Seen { proposal, paths } = propose(args, &config)?;
    let (patterns, left_out) = proposal.finish();
    config.routes.patterns.extend(patterns.iter().map(|proposed| proposed.pattern.clone()));
    let after = Costs::of(args, &config)?;
    let learned = Learned { patterns, left_out, paths: paths.to_string(), before, after };
    let yaml = learned.yaml(&config.routes);
    output.map_or(Ok(()), |output| output.write_whole(yaml.as_bytes()))?;
    match (args.json, to_file) {
        (true, _) => {
            serde_json::to_writer(&mut *out, &learned).map_err(|error| unwritable(error.into()))?;
            writeln!(out)
        }
        (false, true) => learned.write_table(out),
        (false, false) => out.write_all(yaml.as_bytes()),
    }
    .map_err(unwritable)
}

/// What `low-cardinality` makes of all the traffic, as patterns.
fn propose(args: &Args, config: &Config) -> Result<Seen> {
    let mut learning = config.clone();
    learning.routes.unmatched = Unmatched::LowCardinality;
    learning.routes.wildcard_char = WildcardChar::default();
    let settings = Settings { evidence: cli::Evidence::Whole, config: None, ..args.settings };
    let proposal = Proposal::new(config.route_patterns().map_err(unusable)?);
    let mut seen = Seen { proposal, paths: Paths::default() };
    with_evidence(Tape::open_all(&args.input.tapes)?, &learning, &settings, true, Pace::default(), &mut seen)?;
    Ok(seen)
}

struct Seen {
    proposal: Proposal,
    paths: Paths,
}

impl OutputSink for Seen {
    fn span(&mut self, span: &Span) -> Result {
        if span.has_path() {
            self.proposal.observe(span);
            self.paths.insert((&span.service.name, span.http.path()));
        }
        Ok(())
    }
}

/// What metrics cost under one configuration.
#[derive(Serialize)]
struct Costs {
    /// Distinct values of `http.route` in the metric that has the most.
    routes: usize,
    series: usize,
    samples: usize,
    overflow: bool,
}

impl Costs {
    fn of(args: &Args, config: &Config) -> Result<Self> {
        let tapes = Tape::open_all(&args.input.tapes)?;
        let ran = with_evidence(tapes, config, &args.settings, true, Pace::default(), &mut NoSpans)?;
        ran.check(args.input.strict, true)?;
        let Cardinality { series, samples, metrics, .. } = Cardinality::new(&ran.metrics.snapshot(), 0, 0);
        let labels = metrics.iter().flat_map(|metric| &metric.labels).filter(|label| label.name == LABEL);
        let routes = labels.map(|label| label.values).max().unwrap_or_default();
        Ok(Self { routes, series, samples, overflow: metrics.iter().any(|metric| metric.overflow) })
    }
}

/// What came of it.
#[derive(Serialize)]
struct Learned {
    patterns: Vec<ProposedPattern>,
    left_out: LeftOut,
    /// How many distinct paths there were.
    #[serde(skip)]
    paths: String,
    before: Costs,
    after: Costs,
}

impl Learned {
    /// The section `routes`, to be used as it is.
    fn yaml(&self, routes: &RoutesConfig) -> String {
        let Self { patterns, before, after, .. } = self;
        let mut text = String::from(
            "# Proposed by `redtape routes learn` from recorded traffic. Look it over: traffic does not show all routes.\n",
        );
        let _ =
            writeln!(text, "# values of http.route: {} before, {} with these patterns.", before.routes, after.routes);
        let _ = writeln!(text, "# Series: {} before, {} with these patterns.", before.series, after.series);
        for line in self.left_out_lines() {
            let _ = writeln!(text, "# {line}");
        }
        let kept = routes.patterns.len().saturating_sub(patterns.len());
        let _ = writeln!(text, "routes:\n  unmatched: {}", routes.unmatched.as_str());
        text.push_str(if routes.patterns.is_empty() { "  patterns: []\n" } else { "  patterns:\n" });
        for pattern in routes.patterns.iter().take(kept) {
            let _ = writeln!(text, "    - {}", quoted(pattern));
        }
        let mut services: Option<&[String]> = None;
        for proposed in patterns {
            if services != Some(&proposed.services) {
                let _ = writeln!(text, "    # {}", printable(&proposed.services.join(", ")));
                services = Some(&proposed.services);
            }
            // No examples: this file goes into repositories, and paths have what users are called by.
            let requests = Count(proposed.requests, "request");
            let _ = writeln!(text, "    - {} # {requests}", quoted(&proposed.pattern));
        }
        text
    }

    fn left_out_lines(&self) -> impl Iterator<Item = String> {
        let LeftOut { matched, not_found, unwritable } = self.left_out;
        let lines = [
            (matched, "had a route by a pattern that was there already"),
            (not_found, "left out: nothing but 404 was answered on their routes"),
            (unwritable, "left out: their paths cannot be written as a pattern"),
        ];
        lines
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{}: {what}.", Count(count, "request")))
    }

    fn write_table(&self, out: &mut Output) -> std::io::Result<()> {
        let Self { patterns, before, after, .. } = self;
        let mut table = Table::new(&["pattern", "services", "such as", "requests"], 3);
        for proposed in patterns {
            table.push(vec![
                printable(&proposed.pattern),
                printable(&proposed.services.join(", ")),
                printable(&proposed.example),
                proposed.requests.to_string(),
            ]);
        }
        match patterns.len() {
            0 => writeln!(out, "no pattern to add, from {}", self.paths)?,
            count => {
                table.write(out)?;
                writeln!(out, "\n{}, from {}", Count(count as u64, "pattern"), self.paths)?;
            }
        }
        self.left_out_lines().try_for_each(|line| writeln!(out, "{line}"))?;
        let mut table = Table::new(&["", "before", "after"], 1);
        let over = |costs: &Costs| if costs.overflow { " (over the limit)" } else { "" };
        for (name, of) in [
            ("values of http.route", (|costs| costs.routes) as fn(&Costs) -> usize),
            ("series", |costs| costs.series),
            ("samples a scrape", |costs| costs.samples),
        ] {
            table.push(vec![
                name.into(),
                format!("{}{}", of(before), over(before)),
                format!("{}{}", of(after), over(after)),
            ]);
        }
        table.write(out)
    }
}

/// A pattern as a YAML scalar: in single quotes wherever plain text could be read as something else.
fn quoted(pattern: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.{}~+$*@".contains(&byte);
    let safe = pattern.starts_with('/') && pattern.bytes().all(plain);
    if safe { pattern.to_owned() } else { format!("'{}'", printable(pattern).replace('\'', "''")) }
}
