//! How recordings end: on request, by force, on a full disk, and with few rights.

use std::fs::{self, File};
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use redtape_tests::{
    Process, Recorder, Requirement, Result, Server, Signal, binary, info, load, message, served, spans, trial,
};
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn trials() -> Vec<Trial> {
    const BPF: &[Requirement] = &[Requirement::Bpf];
    const SETPRIV: &[Requirement] = &[Requirement::Bpf, Requirement::Program("setpriv")];
    const PYTHON: &[Requirement] = &[Requirement::Bpf, Requirement::Program("python3")];
    vec![
        trial("endings::an_interrupt_completes_the_tape", BPF, || signalled(Signal::INT)),
        trial("endings::a_termination_completes_the_tape", BPF, || signalled(Signal::TERM)),
        trial("endings::a_second_interrupt_aborts", BPF, interrupted_twice),
        trial("endings::one_interrupt_is_enough_when_the_reader_stands_still", BPF, interrupted_once),
        trial("endings::the_end_of_the_input_is_enough_when_the_reader_stands_still", BPF, input_ended),
        trial("endings::a_reader_that_does_not_come_is_not_waited_for_longer_than_a_duration", BPF, no_reader),
        trial("endings::a_reader_that_has_gone_is_waited_for_until_the_end_of_a_duration", BPF, reader_gone),
        trial("endings::a_reader_that_has_gone_before_the_beginning_is_no_failure", BPF, reader_gone_before),
        trial("endings::users_of_io_uring_are_named", PYTHON, io_uring),
        trial("endings::after_a_duration", BPF, after_a_duration),
        trial("endings::a_kill_leaves_a_readable_tape", BPF, killed),
        trial("endings::a_full_disk_leaves_a_readable_tape", BPF, full_disk),
        trial("endings::two_capabilities_are_enough_for_a_process_id", SETPRIV, two_capabilities),
    ]
}

fn signalled(signal: Signal) -> Result<()> {
    let server = message()?;
    let mut recorder = Recorder::start(["--port", &server.port().to_string()])?;
    let truth = load(&server, 100).send()?;
    recorder.process().signal(signal)?;
    let recording = recorder.wait()?;
    assert_eq!(recording.recorder.status.code(), Some(0), "{}", recording.recorder.stderr);
    let info = recording.info()?;
    assert_eq!((info.lost, info.truncated), (0, false));
    assert_eq!(served(&recording.spans()?), truth.counts());
    Ok(())
}

/// A recorder whose tape nobody reads any longer, and the end of the pipe that nobody reads from.
fn stalled() -> Result<(Process, PipeReader)> {
    stalled_with(Stdio::null(), &[])
}

/// The same with a standard input, and more arguments.
fn stalled_with(stdin: impl Into<Stdio>, arguments: &[&str]) -> Result<(Process, PipeReader)> {
    let (reader, writer) = pipe()?;
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--pid", &std::process::id().to_string(), "-o", "-"]);
    command.args(arguments);
    let mut recorder = Process::start_between(&mut command, stdin, writer.try_clone()?)?;
    recorder.wait_for("the recorder", LIMIT, |_, stderr| stderr.contains("recording").then_some(()))?;
    // Opened anew, so that only this end of the pipe does not wait.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut filler = File::from(rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty())?);
    while filler.write(&[0]).is_ok() {}
    Ok((recorder, reader))
}

/// The first interrupt has to complete a tape, and waits a while for its reader; the second gives up on it.
fn interrupted_twice() -> Result<()> {
    let (recorder, _reader) = stalled()?;
    recorder.signal(Signal::INT)?;
    let status = format!("/proc/{}/status", recorder.id());
    wait_until("the first interrupt has been seen", || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        status.lines().any(|line| line.starts_with("ShdPnd:") && line.ends_with("0000"))
    })?;
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(130)?;
    Ok(())
}

fn interrupted_once() -> Result<()> {
    let (recorder, _reader) = stalled()?;
    recorder.signal(Signal::INT)?;
    let finished = recorder.finish(LIMIT)?.expect_code(5)?;
    assert!(finished.stderr.contains("its reader stands still"), "{}", finished.stderr);
    Ok(())
}

fn input_ended() -> Result<()> {
    let (stdin, held) = pipe()?;
    let (recorder, _reader) = stalled_with(stdin, &["--end-with-stdin"])?;
    drop(held);
    let finished = recorder.finish(LIMIT)?.expect_code(5)?;
    assert!(finished.stderr.contains("its reader stands still"), "{}", finished.stderr);
    Ok(())
}

fn no_reader() -> Result<()> {
    let folder = TempDir::new()?;
    let socket = format!("unix:{}", folder.path().join("tape.sock").display());
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--pid", &std::process::id().to_string(), "--duration", "1s", "-o", &socket]);
    let finished = Process::run(&mut command, LIMIT)?.expect_code(5)?;
    assert!(finished.stderr.contains("no reader came before the end of --duration"), "{}", finished.stderr);
    Ok(())
}

/// The recording was good, though nobody wanted the rest of it.
fn reader_gone() -> Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().join("tape.sock");
    let listener = UnixListener::bind(&path)?;
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--pid", &std::process::id().to_string(), "--duration", "8s", "-o"]);
    let mut recorder = Process::start(command.arg(format!("unix:{}", path.display())))?;
    let (mut reader, _) = listener.accept()?;
    fs::remove_file(&path)?;
    reader.read_exact(&mut [0; 16])?;
    recorder.wait_for("the recorder", LIMIT, |_, stderr| stderr.contains("recording").then_some(()))?;
    drop((reader, listener));
    let finished = recorder.finish(LIMIT)?.expect_code(0)?;
    assert!(finished.stderr.contains("waiting for a reader"), "{}", finished.stderr);
    Ok(())
}

