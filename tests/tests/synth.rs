//! `synth` over the binary: what it writes is what a replay finds, and what it refuses it refuses with a place.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redtape_tests::{Finished, Process, binary};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);

fn redtape(folder: &Path, arguments: &str) -> Finished {
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(arguments.split_whitespace()).current_dir(folder);
    Process::run(&mut command, LIMIT).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Objects by their `span_id`.
fn by_id(lines: &str) -> BTreeMap<String, Value> {
    let object = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    lines.lines().map(object).map(|object| (object["span_id"].as_str().unwrap().to_owned(), object)).collect()
}

/// What a line of truth says otherwise than a span: `docs/synth.md` gives the rule.
fn differences(truth: &Value, span: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for key in [
        "trace_id",
        "kind",
        "service",
        "start_time_unix_nano",
        "end_time_unix_nano",
        "duration_ns",
        "queue_ns",
        "status",
    ] {
        if !truth[key].is_null() && truth[key] != span[key] {
            differences.push(format!("{key}: {} is {}", span[key], truth[key]));
        }
    }
    for (key, value) in truth["attributes"].as_object().unwrap() {
        if span["attributes"][key] != *value {
            differences.push(format!("{key}: {} is {value}", span["attributes"][key]));
        }
    }
    let can_be_known = !truth["link"].is_null() && truth["unknowable"].is_null();
    if (can_be_known || !span["parent_span_id"].is_null()) && truth["parent_span_id"] != span["parent_span_id"] {
        differences.push(format!("parent: {} is {}", span["parent_span_id"], truth["parent_span_id"]));
    }
    differences
}

#[test]
fn the_truth_is_what_a_replay_says() {
    let folder = TempDir::new().unwrap();
    for scenario in ["cardinality-bomb", "greetings", "grpc"] {
        let made = redtape(
            folder.path(),
            &format!("synth {scenario} --requests 300 -o a.tape --truth a.truth --totals a.totals --force"),
        );
        assert_eq!(made.expect_code(0).unwrap().stdout, "", "the tape goes to its file");
        let replay = redtape(folder.path(), "replay a.tape --spans json").expect_code(0).unwrap();
        let truth = by_id(&fs::read_to_string(folder.path().join("a.truth")).unwrap());
        let mut spans = by_id(&replay.stdout);
        spans.retain(|_, span| span["kind"] != "internal");
        assert!(truth.len() >= 300 && truth.keys().eq(spans.keys()), "{scenario}: {} {}", truth.len(), spans.len());
        for (id, truth) in &truth {
            assert_eq!(differences(truth, &spans[id]), [""; 0], "{scenario}: {truth} {}", spans[id]);
        }
        let totals = fs::read_to_string(folder.path().join("a.totals")).unwrap();
        let requests = |line: &str| serde_json::from_str::<Value>(line).unwrap()["requests"].as_u64().unwrap();
        assert_eq!(totals.lines().map(requests).sum::<u64>(), truth.len() as u64);
    }
}

#[test]
fn the_included_scenarios_are_told_as_they_have_happened() {
    let listed = redtape(&root(), "synth --list").expect_code(0).unwrap();
    for line in listed.stdout.lines() {
        let name = line.split_whitespace().next().unwrap();
        for seed in ["", " --seed 1 --requests 400", " --seed 2 --requests 400"] {
            let said = redtape(&root(), &format!("synth {name} --check{seed}")).expect_code(0).unwrap().stdout;
            assert!(said.contains(": 0 wrong, 0 different, ") && said.contains(" 0 missing, "), "{name}{seed}: {said}");
        }
    }
}

#[test]
fn losses_make_no_span_wrong_and_are_part_of_the_truth() {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(root().join("fixtures/scenarios/greetings.yaml")).unwrap();
    fs::write(folder.path().join("whole.yaml"), format!("recorder: {{loss: 0}}\n{text}")).unwrap();
    fs::write(folder.path().join("lossy.yaml"), format!("recorder: {{loss: 9}}\n{text}")).unwrap();
    let made =
        redtape(folder.path(), "synth lossy.yaml -o lossy.tape --truth lossy.truth --check").expect_code(0).unwrap();
    assert!(made.stdout.contains(" 0 wrong,"), "{}", made.stdout);
    redtape(folder.path(), "synth whole.yaml --truth whole.truth").expect_code(0).unwrap();
    let lines = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap().lines().count();
    assert_eq!(lines("lossy.truth"), lines("whole.truth"));
    let info = redtape(folder.path(), "info lossy.tape --json").expect_code(0).unwrap();
    let info: Value = serde_json::from_str(&info.stdout).unwrap();
    assert!((20..200).contains(&info["lost"].as_u64().unwrap()), "{info}");
}

#[test]
fn equal_scenarios_give_equal_bytes() {
    let folder = TempDir::new().unwrap();
    let bytes = |arguments: &str| {
        redtape(folder.path(), &format!("synth shop -o a.tape --force -q {arguments}")).expect_code(0).unwrap();
        fs::read(folder.path().join("a.tape")).unwrap()
    };
    let one = bytes("");
    assert_eq!(bytes(""), one);
    assert_ne!(bytes("--seed 5"), one);
    assert_eq!(bytes("--seed 0"), one);
    let hash = |command: &str| {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(command.replace("redtape", "\"$0\""))
            .arg(binary("redtape").unwrap())
            .current_dir(folder.path());
        let said = Process::run(&mut shell, LIMIT).unwrap().expect_code(0).unwrap();
        serde_json::from_str::<Value>(&said.stdout).unwrap()["content_hash"].clone()
    };
    assert_eq!(hash("redtape synth shop -q -o - | redtape info - --json"), hash("redtape info a.tape --json"));
}

#[test]
fn the_bomb_explodes_and_can_be_bounded() {
    let folder = TempDir::new().unwrap();
    redtape(folder.path(), "synth cardinality-bomb -o bomb.tape").expect_code(0).unwrap();
    let series = |config: &str| {
        let config = root().join("fixtures/scenarios").join(config);
        let said = redtape(folder.path(), &format!("cardinality bomb.tape --json --config {}", config.display()));
        let said: Value = serde_json::from_str(&said.expect_code(0).unwrap().stdout).unwrap();
        let growth: Vec<u64> = said["growth"].as_array().unwrap().iter().map(|step| step.as_u64().unwrap()).collect();
        (said["series"].as_u64().unwrap(), growth)
    };
    let (naive, growth) = series("cardinality-bomb.naive.yaml");
    assert!(naive > 10_000 && growth.is_sorted_by(|a, b| a < b), "{naive} {growth:?}");
    let (bounded, growth) = series("cardinality-bomb.config.yaml");
    assert!(bounded < 60 && growth.iter().all(|step| *step == bounded), "{bounded} {growth:?}");
}

#[test]
fn scenarios_have_a_schema_that_says_what_they_can_ask_for() {
    let said = redtape(&root(), "synth --schema").expect_code(0).unwrap();
    let committed = fs::read_to_string(root().join("docs/scenario.schema.json")).unwrap();
    assert!(said.stdout == committed, "`redtape synth --schema > docs/scenario.schema.json` brings it up to date");
    let schema = jsonschema::validator_for(&serde_json::from_str(&committed).unwrap()).unwrap();
    let listed = redtape(&root(), "synth --list").expect_code(0).unwrap();
    let mut names = Vec::new();
    for line in listed.stdout.lines() {
        let (name, description) = line.split_once(' ').unwrap();
        let printed = redtape(&root(), &format!("synth {name} --print")).expect_code(0).unwrap();
        let file = root().join(format!("fixtures/scenarios/{name}.yaml"));
        assert_eq!(printed.stdout, fs::read_to_string(file).unwrap());
        let scenario: Value = serde_saphyr::from_str(&printed.stdout).unwrap();
        assert!(schema.is_valid(&scenario) && !description.trim().is_empty(), "{name}");
        names.push(name.to_owned());
    }
    let wrong = |yaml: &str| !schema.is_valid(&serde_saphyr::from_str::<Value>(yaml).unwrap());
    for yaml in
        ["service: {}", "services: {a: {tls: maybe}}", "recorder: {loss: 1001}", "services: {a: {routes: [{path: 1}]}}"]
    {
        assert!(wrong(yaml), "{yaml}");
    }
    let files = fs::read_dir(root().join("fixtures/scenarios")).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<_> = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".yaml")?.to_owned())).collect();
    files.retain(|file| !file.contains('.'));
    files.sort();
    assert_eq!(files, names, "every scenario of the folder is included");
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("circle.yaml"), "services:\n  a: {calls: [{to: b}]}\n  b: {calls: [{to: a}]}\n")
        .unwrap();
    fs::write(folder.path().join("empty.yaml"), "").unwrap();
    fs::write(folder.path().join("there.tape"), "mine").unwrap();
    for (arguments, code, message) in [
        ("synth circle.yaml -o x.tape", 2, "circle.yaml:2:3: services.a: calls in a circle never end: a → b → a"),
        ("synth empty.yaml -o x.tape", 2, "empty.yaml: services: there is no service; name one"),
        ("synth greetigs -o x.tape", 3, "did you mean `greetings`?"),
        ("synth greetings -o there.tape", 2, "there.tape: exists already; --force overwrites it"),
        ("synth greetings", 2, "--output <TAPE>"),
        ("synth greetings --requests 0 -o x.tape", 2, "'0'"),
        ("synth greetings --duration 0s -o x.tape", 2, "nothing happens in no time"),
        ("synth greetings -o - --check", 2, "`--output -` writes the tape to standard output"),
        ("synth . -o x.tape", 3, "cannot be read"),
    ] {
        let said = redtape(folder.path(), arguments).expect_code(code).unwrap();
        assert!(said.stderr.contains(message) && said.stdout.is_empty(), "{arguments}: {}", said.stderr);
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
