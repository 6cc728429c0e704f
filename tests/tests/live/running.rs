//! `redtape live`: what it prints is what the client saw and what a replay says; how it ends; what it may do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use redtape_tests::{
    Greetings, Live, Load, Process, Requirement, Result, Server, Signal, Span, binary, load, message, served, trial,
};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    const BPF: &[Requirement] = &[Requirement::Bpf];
    vec![
        trial("running::spans_are_the_requests_and_the_kept_tapes_replay_to_the_same", BPF, kept_spans),
        trial("running::the_kept_tape_has_the_same_metrics", BPF, kept_metrics),
        trial("running::the_engine_has_no_privilege", BPF, privileges),
        trial("running::a_span_is_out_soon_on_a_quiet_host", BPF, soon),
        trial("running::discovery_is_taken_up_anew", BPF, discovery),
        trial("running::a_broken_configuration_changes_nothing", BPF, broken),
        trial("running::a_second_signal_aborts", BPF, aborted),
        trial("running::the_death_of_the_recorder_ends_the_engine", BPF, recorder_dies),
        trial("running::the_death_of_the_engine_ends_the_recorder", BPF, engine_dies),
        trial("running::an_engine_that_stands_still_costs_records_and_no_memory", BPF, stalled),
        trial("running::a_growing_tape_is_followed_from_file_to_file", BPF, followed),
        trial("running::recorder_and_engine_come_and_go_at_a_socket", BPF, socket),
        trial("running::a_recorder_that_cannot_begin_is_told", BPF, cannot_begin),
    ]
}

/// A folder that everybody may enter and write to, since the engine is nobody.
fn folder() -> Result<TempDir> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn config(folder: &TempDir, ports: &str, routes: &str) -> Result<PathBuf> {
    let path = folder.path().join("config.yml");
    // As a ConfigMap does it: the name is given to another file at once.
    let new = folder.path().join("config.new");
    fs::write(&new, format!("open_port: {ports}\nroutes: {{unmatched: {routes}}}\n"))?;
    fs::rename(new, &path)?;
    Ok(path)
}

/// The tapes in a folder.
fn tapes(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut tapes = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    tapes.sort();
    Ok(tapes)
}

fn replayed(tapes: &[PathBuf], arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(binary("redtape")?);
    command.arg("replay").args(tapes).args(arguments);
    Ok(Process::run(&mut command, LIMIT)?.expect_code(0)?.stdout)
}

fn taken_up(live: &mut Live, times: usize) -> Result<()> {
    let said = |_: &str, stderr: &str| {
        let both = ["the engine has taken up", "the recorder goes by the changed configuration"];
        both.iter().all(|by| stderr.matches(by).count() >= times).then_some(())
    };
    live.process().wait_for("the configuration to be taken up anew", LIMIT, said)
}

fn kept_spans() -> Result<()> {
    let services = Greetings::start(&["--max-delay-us", "2000"])?;
    let folder = folder()?;
    let kept = folder.path().join("kept");
    let file = config(&folder, &services.ports(), "heuristic")?;
    let arguments = ["--config".as_ref(), file.as_os_str(), "--keep".as_ref(), kept.as_os_str()];
    let mut live = Live::start(arguments.into_iter().chain(["--keep-age", "1s"].map(AsRef::as_ref)))?;
    let load = Load::new(services.frontend(), 150, &["/greeting=9", "/missing=1"]);
    let mut sent = load.send()?.counts();
    config(&folder, &services.ports(), "wildcard")?;
    taken_up(&mut live, 1)?;
    for (key, count) in load.send()?.counts() {
        *sent.entry(key).or_default() += count;
    }
    let finished = live.stop()?.expect_code(0)?;
    let spans = finished.spans()?;
    let frontend: Vec<Span> = spans.iter().filter(|span| span.service == "frontend").cloned().collect();
    assert_eq!(served(&frontend), sent);
    let routes = |route: &str| spans.iter().filter(|span| span.attribute("http.route") == route).count();
    assert!(routes("/**") > 100 && routes("/greeting") > 100, "routes change with the configuration");

    let tapes = tapes(&kept)?;
    assert!(
        tapes.len() >= 2 && tapes.iter().all(|tape| tape.extension().is_some_and(|end| end == "tape")),
        "{tapes:?}"
    );
    assert!(replayed(&tapes, &["--spans", "json"])? == finished.stdout, "live and replay differ");
    let last = &tapes[tapes.len() - 1..];
    let mut command = Command::new(binary("redtape")?);
    let events = Process::run(command.arg("events").args(last), LIMIT)?.expect_code(0)?.stdout;
    assert!(events.contains(" enrich config=\""), "each file says what holds");
    let by_threads = |jobs| replayed(last, &["--spans", "json", "--jobs", jobs]);
    assert!(by_threads("1")? == by_threads("3")?, "a configuration within the tape is for all threads alike");
    Ok(())
}

