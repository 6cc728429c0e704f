//! `config`: what a configuration does, in words.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use redtape_core::config::{
    Config, ConfigError, IgnoreMode, Place, RoutesConfig, Rule, TracePrinter, Unmatched, Warning, expand,
    keys_markdown, redact_secrets, variable_keys,
};
use redtape_core::metric::Registry;
use redtape_core::{Count, EngineOptions, Evidence};
use serde::Serialize;

use super::unwritable;
use crate::cli::{ConfigCheck, ConfigCommand, ConfigFile};
use crate::export::endpoint_fault;
use crate::failure::{Failure, Kind, Result};
use crate::settings::{environment, unusable};
use crate::stdout::Output;
use crate::url::without_credentials;
use crate::write::printable;

pub(super) fn run(args: &ConfigCommand, out: &mut Output) -> Result {
    match args {
        ConfigCommand::Check(args) => check(args, out),
        ConfigCommand::Show(file) => show(file, out),
        ConfigCommand::Keys => out.write_all(keys_markdown().as_bytes()).map_err(unwritable),
    }
}

/// Reads the file; of none, nothing.
fn read(file: Option<&Path>) -> Result<(String, String)> {
    let Some(path) = file else { return Ok(("the environment".into(), String::new())) };
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    Ok((name, text))
}

/// The variables that stand for keys, but those that may hold secrets by name alone.
fn in_effect(variables: &BTreeMap<String, String>) -> Vec<Variable> {
    const SECRET: [&str; 3] = ["HEADERS", "API_KEY", "TOKEN"];
    let shown = |(name, value): (&String, &String)| {
        let hidden = SECRET.iter().any(|word| name.contains(word));
        let value = if hidden { "REDACTED".into() } else { printable(&without_credentials(value)) };
        Some(Variable { stands_for: variable_keys(name)?, name: name.clone(), value })
    };
    variables.iter().filter_map(shown).collect()
}

fn show(args: &ConfigFile, out: &mut Output) -> Result {
    let variables = environment();
    let (name, text) = read(args.file.as_deref())?;
    let usage = |error: ConfigError| Failure::new(Kind::Usage, error);
    Config::load(&text, &name, &variables).map_err(usage)?;
    let shown = redact_secrets(&expand(&text, &name, &variables).map_err(usage)?);
    out.write_all(shown.as_bytes()).map_err(unwritable)?;
    for Variable { name, value, stands_for } in in_effect(&variables) {
        writeln!(out, "# {name}={value} stands for {stands_for}").map_err(unwritable)?;
    }
    Ok(())
}

fn check(args: &ConfigCheck, out: &mut Output) -> Result {
    let variables = environment();
    let (name, text) = read(args.file.file.as_deref())?;
    let loaded = Config::load(&text, &name, &variables).and_then(|loaded| match endpoint_fault(&loaded.0) {
        None => Ok(loaded),
        Some((key, message)) => {
            let place = Place::of_key(&expand(&text, &name, &variables)?, &name, key);
            let source = if place.position.is_some() { name.clone() } else { "the environment".into() };
            Err(ConfigError { place: Place { source, ..place }, message })
        }
    });
    if !args.json {
        let (config, warnings) = loaded.map_err(|error| Failure::new(Kind::Usage, error))?;
        return Explained::new(name, &config, &warnings, &variables)?.write(out).map_err(unwritable);
    }
    let explained = match &loaded {
        Ok((config, warnings)) => Explained::new(name, config, warnings, &variables)?,
        Err(error) => Explained { error: Some(Note::new(&error.place, &error.message)), ..Explained::of(name) },
    };
    serde_json::to_writer_pretty(&mut *out, &explained).map_err(|error| unwritable(error.into()))?;
    writeln!(out).map_err(unwritable)?;
    loaded.map(|_| ()).map_err(|error| Failure::new(Kind::Usage, error))
}

/// What is exported where nothing is.
const NOTHING: &str = "nothing, unless the command line says what";

