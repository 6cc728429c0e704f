//! The least privileges: what docs/deploy.md, the manifests and the units give the recorder is enough, and none of it is too much.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Load, Process, Requirement, Result, Server, Signal, binary, served, spans, trial};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const LEAST: [&str; 4] = ["bpf", "perfmon", "sys_ptrace", "dac_read_search"];

pub(crate) fn trials() -> Vec<Trial> {
    const SETPRIV: &[Requirement] = &[Requirement::Bpf, Requirement::Program("setpriv")];
    vec![
        trial("privileges::four_capabilities_are_enough_for_a_port", SETPRIV, || {
            // As in a container: root in name, and bounded.
            recorded(0, &LEAST)?.check(true)?;
            // As with `setcap` or a unit's AmbientCapabilities.
            recorded(65533, &LEAST)?.check(true)
        }),
        trial("privileges::none_of_the_four_is_too_much", SETPRIV, || {
            LEAST.into_iter().try_for_each(|without| {
                let others: Vec<_> = LEAST.into_iter().filter(|name| *name != without).collect();
                recorded(0, &others)?.check(false).map_err(|error| format!("without {without}: {error}").into())
            })
        }),
        trial(
            "privileges::others_of_its_user_may_not_look_into_the_engine",
            &[Requirement::Program("setpriv")],
            closed,
        ),
    ]
}

/// In a pod that shares its processes the application may be the engine's user.
fn closed() -> Result<()> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    let program = folder.path().join("redtape");
    fs::copy(binary("redtape")?, &program)?;
    let mut engine = as_user(65533, &[], &program);
    engine.args(["live", "--spans", "json", "--from"]).arg(format!("unix:{}/tape.sock", folder.path().display()));
    let mut engine = Process::start(&mut engine)?;
    engine.wait_for("the engine", LIMIT, |_, stderr| stderr.contains("waiting").then_some(()))?;
    let read = |file: &str| {
        let mut other = as_user(65533, &[], Path::new("cat"));
        Process::run(other.arg(format!("/proc/{}/{file}", engine.id())), LIMIT)?.expect_code(1)
    };
    for file in ["environ", "maps", "root/etc/passwd"] {
        assert!(read(file)?.stderr.contains("Permission denied"));
    }
    engine.signal(Signal::INT)?;
    engine.finish(LIMIT)?.expect_code(0)?;
    Ok(())
}

/// What was seen of 50 requests to another user's service.
enum Seen {
    All,
    Nothing,
    Part(String),
}

impl Seen {
    fn check(self, all: bool) -> Result<()> {
        match (self, all) {
            (Self::All, true) | (Self::Nothing, false) => Ok(()),
            (Self::All, false) => Err("it is recorded all the same".into()),
            (Self::Nothing, true) => Err("nothing is recorded".into()),
            (Self::Part(counts), _) => Err(format!("only a part is recorded: {counts}").into()),
        }
    }
}

/// Records by its port a service of the user `nobody`, as `user` with these capabilities and no others.
fn recorded(user: u32, capabilities: &[&str]) -> Result<Seen> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    for name in ["redtape-capture", "greetings"] {
        fs::copy(binary(name)?, folder.path().join(name))?;
    }
    let mut service = as_user(65534, &[], &folder.path().join("greetings"));
    let service = Server::start(service.args(["message", "--listen", "127.0.0.1:0"]), "listening on")?;
    let tape = folder.path().join("test.tape");
    let mut recorder = as_user(user, capabilities, &folder.path().join("redtape-capture"));
    recorder.args(["record", "--tls", "off", "--port", &service.port().to_string(), "-o"]).arg(&tape);
    let mut recorder = Process::start(&mut recorder)?;
    if recorder.wait_for("the recorder", LIMIT, |_, stderr| stderr.contains("recording").then_some(())).is_err() {
        recorder.finish(LIMIT)?.expect_code(5)?;
        return Ok(Seen::Nothing);
    }
    let truth = Load::new(service.url(), 50, &["/message"]).send()?;
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    let counts = served(&spans(&tape, &[])?);
    Ok(match counts.is_empty() {
        true => Seen::Nothing,
        false if counts == truth.counts() => Seen::All,
        false => Seen::Part(format!("{counts:?}")),
    })
}

fn as_user(user: u32, capabilities: &[&str], program: &Path) -> Command {
    let set: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]).args(["--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps", "--ambient-caps", "--bounding-set"].map(|option| format!("{option}=-all{set}")));
    command.arg(program);
    command
}