fn kept_metrics() -> Result<()> {
    let server = message()?;
    let folder = folder()?;
    let kept = folder.path().join("kept");
    let port = server.port().to_string();
    let mut command = Command::new(binary("redtape")?);
    command.arg("live").arg("--recorder").arg(binary("redtape-capture")?);
    command.args(["--metrics", "openmetrics", "--port", &port, "--keep"]).arg(&kept);
    command.env("BEYLA_SERVICE_NAME", "renamed").env("BEYLA_OPEN_PORT", &port);
    let mut live = Live::start_command(&mut command)?.ready()?;
    let truth = load(&server, 100).send()?;
    thread::sleep(Duration::from_millis(500));
    live.process().signal(Signal::TERM)?;
    let metrics = live.wait()?.expect_code(0)?.stdout;
    let count =
        |line: &&str| line.starts_with("http_server_request_duration_seconds_count") && line.contains("renamed");
    let count = metrics.lines().find(count).and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
    assert_eq!(count, truth.answered.to_string(), "{metrics}");
    assert_eq!(replayed(&tapes(&kept)?, &["--metrics", "openmetrics"])?, metrics);
    Ok(())
}

fn privileges() -> Result<()> {
    let server = message()?;
    let mut live = Live::start(["--port", &server.port().to_string()])?;
    let engine = live.process().id();
    let tasks = fs::read_dir(format!("/proc/{engine}/task"))?.collect::<std::io::Result<Vec<_>>>()?;
    assert!(tasks.len() > 1, "the thread that reads the tape is one, too");
    for task in tasks {
        let status = fs::read_to_string(task.path().join("status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for (name, expected) in [("Uid", "65534 65534 65534 65534"), ("NoNewPrivs", "1"), ("Groups", "")] {
            assert_eq!(field(name), expected, "{name}");
        }
        for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&field(name), 16)?, 0, "{name}");
        }
    }
    let recorder = live.recorder()?.as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{recorder}/status"))?;
    assert!(status.lines().any(|line| line.starts_with("Uid:\t0\t0")), "{status}");
    live.stop()?.expect_code(0)?;
    Ok(())
}

fn soon() -> Result<()> {
    let server = message()?;
    let mut live = Live::start(["--port", &server.port().to_string()])?;
    load(&server, 1).send()?;
    let sent = Instant::now();
    live.wait_for_served(1)?;
    // The horizon is 1 s; one more is promised, and another is for a machine that is busy.
    assert!(sent.elapsed() < Duration::from_secs(3), "{:?}", sent.elapsed());
    live.stop()?.expect_code(0)?;
    Ok(())
}

fn discovery() -> Result<()> {
    let (first, second) = (message()?, message()?);
    let folder = folder()?;
    let file = config(&folder, &first.port().to_string(), "path")?;
    let mut live = Live::start(["--config".as_ref(), file.as_os_str()])?;
    load(&first, 40).send()?;
    load(&second, 20).send()?;
    live.wait_for_served(40)?;
    config(&folder, &second.port().to_string(), "path")?;
    live.signal_recorder(Signal::HUP)?;
    taken_up(&mut live, 1)?;
    thread::sleep(Duration::from_millis(500));
    load(&first, 10).send()?;
    load(&second, 30).send()?;
    live.wait_for_served(70)?;
    let spans = live.stop()?.expect_code(0)?.spans()?;
    let count = |server: &Server| {
        let at = |span: &&Span| span.attribute("server.port") == server.port().to_string();
        spans.iter().filter(at).filter(|span| !span.incomplete).count()
    };
    assert_eq!((count(&first), count(&second)), (40, 30));
    Ok(())
}

