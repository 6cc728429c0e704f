//! Spans and metrics as a real receiver of OTLP gets them.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use libtest_mimic::Trial;
use redtape_tests::{
    Finished, Otlp, Point, Process, Requirement, Result, Scripted, Signal, binary, free_port, get, received, replay,
    trial,
};
use serde_json::Value;
use tempfile::TempDir;

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
/// Spans of the tape, their phases included.
const SPANS: usize = 2560;
const LIMIT: Duration = Duration::from_secs(60);
const RECEIVER: &[Requirement] = &[Requirement::Program("node"), Requirement::Tool("npm/node_modules")];
const FORWARDED: &[Requirement] =
    &[Requirement::Program("node"), Requirement::Tool("npm/node_modules"), Requirement::Tool("python")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("otlp::grpc", RECEIVER, || arrives(|otlp| otlp.grpc.clone(), "grpc")),
        trial("otlp::http_protobuf", RECEIVER, || arrives(|otlp| otlp.http.clone(), "http/protobuf")),
        trial("otlp::http_json", RECEIVER, || arrives(|otlp| otlp.http.clone(), "http/json")),
        trial("otlp::gzip_over_http", FORWARDED, gzip_over_http),
        trial("otlp::gzip_over_grpc", RECEIVER, gzip_over_grpc),
        trial("otlp::exemplars_are_those_of_a_scrape", RECEIVER, exemplars),
        trial("otlp::the_environment_says_where", RECEIVER, the_environment_says_where),
        trial("otlp::times_are_moved_by_one_constant", RECEIVER, times_are_moved),
        trial("otlp::a_file_has_the_same", &[], a_file_has_the_same),
        trial("otlp::a_file_is_not_overwritten", &[], a_file_is_not_overwritten),
        trial("otlp::a_pace_is_kept", &[], a_pace_is_kept),
        trial("otlp::a_pipe_does_not_tell_its_end", RECEIVER, a_pipe_does_not_tell_its_end),
        trial("otlp::live_counts_since_the_tape_began", RECEIVER, live_counts_since_the_tape_began),
    ]
}

/// `redtape replay` of the tape with these arguments.
pub(crate) fn redtape(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary("redtape")?);
    command.args(["replay", TAPE]).args(arguments);
    Ok(command)
}

pub(crate) fn run(arguments: &[&str], code: i32) -> Result<Finished> {
    Process::run(&mut redtape(arguments)?, LIMIT)?.expect_code(code)
}

/// The spans that the replay itself prints.
fn printed() -> Result<BTreeSet<String>> {
    Ok(replay(Path::new(TAPE), &["--spans", "json"])?.lines().map(canonical).collect::<std::result::Result<_, _>>()?)
}

/// The same object always as the same text.
fn canonical(line: &str) -> serde_json::Result<String> {
    serde_json::from_str::<Value>(line).map(|value| value.to_string())
}

