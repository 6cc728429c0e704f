//! The committed fixtures: all of them are specs, and a replay is the same however it is run.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use redtape_tests::binary;
use serde_json::Value;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures"))
}

fn redtape(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(arguments).stdin(Stdio::null());
    command
}

fn succeeded(output: Output) -> Vec<u8> {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{}", said.concat());
    output.stdout
}

/// The specs of all fixtures hold, and no golden file or tape is left that none of them uses.
#[test]
fn all_specs_hold() {
    succeeded(redtape(&["test", "--strict"]).arg(fixtures()).output().unwrap());
}

/// What editors check specs by takes all of ours.
#[test]
fn all_specs_fit_the_schema() {
    let schema: Value = serde_json::from_slice(&succeeded(redtape(&["test", "--schema"]).output().unwrap())).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let list = succeeded(redtape(&["test", "--list", "--json"]).arg(fixtures()).output().unwrap());
    let list: Value = serde_json::from_slice(&list).unwrap();
    let specs = list["specs"].as_array().unwrap();
    assert!(specs.len() > 40, "{} specs", specs.len());
    for spec in specs {
        let path = spec["path"].as_str().unwrap();
        let value: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let errors: Vec<_> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
    }
    let wrong = serde_json::json!({"version": 1, "expect": {"spans": {"cuont": 1}}});
    assert!(!schema.is_valid(&wrong), "the schema takes anything");
}

/// What `redtape replay` prints for a tape, which it gets by name or through a pipe.
fn replay(tape: &Path, arguments: &[&str], through_pipe: bool) -> Vec<u8> {
    let mut command = redtape(&["replay"]);
    command.args(arguments);
    if through_pipe {
        let mut cat = Command::new("cat").arg(tape).stdout(Stdio::piped()).spawn().unwrap();
        command.arg("-").stdin(cat.stdout.take().unwrap());
        let output = command.output().unwrap();
        assert!(cat.wait().unwrap().success());
        return succeeded(output);
    }
    succeeded(command.arg(tape).output().unwrap())
}

#[test]
fn spans_are_the_same_however_a_tape_is_replayed() {
    is_the_same_however_it_is_run(&["--spans", "json"]);
}

#[test]
fn metrics_are_the_same_however_a_tape_is_replayed() {
    is_the_same_however_it_is_run(&["--metrics", "openmetrics"]);
}

/// Through a pipe as from a file, and with any number of threads, the same bytes come out, also in the same order.
fn is_the_same_however_it_is_run(arguments: &[&str]) {
    let protocols = fs::read_dir(fixtures().join("protocols")).unwrap().map(|entry| entry.unwrap().path());
    let tapes: Vec<_> = protocols
        .filter(|path| path.extension().is_some_and(|end| end == "tape"))
        .chain([fixtures().join("greetings-demo/greetings.tape")])
        .collect();
    assert!(tapes.len() >= 5, "{} tapes", tapes.len());
    for tape in tapes {
        let expected = replay(&tape, arguments, false);
        assert!(!expected.is_empty());
        for jobs in ["1", "2", "5"] {
            for through_pipe in [false, true] {
                let found = replay(&tape, &[arguments, &["--jobs", jobs]].concat(), through_pipe);
                // No `assert_eq`, which would print megabytes.
                assert!(found == expected, "{tape:?} {arguments:?} with {jobs} jobs, pipe {through_pipe}");
            }
        }
    }
}
