//! What `redtape` says of a tape: its facts, its spans and its metrics.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::{Counts, Process, Result, binary};

const LIMIT: Duration = Duration::from_secs(60);

/// A line of `redtape replay --spans json`. An unknown or a missing key is a failure: the keys are a contract.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are documented where they are written")]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: Option<String>,
    pub name: String,
    pub kind: String,
    pub service: String,
    pub start_time_unix_nano: String,
    pub end_time_unix_nano: String,
    pub duration_ns: u64,
    pub queue_ns: Option<u64>,
    pub status: String,
    pub incomplete: bool,
    pub attributes: BTreeMap<String, Value>,
    pub resource: BTreeMap<String, Value>,
}

/// What `redtape info --json` says, as far as the tests need it.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "the keys are documented where they are written")]
pub struct Info {
    pub format: Value,
    pub events: u64,
    pub connections: u64,
    pub processes: u64,
    pub lost: u64,
    pub opaque_tls: Vec<String>,
    pub truncated: bool,
    pub duration_ns: u64,
    pub content_hash: Value,
}

impl Span {
    /// An attribute as text, numbers included; empty if there is none.
    pub fn attribute(&self, key: &str) -> String {
        match self.attributes.get(key) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }

    /// The request's path: a server span has it as such, a client span within its URL.
    pub fn path(&self) -> String {
        let url = self.attribute("url.full");
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        path.map_or_else(|| self.attribute("url.path"), |(_, path)| format!("/{path}"))
    }

    /// The response's status code; empty without a response.
    pub fn status_code(&self) -> String {
        self.attribute("http.response.status_code")
    }

    /// Whether it is a server span.
    pub fn is_server(&self) -> bool {
        self.kind == "server"
    }

    /// Whether it is a client span.
    pub fn is_client(&self) -> bool {
        self.kind == "client"
    }
}

/// How many complete server spans there are, by path and status.
pub fn served(spans: &[Span]) -> Counts {
    let mut counts = Counts::new();
    for span in spans.iter().filter(|span| span.is_server() && !span.incomplete) {
        *counts.entry((span.path(), span.status_code())).or_default() += 1;
    }
    counts
}

/// Runs `redtape replay` on a tape and gives what it printed.
pub fn replay(tape: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(binary("redtape")?);
    Ok(Process::run(command.arg("replay").arg(tape).args(arguments), LIMIT)?.expect_code(0)?.stdout)
}

/// The spans of a tape.
pub fn spans(tape: &Path, arguments: &[&str]) -> Result<Vec<Span>> {
    let text = replay(tape, &[&["--spans", "json"], arguments].concat())?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("not a span: {error}: {line}").into()))
        .collect()
}

/// The metrics of a tape, as OpenMetrics text.
pub fn metrics(tape: &Path) -> Result<String> {
    replay(tape, &["--metrics", "openmetrics"])
}

/// The facts of a tape.
pub fn info(tape: &Path) -> Result<Info> {
    let mut command = Command::new(binary("redtape")?);
    let finished = Process::run(command.arg("info").arg("--json").arg(tape), LIMIT)?.expect_code(0)?;
    Ok(serde_json::from_str(&finished.stdout).map_err(|error| format!("{error} in {}", finished.stdout))?)
}