fn texts(spans: &[Value]) -> BTreeSet<String> {
    spans.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn same(found: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let [more, less] = [found.difference(expected).next(), expected.difference(found).next()];
    assert!(more.is_none() && less.is_none(), "{} for {}:\n{more:?}\n{less:?}", found.len(), expected.len());
}

fn arrives(url: impl Fn(&Otlp) -> String, protocol: &str) -> Result<()> {
    let otlp = Otlp::start()?;
    let url = url(&otlp);
    let more = ["--rebase", "none", "--otlp-header", "x-scope-orgid=tenant 1", "--otlp-protocol", protocol];
    let told = run(&[&["--otlp", &url], &more[..]].concat(), 0)?.stderr;
    // Each end of a request is a span of the summary, and the phases are others.
    assert!(told.contains(&format!("{SPANS} spans to {url}")), "{told}");
    assert!(told.contains(" arrived: 2520 of requests and 40 phases of them\n"), "{told}");
    let spans = otlp.spans(SPANS)?;
    assert_eq!(spans.len(), SPANS);
    same(&texts(&spans), &printed()?);
    let points = otlp.points()?;
    same_metrics(&points)?;
    assert!(told.contains(&format!("redtape: {} points of metrics to {url}", points.len())), "{told}");
    // Metrics belong to the same resources as spans; redtape's own to the host.
    for Point { resource, .. } in &points {
        let resource = Value::Object(resource.clone());
        let own = resource["service.name"] == "redtape";
        assert_eq!(resource["host.name"], "vm");
        assert!(own || spans.iter().any(|span| span["resource"] == resource), "{resource}");
    }
    let heads = otlp.heads()?;
    assert!(heads.len() >= 5, "{heads:?}");
    for head in &heads {
        assert_eq!(head["headers"]["x-scope-orgid"], "tenant 1", "{head}");
        assert!(head["headers"]["user-agent"].as_str().unwrap().contains("redtape/"), "{head}");
    }
    Ok(())
}

/// Whether the points are what `--metrics json` says.
fn same_metrics(points: &[Point]) -> Result<()> {
    let json: Value = serde_json::from_str(&replay(Path::new(TAPE), &["--metrics", "json"])?)?;
    let mut expected = BTreeSet::new();
    for metric in json["metrics"].as_array().unwrap().iter().filter(|metric| metric["type"] != "info") {
        for series in metric["series"].as_array().unwrap() {
            let mut labels = series["labels"].as_object().unwrap().clone();
            labels.remove("job");
            let name = metric["name"].as_str().unwrap();
            let name = name.strip_suffix("_seconds").or(name.strip_suffix("_bytes")).unwrap_or(name);
            let values = ["value", "count", "sum", "buckets"].map(|key| series[key].to_string());
            expected.insert(format!("{name} {} {}", Value::Object(labels), values.join(" ")));
        }
    }
    let found: BTreeSet<_> = points.iter().map(point).collect();
    assert_eq!(found.len(), points.len());
    same(&found, &expected);
    Ok(())
}

/// A point as a series of `--metrics json`.
fn point(point: &Point) -> String {
    let of_resource = [
        ("service.name", "service_name"),
        ("service.namespace", "service_namespace"),
        ("service.instance.id", "instance"),
    ];
    let own = point.resource["service.name"] == "redtape";
    let of_resource = of_resource
        .iter()
        .filter(|_| !own)
        .filter_map(|(key, label)| Some(((*label).to_owned(), point.resource.get(*key)?.clone())));
    let text = |value: &Value| Value::String(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let labels = point.attributes.iter().map(|(key, value)| (key.replace('.', "_"), text(value))).chain(of_resource);
    let scale = if point.unit == "s" { 1e9 } else { 1.0 };
    let scaled =
        |value: &Value| value.as_f64().map_or(Value::Null, |value| Value::from((value * scale).round() as u64));
    // As text, as number, or as the receiver's two halves of 32 bits.
    let half = |half: &Value| half.as_i64().map_or(0, |half| u64::from(half as u32));
    let halves = |value: &Value| Some(half(value.get("high")?) << 32 | half(value.get("low")?));
    let count = |value: &Value| {
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).or_else(|| halves(value)).unwrap_or_default()
    };
    let data = &point.point;
    let (value, counts, sum, buckets) = if data.get("bucketCounts").is_some() {
        let bounds = data["explicitBounds"].as_array().unwrap().iter().map(scaled);
        let below = data["bucketCounts"].as_array().unwrap().iter().scan(0, |below, bucket| {
            *below += count(bucket);
            Some(*below)
        });
        let buckets: Vec<_> =
            bounds.zip(below).map(|(bound, below)| Value::from(vec![bound, Value::from(below)])).collect();
        (Value::Null, Value::from(count(&data["count"])), scaled(&data["sum"]), Value::from(buckets))
    } else {
        (Value::from(count(&data["asInt"])), Value::Null, Value::Null, Value::Null)
    };
    assert!(count(&data["startTimeUnixNano"]) < count(&data["timeUnixNano"]), "{data}");
    format!("{} {} {value} {counts} {sum} {buckets}", point.metric.replace('.', "_"), Value::Object(labels.collect()))
}

fn gzip_over_http() -> Result<()> {
    let otlp = Otlp::start()?;
    let unpacking = Scripted::start(&["http", "ok", &otlp.http], None)?;
    let url = format!("http://127.0.0.1:{}", unpacking.port());
    run(&["--rebase", "none", "--otlp-traces", &url, "--otlp-compression", "gzip"], 0)?;
    same(&texts(&otlp.spans(SPANS)?), &printed()?);
    let answers = unpacking.answers();
    assert!(
        answers.contains_key("forwarded packed=True") && !answers.contains_key("forwarded packed=False"),
        "{answers:?}"
    );
    Ok(())
}

/// What a client sends to a port, on its way to the receiver at `url`.
fn tapped(url: &str) -> Result<(u16, Arc<Mutex<Vec<u8>>>)> {
    let to: u16 = url.trim_end_matches('/').rsplit(':').next().ok_or("no port")?.parse()?;
    let (listener, sent) = (TcpListener::bind("127.0.0.1:0")?, Arc::new(Mutex::new(Vec::new())));
    let (port, log) = (listener.local_addr()?.port(), Arc::clone(&sent));
    thread::spawn(move || -> io::Result<()> {
        let (near, far) = (listener.accept()?.0, TcpStream::connect(("127.0.0.1", to))?);
        let (mut near_too, mut far_too) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || io::copy(&mut far_too, &mut near_too));
        let (mut from, mut to, mut piece) = (near, far, vec![0; 64 << 10]);
        loop {
            let count = from.read(&mut piece)?;
            if count == 0 {
                return to.shutdown(Shutdown::Write);
            }
            log.lock().unwrap().extend_from_slice(&piece[..count]);
            to.write_all(&piece[..count])?;
        }
    });
    Ok((port, sent))
}