fn reader_gone_before() -> Result<()> {
    let (reader, writer) = pipe()?;
    drop(reader);
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--pid", &std::process::id().to_string(), "-o", "-"]);
    let finished = Process::start_between(&mut command, Stdio::null(), writer)?.finish(LIMIT)?.expect_code(0)?;
    assert!(!finished.stderr.contains("cannot write"), "{}", finished.stderr);
    Ok(())
}

fn io_uring() -> Result<()> {
    // io_uring_setup has the same number everywhere. Whether it succeeds does not matter: the program wants it.
    let script = "import ctypes; ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120))";
    let recording = Recorder::start(["--", "python3", "-c", script])?.wait()?;
    let said = &recording.recorder.stderr;
    assert!(said.contains("python3") && said.contains("uses io_uring"), "{said}");
    let mut command = Command::new(binary("redtape")?);
    let events = Process::run(command.arg("events").arg(recording.tape()), LIMIT)?.expect_code(0)?.stdout;
    assert!(events.lines().any(|line| line.contains("python3") && line.ends_with(" io_uring")), "{events}");
    Ok(())
}

fn after_a_duration() -> Result<()> {
    let server = message()?;
    let recorder = Recorder::start(["--port", &server.port().to_string(), "--duration", "2s"])?;
    let truth = load(&server, 100).send()?;
    let recording = recorder.wait()?;
    assert_eq!(recording.recorder.status.code(), Some(0), "{}", recording.recorder.stderr);
    assert_eq!(served(&recording.spans()?), truth.counts());
    Ok(())
}

fn killed() -> Result<()> {
    let server = message()?;
    let recorder = Recorder::start(["--port", &server.port().to_string()])?;
    let truth = load(&server, 200).send()?;
    // A block is written after a second at the latest.
    let part = recorder.part();
    wait_until("events are on the tape", || info(&part).is_ok_and(|info| info.events > truth.answered))?;
    let (_folder, part) = recorder.kill()?;
    assert!(info(&part)?.truncated);
    let counts = served(&spans(&part, &[])?);
    assert!(counts.values().sum::<u64>() > 0, "nothing of {:?} is on the tape", truth.counts());
    for (key, count) in counts {
        assert!(truth.counts().get(&key).is_some_and(|sent| count <= *sent), "{key:?}: {count}");
    }
    Ok(())
}

fn full_disk() -> Result<()> {
    let disk = SmallDisk::mount("256k")?;
    let tape = disk.folder.path().join("full.tape");
    let server = message()?;
    let mut command = Command::new(binary("redtape-capture")?);
    command.args(["record", "--port", &server.port().to_string(), "-o"]).arg(&tape);
    let mut recorder = Process::start(&mut command)?;
    recorder.wait_for("the recorder", LIMIT, |_, stderr| stderr.contains("recording").then_some(()))?;
    // What a tape compresses well takes many requests to fill even a small disk.
    for _ in 0..20 {
        load(&server, 5_000).send()?;
        if recorder.stderr().contains("cannot write") {
            break;
        }
    }
    let finished = recorder.finish(LIMIT)?.expect_code(5)?;
    assert!(finished.stderr.contains("full.tape") && finished.stderr.contains("space"), "{}", finished.stderr);
    let left = [tape.clone(), tape.with_extension("tape.part")].into_iter().find(|path| path.exists());
    let left = left.ok_or("what was written before is gone")?;
    let copy = TempDir::new()?;
    let copied = copy.path().join("full.tape");
    fs::copy(&left, &copied)?;
    assert!(!served(&spans(&copied, &[])?).is_empty());
    Ok(())
}

/// The recorder as an unprivileged user with `CAP_BPF` and `CAP_PERFMON` alone, recording a process of its own.
fn two_capabilities() -> Result<()> {
    let folder = TempDir::new()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
    for name in ["redtape-capture", "greetings"] {
        fs::copy(binary(name)?, folder.path().join(name))?;
    }
    let nobody = |capabilities: &str, program: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
        command.args([format!("--inh-caps={capabilities}"), format!("--ambient-caps={capabilities}")]);
        command.arg(folder.path().join(program));
        command
    };
    let mut command = nobody("-all", "greetings");
    let server = Server::start(command.args(["message", "--listen", "127.0.0.1:0"]), "listening on")?;
    let tape = folder.path().join("test.tape");
    let mut command = nobody("-all,+bpf,+perfmon", "redtape-capture");
    command.args(["record", "--pid", &server.process().id().to_string(), "-o"]).arg(&tape);
    let mut recorder = Process::start(&mut command)?;
    recorder.wait_for("the recorder", LIMIT, |_, stderr| stderr.contains("recording").then_some(()))?;
    let truth = load(&server, 50).send()?;
    recorder.signal(Signal::INT)?;
    recorder.finish(LIMIT)?.expect_code(0)?;
    assert_eq!(served(&spans(&tape, &[])?), truth.counts());
    Ok(())
}

/// A disk in memory, as small as wanted. Unmounted when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "redtape-test"]).arg(folder.path());
        Process::run(&mut command, LIMIT)?.expect_code(0)?;
        Ok(Self { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Process::run(Command::new("umount").arg(Path::new(self.folder.path())), LIMIT));
    }
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
