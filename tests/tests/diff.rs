//! `redtape diff` from outside: every form of input, exit codes, and what scripts read.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redtape_tests::{binary, replay};
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures")).join(name)
}

fn greetings() -> String {
    fixture("greetings-demo/greetings.tape").display().to_string()
}

fn diff(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("redtape").unwrap());
    command.arg("diff").args(arguments).env_remove("BEYLA_CONFIG_PATH").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs it with `--json`.
fn changes(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = diff(&[arguments, &["--json"]].concat());
    let changes = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    (output.status.code(), changes)
}

/// A file in a folder.
fn file(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn a_tape_is_as_itself_in_every_form() {
    let (folder, tape) = (TempDir::new().unwrap(), greetings());
    let spans = file(&folder, "spans", &replay(Path::new(&tape), &["--spans", "json"]).unwrap());
    let metrics = file(&folder, "metrics", &replay(Path::new(&tape), &["--metrics", "openmetrics"]).unwrap());
    for (before, after) in [(&tape, &tape), (&tape, &spans), (&spans, &spans), (&tape, &metrics), (&metrics, &metrics)]
    {
        let output = diff(&[before, after]);
        assert!(output.status.success(), "{before} {after}: {}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(text(&output.stdout), format!("before: {before}\nafter:  {after}\nno difference\n"));
    }
    for grpc in ["grpc-unary", "grpc-streams", "h2", "websocket"] {
        let tape = fixture(&format!("protocols/{grpc}.tape"));
        let spans = file(&folder, grpc, &replay(&tape, &["--spans", "json"]).unwrap());
        let (code, changes) = changes(&[tape.to_str().unwrap(), &spans]);
        assert_eq!(code, Some(0), "{grpc}: {changes}");
    }
    let output = diff(&[&spans, &metrics]);
    assert_eq!(output.status.code(), Some(2), "spans and metrics have nothing in common");
}

#[test]
fn two_configurations() {
    let (folder, tape) = (TempDir::new().unwrap(), greetings());
    let wildcard = file(&folder, "wildcard.yml", "routes: {unmatched: wildcard}\n");
    let (code, found) = changes(&[&tape, "--config-b", &wildcard]);
    assert_eq!(code, Some(1));
    let merged = json!({
        "service": "frontend", "kind": "server", "change": "merged", "before": ["/greeting", "/missing"], "after": ["/**"],
        "paths": 2, "examples": ["/greeting", "/missing"],
    });
    assert!(found["routes"].as_array().unwrap().contains(&merged), "{}", found["routes"]);
    // The other way round, what was merged splits.
    let (_, back) = changes(&[&tape, "--config-a", &wildcard]);
    let split = |one: &Value| one["change"] == "split" && one["service"] == "frontend" && one["kind"] == "server";
    assert!(back["routes"].as_array().unwrap().iter().any(split), "{}", back["routes"]);
    let same = &found["spans"]["same"];
    assert_eq!(
        [&same["in_both"], &same["only_before"], &same["only_after"], &same["parents"]],
        [&json!(2520), &json!(0), &json!(0), &json!(0)]
    );
    let moved: u64 = same["moved"].as_array().unwrap().iter().map(|one| one[2].as_u64().unwrap()).sum();
    assert_eq!(moved, 2520, "each span has another name");
    let metrics = found["series"]["metrics"].as_array().unwrap();
    let durations = metrics.iter().find(|one| one["metric"] == "http_server_request_duration_seconds").unwrap();
    assert_eq!([&durations["gained"], &durations["lost"]], [8, 8].map(|count| json!(count)).each_ref());
    assert_eq!(changes(&[&tape, "--config-b", &wildcard, "--only", "spans"]).1["routes"], Value::Null);
}

/// Spans of one service, each with its duration in milliseconds and status.
fn spans(of: &[(u64, u16)]) -> String {
    let line = |(at, (ms, status)): (usize, &(u64, u16))| {
        let span = json!({
            "trace_id": "0".repeat(32), "span_id": format!("{:016x}", at + 1), "parent_span_id": null, "name": "GET /a",
            "kind": "server", "service": "shop", "start_time_unix_nano": at.to_string(),
            "duration_ns": ms * 1_000_000, "status": if *status < 500 { "unset" } else { "error" }, "incomplete": false,
            "attributes": {"http.route": "/a", "http.request.method": "GET", "url.path": "/a", "http.response.status_code": status},
            "resource": {},
        });
        format!("{span}\n")
    };
    of.iter().enumerate().map(line).collect()
}

#[test]
fn tolerance() {
    let folder = TempDir::new().unwrap();
    let before = file(&folder, "before", &spans(&[(100, 200), (100, 200), (100, 200)]));
    let slower = file(&folder, "slower", &spans(&[(105, 200), (105, 200), (105, 200)]));
    let failing = file(&folder, "failing", &spans(&[(100, 200), (100, 200), (100, 503)]));
    let (code, found) = changes(&[&before, &slower]);
    assert_eq!((code, &found["red"][0]["changed"]), (Some(1), &json!(["p50", "p95", "p99"])));
    assert_eq!(changes(&[&before, &slower, "--tolerance", "10"]).0, Some(0));
    assert_eq!(changes(&[&before, &slower, "--tolerance", "1"]).0, Some(1));
    let said = text(&diff(&[&before, &slower, "--only", "red"]).stdout);
    assert!(said.contains("\n1 difference: 1 in rates, errors and durations\n"), "{said}");
    let p95 = said.lines().find(|line| line.contains(" p95 ")).expect("a line for each value that changed");
    assert_eq!(p95.split_whitespace().collect::<Vec<_>>()[4..], ["p95", "100.00ms", "105.00ms", "+5.0", "%"]);
    let (code, found) = changes(&[&before, &failing, "--tolerance", "50"]);
    assert_eq!((code, &found["red"][0]["changed"]), (Some(1), &json!(["errors"])));
    let answer = &found["spans"]["same"]["moved"][0];
    assert_eq!([&answer[0]["answer"], &answer[1]["answer"]], ["200", "503"]);
}

#[test]
fn a_comment_is_bounded_and_has_no_markup_of_a_tape() {
    let folder = TempDir::new().unwrap();
    let hostile = "</details>|@team`x`\u{1b}[31m";
    let many: String = spans(&[(1, 200); 3000])
        .lines()
        .enumerate()
        .map(|(at, line)| line.replace("\"/a\"", &json!(format!("/{at}/{hostile}")).to_string()) + "\n")
        .collect();
    let (before, after) = (file(&folder, "before", &spans(&[(1, 200)])), file(&folder, "after", &many));
    let output = diff(&[&before, &after, "--markdown", "--limit", "3000"]);
    assert_eq!(output.status.code(), Some(1));
    let comment = text(&output.stdout);
    assert!(comment.len() <= 62_000, "{} bytes", comment.len());
    assert!(comment.contains("too long to be shown"));
    let comment = text(&diff(&[&before, &after, "--markdown", "--limit", "5"]).stdout);
    assert!(comment.starts_with("<!-- redtape diff -->\n### redtape diff: "), "{comment}");
    assert_eq!(comment.matches("<details").count(), comment.matches("\n</details>").count());
    assert!(!comment.contains('\u{1b}') && !comment.contains("</details>|"), "{comment}");
}

#[test]
fn what_cannot_be_compared() {
    let (folder, tape) = (TempDir::new().unwrap(), greetings());
    let broken = file(&folder, "broken.jsonl", "{\"span_id\": 1}\n");
    let metrics = file(&folder, "broken.om", "# TYPE a counter\na_total{b=\"c\" 1\n");
    let markdown = file(&folder, "README.md", "# A heading\n\nand text\n");
    let config = file(&folder, "broken.yml", "routes: {unmatched: no}\n");
    for (arguments, code, told) in [
        (vec![&*tape], 2, "<AFTER>"),
        (vec![&tape, "missing.tape"], 3, "missing.tape: cannot be read"),
        (vec![&tape, &broken], 3, "broken.jsonl:1: no span as `redtape replay --spans json` writes them"),
        (vec![&tape, &metrics], 3, "broken.om:2: "),
        (
            vec![&tape, &markdown],
            3,
            "README.md:3: a sample's value is a number; read as metrics, as it begins with `#`",
        ),
        (vec![&tape, "--config-b", &config], 2, "broken.yml"),
        (vec![&tape, &tape, "--tolerance", "some"], 2, "no number of per cent"),
        (vec!["-", "-"], 2, "one standard input"),
    ] {
        let output = diff(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
}
