//! Replays an input as a spec says, and keeps all that came out.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use redtape_core::config::{Config, Place};
use redtape_core::metric::{Snapshot, Text, TextFormat, write_text};
use redtape_core::{EngineOptions, Evidence, Span, WallNanos};
use serde_json::{Map, Value};

use super::input::Input;
use super::spec::{ConfigSource, EvidenceKind, Length, Loaded};
use crate::cli::{self, Settings};
use crate::cmd::learn;
use crate::failure::{Failure, Kind, Result};
use crate::import::Notice;
use crate::input::Tape;
use crate::openmetrics::{Sample, unescaped};
use crate::pace::Pace;
use crate::run::{Ran, run};
use crate::settings::{self, options, read_config};
use crate::sink::{AllSpans, OutputSink};
use crate::write::write_span_json;

/// What came out of a replay.
pub(crate) struct Observed {
    /// The spans, in the order in which they became final.
    pub(crate) spans: Vec<Span>,
    /// What `--spans json` prints of them.
    pub(crate) lines: Vec<Line>,
    pub(crate) ran: Ran,
    /// The metrics at the end.
    pub(crate) snapshot: Snapshot,
    /// The same as `--metrics openmetrics` prints them.
    pub(crate) openmetrics: String,
}

/// One line of `--spans json`.
pub(crate) struct Line {
    /// As it is printed, without the end of the line.
    pub(crate) text: String,
    /// The same, read.
    pub(crate) value: Map<String, Value>,
    /// The number of the span that it is of, or a phase of.
    pub(crate) span: usize,
    /// It is of one of the children that show where a server's time went.
    pub(crate) is_phase: bool,
}

/// How a spec's input is replayed.
pub(crate) struct Replayer<'a> {
    spec: &'a Loaded,
    /// The configuration; `None` for the tape's own.
    config: Option<Config>,
}

impl<'a> Replayer<'a> {
    /// Reads the configuration.
    pub(crate) fn new(spec: &'a Loaded) -> Result<Self> {
        Ok(Self { spec, config: config(spec)? })
    }