fn gzip_over_grpc() -> Result<()> {
    let otlp = Otlp::start()?;
    for (compression, head) in [("gzip", &[1, 0x1f, 0x8b][..]), ("none", &[0])] {
        let (port, sent) = tapped(&otlp.grpc)?;
        let url = format!("http://127.0.0.1:{port}");
        let more = ["--rebase", "none", "--otlp-protocol", "grpc", "--otlp-compression", compression];
        run(&[&["--otlp-traces", &url], &more[..]].concat(), 0)?;
        let sent = sent.lock().unwrap();
        // Behind the preface frames follow: a length of three bytes, a type, of which 0 is DATA, and five bytes more. The first DATA
        // begins with a message: whether it is compressed, its length of four bytes, and the message.
        let mut at = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
        while sent[at + 3] != 0 {
            at += 9 + sent[at..at + 3].iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        }
        let found = [&sent[at + 9..at + 10], &sent[at + 14..at + 16]].concat();
        assert!(found.starts_with(head), "{compression}: {found:?}");
    }
    // The second replay sends what the first one has sent.
    let spans = otlp.spans(2 * SPANS)?;
    assert_eq!(spans.len(), 2 * SPANS);
    same(&texts(&spans), &printed()?);
    Ok(())
}

fn exemplars() -> Result<()> {
    let otlp = Otlp::start()?;
    let port = free_port()?;
    let served = format!("127.0.0.1:{port}");
    let mut command = redtape(&["--otlp-metrics", &otlp.http, "--otlp-traces", &otlp.http])?;
    command.env("BEYLA_PROMETHEUS_EXEMPLAR_FILTER", "always_on");
    command.args(["--otlp-protocol", "http/protobuf", "--prometheus", &served, "--linger", "forever"]);
    let mut process = Process::start(&mut command)?;
    process.wait_for("the summary", LIMIT, |stdout, _| stdout.contains("series").then_some(()))?;
    let text = get(port, "/metrics", &["Accept: application/openmetrics-text"])?.body;
    process.signal(Signal::INT)?;
    process.finish(LIMIT)?.expect_code(0)?;
    // As `traceID="…",spanID="…"} VALUE TIME`, of each bucket.
    let scraped = text.lines().filter_map(|line| line.split_once(" # {")).map(|(_, exemplar)| {
        let (ids, numbers) = exemplar.split_once("} ").unwrap();
        let ids: Vec<_> = ids.split('"').collect();
        let (value, time) = numbers.split_once(' ').unwrap();
        let (seconds, nanos) = time.split_once('.').unwrap_or((time, ""));
        (
            ids[1].to_owned(),
            ids[3].to_owned(),
            value.parse::<f64>().unwrap().to_string(),
            format!("{seconds}{nanos:0<9}"),
        )
    });
    let scraped: BTreeSet<_> = scraped.collect();
    let points = otlp.points()?;
    let sent = points.iter().flat_map(|point| point.point["exemplars"].as_array().cloned().unwrap_or_default());
    let sent: Vec<_> = sent.collect();
    assert!(scraped.len() > 20, "{}", scraped.len());
    let sent = sent.iter().map(|exemplar| {
        // The receiver has ids as bytes.
        let bytes = |key: &str| exemplar[key]["data"].as_array().cloned().unwrap_or_default();
        let id = |key| bytes(key).iter().map(|byte| format!("{:02x}", byte.as_u64().unwrap())).collect::<String>();
        let text = |key: &str| exemplar[key].as_str().unwrap_or_default().to_owned();
        (id("traceId"), id("spanId"), exemplar["asDouble"].as_f64().unwrap().to_string(), text("timeUnixNano"))
    });
    let sent: BTreeSet<_> = sent.collect();
    assert!(sent == scraped, "{} for {}: {:?}\n{:?}", sent.len(), scraped.len(), sent.first(), scraped.first());
    // They lead to the spans that are exported beside them.
    let spans = otlp.spans(SPANS)?;
    let known: BTreeSet<_> = spans.iter().map(|span| (span["trace_id"].as_str(), span["span_id"].as_str())).collect();
    assert!(sent.iter().all(|(trace, span, ..)| known.contains(&(Some(trace.as_str()), Some(span.as_str())))));
    Ok(())
}

