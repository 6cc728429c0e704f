//! Receivers of OTLP: a real one, and one that answers as it is told to.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::program::{script, tools};
use crate::{Process, Result, Server, tool};

const READY: Duration = Duration::from_secs(30);

/// A receiver that nobody here wrote. It prints what it gets.
#[derive(Debug)]
pub struct Otlp {
    process: Process,
    /// Where it receives by HTTP: without a path, and without a slash.
    pub http: String,
    /// Where it receives by gRPC.
    pub grpc: String,
}

/// One point of a metric, as a receiver has it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in OTLP")]
pub struct Point {
    pub metric: String,
    pub unit: String,
    pub resource: Map<String, Value>,
    pub attributes: Map<String, Value>,
    pub point: Value,
}

impl Otlp {
    /// Starts one.
    ///
    /// # Errors
    /// It does not start.
    pub fn start() -> Result<Self> {
        let mut node = Command::new("node");
        node.arg(script("node/receiver.js")).env("NODE_PATH", tools()?.join("npm/node_modules"));
        let mut process = Process::start(&mut node)?;
        let first = process.wait_for("the receiver's ports", READY, |stdout, _| {
            serde_json::from_str::<Value>(stdout.split_once('\n')?.0).ok()
        })?;
        let url = |kind: &str| first[kind].as_str().map(|url| url.trim_end_matches('/').to_owned());
        let (http, grpc) = url("http").zip(url("grpc")).ok_or("the receiver said no URLs")?;
        Ok(Self { process, http, grpc })
    }

