//! The action for CI (`ci/action`): its YAML, and what its script makes of a change, in a repository as a user has it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redtape_tests::binary;
use serde_json::Value;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn yaml(name: &str) -> (String, Value) {
    let text = fs::read_to_string(root().join("ci/action").join(name)).unwrap();
    let value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    (text, value)
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The variables that the script knows, by its head.
fn known() -> BTreeSet<String> {
    let script = fs::read_to_string(root().join("ci/action/check")).unwrap();
    let head = script.lines().filter_map(|line| line.strip_prefix("#   ")?.split_whitespace().next());
    head.filter(|word| word.chars().all(|one| one.is_ascii_uppercase() || one == '_')).map(str::to_owned).collect()
}

/// GitHub's metadata syntax for composite actions.
#[test]
fn the_action_is_one() {
    let (text, action) = yaml("action.yml");
    assert_eq!(keys(&action), BTreeSet::from(["name", "description", "inputs", "runs"]));
    assert_eq!(action["runs"]["using"], "composite");
    let inputs = keys(&action["inputs"]);
    for (name, input) in action["inputs"].as_object().unwrap() {
        assert!(keys(input).is_subset(&BTreeSet::from(["description", "required", "default"])), "{name}");
        assert!(input["description"].is_string() && input["default"].is_string(), "{name}");
    }
    let used: BTreeSet<&str> =
        text.split("inputs.").skip(1).map(|rest| rest.split([' ', '}']).next().unwrap()).collect();
    assert_eq!(used, inputs, "inputs that are used, and those that there are");
    for step in action["runs"]["steps"].as_array().unwrap() {
        let allowed = BTreeSet::from(["name", "id", "if", "shell", "env", "run"]);
        assert!(keys(step).is_subset(&allowed) && step["shell"] == "bash", "{step}");
        // What a user or a pull request says goes by variables, never into the script itself.
        assert!(!step["run"].as_str().unwrap().contains("${{"), "{step}");
    }
    let given = keys(&action["runs"]["steps"][1]["env"]).into_iter().filter(|name| *name != "ACTION_PATH");
    assert_eq!(given.map(str::to_owned).collect::<BTreeSet<_>>(), known());
}

#[test]
fn the_job_for_gitlab_is_one() {
    let (_, file) = yaml("gitlab-ci.yml");
    let job = &file["redtape"];
    let allowed = ["stage", "rules", "variables", "script", "after_script", "artifacts"];
    assert_eq!(keys(job), BTreeSet::from(allowed));
    let variables = keys(&job["variables"]).into_iter().filter(|name| *name != "GIT_DEPTH").map(str::to_owned);
    assert!(variables.collect::<BTreeSet<_>>().is_subset(&known()));
    assert!(job["script"].as_array().unwrap().iter().all(Value::is_string));
}

#[test]
fn scripts_in_yaml_are_shell() {
    let (_, action) = yaml("action.yml");
    let (_, gitlab) = yaml("gitlab-ci.yml");
    let steps = action["runs"]["steps"].as_array().unwrap().iter().map(|step| &step["run"]);
    for script in steps.chain(gitlab["redtape"]["after_script"].as_array().unwrap()) {
        let status = Command::new("bash").args(["-n", "-c", script.as_str().unwrap()]).status().unwrap();
        assert!(status.success(), "{script}");
    }
}

/// A repository with a tape, whose last commit changes the configuration.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(TempDir::new().unwrap());
        fs::copy(root().join("fixtures/greetings-demo/greetings.tape"), repository.0.path().join("a.tape")).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit("routes: {unmatched: heuristic}\n");
        repository
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
        let mut git = Command::new("git");
        assert!(git.args(identity).args(arguments).current_dir(self.0.path()).status().unwrap().success());
    }

    fn commit(&self, config: &str) {
        fs::write(self.0.path().join("beyla.yml"), config).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=change", "--allow-empty"]);
    }

    /// Runs the script, and gives the comment, too.
    fn check(&self, variables: &[(&str, &str)]) -> (Output, String) {
        let mut script = Command::new(root().join("ci/action/check"));
        script.current_dir(self.0.path()).env("REDTAPE", binary("redtape").unwrap()).env("OUTPUT", "comment.md");
        let output = script.envs(variables.iter().copied()).output().unwrap();
        (output, fs::read_to_string(self.0.path().join("comment.md")).unwrap_or_default())
    }
}

#[test]
fn a_change_of_routes_is_commented_on() {
    let repository = Repository::new();
    repository.commit("routes: {unmatched: wildcard}\n");
    let variables = [("TAPES", "*.tape"), ("CONFIG", "beyla.yml"), ("BASE", "HEAD~1")];
    let (output, comment) = repository.check(&variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(comment.starts_with("<!-- redtape check -->\n### redtape diff: "), "{comment}");
    assert!(comment.contains("`a.tape with beyla.yml of HEAD~1` → `a.tape with beyla.yml`"), "{comment}");
    assert!(comment.contains("`merged` | `/greeting, /missing` | `/**`"), "{comment}");
    let (output, _) = repository.check(&[&variables[..], &[("FAIL_ON_DIFFERENCE", "true")]].concat());
    assert_eq!(output.status.code(), Some(1));
    repository.commit("routes: {unmatched: wildcard}\n");
    let (output, comment) = repository.check(&[&variables[..], &[("FAIL_ON_DIFFERENCE", "true")]].concat());
    assert!(output.status.success() && comment.contains("no difference"), "{comment}");
}

#[test]
fn a_tape_that_changed_is_compared_with_itself() {
    let repository = Repository::new();
    fs::copy(root().join("fixtures/protocols/h2.tape"), repository.0.path().join("a.tape")).unwrap();
    repository.commit("routes: {unmatched: heuristic}\n");
    let (output, comment) = repository.check(&[("TAPES", "a.tape"), ("BASE", "HEAD~1")]);
    assert!(output.status.success() && comment.contains("rates, errors and durations"), "{comment}");
    assert!(comment.contains("`a.tape of HEAD~1` → `a.tape`"), "{comment}");
}

#[test]
fn a_failing_spec_fails() {
    let repository = Repository::new();
    let spec = |spans: u32| {
        let text = format!("version: 1\ntape: a.tape\nexpect: {{spans: {{count: {spans}}}}}\n");
        fs::write(repository.0.path().join("a.test.yaml"), text).unwrap();
    };
    spec(2520);
    let (output, comment) = repository.check(&[("TESTS", "."), ("JUNIT", "junit.xml")]);
    assert!(output.status.success() && comment.contains("### redtape test: passed"), "{comment}");
    assert!(repository.0.path().join("junit.xml").exists());
    spec(1);
    let (output, comment) = repository.check(&[("TESTS", ".")]);
    assert!(output.status.code() == Some(1) && comment.contains("### redtape test: failed"), "{comment}");
}

#[test]
fn what_the_script_cannot_do_it_says() {
    let repository = Repository::new();
    let config = ("CONFIG", "beyla.yml");
    for (variables, told) in [
        (vec![("TAPES", "none*.tape"), ("BASE", "HEAD")], "no tape is called none*.tape"),
        // Were it not there, the tape would silently be compared with itself.
        (vec![("TAPES", "a.tape"), config, ("BASE", "origin/main")], "there is no commit origin/main here"),
        (vec![config], "nothing to do"),
    ] {
        let (output, comment) = repository.check(&variables);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(told), "{error}");
        assert!(!comment.contains("no difference"), "{comment}");
    }
}
