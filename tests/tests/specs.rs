//! `redtape test` as its users meet it: what holds and what does not, what is accepted, and what is said of bad specs.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redtape_tests::{Process, binary};
use serde_json::Value;
use tempfile::TempDir;

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/protocols/h2c.tape");

/// A folder with a tape `a.tape` and these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::copy(TAPE, folder.path().join("a.tape")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Runs `redtape test` in a folder, outside of any CI. Its exit code, and what it says on both outputs.
fn test(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    test_with(folder, arguments, &[])
}

fn test_with(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(binary("redtape").unwrap());
    command.arg("test").args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = command.env_remove("CI").envs(env.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Specs for one folder, `expect` being what stands behind the input.
fn spec(expect: &str) -> String {
    format!("version: 1\ntape: a.tape\nexpect:\n{expect}")
}

#[test]
fn what_holds_is_a_line_and_what_does_not_is_explained() {
    let holds = spec("  spans: {count: 80}\n");
    let fails = spec(
        "  spans:\n    match:\n      - where: {kind: server, url.path: /missing, http.response.status_code: 404}\n        count: 9\n",
    );
    let folder = folder(&[("a.test.yaml", &holds), ("b.test.yaml", &fails)]);
    let (code, out, err) = test(folder.path(), &["."]);
    assert_eq!((code, err.as_str()), (1, "redtape: not as expected: 1 spec\n"), "{out}");
    assert!(out.starts_with("ok    ./a.test.yaml (2 checks)\nFAIL  ./b.test.yaml (1 of 2 checks)\n"), "{out}");
    for part in [
        "./b.test.yaml:7:9: expect.spans.match[0].count: expected 9, found 8\n",
        "nearest other span: ",
        "events behind it:",
        ":method",
        "redtape test --bless ./b.test.yaml",
        "\n2 specs: 1 passed, 1 failed; 4 checks\n",
    ] {
        // The head of HTTP/2 is compressed: what is told of it is the event, not its words.
        if part != ":method" {
            assert!(out.contains(part), "{part:?} is not in:\n{out}");
        }
    }
    let (code, out, _) = test(folder.path(), &["-q", "a.test.yaml"]);
    assert_eq!((code, out.as_str()), (0, "1 spec: 1 passed; 2 checks\n"));
    let (code, out, _) = test(folder.path(), &["--filter", "b\\.test", "--list", "."]);
    assert_eq!((code, out.as_str()), (0, "./b.test.yaml\n"));
}

#[test]
fn blessing_changes_values_and_nothing_else() {
    let before = "# What h2c gives.\nversion: 1\ntape: a.tape   # recorded\nsha: ''\nexpect:\n  summary: {spans: 1, errors: {\"<=\": 8}}  # two facts\n  spans:\n    match:\n      - where: {kind: server}\n        count: 39   # nearly\n        duration: {max: 1ms ±1%}\n    golden: a.jsonl.zst\n  metrics:\n    samples: ['sum(http_server_request_duration_seconds_count{http_route=\"/hello\"}) == 1']\n    openmetrics: a.om\n";
    let folder = folder(&[("a.test.yaml", before)]);
    let path = folder.path().join("a.test.yaml");
    let (code, out, err) = test_with(folder.path(), &["--bless", "."], &[("CI", "true")]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("--bless-in-ci"), "{err}");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let (code, out, err) = test(folder.path(), &["--bless", "."]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("5 values accepted") && err.contains("a.jsonl.zst: written"), "{err}");
    let after = fs::read_to_string(&path).unwrap();
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
    assert_eq!((before.lines().count(), changed.len()), (after.lines().count(), 5), "{after}");
    for part in ["spans: 80, errors: {\"<=\": 8}}  # two facts", "count: 40   # nearly", "ms ±1%}", "== 20\"]"] {
        assert!(after.contains(part), "{part} is not in\n{after}");
    }
    assert_eq!(test(folder.path(), &["."]).0, 0);
    // In a CI it can be forced.
    fs::write(&path, before).unwrap();
    assert_eq!(test_with(folder.path(), &["--bless", "--bless-in-ci", "."], &[("CI", "true")]).0, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), after);
    // What is no single value is nobody's to accept.
    fs::write(&path, spec("  spans: {count: {'<': 3}}\n")).unwrap();
    let (code, out, _) = test(folder.path(), &["--bless", "."]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("expected less than 3, found 80") && !out.contains("--bless"), "{out}");
}

#[test]
fn results_are_told_as_they_come() {
    let waits = "version: 1\ntape: pipe\nexpect: {spans: {count: 80}}\n";
    let folder = folder(&[("a.test.yaml", &spec("  spans: {count: 80}\n")), ("b.test.yaml", waits)]);
    rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(["test", "--jobs", "2", "."]).current_dir(folder.path());
    // Nobody writes to the pipe, so the second spec goes on until the program is killed.
    let mut process = Process::start(&mut command).unwrap();
    let told = |out: &str, _: &str| (out == "ok    ./a.test.yaml (2 checks)\n").then_some(());
    process.wait_for("the first spec's result", Duration::from_secs(60), told).unwrap();
}

#[test]
fn golden_files_tell_what_differs() {
    let golden =
        spec("  spans: {golden: a.jsonl, ignore: [trace_id, resource.host.name]}\n  metrics: {openmetrics: a.om}\n");
    let folder = folder(&[("a.test.yaml", &golden)]);
    let (code, out, _) = test(folder.path(), &["."]);
    assert_eq!(code, 1);
    assert!(out.contains("the golden file ./a.jsonl is not there"), "{out}");
    assert_eq!(test(folder.path(), &["--bless", "."]).0, 0);
    let path = folder.path().join("a.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().is_sorted() && !text.contains("trace_id") && !text.contains("host.name"));
    fs::write(&path, text.replacen("\"http.route\":\"/hello\"", "\"http.route\":\"/hallo\"", 1)).unwrap();
    let (code, out, _) = test(folder.path(), &["."]);
    assert_eq!(code, 1);
    assert!(out.contains("1 of 87 lines are not found, 1 are new") || out.contains("1 are new"), "{out}");
    assert!(out.contains("attributes.http.route: expected \"/hallo\", found \"/hello\""), "{out}");
    let om = folder.path().join("a.om");
    let text = fs::read_to_string(&om).unwrap();
    fs::write(&om, text.replacen(" 20\n", " 21\n", 1)).unwrap();
    let (_, out, _) = test(folder.path(), &["."]);
    assert!(out.contains("the metrics are not those of ./a.om, first in line"), "{out}");
}

#[test]
fn reports_are_for_machines_too() {
    let fails = "version: 1\nname: <two> & more\ntape: a.tape\nexpect:\n  spans: {count: 81}\nmutate:\n  - {rechunk: {seed: 1}}\n";
    let skipped = "version: 1\ntape: a.tape\nrequires: {features: [http3]}\nexpect: {spans: {count: 80}}\n";
    let folder = folder(&[("a.test.yaml", fails), ("b.test.yaml", skipped)]);
    let (code, out, _) = test(folder.path(), &["--json", "--junit", "out.xml", "."]);
    assert_eq!(code, 1);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["specs"], &json["failed"], &json["skipped"]), (&2.into(), &1.into(), &1.into()));
    let check = json["results"][0]["checks"].as_array().unwrap().iter().find(|check| check["passed"] == false).unwrap();
    assert_eq!((&check["key"], &check["line"]), (&"expect.spans.count".into(), &5.into()));
    assert_eq!(json["results"][1]["status"], "skipped");
    let xml = fs::read_to_string(folder.path().join("out.xml")).unwrap();
    for part in [
        "tests=\"5\"",
        "failures=\"2\"",
        "[rechunk seed 1] expect.spans.count",
        "expected 81, found 80",
        "&lt;two&gt; &amp; more",
    ] {
        assert!(xml.contains(part), "{part} is not in\n{xml}");
    }
}

