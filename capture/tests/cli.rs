//! The program from outside: what it refuses, how it says so, and its exit status.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(folder: &Path, args: &[&str]) -> Ran {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_redtape-capture"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes text");
    Ran { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs in an empty folder; the arguments are separated by spaces.
fn fails(args: &str) -> Ran {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ran = run(folder.path(), &args.split_whitespace().collect::<Vec<_>>());
    let left = fs::read_dir(folder.path()).expect("the folder is there").count();
    assert_eq!(left, 0, "{args}: something was written");
    assert_eq!(ran.stdout, "", "{args}");
    ran
}

#[test]
fn usage_errors() {
    let cases = [
        ("record", "nothing to record: choose processes by --port, --exe, --pid, --config, or give a command after --"),
        ("record --port 80-", "\"80-\" is neither a port nor a range; write ports from 1 to 65535 and ranges"),
        ("record --port 99999", "\"99999\" is out of range; write ports from 1 to 65535 and ranges"),
        ("record --port 9-1", "\"9-1\" ends below its start; write ports from 1 to 65535 and ranges"),
        ("record --port ,", "there is an empty part; write ports from 1 to 65535 and ranges"),
        ("record --exe a(", "invalid regular expression \"a(\": unclosed group"),
        ("record --pid 2147483000", "there is no process 2147483000: check --pid"),
        ("record --port 80 --duration 5", "`5` is no duration: write a number and a unit"),
        ("record --port 80 --duration 0s", "it has to be longer than nothing"),
        ("record --port 80 --ring-size 64X", "`64X` is no size: write bytes, or a number with K, M or G, as in `64M`"),
        ("record --port 80 --ring-size 1K", "--ring-size is from 64K to 2G"),
        ("record --port 80 --payload 9K", "--payload is 8K at most"),
        ("record --port 80 --ring 3", "--ring keeps files of a rotation: give --rotate-size or --rotate-age too"),
        ("record --port 80 --rotate-age 1m -o -", "a pipe cannot be rotated"),
        ("record --config none.yml", "cannot read none.yml: No such file or directory"),
        ("record -- no-such-program --really", "cannot run no-such-program: no such program; check its path or PATH"),
        ("record --prot 80", "unexpected argument '--prot'"),
        ("recrod", "unrecognized subcommand 'recrod'"),
    ];
    for (args, expected) in cases {
        let ran = fails(args);
        assert_eq!(ran.status, Some(2), "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{args}: {}", ran.stderr);
    }
}

#[test]
fn a_set_overwrites_no_file_of_another() {
    for name in ["shop.0000.tape", "shop.0007.tape", "shop.12345.tape", "shop.0003.tape.part"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "kept").unwrap();
        let ran = run(folder.path(), &["record", "--port", "80", "--rotate-age", "1m", "-o", "shop.tape"]);
        assert_eq!(ran.status, Some(2), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(name) && ran.stderr.contains("--force"), "{}", ran.stderr);
    }
}

#[test]
fn configuration_errors_name_file_and_line() {
    let cases = [
        ("discovery:\n  services:\n    - exe_pth: x\n", "c.yml:3:7: ", "did you mean `exe_path`"),
        ("discovery:\n  services:\n    - open_ports: 80-\n", "c.yml:3:", "\"80-\" is neither a port nor a range"),
        ("discovery:\n  services:\n    - exe_path: a(\n", "c.yml:3:", "unclosed group"),
        ("open_port: 99999\n", "c.yml:1:", "\"99999\" is out of range"),
        ("discovery:\n\tservices: []\n", "c.yml:2:", ""),
        (
            "discovery:\n  services:\n    - name: x\n",
            "c.yml:3:7: ",
            "discovery.services[0]: selects nothing; give it one of open_ports",
        ),
        ("discovery:\n  poll_interval: 5\n", "c.yml:2:18: ", "`5` is no duration"),
        ("routes: {}\n", "", "nothing to record"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (yaml, place, expected) in cases {
        fs::write(folder.path().join("c.yml"), yaml).unwrap();
        let ran = run(folder.path(), &["record", "--config", "c.yml"]);
        assert_eq!(ran.status, Some(2), "{yaml}: {}", ran.stderr);
        assert!(ran.stderr.contains(place) && ran.stderr.contains(expected), "{yaml}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{yaml}: {}", ran.stderr);
    }
}

#[test]
fn tapes_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in [
        ("a.tape", "a.tape exists: choose another name, or overwrite it by --force"),
        ("b.tape.part", "b.tape.part is left from a recording that was not closed"),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, "precious").unwrap();
        let ran = run(folder.path(), &["record", "--port", "80", "-o", name.trim_end_matches(".part")]);
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    }
}

#[test]
fn doctor_tells_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let text = run(folder.path(), &["doctor"]);
    let json = run(folder.path(), &["doctor", "--json"]);
    assert_eq!(text.status, json.status);
    let checks: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).unwrap();
    let missing = checks.iter().any(|check| check["state"] == "missing");
    assert_eq!(json.status, Some(if missing { 5 } else { 0 }), "{}", json.stderr);
    for check in &checks {
        let line = text.stdout.lines().find(|line| line.starts_with(check["name"].as_str().unwrap())).unwrap();
        // What counts processes is of the moment: others come and go.
        if !["io_uring", "tls"].contains(&check["name"].as_str().unwrap()) {
            assert!(line.contains(check["detail"].as_str().unwrap()), "{line}");
        }
    }
    for name in ["kernel", "btf", "tracepoints", "CAP_BPF", "CAP_PERFMON", "lockdown", "io_uring", "tls"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}");
    }
}