    /// The spans that it got, as `--spans json` writes them. It prints them after it has answered, so that `count` of them are
    /// awaited.
    ///
    /// # Errors
    /// What it printed is not what was expected.
    pub fn spans(&self, count: usize) -> Result<Vec<Value>> {
        let end = Instant::now() + READY;
        loop {
            let spans = received(&self.process.stdout())?;
            if spans.len() >= count || Instant::now() > end {
                return Ok(spans);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The points of metrics that it got so far.
    ///
    /// # Errors
    /// What it printed is not what was expected.
    pub fn points(&self) -> Result<Vec<Point>> {
        points(&self.process.stdout())
    }

    /// The heads of the requests that it got so far: path, and headers.
    ///
    /// # Errors
    /// What it printed is not what was expected.
    pub fn heads(&self) -> Result<Vec<Value>> {
        requests(&self.process.stdout(), "request")
    }
}

/// The spans in lines of OTLP, as `redtape replay --spans json` writes them.
///
/// # Errors
/// A line is no JSON.
pub fn received(lines: &str) -> Result<Vec<Value>> {
    let mut spans = Vec::new();
    for request in requests(lines, "traces")? {
        for of_resource in array(&request["resourceSpans"]) {
            let resource = Value::Object(object(&of_resource["resource"]["attributes"]));
            for span in array(&of_resource["scopeSpans"]).iter().flat_map(|scope| array(&scope["spans"])) {
                spans.push(span_of(span, &resource));
            }
        }
    }
    Ok(spans)
}

/// The points of metrics in lines of OTLP.
///
/// # Errors
/// A line is no JSON.
pub fn points(lines: &str) -> Result<Vec<Point>> {
    const KINDS: [&str; 3] = ["histogram", "exponentialHistogram", "sum"];
    let mut points = Vec::new();
    for request in requests(lines, "metrics")? {
        for of_resource in array(&request["resourceMetrics"]) {
            let resource = object(&of_resource["resource"]["attributes"]);
            for metric in array(&of_resource["scopeMetrics"]).iter().flat_map(|scope| array(&scope["metrics"])) {
                let data = KINDS.into_iter().find_map(|kind| metric.get(kind)).unwrap_or(&Value::Null);
                points.extend(array(&data["dataPoints"]).iter().map(|point| Point {
                    metric: metric["name"].as_str().unwrap_or_default().into(),
                    unit: metric["unit"].as_str().unwrap_or_default().into(),
                    resource: resource.clone(),
                    attributes: object(&point["attributes"]),
                    point: point.clone(),
                }));
            }
        }
    }
    Ok(points)
}

fn span_of(span: &Value, resource: &Value) -> Value {
    let mut attributes = object(&span["attributes"]);
    let queue = attributes.remove("redtape.queue_ns").unwrap_or(Value::Null);
    let incomplete = attributes.remove("redtape.incomplete").unwrap_or(Value::Bool(false));
    let number = |key: &str| span[key].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let (start, end) = (number("startTimeUnixNano"), number("endTimeUnixNano"));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let kind = match text(&span["kind"]).as_str() {
        "1" | "SPAN_KIND_INTERNAL" => "internal",
        "2" | "SPAN_KIND_SERVER" => "server",
        "3" | "SPAN_KIND_CLIENT" => "client",
        _ => "?",
    };
    let status = match text(&span["status"]["code"]).as_str() {
        "0" | "null" | "STATUS_CODE_UNSET" => "unset",
        "2" | "STATUS_CODE_ERROR" => "error",
        _ => "?",
    };
    serde_json::json!({
        "trace_id": span["traceId"],
        "span_id": span["spanId"],
        "parent_span_id": Some(&span["parentSpanId"]).filter(|id| id.as_str().is_some_and(|id| !id.is_empty())),
        "name": span["name"],
        "kind": kind,
        "service": resource["service.name"],
        "start_time_unix_nano": start.to_string(),
        "end_time_unix_nano": end.to_string(),
        "duration_ns": end - start,
        "queue_ns": queue,
        "status": status,
        "incomplete": incomplete,
        "attributes": attributes,
        "resource": resource,
    })
}

/// What lines have under a key; of OTLP's own lines, all.
fn requests(lines: &str, key: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for line in lines.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
        let own = value.get("resourceSpans").or(value.get("resourceMetrics")).is_some();
        found.extend(value.get(key).cloned().or(own.then_some(value)));
    }
    Ok(found)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Attributes as an object, whether a receiver has made one of them or left OTLP's list.
fn object(attributes: &Value) -> Map<String, Value> {
    if let Some(object) = attributes.as_object() {
        return object.iter().map(|(key, value)| (key.clone(), number(key, value))).collect();
    }
    let pair = |pair: &Value| {
        let value = pair["value"].as_object()?;
        let (kind, value) = value.iter().next()?;
        let parsed = value.as_str().filter(|_| kind == "intValue").and_then(|text| text.parse::<i64>().ok());
        Some((pair["key"].as_str()?.to_owned(), parsed.map_or_else(|| value.clone(), Value::from)))
    };
    array(attributes).iter().filter_map(pair).collect()
}

/// The receiver has integers as texts.
fn number(key: &str, value: &Value) -> Value {
    const NUMBERS: [&str; 9] = [
        "process.pid",
        "status_code",
        "client.port",
        "server.port",
        "peer.port",
        "body.size",
        "_ns",
        "accept_wait_ns",
        "code",
    ];
    let parsed = value.as_str().filter(|_| NUMBERS.iter().any(|end| key.ends_with(end)));
    parsed.and_then(|text| text.parse::<i64>().ok()).map_or_else(|| value.clone(), Value::from)
}

/// A receiver that answers as it is told to: `tests/programs/python/receiver.py` says how.
#[derive(Debug)]
pub struct Scripted {
    server: Server,
}

impl Scripted {
    /// Starts it, in TLS if a folder has its certificate.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(arguments: &[&str], folder: Option<&Path>) -> Result<Self> {
        let mut python = Command::new(tool("python/bin/python")?);
        python.arg(script("python/receiver.py")).args(arguments).env_remove("TLS_FOLDER");
        python.envs(folder.map(|folder| ("TLS_FOLDER", folder)));
        Ok(Self { server: Server::start(&mut python, "listening on")? })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// How often each of its answers was given so far.
    pub fn answers(&self) -> BTreeMap<String, u64> {
        let mut answers = BTreeMap::new();
        for line in self.server.process().stdout().lines().filter(|line| !line.starts_with("listening")) {
            *answers.entry(line.trim_start_matches("request ").to_owned()).or_default() += 1;
        }
        answers
    }
}