/// All that `config check` tells.
#[derive(Default, Serialize)]
struct Explained {
    file: String,
    error: Option<Note>,
    warnings: Vec<Note>,
    records: Vec<Chosen>,
    excludes: Vec<String>,
    excludes_unless_by_id: Vec<String>,
    routes: Vec<String>,
    exports: Vec<String>,
    metrics: Vec<Metric>,
    environment: Vec<Variable>,
}

/// An error or a warning.
#[derive(Serialize)]
struct Note {
    source: String,
    line: Option<u64>,
    column: Option<u64>,
    key: String,
    message: String,
}

/// A rule of discovery.
#[derive(Serialize)]
struct Chosen {
    condition: String,
    service_name: Option<String>,
    service_namespace: Option<String>,
    exports: Vec<&'static str>,
}

#[derive(Serialize)]
struct Metric {
    /// As in an exposition.
    name: String,
    r#type: &'static str,
    labels: Vec<&'static str>,
}

#[derive(Serialize)]
struct Variable {
    name: String,
    value: String,
    stands_for: String,
}

impl Note {
    fn new(place: &Place, message: &str) -> Self {
        let Place { source, position, path } = place.clone();
        let (line, column) = position.unzip();
        Self { source, line, column, key: path, message: message.into() }
    }
}

impl Chosen {
    fn new(rule: &Rule) -> Self {
        let signals = [("metrics", rule.signals.metrics), ("traces", rule.signals.traces)];
        Self {
            condition: condition(rule),
            service_name: rule.name.clone(),
            service_namespace: rule.namespace.clone(),
            exports: signals.into_iter().filter(|(_, exported)| *exported).map(|(signal, _)| signal).collect(),
        }
    }
}

fn condition(rule: &Rule) -> String {
    let conditions = rule.conditions();
    if conditions.is_empty() { "any process".into() } else { conditions.join(" and ") }
}

impl Explained {
    fn of(file: String) -> Self {
        Self { file, ..Self::default() }
    }