#[test]
fn what_nobody_uses_is_found() {
    let folder = folder(&[("a.test.yaml", &spec("  spans: {count: 80}\n")), ("old.jsonl", ""), ("notes.txt", "")]);
    fs::copy(TAPE, folder.path().join("b.tape")).unwrap();
    assert_eq!(test(folder.path(), &["."]).0, 0);
    let (code, _, err) = test(folder.path(), &["--strict", "--filter", "a", "."]);
    assert!(code == 2 && err.contains("--filter leaves specs out that may use them"), "{code} {err}");
    let (code, out, _) = test(folder.path(), &["--strict", "."]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("UNUSED ./b.tape") && out.contains("UNUSED ./old.jsonl") && !out.contains("notes"), "{out}");
}

/// Each is a bad spec, and what is said of it.
const BAD: [(&str, &str); 32] = [
    ("", ": is empty; a spec has `version: 1` and `expect`"),
    ("version: 1", "the key `expect` is missing"),
    ("version: 1\ntape: a.tape\nexpect: {}", ":3:1: expect: nothing is expected"),
    ("version: 2\ntape: a.tape\nexpect: {spans: {count: 1}}", ":1:1: version: is 2, but this redtape reads version 1"),
    ("version: 1\nexpect: {spans: {count: 1}}", "has no input: give `tape`, `pcap` or `synth`"),
    ("version: 1\ntape: a.tape\nsynth: shop\nexpect: {spans: {count: 1}}", ":3:1: synth: a spec has one input"),
    (
        "version: 1\ntape: a.tape\nexpect:\n  spans:\n    cuont: 3",
        ":5:5: expect.spans.cuont: unknown key; did you mean `count`?",
    ),
    ("version: 1\ntape: a.tape\nexpect:\n\tspans: {count: 1}", ":4:1: a tab is used as indentation"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {count: {\"=>\": 3}}}", "`=>` is no comparison; did you mean `>=`?"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {match: [{where: {http.rout: /a}}]}}", "did you mean `http.route`?"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {exhaustive: true}}", "exhaustive: needs `match`"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {wrong: 0}}", "wrong: needs `synth`"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {match: [{where: {}, duration: {p50: 12}}]}}", "needs a unit"),
    ("version: 1\ntape: a.tape\nexpect: {redaction: {never: []}}", "redaction.never: nothing is forbidden"),
    (
        "version: 1\ntape: a.tape\nexpect: {cardinality: {growth: {per_requests: 0, series: 0}}}",
        "expect.cardinality.growth.per_requests: takes one span at least",
    ),
    ("version: 1\ntape: a.tape\nexpect: {metrics: {at: {evry: 3s}, samples: [absent(a)]}}", "unknown field `evry`"),
    ("version: 1\ntape: a.tape\nexpect: {metrics: {at: {every: 3}, samples: [absent(a)]}}", "expected a string"),
    ("version: 1\ntape: a.tape\nexpect: {metrics: {at: [], samples: [absent(a)]}}", "a step as in `{every: 30s}`"),
    (
        "version: 1\ntape: a.tape\nexpect: {metrics: {at: {every: 1us}, samples: [absent(a)]}}",
        "3:25: expect.metrics.at.every: takes steps of 1ms at least",
    ),
    (
        "version: 1\ntape: a.tape\nexpect: {metrics: {at: {every: 1s}, openmetrics: a.om}}",
        "a golden file has the metrics of one moment",
    ),
    (
        "version: 1\ntape: a.tape\nexpect: {metrics: {at: 1s, identity: [spans==metrics]}}",
        "expect.metrics.identity[0]: spans are counted at the end alone: leave `at` out",
    ),
    ("version: 1\ntape: a.tape\nexpect: {redaction: {never: ['a(']}}", "`a(` is no regular expression: unclosed group"),
    ("version: 1\ntape: a.tape\nexpect: {summary: {diagnostics: {tsl: 0}}}", "did you mean `tls`?"),
    ("version: 1\ntape: a.tape\nexpect: {metrics: {samples: ['a{b=c} == 1']}}", "expected a value in quotes"),
    ("version: 1\ntape: a.tape\nexpect: {metrics: {identity: [spans=metrics]}}", "did you mean `spans==metrics`?"),
    (
        "version: 1\ntape: a.tape\nexpect: {metrics: [{at: 3x, identity: [spans==metrics]}]}",
        "`3x` is no length of time",
    ),
    ("version: 1\ntape: a.tape\nexpect: {exit: 3, spans: {count: 0}}", "gives nothing else to expect"),
    (
        "version: 1\ntape: a.tape\nexpect: {spans: {count: 1}}\nmutate: [{drop: {rate: 200%}}]",
        ":4:24: mutate[0].drop.rate: expected a rate",
    ),
    (
        "version: 1\ntape: a.tape\nexpect: {spans: {count: 1}}\nmutate: [{shift: 1s, rechunk: {}}]",
        "changes the input in two ways",
    ),
    (
        "version: 1\ntape: a.tape\nexpect: {spans: {count: 1}}\nmutate: [{expect: {spans: {count: 1}}}]",
        "says not how the input is changed",
    ),
    (
        "version: 1\nsynth: {sede: 3}\nexpect: {spans: {count: 1}}",
        ":2:9: synth.sede: unknown key; did you mean `seed`?",
    ),
    ("version: 1\nexpect: {routes: {service: a}}", "has no paths: write `paths`, `cases` or `table`"),
];

