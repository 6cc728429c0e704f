//! Where results go: every command that writes a file treats it in the same way, whatever it is.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use redtape_tests::{Finished, Process, binary};
use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::geteuid;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures");

/// All that write a result, which goes behind them.
const WRITERS: [&str; 14] = [
    "export in.tape --pcapng",
    "export in.tape --pcapng /dev/null --decode-as-script",
    "filter tls in.tape -o",
    "import in.scap -o",
    "merge in.tape -o",
    "redact in.tape -o",
    "repair in.tape -o",
    "replay in.tape --openmetrics",
    "replay in.tape --otlp-file",
    "report in.tape -o",
    "routes learn in.tape -o",
    "slice in.tape --to +1s -o",
    "synth greetings --requests 3 -o",
    "synth greetings --requests 3 -q --truth",
];

/// A folder with what they read.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::copy(format!("{FIXTURES}/protocols/h2c.tape"), folder.path().join("in.tape")).unwrap();
    fs::copy(format!("{FIXTURES}/captures/calls.scap"), folder.path().join("in.scap")).unwrap();
    // Nobody but its owner enters a temporary folder, and the user of a test may be another.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    for input in ["in.tape", "in.scap"] {
        fs::set_permissions(folder.path().join(input), Permissions::from_mode(0o644)).unwrap();
    }
    folder
}

fn command(folder: &Path, writer: &str, output: &str) -> Command {
    let mut command = Command::new(binary("redtape").unwrap());
    command.args(writer.split(' ')).args(output.split(' ')).current_dir(folder);
    command
}

fn run(folder: &Path, writer: &str, output: &str) -> Finished {
    Process::run(&mut command(folder, writer, output), LIMIT).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| !name.starts_with("in.")).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_once_and_over_another_only_by_force() {
    for writer in WRITERS {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        let first = run(folder.path(), writer, "out");
        assert_eq!(first.status.code(), Some(0), "{writer}: {}", first.stderr);
        let result = fs::read(at("out")).unwrap();
        assert!(!result.is_empty(), "{writer}");
        fs::write(at("out"), "mine").unwrap();
        fs::set_permissions(at("out"), Permissions::from_mode(0o640)).unwrap();
        symlink("out", at("link")).unwrap();
        for name in ["out", "link"] {
            let refused = run(folder.path(), writer, name).expect_code(2).unwrap();
            let message = format!("{name}: exists already; --force overwrites it");
            assert!(refused.stderr.contains(&message), "{writer}: {}", refused.stderr);
            assert_eq!(fs::read(at("out")).unwrap(), b"mine");
        }
        run(folder.path(), writer, "link --force").expect_code(0).unwrap();
        let mode = fs::metadata(at("out")).unwrap().permissions().mode() & 0o777;
        assert_eq!((fs::read(at("out")).unwrap(), mode), (result, 0o640), "{writer}");
        assert_eq!(
            (fs::read_link(at("link")).unwrap(), names(folder.path())),
            ("out".into(), vec!["link".into(), "out".into()])
        );
    }
}

#[test]
fn what_is_no_place_for_a_result_is_told() {
    for writer in WRITERS {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let before = names(folder.path());
        let input = if writer.starts_with("import") { "in.scap" } else { "in.tape" };
        for (output, code, message) in [
            ("dangling --force", 2, "dangling: is a link to nowhere, which is not there; name that file itself"),
            ("no/out", 5, "no/out: cannot be written: there is no folder no"),
            ("folder --force", 2, "folder: is a directory; name a file in it"),
            (&format!("{input} --force"), 2, "is read itself; name another file"),
        ] {
            // Into a folder `import` writes a tape by the capture's name, and scenarios are no tapes.
            if writer.starts_with("import") && output.starts_with("folder")
                || writer.starts_with("synth") && output.starts_with("in.")
            {
                continue;
            }
            let refused = run(folder.path(), writer, output);
            assert_eq!(refused.status.code(), Some(code), "{writer} {output}: {}", refused.stderr);
            assert!(refused.stderr.contains(message), "{writer} {output}: {}", refused.stderr);
        }
        assert_eq!(names(folder.path()), before, "{writer}");
        assert_eq!(fs::read_dir(at("folder")).unwrap().count(), 0, "{writer}");
    }
}

#[test]
fn devices_and_pipes_stay_what_they_are() {
    for writer in WRITERS {
        let folder = folder();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = thread::spawn(move || fs::read(pipe).unwrap());
        run(folder.path(), writer, "pipe").expect_code(0).unwrap();
        assert!(!reader.join().unwrap().is_empty(), "{writer}");
        symlink("/dev/null", folder.path().join("null")).unwrap();
        run(folder.path(), writer, "null --force").expect_code(0).unwrap();
        let full = run(folder.path(), writer, "/dev/full").expect_code(5).unwrap();
        assert!(full.stderr.contains("/dev/full: cannot be written: No space left"), "{writer}: {}", full.stderr);
        assert_eq!(
            (fs::read_link(folder.path().join("null")).unwrap(), names(folder.path())),
            (PathBuf::from("/dev/null"), vec!["null".into(), "pipe".into()]),
            "{writer}"
        );
    }
}

#[test]
fn standard_output_is_a_place_too() {
    for writer in WRITERS {
        let folder = folder();
        let mut results = Vec::new();
        for name in ["-", "/dev/stdout"] {
            let out = folder.path().join(format!("{}.out", results.len()));
            let process = Process::start_between(
                &mut command(folder.path(), writer, name),
                std::process::Stdio::null(),
                File::create(&out).unwrap(),
            );
            process.unwrap().finish(LIMIT).unwrap().expect_code(0).unwrap();
            results.push(fs::read(out).unwrap());
        }
        assert!(!results[0].is_empty() && results[0] == results[1], "{writer}");
    }
}

/// Whether the user that the test goes on as may run the binary at all.
fn as_nobody(folder: &Path, writer: &str, output: &str) -> Option<Finished> {
    let mut command = command(folder, writer, output);
    if geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    Process::run(&mut command, LIMIT).ok()
}

#[test]
fn what_may_not_be_written_is_not_replaced_by_force_either() {
    for writer in WRITERS {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("out"), "mine").unwrap();
        fs::set_permissions(at("out"), Permissions::from_mode(0o444)).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::set_permissions(at("folder"), Permissions::from_mode(0o555)).unwrap();
        for output in ["out --force", "folder/out"] {
            let Some(refused) = as_nobody(folder.path(), writer, output) else { return };
            assert_eq!(refused.status.code(), Some(5), "{writer} {output}: {}", refused.stderr);
            assert!(refused.stderr.contains("cannot be written: Permission denied"), "{writer}: {}", refused.stderr);
        }
        assert_eq!(
            (fs::read(at("out")).unwrap(), names(folder.path())),
            (b"mine".to_vec(), vec!["folder".into(), "out".into()])
        );
    }
}

#[test]
fn what_is_made_of_a_private_tape_is_private() {
    for writer in WRITERS.into_iter().filter(|writer| !writer.starts_with("synth")) {
        let folder = folder();
        for input in ["in.tape", "in.scap"] {
            fs::set_permissions(folder.path().join(input), Permissions::from_mode(0o600)).unwrap();
        }
        run(folder.path(), writer, "out").expect_code(0).unwrap();
        let mode = fs::metadata(folder.path().join("out")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{writer}");
    }
}
