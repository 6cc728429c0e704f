//! A page of the guide as a script.
//!
//! A block fenced as `console` has commands behind `$ `, continued behind `> `, and below each what it prints: `…` stands
//! for any text of a line, a line `…` for any lines; nothing below it means that it does not matter. A command whose next one is
//! `echo $?` may fail. A block whose fence names a file, as in `yaml shop.yml`, is that file.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redtape_tests::{Process, Result, binary};
use tempfile::TempDir;

/// How long a page may take.
const LIMIT: Duration = Duration::from_secs(240);
/// Begins the line that tells one command's output from the next one's.
const MARK: char = '\u{1e}';

/// What a reader is told to do, in order.
pub(crate) struct Page {
    steps: Vec<Step>,
}

enum Step {
    File { name: String, content: String },
    Run { line: usize, command: String, printed: Vec<String> },
}

impl Page {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut steps = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let block: Vec<_> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            match info.split_once(' ') {
                Some((_, name)) => {
                    let content = block.iter().map(|(_, line)| format!("{line}\n")).collect();
                    steps.push(Step::File { name: name.to_owned(), content });
                }
                None if info == "console" => commands(&block, &mut steps)?,
                None if info == "text" => {}
                None => return Err(format!("line {}: a block of `{info}` that no test runs", number + 1).into()),
            }
        }
        Ok(Self { steps })
    }

    pub(crate) fn has_commands(&self) -> bool {
        self.commands().next().is_some()
    }

    /// Whether it takes a kernel and privileges.
    pub(crate) fn records(&self) -> bool {
        self.commands().any(|(_, command, _)| command.contains("sudo "))
    }

    fn commands(&self) -> impl Iterator<Item = (usize, &str, &[String])> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run { line, command, printed } => Some((*line, command.as_str(), printed.as_slice())),
            Step::File { .. } => None,
        })
    }

    /// Runs all of it in an empty folder beside a copy of the repository's fixtures, as `fixtures`.
    pub(crate) fn run(&self, path: &Path) -> Result<()> {
        let folder = TempDir::new()?;
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        symlink(fs::canonicalize(fixtures)?, folder.path().join("fixtures"))?;
        let script = folder.path().join(".script");
        fs::write(&script, self.script()?)?;
        // Who tests it is root already.
        let sudo = folder.path().join(".bin/sudo");
        fs::create_dir(folder.path().join(".bin"))?;
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n")?;
        fs::set_permissions(&sudo, Permissions::from_mode(0o755))?;
        // What takes too long is ended with all that it has started.
        let mut bash = Command::new("timeout");
        bash.args(["--kill-after=10", "180", "bash"]);
        // A reader works by hand, not in CI.
        bash.arg(&script).current_dir(folder.path()).env("LC_ALL", "C.UTF-8").env_remove("CI");
        let mut programs = vec![sudo, binary("redtape")?];
        if self.records() {
            programs.push(binary("redtape-capture")?);
        }
        bash.env("PATH", path_with(&programs)?);
        let finished = Process::run(&mut bash, LIMIT)?;
        let mut outputs = finished.stdout.split(MARK);
        let mut before = outputs.next().unwrap_or_default();
        let mut commands = self.commands().peekable();
        while let Some((line, command, printed)) = commands.next() {
            let output = before;
            let (status, rest) = outputs
                .next()
                .and_then(|next| next.split_once('\n'))
                .ok_or_else(|| format!("{}:{line}: `{command}` did not end:\n{output}", path.display()))?;
            before = rest;
            let may_fail = commands.peek().is_some_and(|(_, next, _)| next.starts_with("echo $?"));
            if status != "0" && !may_fail {
                return Err(format!("{}:{line}: `{command}` ended with {status}:\n{output}", path.display()).into());
            }
            if !printed.is_empty() && !fits(printed, &output.trim_end().lines().collect::<Vec<_>>()) {
                let printed = printed.join("\n");
                let place = path.display();
                return Err(format!("{place}:{line}: `{command}` printed\n{output}\nand not\n{printed}").into());
            }
        }
        Ok(())
    }

    fn script(&self) -> Result<String> {
        let mut script = String::from("exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n");
        for step in &self.steps {
            match step {
                Step::File { name, content } => writeln!(script, "cat >{name} <<'END OF FILE'\n{content}END OF FILE")?,
                Step::Run { command, .. } => {
                    writeln!(script, "{command}\nstatus=$?; printf '{MARK}%d\\n' $status; (exit $status)")?;
                }
            }
        }
        Ok(script)
    }
}

/// The commands of a block, with what each prints.
fn commands(block: &[(usize, &str)], steps: &mut Vec<Step>) -> Result<()> {
    let from = steps.len();
    for (number, line) in block {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step::Run { line: number + 1, command: command.to_owned(), printed: Vec::new() });
            continue;
        }
        match steps.get_mut(from..).and_then(<[_]>::last_mut) {
            Some(Step::Run { command, printed, .. }) if printed.is_empty() && line.starts_with("> ") => {
                command.push('\n');
                command.push_str(line.get(2..).unwrap_or_default());
            }
            Some(Step::Run { printed, .. }) => printed.push((*line).to_owned()),
            _ => return Err(format!("line {}: output of no command", number + 1).into()),
        }
    }
    Ok(())
}

/// Whether lines are as the page has them.
fn fits(expected: &[String], found: &[&str]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return found.is_empty() };
    if first == "…" {
        return (0..=found.len()).any(|skipped| fits(rest, found.get(skipped..).unwrap_or_default()));
    }
    found.split_first().is_some_and(|(line, after)| line_fits(first, line) && fits(rest, after))
}

fn line_fits(expected: &str, line: &str) -> bool {
    // Columns are as wide as what is in them.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (words(expected), words(line));
    let mut parts = expected.split('…').map(str::trim);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The search path with the folders of these programs in front.
fn path_with(programs: &[std::path::PathBuf]) -> Result<std::ffi::OsString> {
    let folders = programs.iter().filter_map(|program| program.parent()).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(folders.chain(std::env::split_paths(&path)))?)
}
