//! `routes learn`, `routes lint` and `routes apply --stats` over the binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redtape_core::synth::Workload;
use redtape_core::tape::{CloseReason, Meta, Writer, WriterOptions};
use redtape_tests::{Finished, Process, binary};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// 20 routes with ids in their paths.
const WORKLOAD: Workload = Workload { transactions: 1500, seed: 7 };

fn tape(folder: &Path) {
    let file = File::create(folder.join("shop.tape")).unwrap();
    let mut writer = Writer::new(file, &Meta::default(), WriterOptions::default()).unwrap();
    WORKLOAD.events().for_each(|event| writer.push(&event.as_event()).unwrap());
    writer.finish(CloseReason::Done).unwrap();
}

fn redtape(folder: &Path, arguments: &str) -> Finished {
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(arguments.split_whitespace()).current_dir(folder);
    Process::run(&mut command, LIMIT).unwrap()
}

/// The same, with a file of the folder as standard input.
fn redtape_reads(folder: &Path, input: &str, arguments: &str) -> Finished {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("exec \"$0\" {arguments} <{input}")).arg(binary("redtape").unwrap());
    Process::run(command.current_dir(folder), LIMIT).unwrap()
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn learned_patterns_are_the_routes_of_the_traffic() {
    let folder = TempDir::new().unwrap();
    tape(folder.path());
    let unbounded = "routes:\n  unmatched: path\n";
    fs::write(folder.path().join("path.yml"), unbounded).unwrap();
    let learn = redtape(folder.path(), "routes learn shop.tape --config path.yml -o routes.yml --json");
    let learned = json(&learn.expect_code(0).unwrap());
    // What the generator calls `/users/{}` has a name here, and so have the others.
    let shape = |pattern: &str| {
        pattern
            .split(['{', '}'])
            .enumerate()
            .map(|(at, text)| if at % 2 == 0 { text } else { "{}" })
            .collect::<String>()
    };
    let mut found: Vec<_> = learned["patterns"].as_array().unwrap().iter().collect();
    found.sort_by_key(|proposed| shape(proposed["pattern"].as_str().unwrap()));
    let mut truth: Vec<(String, u64)> = Vec::new();
    for route in WORKLOAD.totals() {
        let path = route.template.split('?').next().unwrap().to_owned();
        match truth.iter_mut().find(|(known, _)| *known == path) {
            Some((_, requests)) => *requests += route.count,
            None => truth.push((path, route.count)),
        }
    }
    truth.sort();
    let found: Vec<_> = found
        .iter()
        .map(|proposed| (shape(proposed["pattern"].as_str().unwrap()), proposed["requests"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, truth);
    let routes = |when: &str| learned[when]["routes"].as_u64().unwrap();
    assert_eq!(routes("after"), truth.len() as u64);
    assert!(routes("before") > 10 * routes("after"), "{learned}");

    // What was written is a configuration, all of which is used, and under which nothing is left to propose.
    let lint = redtape(folder.path(), "routes lint shop.tape --config routes.yml --json").expect_code(0).unwrap();
    assert_eq!(json(&lint)["findings"], Value::Array(Vec::new()));
    assert_eq!(json(&lint)["unmatched"], 0);
    // It goes into repositories: nothing that users sent is in it.
    let written = fs::read_to_string(folder.path().join("routes.yml")).unwrap();
    for proposed in learned["patterns"].as_array().unwrap() {
        let [pattern, example] = ["pattern", "example"].map(|key| proposed[key].as_str().unwrap());
        assert!(pattern == example || !written.contains(example), "{example} is in {written}");
    }
    let nothing = redtape(folder.path(), "routes learn shop.tape --config routes.yml -o again.yml");
    let nothing = nothing.expect_code(0).unwrap().stdout;
    assert!(nothing.starts_with("no pattern to add, from "), "{nothing}");
    let again = redtape(folder.path(), "routes learn shop.tape --config routes.yml --json").expect_code(0).unwrap();
    assert_eq!(json(&again)["patterns"], Value::Array(Vec::new()));
    assert_eq!(json(&again)["left_out"]["matched"], WORKLOAD.transactions);
}

#[test]
fn learning_does_not_overwrite_nor_read_a_pipe() {
    let folder = TempDir::new().unwrap();
    tape(folder.path());
    fs::write(folder.path().join("mine.yml"), "mine").unwrap();
    let refused = redtape(folder.path(), "routes learn shop.tape -o mine.yml").expect_code(2).unwrap();
    assert!(refused.stderr.contains("mine.yml: exists already; --force overwrites it"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(folder.path().join("mine.yml")).unwrap(), "mine");
    let table = redtape(folder.path(), "routes learn shop.tape -o mine.yml --force").expect_code(0).unwrap();
    assert!(table.stdout.contains("values of http.route"), "{}", table.stdout);
    assert!(fs::read_to_string(folder.path().join("mine.yml")).unwrap().contains("  patterns:\n"));
    let pipe = redtape_reads(folder.path(), "shop.tape", "routes learn -").expect_code(2).unwrap();
    assert!(pipe.stderr.contains("takes a file, not a pipe"), "{}", pipe.stderr);
}

#[test]
fn lint_says_what_is_of_no_use_and_exits_with_1() {
    let folder = TempDir::new().unwrap();
    tape(folder.path());
    fs::write(folder.path().join("a.yml"), "routes:\n  patterns: [/healthz, /halthz, '/{page}']\n").unwrap();
    let lint = redtape(folder.path(), "routes lint shop.tape --config a.yml").expect_code(1).unwrap();
    assert!(lint.stdout.contains("routes.patterns[1] `/halthz`: unused"), "{}", lint.stdout);
    assert!(lint.stdout.contains("routes.patterns[2] `/{page}`: shadowed"), "{}", lint.stdout);
    assert!(lint.stderr.contains("2 findings"), "{}", lint.stderr);
    let none = redtape(folder.path(), "routes lint shop.tape").expect_code(2).unwrap();
    assert!(none.stderr.contains("no route patterns"), "{}", none.stderr);
}

#[test]
fn apply_counts_by_route() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("paths"), "/a/1\n/a/2\n/a/2\n/b\n").unwrap();
    let stats = redtape_reads(folder.path(), "paths", "routes apply --stats").expect_code(0).unwrap();
    let words: Vec<Vec<_>> = stats.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[1], ["/a/*", "unmatched:", "heuristic", "/a/1", "3", "2"]);
    assert_eq!(words[2], ["/b", "unmatched:", "heuristic", "/b", "1", "1"]);
    assert!(stats.stdout.ends_with("\n2 routes for 3 paths, of 4 requests\n"), "{}", stats.stdout);
}

#[test]
fn a_url_is_explained_by_its_path() {
    let folder = TempDir::new().unwrap();
    let explained =
        |what: &str| redtape(folder.path(), &format!("routes explain {what}")).expect_code(0).unwrap().stdout;
    assert_eq!(explained("https://shop.example:8443/users/42?page=2"), explained("/users/42?page=2"));
    assert!(explained("https://shop.example").starts_with("/\t/\t"));
}