fn broken() -> Result<()> {
    let server = message()?;
    let folder = folder()?;
    let file = config(&folder, &server.port().to_string(), "path")?;
    let mut live = Live::start(["--config".as_ref(), file.as_os_str()])?;
    fs::write(&file, "routes: {unmatched: nonsense}\n")?;
    for program in ["redtape: warning", "redtape-capture: warning"] {
        let said = |_: &str, stderr: &str| {
            stderr.lines().any(|line| line.starts_with(program) && line.contains("nonsense")).then_some(())
        };
        live.process().wait_for("the mistake to be told", LIMIT, said)?;
    }
    let truth = load(&server, 30).send()?;
    live.wait_for_served(30)?;
    let finished = live.stop()?.expect_code(0)?;
    assert_eq!(served(&finished.spans()?), truth.counts());
    let spans = finished.spans()?;
    assert!(spans.iter().filter(|span| span.is_server()).all(|span| span.attribute("http.route") == "/message"));
    Ok(())
}

fn aborted() -> Result<()> {
    let server = message()?;
    let mut live = Live::start(["--port", &server.port().to_string()])?;
    let recorder = live.recorder()?;
    // Whoever stands still does not close his tape.
    live.signal_recorder(Signal::STOP)?;
    live.process().signal(Signal::INT)?;
    thread::sleep(Duration::from_millis(500));
    assert!(runs(recorder), "it stands still");
    live.process().signal(Signal::INT)?;
    live.wait()?.expect_code(130)?;
    rustix::process::kill_process(recorder, Signal::CONT)?;
    wait_until("the recorder has ended", || !runs(recorder))
}

fn recorder_dies() -> Result<()> {
    let server = message()?;
    let mut live = Live::start(["--port", &server.port().to_string()])?;
    let truth = load(&server, 50).send()?;
    live.wait_for_served(50)?;
    live.signal_recorder(Signal::KILL)?;
    let finished = live.wait()?.expect_code(5)?;
    assert!(finished.stderr.contains("the recorder ended with signal: 9"), "{}", finished.stderr);
    assert_eq!(served(&finished.spans()?), truth.counts());
    Ok(())
}

fn engine_dies() -> Result<()> {
    let server = message()?;
    let mut live = Live::start(["--port", &server.port().to_string()])?;
    let recorder = live.recorder()?;
    live.process().signal(Signal::KILL)?;
    drop(live.wait()?);
    wait_until("the recorder has ended", || !runs(recorder))
}

fn stalled() -> Result<()> {
    let server = message()?;
    let mut live = Live::start(["--port", &server.port().to_string(), "--ring-size", "64K"])?;
    let recorder = live.recorder()?.as_raw_nonzero();
    let resident = || -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{recorder}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    load(&server, 200).send()?;
    let before = resident()?;
    live.process().signal(Signal::STOP)?;
    // Pipe and ring hold some thousand requests.
    load(&server, 20_000).send()?;
    let after = resident()?;
    live.process().signal(Signal::CONT)?;
    thread::sleep(Duration::from_millis(500));
    load(&server, 50).send()?;
    let finished = live.stop()?.expect_code(0)?;
    assert!(after < before + 4096, "{before} kB, then {after} kB");
    assert!(!finished.stderr.contains("; 0 records lost"), "the ring is meant to overflow: {}", finished.stderr);
    for span in finished.spans()?.iter().filter(|span| span.is_server() && !span.incomplete) {
        assert_eq!((span.path().as_str(), span.status_code().as_str()), ("/message", "200"), "{span:?}");
    }
    Ok(())
}