#[test]
fn all_bad_specs_are_told_with_their_places() {
    let files: Vec<_> = BAD.iter().enumerate().map(|(at, (text, _))| (format!("{at:02}.test.yaml"), *text)).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let folder = folder(&files);
    fs::write(folder.path().join("99.test.yaml"), spec("  spans: {count: 80}\n")).unwrap();
    let (code, out, err) = test(folder.path(), &["."]);
    assert_eq!((code, out.as_str()), (2, ""), "nothing is run: {err}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), BAD.len(), "{err}");
    for ((at, (text, part)), line) in BAD.iter().enumerate().zip(lines) {
        assert!(line.starts_with(&format!("redtape: ./{at:02}.test.yaml")) && line.contains(part), "{text}\n{line}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let files = [
        ("a.test.yaml", "version: 1\ntape: b.tape\nexpect: {spans: {count: 1}}"),
        ("b.test.yaml", "version: 1\ntape: c*.tape\nexpect: {spans: {count: 1}}"),
        ("c.test.yaml", "version: 1\nsynth: shopp\nexpect: {spans: {count: 1}}"),
    ];
    let folder = folder(&files);
    let (code, _, err) = test(folder.path(), &["."]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("a.test.yaml:2:1: tape: ./b.tape is not there; did you mean `a.tape`?"), "{err}");
    assert!(err.contains("./c*.tape is not there") && err.contains("./shopp is not there"), "{err}");
    for (path, part) in [
        ("nowhere", "nowhere: is not there"),
        ("empty", "has no spec"),
        ("a.tape", "a.tape: is no spec, which is text in YAML"),
    ] {
        fs::create_dir_all(folder.path().join("empty")).unwrap();
        let (code, _, err) = test(folder.path(), &[path]);
        assert!(code == 2 && err.contains(part), "{code} {err}");
    }
    let (code, _, err) = test(folder.path(), &["--filter", "nothing is called so", "."]);
    assert!(code == 2 && err.contains("no spec's path or name matches"), "{code} {err}");
}

/// Specs of which it is only known when they are run what their files say: how they end, and what is said.
const RUN: [(&str, i32, &str); 17] = [
    (
        "version: 1\ntape: a.tape\nexpect: {summary: {}}",
        1,
        "expect.summary: nothing is expected, so nothing could fail",
    ),
    ("version: 1\ntape: a.tape\nexpect: {spans: {exhaustive: false}}", 1, "expect.spans: nothing is expected"),
    ("version: 1\ntape: a.tape\nexpect: {cardinality: {labels: {}}}", 1, "expect.cardinality: nothing is expected"),
    (
        "version: 1\ntape: a.tape\nexpect: {spans: {count: 80}}\nmutate: [{truncate_at: 0%}]",
        2,
        ":4:10: mutate[0]: truncate_at 0% leaves no tape",
    ),
    (
        "version: 1\ntape: a.tape\nconfig: none.yml\nexpect: {spans: {count: 80}}",
        2,
        ":3:1: config: none.yml: cannot be read",
    ),
    (
        "version: 1\ntape: a.tape\noverrides: {routes.unmatchd: heuristic}\nexpect: {spans: {count: 80}}",
        2,
        ":3:13: overrides.routes.unmatchd: unknown key",
    ),
    (
        "version: 1\nsynth: {services: {a: {calls: [{to: b}]}}}\nexpect: {spans: {count: 80}}",
        2,
        "there is no service `b`",
    ),
    ("version: 1\ntape: a.test.yaml\nexpect: {spans: {count: 80}}", 1, "fails with exit code 3"),
    ("version: 1\nexpect: {routes: {table: none.tsv}}", 3, "expect.routes.table: none.tsv is not there"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {count: 80}}\nmutate: [{rechunk: 1}]", 0, "4 checks in 2 runs"),
    ("version: 1\ntape: a.tape\nexpect: {spans: {count: 80}}\nmutate: [{rechunk: 0}]", 2, "how many bytes a call has"),
    ("version: 1\ntape: a.tape\nexpect: {exit: 3}", 1, "expected a failure with exit code 3"),
    (
        "version: 1\ntape: a.tape\nexpect: {metrics: {samples: ['http_server_request_duration_second_count == 1']}}",
        1,
        "did you mean `http_server_request_duration_seconds_count`?",
    ),
    ("version: 1\ntape: a.tape\nexpect: {metrics: {at: 1h, samples: ['a == 1']}}", 1, "but the input ends after"),
    ("version: 1\ntape: a.tape\nexpect: {cardinality: {labels: {http_rout: 1}}}", 1, "did you mean `http_route`?"),
    (
        "version: 1\ntape: a.tape\nexpect: {cardinality: {growth: {per_requests: 1000000, series: 0}}}",
        1,
        "but there are 80 in all",
    ),
    ("version: 1\ntape: a.tape\nsha: '00'\nexpect: {spans: {count: 80}}", 1, "the input is another one"),
];

#[test]
fn what_only_a_run_tells_is_said() {
    let folder = folder(&[]);
    for (text, exit, part) in RUN {
        fs::write(folder.path().join("a.test.yaml"), text).unwrap();
        let (code, out, err) = test(folder.path(), &["a.test.yaml"]);
        assert!(code == exit && format!("{out}{err}").contains(part), "{text}\n{code} {out}{err}");
    }
}

#[test]
fn metrics_cardinality_and_redaction() {
    let expect = r#"  summary: {spans: 80, errors: 8, lost: 0, connections: 2, open_connections: 0}
  spans:
    none: [{where: {http.route: "*"}}, {where: {attributes.authorization: {exists: true}}}]
    match:
      - where: {kind: internal, name: in queue}
        count: {">": 0}
      - where: {kind: client, parent_span_id: null}
        count: 40
  metrics:
    - identity: [spans==metrics, buckets==counts]
      samples:
        - 'http_server_request_duration_seconds_count{http_route=~"/hello|/echo"} == 28'
        - 'http_client_request_duration_seconds_count{http_response_status_code!="200"} < 9'
        - 'count(http_server_request_duration_seconds_count) == 4'
        - 'http_server_request_duration_seconds_sum{http_route="/missing"} ~= 0.0055 ±3%'
        - absent(http_server_request_duration_seconds_count{http_route="/admin"})
    - at: 150ms
      samples: ['http_server_request_duration_seconds_count <= 40']
    - at: {every: 20ms}
      samples: ['http_server_request_duration_seconds_count <= 40']
      identity: [buckets==counts]
  cardinality:
    series: {"<=": 60}
    overflow: 0
    per_metric: {http_server_request_duration_seconds: 4}
    labels: {http_route: {"<=": 4, overflow: 0}, http_request_method: 2}
    growth: {per_requests: 20, series: {"<=": 40}}
  redaction: {never: ['(?i)bearer [a-z0-9]', '\b\d{16}\b']}
"#;
    let folder = folder(&[("a.test.yaml", &spec(expect))]);
    let (code, out, _) = test(folder.path(), &["."]);
    assert_eq!(code, 0, "{out}");
    let early = "  metrics: {at: {every: 20ms}, samples: ['http_server_request_duration_seconds_count == 40']}\n";
    fs::write(folder.path().join("a.test.yaml"), spec(early)).unwrap();
    let (code, out, _) = test(folder.path(), &["."]);
    let line = "samples[0]: after 140.00ms: expected http_server_request_duration_seconds_count == 40, found ";
    assert!(code == 1 && out.contains(line) && !out.contains("--bless"), "{out}");
    // A secret is found wherever it would go out, in what OTLP calls by other names, too. Ids and times are none.
    let forms = [
        ("/hel+o", "`--spans json`"),
        ("(?m)^redtape.queue_ns$", "`--otlp-traces`"),
        ("(?m)^http.server.request.duration$", "`--otlp-metrics`"),
        ("http_server_request_duration_seconds_count", "`--metrics openmetrics`"),
        ("samples a scrape", "the summary"),
        (r"\d{15}|[0-9a-f]{16}", ""),
    ];
    let never = forms.map(|(pattern, _)| format!("'{pattern}'")).join(", ");
    fs::write(folder.path().join("a.test.yaml"), spec(&format!("  redaction: {{never: [{never}]}}\n"))).unwrap();
    let (code, out, _) = test(folder.path(), &["."]);
    assert_eq!(code, 1, "{out}");
    for (at, (pattern, form)) in forms.into_iter().enumerate() {
        let line = format!("expect.redaction.never[{at}]: `{pattern}` must never be exported, and is in {form}\n");
        assert_eq!(out.contains(&line), !form.is_empty(), "{pattern}: {out}");
    }
}

/// The complete example of the documentation holds on the demo's tape, and fits the schema.
#[test]
fn the_example_of_the_documentation_holds() {
    const PAGE: &str = include_str!("../../docs/testing.md");
    let (_, example) = PAGE.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let folder = folder(&[("example.test.yaml", example)]);
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape");
    fs::copy(tape, folder.path().join("greetings.tape")).unwrap();
    let (code, out, err) = test(folder.path(), &["example.test.yaml"]);
    assert_eq!(code, 0, "{out}{err}");
    let (_, schema, _) = test(folder.path(), &["--schema"]);
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let example: Value = serde_saphyr::from_str(example).unwrap();
    assert!(schema.is_valid(&example));
}

/// Where more spans are found than expected, these tell; where fewer are, what is most like them.
#[test]
fn counts_that_differ_show_what_helps() {
    let text = spec(
        "  spans:\n    match:\n      - {where: {kind: server, url.path: /missing}, count: 0}\n      - {where: {kind: server, url.path: /missing/1}, count: 1}\n",
    );
    let folder = folder(&[("a.test.yaml", &text)]);
    let (code, out, _) = test(folder.path(), &["."]);
    let (more, fewer) = out.split_once("match[1].count: expected 1, found 0").unwrap();
    assert!(code == 1 && more.contains("match[0].count: expected 0, found 8"), "{out}");
    assert!(more.contains(" 404 ") && more.contains("and 5 more") && more.contains("events behind it:"), "{out}");
    assert!(!more.contains("nearest"), "{out}");
    assert!(fewer.contains("nearest other span: url.path is \"/missing\", not \"/missing/1\""), "{out}");
}

/// Captures of packets are inputs like tapes.
#[test]
fn captures_of_packets_are_inputs() {
    let folder = folder(&[("a.test.yaml", "version: 1\npcap: a.pcapng\nexpect: {spans: {count: 8}}\n")]);
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/protocols/websocket.tape");
    let mut export = Command::new(binary("redtape").unwrap());
    export.args(["export", tape, "--pcapng"]).arg(folder.path().join("a.pcapng"));
    assert!(export.output().unwrap().status.success());
    let (code, out, err) = test(folder.path(), &["."]);
    assert_eq!(code, 0, "{out}{err}");
}