    /// The configuration that takes effect on an input.
    pub(crate) fn config(&self, input: Option<&Input>) -> Result<Config> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let Some(input) = input else { return Ok(Config::default()) };
        let tapes = input.open()?;
        settings::config(&self.settings(1), tapes.first().map(|tape| tape.reader.meta()), true)
    }

    /// How many threads the spec wants, and another number for a second run.
    pub(crate) fn jobs(&self) -> (u16, u16) {
        let jobs = self.spec.spec.settings.jobs.unwrap_or(1);
        (jobs, if jobs == 1 { 3 } else { 1 })
    }

    /// Replays all of an input.
    pub(crate) fn replay(&self, input: &Input, jobs: u16) -> Result<Observed> {
        let mut sink = AllSpans::default();
        let ran = self.run(input, jobs, &mut sink)?;
        let AllSpans(spans) = sink;
        let lines = spans.iter().enumerate().flat_map(|(at, span)| lines(at, span)).collect();
        let snapshot = ran.metrics.snapshot();
        let openmetrics = openmetrics(&snapshot);
        Ok(Observed { spans, lines, ran, snapshot, openmetrics })
    }

    /// The metrics `offset` after the first event; `None` if the input ends before that.
    pub(crate) fn metrics_at(&self, input: &Input, offset: Length) -> Result<Option<Arc<Snapshot>>> {
        let mut found = None;
        self.metrics_each(input, offset, |_, snapshot| {
            found = Some(Arc::clone(snapshot));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Hands on the metrics each time that `step` has passed since the first event, and how much then has; until they are wanted
    /// no more.
    pub(crate) fn metrics_each(
        &self,
        input: &Input,
        step: Length,
        look: impl FnMut(u64, &Arc<Snapshot>) -> ControlFlow<()>,
    ) -> Result {
        let step = step.as_nanos().max(1);
        let mut sink = Moments { step, first: None, look, wanted: ControlFlow::Continue(()) };
        self.run(input, 1, &mut sink).map(drop)
    }

    /// What routes are decided by, for a table of them.
    pub(crate) const fn evidence(&self) -> Evidence {
        match self.spec.spec.settings.evidence {
            EvidenceKind::Online => Evidence::Online,
            EvidenceKind::Whole => Evidence::Whole,
        }
    }

    fn run(&self, input: &Input, jobs: u16, sink: &mut impl OutputSink) -> Result<Ran> {
        let (config, settings) = (self.config(Some(input))?, self.settings(jobs));
        let mut engine: EngineOptions = options(&config, &settings)?;
        engine.reload = self.config.is_none();
        if settings.evidence == cli::Evidence::Whole {
            engine.decorator = learn(input.open()?, &config, &settings, true)?.0;
        }
        let tapes = input.open()?;
        let imports: Vec<_> = tapes.iter().filter_map(Tape::notice).cloned().collect();
        let ran = run(tapes, engine, jobs.into(), true, Pace::default(), sink)?;
        // What cannot be read on is a failure, as is a capture of which nothing can be used; what is damaged is for the spec to judge.
        ran.check(false, true)?;
        imports.iter().try_for_each(Notice::check_used)?;
        Ok(ran)
    }

    const fn settings(&self, jobs: u16) -> Settings {
        let settings = &self.spec.spec.settings;
        let evidence = match settings.evidence {
            EvidenceKind::Online => cli::Evidence::Online,
            EvidenceKind::Whole => cli::Evidence::Whole,
        };
        Settings { config: None, jobs, ignore_traceparent: settings.ignore_traceparent, evidence }
    }
}

/// A span's lines.
fn lines(at: usize, span: &Span) -> Vec<Line> {
    let mut bytes = Vec::new();
    write_span_json(&mut bytes, span).expect("invariant: writing to memory does not fail");
    let text = String::from_utf8(bytes).expect("invariant: JSON is UTF-8");
    let read = |text: &str| serde_json::from_str(text).expect("invariant: what was written is an object");
    let line = |(number, text): (usize, &str)| Line {
        value: read(text),
        text: text.to_owned(),
        span: at,
        is_phase: number > 0,
    };
    text.lines().enumerate().map(line).collect()
}

/// What `--metrics openmetrics` prints.
pub(crate) fn openmetrics(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    write_text(&mut text, snapshot, &Text::plain(TextFormat::OpenMetrics))
        .expect("invariant: writing to a string does not fail");
    text
}

/// The configuration that a spec gives, with its overrides.
fn config(spec: &Loaded) -> Result<Option<Config>> {
    let overrides = &spec.spec.overrides;
    let (mut tree, source) = match &spec.spec.config {
        None if overrides.is_empty() => return Ok(None),
        Some(ConfigSource::File(file)) if overrides.is_empty() => {
            return match read_config(&spec.beside(file), true) {
                Ok(config) => Ok(Some(config)),
                Err(error) => Err(spec.fault("config", error.to_string())),
            };
        }
        Some(ConfigSource::File(file)) => {
            let file = spec.beside(file);
            // Read once as it is, so that what is wrong with it is said with its place.
            read_config(&file, true).map_err(|error| spec.fault("config", error.to_string()))?;
            let name = file.display().to_string();
            let text = fs::read_to_string(&file).map_err(|error| spec.fault("config", format!("{name}: {error}")))?;
            let text = redtape_core::config::expand(&text, &name, &settings::environment());
            let text = text.map_err(|error| Failure::new(Kind::Usage, error))?;
            let tree: Option<Map<String, Value>> =
                redtape_core::config::read(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))?;
            (tree.unwrap_or_default(), name)
        }
        Some(ConfigSource::Inline(tree)) => (tree.clone(), "config".to_owned()),
        None => (Map::new(), "overrides".to_owned()),
    };
    for (key, value) in overrides {
        set(&mut tree, key, value).map_err(|message| spec.fault(&format!("overrides.{key}"), message))?;
    }
    // What JSON is, YAML is, too.
    let text = Value::Object(tree).to_string();
    let (config, _) = Config::from_yaml(&text, &source).map_err(|error| {
        let Place { path, .. } = &error.place;
        let key = overrides.keys().find(|key| path == *key || path.starts_with(&format!("{key}.")));
        let key = key.map_or_else(|| format!("config.{path}"), |key| format!("overrides.{key}"));
        spec.fault(&key, error.message.clone())
    })?;
    Ok(Some(config))
}

/// Sets a dotted key.
fn set(tree: &mut Map<String, Value>, key: &str, value: &Value) -> std::result::Result<(), String> {
    match key.split_once('.') {
        None => {
            tree.insert(key.into(), value.clone());
            Ok(())
        }
        Some((section, rest)) => {
            let section = tree.entry(section).or_insert_with(|| Value::Object(Map::new()));
            if section.is_null() {
                *section = Value::Object(Map::new());
            }
            let inner = section.as_object_mut().ok_or("goes below a key that has a value already, and no keys")?;
            set(inner, rest, value)
        }
    }
}

/// Looks at the metrics from time to time.
struct Moments<F> {
    /// Nanoseconds.
    step: u64,
    /// When the first step was over.
    first: Option<WallNanos>,
    look: F,
    wanted: ControlFlow<()>,
}

impl<F: FnMut(u64, &Arc<Snapshot>) -> ControlFlow<()>> OutputSink for Moments<F> {
    fn span(&mut self, _: &Span) -> Result {
        Ok(())
    }

    fn wants_spans(&self) -> bool {
        false
    }

    fn metrics(&mut self, at: WallNanos, snapshot: &Arc<Snapshot>) -> Result {
        if self.wanted.is_continue() {
            let since = at.unix_nanos().saturating_sub(self.first.get_or_insert(at).unix_nanos());
            self.wanted = (self.look)(since.saturating_add(self.step), snapshot);
        }
        Ok(())
    }

    fn metrics_step(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.step))
    }

    fn is_closed(&self) -> bool {
        self.wanted.is_break()
    }
}

/// The samples of a text of OpenMetrics: name, labels, value.
pub(crate) fn samples(openmetrics: &str) -> Vec<(String, BTreeMap<String, String>, super::spec::Decimal)> {
    openmetrics.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, super::spec::Decimal)> {
    let Sample { name, labels, value } = Sample::parse(line).ok()?;
    let labels = labels.into_iter().map(|(label, value)| (label.to_owned(), unescaped(value).into_owned()));
    Some((name.to_owned(), labels.collect(), value.parse().ok()?))
}