fn followed() -> Result<()> {
    let server = message()?;
    let folder = folder()?;
    let tape = folder.path().join("run.tape");
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--port", &server.port().to_string(), "--rotate-age", "1s", "-o"]).arg(&tape);
    let mut recorder = Process::start(&mut command)?;
    recorder.wait_for("the recorder", LIMIT, |_, stderr| stderr.contains("recording").then_some(()))?;
    // A tape is its owner's alone, so whoever reads it has to be its owner.
    let mut command = Command::new(binary("redtape")?);
    command.args(["live", "--spans", "json", "--user", "root", "--follow"]).arg(&tape);
    let mut live = Live::start_command(&mut command)?.ready()?;
    let mut sent = 0;
    for _ in 0..3 {
        sent += load(&server, 50).send()?.answered;
        live.wait_for_served(sent)?;
        thread::sleep(Duration::from_millis(1_100));
    }
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    let finished = live.wait()?.expect_code(0)?;
    let tapes: Vec<_> = tapes(folder.path())?;
    assert!(tapes.len() >= 3, "{tapes:?}");
    assert_eq!(served(&finished.spans()?).values().sum::<u64>(), sent);
    Ok(())
}

fn socket() -> Result<()> {
    let server = message()?;
    let folder = folder()?;
    let (socket, kept) = (format!("unix:{}", folder.path().join("tape.sock").display()), folder.path().join("kept"));
    let record = || -> Result<Process> {
        let mut command = Command::new(binary("redtape-capture")?);
        Process::start(command.args(["record", "--port", &server.port().to_string(), "-o", &socket]))
    };
    let listen = || -> Result<Live> {
        let mut command = Command::new(binary("redtape")?);
        Live::start_command(command.args(["live", "--spans", "json", "--from", &socket, "--keep"]).arg(&kept))
    };
    // The recorder is first, and waits.
    let mut recorder = record()?;
    recorder.wait_for("the recorder to wait", LIMIT, |_, said| said.contains("waiting for a reader").then_some(()))?;
    let mut live = listen()?.ready()?;
    let mode = fs::metadata(folder.path().join("tape.sock"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "whoever connects is asked who it is");
    load(&server, 30).send()?;
    live.wait_for_served(30)?;
    // It goes, and another one comes.
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    let mut recorder = record()?;
    let recording = |_: &str, said: &str| said.contains("recording to").then_some(());
    recorder.wait_for("the second recorder", LIMIT, recording)?;
    load(&server, 20).send()?;
    live.wait_for_served(50)?;
    // The engine goes, and another one comes. The recorder stays.
    let finished = live.stop()?.expect_code(0)?;
    assert_eq!(replayed(&tapes(&kept)?, &["--spans", "json"])?, finished.stdout);
    let told = finished.stderr.matches(" has gone; waiting for the next one").count();
    assert_eq!(told, 1, "of the first recorder, not at the end: {}", finished.stderr);
    let mut live = listen()?.ready()?;
    load(&server, 10).send()?;
    live.wait_for_served(10)?;
    live.process().signal(Signal::KILL)?;
    drop(live.wait()?);
    let mut live = listen()?.ready()?;
    load(&server, 15).send()?;
    live.wait_for_served(15)?;
    live.stop()?.expect_code(0)?;
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    Ok(())
}

fn cannot_begin() -> Result<()> {
    let mut command = Command::new(binary("redtape")?);
    command.arg("live").arg("--recorder").arg(binary("redtape-capture")?).args(["--port", "none"]);
    let finished = Process::run(&mut command, LIMIT)?.expect_code(2)?;
    assert!(finished.stderr.contains("the recorder did not begin"), "{}", finished.stderr);
    let mut command = Command::new(binary("redtape")?);
    command.args(["live", "--recorder", "/no/such/program", "--port", "1"]);
    let finished = Process::run(&mut command, LIMIT)?.expect_code(5)?;
    assert!(
        finished.stderr.contains("/no/such/program") && finished.stderr.contains("--recorder"),
        "{}",
        finished.stderr
    );
    Ok(())
}

/// Whether a process runs. One that has ended and is not waited for does not.
fn runs(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    test_kill_process(process).is_ok() && !stat.contains(") Z ")
}

fn wait_until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while !holds() {
        if Instant::now() > end {
            return Err(format!("waited {LIMIT:?} in vain until {what}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
