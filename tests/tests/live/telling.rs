//! What live says of itself: at the start, when it is asked, and when something is in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use redtape_tests::{
    DeadPort, Live, Load, Process, Requirement, Result, Signal, binary, free_port, get, message, served, trial,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    const BPF: &[Requirement] = &[Requirement::Bpf];
    vec![
        trial("telling::who_waits_for_a_recorder_says_so_and_is_ready", &[], waiting),
        trial("telling::that_nothing_is_exported_is_a_warning", &[], nothing),
        trial("telling::a_file_is_no_folder_to_keep_tapes_in", &[], file_to_keep_in),
        trial("telling::a_tape_that_is_not_there_yet_is_waited_for_aloud", &[], not_there_yet),
        trial("telling::how_many_processes_are_recorded_is_told", BPF, processes),
        trial("telling::a_dead_receiver_does_not_hold_up_the_end_and_is_named", BPF, dead_receiver),
        trial("telling::a_tape_of_root_alone_is_followed", BPF, tape_of_root),
        trial("telling::a_configuration_that_cannot_be_read_any_more_names_the_user", BPF, unreadable),
    ]
}

/// A folder that everybody may enter, since the engine is nobody, with a configuration.
fn folder(config: &str) -> Result<(TempDir, PathBuf)> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    let file = folder.path().join("config.yml");
    fs::write(&file, config)?;
    Ok((folder, file))
}

fn live() -> Result<Command> {
    let mut command = Command::new(binary("redtape")?);
    command.arg("live");
    Ok(command)
}

fn wait_for(process: &mut Process, what: &str) -> Result<()> {
    process.wait_for(what, LIMIT, |_, stderr| stderr.contains(what).then_some(()))
}

fn waiting() -> Result<()> {
    let port = free_port()?;
    let (folder, file) = folder(&format!("prometheus_export: {{port: {port}}}\n"))?;
    let socket = format!("unix:{}", folder.path().join("tape.sock").display());
    let mut live = Process::start(live()?.arg("--config").arg(&file).args(["--from", &socket]))?;
    wait_for(&mut live, &format!("metrics to be scraped at :{port}/metrics\n"))?;
    wait_for(&mut live, &format!("waiting for a recorder at {socket}"))?;
    let health = get(port, "/healthz", &[])?;
    assert_eq!(health.status, 200, "{}", health.body);
    assert!(health.body.contains(&format!("no recorder has connected to {socket} yet")), "{}", health.body);
    assert_eq!(get(port, "/livez", &[])?.body, "ok\n");
    // Who only looks whether somebody listens is no recorder.
    drop(UnixStream::connect(folder.path().join("tape.sock"))?);
    live.signal(Signal::INT)?;
    let finished = live.finish(LIMIT)?.expect_code(0)?;
    assert!(!finished.stderr.contains("warning"), "{}", finished.stderr);
    Ok(())
}

fn nothing() -> Result<()> {
    let finished = Process::run(live()?.args(["--from", "-"]), LIMIT)?.expect_code(3)?;
    assert!(finished.stderr.contains("warning: nothing is exported: "), "{}", finished.stderr);
    assert!(finished.stderr.contains("waiting for a tape on standard input"), "{}", finished.stderr);
    let finished = Process::run(live()?.args(["--from", "-", "--spans", "json"]), LIMIT)?.expect_code(3)?;
    assert!(!finished.stderr.contains("nothing is exported"), "{}", finished.stderr);
    assert!(finished.stderr.contains("live: spans to standard output"), "{}", finished.stderr);
    Ok(())
}

fn file_to_keep_in() -> Result<()> {
    let (_folder, file) = folder("")?;
    let finished = Process::run(live()?.args(["--from", "-", "--keep"]).arg(&file), LIMIT)?.expect_code(2)?;
    assert!(finished.stderr.contains("is a file; give a folder"), "{}", finished.stderr);
    Ok(())
}

fn not_there_yet() -> Result<()> {
    let (folder, _) = folder("")?;
    let tape = folder.path().join("run.tape");
    let mut live = Process::start(live()?.arg("--follow").arg(&tape))?;
    wait_for(&mut live, &format!("waiting for {}, which is not there yet", tape.display()))?;
    live.signal(Signal::INT)?;
    live.finish(LIMIT)?.expect_code(0)?;
    Ok(())
}

fn processes() -> Result<()> {
    let server = message()?;
    let live = Live::start(["--port", &server.port().to_string()])?.stop()?.expect_code(0)?;
    assert!(live.stderr.contains("live: recording 1 process so far"), "{}", live.stderr);
    Ok(())
}

fn dead_receiver() -> Result<()> {
    let (server, dead) = (message()?, DeadPort::new()?);
    let (_folder, file) = folder(&format!(
        "open_port: {}\nshutdown_timeout: 1h\notel_traces_export: {{endpoint: 'http://127.0.0.1:{}'}}\n",
        server.port(),
        dead.number()?
    ))?;
    let mut live = Live::start(["--config".as_ref(), file.as_os_str()])?;
    Load::new(server.url(), 50, &["/message"]).send()?;
    live.wait_for_served(50)?;
    let finished = live.stop()?.expect_code(5)?;
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("spans to http://127.0.0.1:") && last.contains("did not arrive"), "{}", finished.stderr);
    assert!(last.contains("Connection refused"), "{}", finished.stderr);
    Ok(())
}

fn tape_of_root() -> Result<()> {
    let server = message()?;
    let (folder, _) = folder("")?;
    let tape = folder.path().join("run.tape");
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--port", &server.port().to_string(), "-o"]).arg(&tape);
    let mut recorder = Process::start(&mut command)?;
    wait_for(&mut recorder, "recording")?;
    let mut live = Live::start_command(live()?.args(["--spans", "json", "--follow"]).arg(&tape))?.ready()?;
    let truth = Load::new(server.url(), 50, &["/message"]).send()?;
    live.wait_for_served(50)?;
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    assert_eq!(served(&live.wait()?.expect_code(0)?.spans()?), truth.counts());
    Ok(())
}

fn unreadable() -> Result<()> {
    let server = message()?;
    let (_folder, file) = folder(&format!("open_port: {}\n", server.port()))?;
    let mut live = Live::start(["--config".as_ref(), file.as_os_str()])?;
    fs::write(&file, format!("open_port: {}\nroutes: {{unmatched: path}}\n", server.port()))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    wait_for(live.process(), "live runs as user nobody (65534)")?;
    wait_for(live.process(), "the recorder goes by the changed configuration")?;
    let finished = live.stop()?.expect_code(0)?;
    assert!(finished.stderr.contains("the engine goes by the configuration before"), "{}", finished.stderr);
    Ok(())
}
