//! The contract of `redtape` with scripts on bad input: one clear message on standard error, nothing on standard output,
//! and the documented exit code.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redtape_tests::{Process, binary};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// Runs `redtape` in a folder that has some files that are no tapes, and checks how it ends.
fn check(arguments: &str, code: i32, parts: &[&str]) {
    let folder = TempDir::new().unwrap();
    write_files(folder.path());
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(arguments.split_whitespace()).current_dir(folder.path());
    let finished = Process::run(&mut command, LIMIT).unwrap();
    let said = &finished.stderr;
    assert_eq!(finished.status.code(), Some(code), "{arguments}: {said}");
    assert_eq!(finished.stdout, "", "{arguments}");
    for part in parts {
        assert!(said.contains(part), "{arguments}: no {part:?} in {said}");
    }
    assert!(!said.contains("panicked"), "{arguments}: {said}");
}

fn write_files(folder: &Path) {
    for (name, content) in [
        ("empty.tape", &b""[..]),
        ("short.tape", b"x"),
        ("text.tape", b"this is a letter, not a tape, and it goes on for longer than a preamble\n"),
        ("broken.yml", b"routes: [\n"),
        ("sends.yml", b"otel_traces_export: {endpoint: \"localhost:4317\"}\n"),
        ("writes.yml", b"redtape: {remote_write: {url: \"localhost:9090\"}}\n"),
        ("unknown.yml", b"routes:\n  unmatched: heuristic\n  patern:\n    - /a\n"),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
}

#[test]
fn input_that_cannot_be_read_is_3() {
    for command in ["info", "events", "replay", "cardinality"] {
        check(&format!("{command} none.tape"), 3, &["none.tape", "No such file"]);
        check(&format!("{command} empty.tape"), 3, &["empty.tape", "empty"]);
        check(&format!("{command} short.tape"), 3, &["short.tape", "not a tape"]);
        check(
            &format!("{command} text.tape"),
            3,
            &["text.tape", "not a tape, nor a capture of another tool (pcap, pcapng, scap)"],
        );
        check(&format!("{command} ."), 3, &["directory"]);
    }
}

#[test]
fn wrong_usage_is_2() {
    check("replay", 2, &["TAPE"]);
    check("replay --spans xml text.tape", 2, &["xml", "json"]);
    check("replay --jobs 0 text.tape", 2, &["--jobs"]);
    check("repaly text.tape", 2, &["replay"]);
}

#[test]
fn a_wrong_configuration_is_2_and_says_where() {
    check("routes apply --config none.yml", 2, &["none.yml", "No such file"]);
    check("routes apply --config broken.yml", 2, &["broken.yml"]);
    check("routes apply --config unknown.yml", 2, &["unknown.yml", "patern", "patterns"]);
}

#[test]
fn where_live_sends_is_checked_before_anything_begins() {
    for (config, part) in [("sends.yml", "http://localhost:4317"), ("writes.yml", "`localhost:9090` is neither http")] {
        // At that socket it cannot listen, which would be 5.
        check(&format!("live --from unix:none/tape.sock --config {config}"), 2, &[part]);
    }
}

#[test]
fn the_configuration_is_found_by_the_environment_too() {
    let folder = TempDir::new().unwrap();
    write_files(folder.path());
    let check = |program, arguments: &str, part: &str| {
        let mut command = Command::new(binary(program).unwrap());
        command.args(arguments.split_whitespace()).env("BEYLA_CONFIG_PATH", "unknown.yml").current_dir(folder.path());
        let finished = Process::run(&mut command, LIMIT).unwrap().expect_code(2).unwrap();
        assert!(finished.stderr.contains(part), "{arguments}: {}", finished.stderr);
    };
    check("redtape", "routes apply", "unknown.yml");
    check("redtape", "routes apply --config broken.yml", "broken.yml");
    if cfg!(target_os = "linux") {
        check("redtape-capture", "record --port 80", "unknown.yml");
    }
}

#[test]
fn repair_leaves_an_unfinished_recording_as_it_is() {
    let folder = TempDir::new().unwrap();
    let tape = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/greetings-demo/greetings.tape")).unwrap();
    let unfinished = &tape[..tape.len() / 2];
    let part = folder.path().join("a.tape.part");
    fs::write(&part, unfinished).unwrap();
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(["repair", "a.tape.part", "-o", "a.tape"]).current_dir(folder.path());
    let finished = Process::run(&mut command, LIMIT).unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert!(fs::read(&part).is_ok_and(|kept| kept == unfinished), "the recording itself was written to");
    assert!(fs::read(folder.path().join("a.tape")).is_ok_and(|repaired| repaired.len() > unfinished.len() / 2));
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.tape", "a.tape.part"]);
}

#[test]
fn man_pages_and_completions_know_all_commands() {
    let folder = TempDir::new().unwrap();
    let programs: &[&str] = if cfg!(target_os = "linux") { &["redtape", "redtape-capture"] } else { &["redtape"] };
    for program in programs {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(binary(program).unwrap());
            Process::run(command.args(arguments).current_dir(folder.path()), LIMIT)
                .unwrap()
                .expect_code(0)
                .unwrap()
                .stdout
        };
        // The names stand at the left of the list of commands.
        let help = run(&["--help"]);
        let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let names: Vec<_> =
            names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
        assert!(names.contains(&"completions") && names.contains(&"man"), "{names:?}");
        run(&["man", "--output", "pages"]);
        let scripts = ["bash", "fish", "zsh", "elvish", "powershell"].map(|shell| run(&["completions", shell]));
        for name in names {
            let page = fs::read_to_string(folder.path().join(format!("pages/{program}-{name}.1"))).unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
            assert!(scripts.iter().all(|script| script.contains(name)), "{name}");
        }
        let mut shell = Command::new("bash");
        shell
            .args(["-c", "source <($0 completions bash) && complete -p $1"])
            .arg(binary(program).unwrap())
            .arg(program);
        let complete = Process::run(&mut shell, LIMIT).unwrap().expect_code(0).unwrap();
        assert!(complete.stdout.contains(program), "{}", complete.stdout);
    }
    let mut command = Command::new(binary("redtape").unwrap());
    fs::write(folder.path().join("file"), "").unwrap();
    command.args(["man", "-o", "file/pages"]).current_dir(folder.path());
    let refused = Process::run(&mut command, LIMIT).unwrap().expect_code(5).unwrap();
    assert!(refused.stderr.contains("file/pages: man pages cannot be written there"), "{}", refused.stderr);
}