fn the_environment_says_where() -> Result<()> {
    let otlp = Otlp::start()?;
    let mut command = redtape(&["--rebase", "none", "--otlp"])?;
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp.http).env("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c");
    command.env("OTEL_TRACES_SAMPLER", "traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0.5");
    Process::run(&mut command, LIMIT)?.expect_code(0)?;
    let (found, all) = (texts(&otlp.spans(SPANS / 4)?), printed()?);
    assert!(found.is_subset(&all));
    assert!((all.len() / 4..all.len() * 3 / 4).contains(&found.len()), "{} of {}", found.len(), all.len());
    // Metrics are not sampled.
    same_metrics(&otlp.points()?)?;
    assert!(otlp.heads()?.iter().all(|head| head["headers"]["a"] == "b c"));
    Ok(())
}

fn times_are_moved() -> Result<()> {
    let received = |arguments: &[&str]| -> Result<Vec<Value>> {
        let otlp = Otlp::start()?;
        run(&[&["--otlp-traces", &otlp.http], arguments].concat(), 0)?;
        otlp.spans(SPANS)
    };
    let number = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<i128>().unwrap();
    let order = |mut spans: Vec<Value>| {
        spans.sort_by_key(|span| {
            (number(span, "start_time_unix_nano"), number(span, "end_time_unix_nano"), span["name"].to_string())
        });
        spans
    };
    let printed: Vec<Value> =
        printed()?.iter().map(|line| serde_json::from_str(line)).collect::<std::result::Result<_, _>>()?;
    let before = order(printed);
    let now = order(received(&[])?);
    let shift = number(&now[0], "start_time_unix_nano") - number(&before[0], "start_time_unix_nano");
    for (moved, before) in now.iter().zip(&before) {
        for key in ["start_time_unix_nano", "end_time_unix_nano"] {
            assert_eq!(number(moved, key), number(before, key) + shift);
        }
        assert_eq!((&moved["name"], &moved["attributes"]), (&before["name"], &before["attributes"]));
        assert_ne!(moved["trace_id"], before["trace_id"]);
    }
    let end = now.iter().map(|span| number(span, "end_time_unix_nano")).max().unwrap();
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as i128;
    assert!((4_900_000_000..60_000_000_000).contains(&(clock - end)), "{} ns ago", clock - end);
    let resource = &now[0]["resource"];
    assert!(
        resource["redtape.replay.original_start"].as_str().unwrap().starts_with("2026-11-22T19:00:46."),
        "{resource}"
    );
    assert_eq!(
        resource["redtape.replay.shift"].as_str().unwrap().trim_end_matches('s').replace('.', "").parse::<i128>()?,
        shift
    );

    // The same shift gives the same spans, another run others.
    let fixed = ["--rebase", "start=2026-01-01T00:00:00Z"];
    let once = texts(&received(&fixed)?);
    assert_eq!(once, texts(&received(&fixed)?));
    let named = texts(&received(&[&fixed[..], &["--run-id", "again"]].concat())?);
    assert!(once.is_disjoint(&named) && named.iter().all(|span| span.contains("\"redtape.replay.run\":\"again\"")));
    Ok(())
}

