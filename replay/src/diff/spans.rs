//! A side of a comparison from a file of spans, as `replay --spans json` writes them.

use std::collections::BTreeMap;
use std::io::BufRead;

use redtape_core::SpanId;
use serde::Deserialize;
use serde_json::Value;

use super::side::{Group, Red, Row, Seen, Side, Spans, qualified};
use crate::failure::{Failure, Kind, Result};
use crate::write::worded;

/// As much of a line as is compared. Newer versions may have more.
#[derive(Deserialize)]
struct Line {
    span_id: String,
    parent_span_id: Option<String>,
    name: String,
    kind: String,
    service: String,
    duration_ns: u64,
    status: String,
    incomplete: bool,
    attributes: BTreeMap<String, Value>,
    #[serde(default)]
    resource: BTreeMap<String, Value>,
}

/// Reads a file.
///
/// # Errors
///
/// It cannot be read, or a line is no span.
pub(super) fn side(name: &str, lines: impl BufRead) -> Result<Side> {
    let mut spans = Spans::default();
    let mut red: BTreeMap<Row, Red> = BTreeMap::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let fault = |message: String| Failure::message(Kind::Input, format!("{name}:{number}: {message}"));
        let line = line.map_err(|error| fault(format!("cannot be read: {error}")))?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line)
            .map_err(|error| fault(format!("no span as `redtape replay --spans json` writes them: {error}")))?;
        // Phases come with their spans.
        if line.kind == "internal" {
            continue;
        }
        line.count(red.entry(line.row()).or_default());
        let seen = line.seen().ok_or_else(|| fault("span_id is no id of 16 hexadecimal digits".into()))?;
        spans.take(seen);
    }
    Ok(Side { name: name.into(), nanos: None, red: Some(red), spans: Some(spans), series: None })
}

impl Line {
    fn attribute(&self, key: &str) -> Option<String> {
        Some(match self.attributes.get(key)? {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        })
    }

    fn service(&self) -> String {
        let namespace = self.resource.get("service.namespace").and_then(Value::as_str).unwrap_or_default();
        qualified(namespace, &self.service)
    }

    fn is_grpc(&self) -> bool {
        self.attribute("rpc.system").is_some_and(|system| system == "grpc")
    }

    fn row(&self) -> Row {
        let (route, method) = if self.is_grpc() {
            (self.name.clone(), "gRPC".into())
        } else {
            (
                self.attribute("http.route").unwrap_or_default(),
                self.attribute("http.request.method").unwrap_or_default(),
            )
        };
        Row { service: self.service(), kind: self.kind.clone(), route, method }
    }

    fn count(&self, red: &mut Red) {
        if self.incomplete {
            red.incomplete += 1;
            return;
        }
        red.count += 1;
        red.errors += u64::from(self.status == "error");
        red.duration.record(self.duration_ns);
    }

    fn seen(&self) -> Option<Seen> {
        let code = if self.is_grpc() { "rpc.grpc.status_code" } else { "http.response.status_code" };
        let answer = worded(self.incomplete, self.is_grpc(), self.attribute(code), self.attribute("error.type"));
        let full = self.attribute("url.full");
        let of_url = full.as_deref().and_then(|url| url.split_once("://")?.1.split_once('/'));
        let of_url = of_url.map(|(_, path)| format!("/{}", path.split(['?', '#']).next().unwrap_or_default()));
        Some(Seen {
            id: id(&self.span_id)?,
            parent: self.parent_span_id.as_deref().and_then(id),
            group: Group { service: self.service(), kind: self.kind.clone(), name: self.name.clone(), answer },
            method: self.attribute("http.request.method").unwrap_or_default(),
            route: self.attribute("http.route").unwrap_or_default(),
            path: self.attribute("url.path").or(of_url).filter(|_| !self.is_grpc()),
        })
    }
}

fn id(text: &str) -> Option<SpanId> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(|id| SpanId(id.to_be_bytes()))
}
