//! The committed tapes: a replay gives what is committed beside them, byte for byte, however it is run.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use redtape_tests::binary;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures")).join(name)
}

/// What `redtape replay` prints for a tape, which it gets by name or through a pipe.
fn replay(tape: &str, arguments: &[&str], through_pipe: bool) -> Vec<u8> {
    let mut command = Command::new(binary("redtape").unwrap());
    command.arg("replay").args(arguments);
    if through_pipe {
        let mut cat = Command::new("cat").arg(fixture(tape)).stdout(Stdio::piped()).spawn().unwrap();
        command.arg("-").stdin(cat.stdout.take().unwrap());
        let output = command.output().unwrap();
        assert!(cat.wait().unwrap().success());
        return succeeded(output);
    }
    succeeded(command.arg(fixture(tape)).stdin(Stdio::null()).output().unwrap())
}

fn succeeded(output: std::process::Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Compares without printing megabytes where they differ.
fn check(what: &str, found: &[u8], expected: &[u8]) {
    let mut lines = found.split(|byte| *byte == b'\n').zip(expected.split(|byte| *byte == b'\n')).enumerate();
    if let Some((number, (found, expected))) = lines.find(|(_, (found, expected))| found != expected) {
        let [found, expected] = [found, expected].map(String::from_utf8_lossy);
        panic!("{what}, line {}:\n     found {found}\n  expected {expected}", number + 1);
    }
    assert_eq!(found.len(), expected.len(), "{what}: one is longer");
}

fn check_every_way(tape: &str, arguments: &[&str], expected: &[u8]) {
    for jobs in ["1", "2", "5"] {
        for through_pipe in [false, true] {
            let found = replay(tape, &[arguments, &["--jobs", jobs]].concat(), through_pipe);
            check(&format!("{tape} {arguments:?} with {jobs} jobs, pipe {through_pipe}"), &found, expected);
        }
    }
}

/// Spans and metrics are committed compressed: in full they are larger than their tape.
fn decompressed(name: &str) -> Vec<u8> {
    zstd::decode_all(File::open(fixture(name)).unwrap()).unwrap()
}

#[test]
fn greetings_spans() {
    let expected = decompressed("greetings-demo/spans.jsonl.zst");
    check_every_way("greetings-demo/greetings.tape", &["--spans", "json"], &expected);
}

#[test]
fn greetings_metrics() {
    let expected = fs::read(fixture("greetings-demo/metrics.om")).unwrap();
    check_every_way("greetings-demo/greetings.tape", &["--metrics", "openmetrics"], &expected);
}

#[test]
fn protocols() {
    let mut tapes = 0;
    for entry in fs::read_dir(fixture("protocols")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(protocol) = name.strip_suffix(".tape") else { continue };
        let [spans, metrics] = ["jsonl", "om"].map(|kind| decompressed(&format!("protocols/{protocol}.{kind}.zst")));
        let tape = format!("protocols/{name}");
        check_every_way(&tape, &["--spans", "json"], &spans);
        check_every_way(&tape, &["--metrics", "openmetrics"], &metrics);
        tapes += 1;
    }
    assert!(tapes >= 4, "{tapes} tapes");
}
