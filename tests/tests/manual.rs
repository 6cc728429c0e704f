//! `completions` and `man` of both programs: shells take what is written, and every command has its page.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redtape_tests::{Process, binary};
use tempfile::TempDir;

const PROGRAMS: [&str; 2] = ["redtape", "redtape-capture"];

fn run(program: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    Process::run(command.args(arguments), Duration::from_secs(60)).unwrap().expect_code(0).unwrap().stdout
}

/// The commands that `--help` lists.
fn commands(program: &Path) -> Vec<String> {
    let help = run(program, &["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn bash_completes_the_commands() {
    for name in PROGRAMS {
        let program = binary(name).unwrap();
        let folder = TempDir::new().unwrap();
        let script = folder.path().join("completions");
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            fs::write(&script, run(&program, &["completions", shell])).unwrap();
            assert!(fs::read_to_string(&script).unwrap().contains("completions"), "{name}: {shell}");
        }
        fs::write(&script, run(&program, &["completions", "bash"])).unwrap();
        let function = format!("_{}", name.replace('-', "__"));
        let asks =
            format!("source {}; COMP_WORDS=({name} ''); COMP_CWORD=1; {function} {name} '' {name}", script.display());
        let offered = run(Path::new("bash"), &["-c", &format!("{asks}; printf '%s\\n' \"${{COMPREPLY[@]}}\"")]);
        for command in commands(&program) {
            assert!(offered.lines().any(|line| line == command), "{name} {command}: {offered}");
        }
    }
}

#[test]
fn every_command_has_a_page() {
    for name in PROGRAMS {
        let program = binary(name).unwrap();
        let folder = TempDir::new().unwrap();
        let pages = folder.path().join("new/man1");
        run(&program, &["man", "-o", pages.to_str().unwrap()]);
        for command in commands(&program) {
            let page = fs::read_to_string(pages.join(format!("{name}-{command}.1"))).unwrap();
            assert!(page.contains(".TH ") && page.contains(".SH OPTIONS"), "{name} {command}: {page}");
        }
        assert!(fs::read_to_string(pages.join(format!("{name}.1"))).unwrap().contains("Exit "), "{name}");
    }
}