fn a_file_has_the_same() -> Result<()> {
    let folder = TempDir::new()?;
    let files = ["a.jsonl", "b.jsonl"].map(|name| folder.path().join(name));
    for (file, jobs) in files.iter().zip(["1", "3"]) {
        run(&["--otlp-file", file.to_str().unwrap(), "--jobs", jobs], 0)?;
    }
    let [first, second] = files.map(|file| fs::read_to_string(file).unwrap());
    assert!(first == second, "the same tape gives the same bytes");
    same(&texts(&received(&first)?), &printed()?);
    let stdout = run(&["--otlp-file", "-"], 0)?.stdout;
    assert!(stdout == first, "standard output has the same, and nothing else");
    for line in first.lines() {
        let request: Value = serde_json::from_str(line)?;
        assert!(request.get("resourceSpans").is_some() != request.get("resourceMetrics").is_some());
    }
    let error = run(&["--otlp-file", "-", "--spans", "json"], 2)?.stderr;
    assert!(error.contains("give a file"), "{error}");
    Ok(())
}

fn a_file_is_not_overwritten() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("a.jsonl");
    let path = file.to_str().unwrap();
    fs::write(&file, "mine")?;
    let error = run(&["--otlp-file", path], 2)?.stderr;
    assert!(error.contains("--force") && fs::read_to_string(&file)? == "mine", "{error}");
    run(&["--otlp-file", path, "--force"], 0)?;
    assert!(fs::read_to_string(&file)?.starts_with("{\"resourceSpans\""));
    Ok(())
}

/// The tape is of 0.87 s. Only that a replay is not too fast can be told for sure.
fn a_pace_is_kept() -> Result<()> {
    let took = |arguments: &[&str]| -> Result<(Duration, String)> {
        let started = Instant::now();
        let stdout = run(arguments, 0)?.stdout;
        Ok((started.elapsed(), stdout))
    };
    let (_, full) = took(&["--spans", "json"])?;
    let (real, paced) = took(&["--spans", "json", "--speed", "1x"])?;
    let (half, _) = took(&["--speed", "0.5x", "--max-idle", "10s"])?;
    assert!(real >= Duration::from_millis(850) && half >= Duration::from_millis(1_700), "{real:?} {half:?}");
    assert!(full == paced, "what is printed does not depend on the pace");
    let error = run(&["--speed", "fast"], 2)?.stderr;
    assert!(error.contains("`0.5x`"), "{error}");
    Ok(())
}

fn a_pipe_does_not_tell_its_end() -> Result<()> {
    let otlp = Otlp::start()?;
    let piped = |arguments: &[&str], code| -> Result<Finished> {
        let redtape = binary("redtape")?;
        let line =
            format!("cat {TAPE} | {} replay - --otlp-traces {} {}", redtape.display(), otlp.http, arguments.join(" "));
        Process::run(Command::new("sh").args(["-c", &line]), LIMIT)?.expect_code(code)
    };
    let error = piped(&[], 2)?.stderr;
    assert!(["--rebase start=now", "--rebase none", "--speed 1x"].iter().all(|way| error.contains(way)), "{error}");
    let warning = piped(&["--rebase", "none"], 0)?.stderr;
    assert!(warning.contains("ingestion_time_range_slack"), "{warning}");
    same(&texts(&otlp.spans(SPANS)?), &printed()?);
    let ahead = piped(&["--speed", "20x"], 0)?.stderr;
    assert!(ahead.contains("ahead of the clock"), "{ahead}");
    assert_eq!(otlp.spans(2 * SPANS)?.len(), 2 * SPANS);
    Ok(())
}

/// Also where the tape is older than the engine.
fn live_counts_since_the_tape_began() -> Result<()> {
    let otlp = Otlp::start()?;
    run(&["--rebase", "none", "--otlp-metrics", &otlp.http], 0)?;
    let replayed = otlp.points()?;
    let mut live = Command::new("sh");
    live.args(["-c", &format!("cat {TAPE} | {} live --from -", binary("redtape")?.display())]);
    live.env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("{}/v1/metrics", otlp.http));
    Process::run(&mut live, LIMIT)?.expect_code(0)?;
    let all = otlp.points()?;
    assert!(all.len() > replayed.len(), "{} points", all.len());
    let starts: BTreeSet<_> = all.iter().map(|point| point.point["startTimeUnixNano"].to_string()).collect();
    assert_eq!(starts.len(), 1, "the replay's and no other: {starts:?}");
    Ok(())
}