    fn new(file: String, config: &Config, warnings: &[Warning], env: &BTreeMap<String, String>) -> Result<Self> {
        let EngineOptions { discovery, metrics, limits, .. } =
            config.engine(true, Evidence::Online).map_err(unusable)?;
        let families = Registry::new(&metrics, &limits).snapshot().families;
        Ok(Self {
            warnings: warnings.iter().map(|warning| Note::new(&warning.place, &warning.message)).collect(),
            records: discovery.rules().iter().map(Chosen::new).collect(),
            excludes: discovery.excluded().iter().map(condition).collect(),
            excludes_unless_by_id: discovery.excluded_unless_by_id().iter().map(condition).collect(),
            routes: routes(&config.routes),
            exports: Some(exports(config)).filter(|lines| !lines.is_empty()).unwrap_or_else(|| vec![NOTHING.into()]),
            metrics: families
                .into_iter()
                .map(|family| Metric {
                    name: family.exposed_name(),
                    r#type: family.kind.as_str(),
                    labels: family.labels,
                })
                .collect(),
            environment: in_effect(env),
            ..Self::of(file)
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}: can be used, {}", self.file, Count(self.warnings.len() as u64, "warning"))?;
        let records: Vec<_> = self.records.iter().map(Chosen::line).collect();
        let nothing = ["nothing, unless the command line of the recorder says what".to_owned()];
        section(out, "Records a process if", if records.is_empty() { &nothing } else { &records })?;
        section(out, "Never records a process if", &self.excludes)?;
        section(out, "Records only by its id a process if", &self.excludes_unless_by_id)?;
        section(out, "Routes", &self.routes)?;
        section(out, "Exports", &self.exports)?;
        section(out, "Metrics", &metrics(&self.metrics))?;
        let variable = |of: &Variable| format!("{}={} stands for {}", of.name, of.value, of.stands_for);
        section(out, "From the environment", &self.environment.iter().map(variable).collect::<Vec<_>>())?;
        section(out, "Warnings", &self.warnings.iter().map(Note::line).collect::<Vec<_>>())
    }
}

impl Chosen {
    fn line(&self) -> String {
        let namespace = self.service_namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let name = match &self.service_name {
            Some(name) => format!(", as {namespace}{name}"),
            None if namespace.is_empty() => String::new(),
            None => format!(", in the namespace {}", namespace.trim_end_matches('/')),
        };
        let exports = match self.exports.as_slice() {
            [] => ", and exports nothing of it",
            ["metrics"] => ", and exports metrics of it alone",
            ["traces"] => ", and exports traces of it alone",
            _ => "",
        };
        format!("{}{name}{exports}", self.condition)
    }
}

impl Note {
    fn line(&self) -> String {
        let place = Place { source: self.source.clone(), position: self.line.zip(self.column), path: self.key.clone() };
        format!("{place}: {}", self.message)
    }
}

fn section(out: &mut impl Write, title: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

/// Metrics with the same labels together, and those labels behind them.
fn metrics(metrics: &[Metric]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut said: Vec<&[&str]> = Vec::new();
    for Metric { labels, .. } in metrics {
        if said.contains(&labels.as_slice()) {
            continue;
        }
        said.push(labels);
        let alike = metrics.iter().filter(|metric| metric.labels == *labels);
        lines.extend(alike.map(|metric| format!("{} ({})", metric.name, metric.r#type)));
        lines.push(format!("  with the labels {}", labels.join(", ")));
    }
    lines
}

fn routes(config: &RoutesConfig) -> Vec<String> {
    let mut lines: Vec<_> = config.patterns.iter().map(|pattern| format!("{pattern} is a route")).collect();
    let of = match config.ignore_mode {
        IgnoreMode::All => "",
        IgnoreMode::Traces => " as a span",
        IgnoreMode::Metrics => " in metrics",
    };
    lines.extend(config.ignored_patterns.iter().map(|pattern| format!("{pattern} is ignored{of}")));
    let wildcard = config.wildcard_char.get();
    lines.push(match config.unmatched {
        Unmatched::Unset => "any other path has no route".into(),
        Unmatched::Path => "any other path is its own route".into(),
        Unmatched::Wildcard => "any other path has the route /**".into(),
        Unmatched::Heuristic => format!("in any other path, `{wildcard}` stands for what looks like a value"),
        Unmatched::LowCardinality => format!(
            "in any other path, `{wildcard}` stands for what looks like a value, and for what has more than {} names",
            config.max_path_segment_cardinality
        ),
    });
    lines
}

/// Where a configuration has spans and metrics go.
pub(crate) fn exports(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let (traces, metrics) = (&config.otel_traces_export, &config.otel_metrics_export);
    if !traces.endpoint.is_empty() {
        let sampler = traces.sampler.name.as_deref().unwrap_or("parentbased_always_on");
        let arg = traces.sampler.arg.as_ref().map(|arg| format!(" of {arg}")).unwrap_or_default();
        lines.push(format!("traces by OTLP to {}, sampled by {sampler}{arg}", without_credentials(&traces.endpoint)));
    }
    if !metrics.endpoint.is_empty() {
        lines.push(format!("metrics by OTLP to {}", without_credentials(&metrics.endpoint)));
    }
    let remote_write = &config.redtape.remote_write;
    if !remote_write.url.is_empty() {
        lines.push(format!("metrics by remote write to {}", without_credentials(&remote_write.url)));
    }
    let (prometheus, internal) = (&config.prometheus_export, &config.internal_metrics.prometheus);
    if prometheus.port != 0 {
        lines.push(format!("metrics to be scraped at :{}{}", prometheus.port, prometheus.path));
    }
    if internal.port != 0 {
        lines.push(format!("metrics of redtape itself at :{}{}", internal.port, internal.path));
    }
    let printer = config.printer();
    if printer != TracePrinter::Disabled {
        lines.push(format!("spans to standard output, as {}", printer.as_str()));
    }
    lines
}
