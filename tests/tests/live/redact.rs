//! `--redact`: secrets never reach the disk, and who parses has no privileges.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{Process, Recorder, Requirement, Result, Server, Signal, binary, get, served, spans, trial};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const SECRET: &str = "s3cr3t-value-of-the-test";

pub(crate) fn trials() -> Vec<Trial> {
    const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Program("python3")];
    const POWERLESS: &[Requirement] = &[Requirement::Bpf, Requirement::Program("setpriv")];
    vec![
        trial("redact::no_byte_of_a_secret_reaches_the_disk", PYTHON, secrets),
        trial("redact::files_of_a_rotation_are_redacted", PYTHON, rotated),
        trial("redact::who_parses_has_no_privileges", PYTHON, confined),
        trial("redact::a_recording_ends_with_its_redactor", PYTHON, broken),
        trial("redact::the_end_of_a_command_is_the_end", &[Requirement::Bpf], command),
        trial("redact::who_cannot_be_confined_records_nothing", POWERLESS, powerless),
    ]
}

fn ask(server: &Server) -> Result<()> {
    let lines = [format!("Authorization: Bearer {SECRET}"), format!("Cookie: a=1; sid={SECRET}")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    get(server.port(), &format!("/?user=me&password={SECRET}"), &lines)?;
    get(server.port(), "/", &[])?;
    Ok(())
}

/// Whether any byte of the tapes, decompressed, is of the secret.
fn is_clean(tape: &Path) -> Result<()> {
    let bytes = fs::read(tape)?;
    if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
        return Err(format!("{}: the secret is in its bytes", tape.display()).into());
    }
    let events = Process::run(Command::new(binary("redtape")?).args(["events", "--payload"]).arg(tape), LIMIT)?;
    let events = events.expect_code(0)?.stdout;
    if events.contains(SECRET) {
        return Err(format!("{}: the secret is in its events", tape.display()).into());
    }
    Process::run(Command::new(binary("redtape")?).args(["redact", "--check"]).arg(tape), LIMIT)?.expect_code(0)?;
    Ok(())
}

fn secrets() -> Result<()> {
    let server = Server::python()?;
    let recorder = Recorder::start(["--port", &server.port().to_string(), "--redact", "default"])?;
    ask(&server)?;
    let recording = recorder.stop()?;
    is_clean(&recording.tape())?;
    let spans = recording.spans()?;
    let requests: u64 = served(&spans).values().sum();
    if requests != 2
        || !spans.iter().any(|span| span.attribute("url.query") == "user=**&password=************************")
    {
        return Err(format!("{requests} requests: {spans:?}").into());
    }
    Ok(())
}

fn rotated() -> Result<()> {
    let (server, folder) = (Server::python()?, TempDir::new()?);
    let path = folder.path().join("a.tape");
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--redact", "default", "--rotate-age", "1s", "--duration", "3s", "--port"]);
    let mut recorder = Process::start(command.arg(server.port().to_string()).arg("-o").arg(&path))?;
    recorder.wait_for("the probes", LIMIT, |_, stderr| stderr.contains("recording to").then_some(()))?;
    ask(&server)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    let mut tapes = Vec::new();
    for entry in fs::read_dir(folder.path())? {
        tapes.push(entry?.path());
    }
    if tapes.len() < 2 || tapes.iter().any(|tape| tape.extension().is_none_or(|extension| extension != "tape")) {
        return Err(format!("these are the files: {tapes:?}").into());
    }
    tapes.iter().try_for_each(|tape| is_clean(tape))?;
    let all: usize = tapes.iter().map(|tape| Ok(spans(tape, &[])?.len())).sum::<Result<usize>>()?;
    if all == 0 { Err("no spans".into()) } else { Ok(()) }
}

/// The process that redacts, of which there is one.
fn redactor() -> Result<u32> {
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.ends_with(b"redtape-capture\0redact\0") {
            return Ok(pid);
        }
    }
    Err("there is no process that redacts".into())
}

fn confined() -> Result<()> {
    let server = Server::python()?;
    let recorder = Recorder::start(["--port", &server.port().to_string(), "--redact", "default"])?;
    ask(&server)?;
    let status = fs::read_to_string(format!("/proc/{}/status", redactor()?))?;
    drop(recorder.stop()?);
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    let root = field("Uid:").split_whitespace().any(|uid| uid == "0");
    let none = ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"].iter().all(|name| field(name).trim_matches('0').is_empty());
    // 2: by a filter.
    if root || !none || field("NoNewPrivs:") != "1" || field("Seccomp:") != "2" {
        return Err(format!("it has privileges: {status}").into());
    }
    Ok(())
}

fn broken() -> Result<()> {
    let server = Server::python()?;
    let mut recorder = Recorder::start(["--port", &server.port().to_string(), "--redact", "default"])?;
    ask(&server)?;
    let part = recorder.part();
    let pid = i32::try_from(redactor()?).ok().and_then(rustix::process::Pid::from_raw).ok_or("no process id")?;
    rustix::process::kill_process(pid, Signal::KILL)?;
    let told = |_: &str, stderr: &str| stderr.contains("the process that redacts has ended").then_some(());
    for _ in 0..5 {
        // The recorder learns of it by its next write.
        ask(&server)?;
    }
    recorder.process().wait_for("the end", LIMIT, told)?;
    let bytes = fs::read(part)?;
    if bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
        return Err("the secret was written".into());
    }
    recorder.wait()?.recorder.expect_code(5)?;
    Ok(())
}

/// The redactor is none of the children that the recorder waits for.
fn command() -> Result<()> {
    let exchange = binary("exchange")?;
    let recording = Recorder::start(["--redact".as_ref(), "default".as_ref(), "--".as_ref(), exchange.as_os_str()])?;
    let recording = recording.wait()?;
    if recording.spans()?.is_empty() { Err("nothing was recorded".into()) } else { Ok(()) }
}

/// Root that may not become another user.
fn powerless() -> Result<()> {
    let folder = TempDir::new()?;
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps", "--bounding-set"].map(|option| format!("{option}=-setuid,-setgid")));
    command.arg(binary("redtape-capture")?).args(["record", "--port", "1", "--duration", "2s", "--redact", "default"]);
    let ended = Process::run(command.arg("-o").arg(folder.path().join("a.tape")), LIMIT)?.expect_code(5)?;
    if !ended.stderr.contains("--redact needs CAP_SETUID and CAP_SETGID") || fs::read_dir(folder.path())?.count() > 0 {
        return Err(format!("it says: {}", ended.stderr).into());
    }
    Ok(())
}
