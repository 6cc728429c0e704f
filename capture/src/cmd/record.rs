//! `redtape-capture record`

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use redtape_core::{Count, Origin};

use crate::capabilities::{Privileges, ProbeFunctions, WriteAnywhere, drop_unneeded};
use crate::cli::RecordArgs;
use crate::command::HeldCommand;
use crate::exit::Failure;
use crate::host::{PidNamespace, random_origin};
use crate::names::part_of;
use crate::process::{ProcFs, ProcessTable};
use crate::progress::{Progress, Totals};
use crate::recording::{EndReason, EventSink, RecordSource, Recording, RecordingError, Reloaded, Until};
use crate::redact::Redacting;
use crate::reload::ConfigWatch;
use crate::settings::{Output, Redaction, Settings};
use crate::snapshot::Unreadable;
use crate::stop::{EndOfInput, Hangup, Stop};
use crate::tape::TapeSink;
use crate::units::show_size;
use crate::wiring::open_probes;

/// How often it is tried to reach a reader.
const CONNECT: Duration = Duration::from_millis(250);

/// How long a socket may be closed to this user: who listens may open it to others only after it is there.
const CLOSED: Duration = Duration::from_secs(2);

/// Records a tape; at a socket one after the other.
///
/// # Errors
/// Something is wrong with the command line or the machine; or the tape could not be written to its end, in which case
/// what was written stays.
pub(crate) fn record(args: &RecordArgs) -> Result<(), Failure> {
    let mut settings = Settings::new(args)?;
    let privileges = check_privileges()?;
    if settings.tls && !privileges.can_probe_functions() {
        settings.tls = false;
        settings.warnings.push("the plaintext of TLS is not recorded: CAP_SYS_ADMIN is missing".to_owned());
    }
    let unwatched = |error: io::Error| Failure::environment(format!("cannot watch for signals: {error}"));
    let watch = settings.config_path.as_deref().map(|path| ConfigWatch::new(path, settings.config_text.clone()));
    let watch = watch.transpose().map_err(unwatched)?;
    let stop = Stop::on_signals(if watch.is_some() { Hangup::Reloads } else { Hangup::Ends }).map_err(unwatched)?;
    let input = args.end_with_stdin.then(|| io::stdin().as_fd().try_clone_to_owned()).transpose().map_err(unwatched)?;
    let stop = match input {
        Some(input) => stop.or_at_end_of(input),
        None => stop,
    };
    let mut end =
        End { stop, deadline: None, begun: false, reader: None, watch, args: args.clone(), settings, command: None };
    if let Output::Socket(_) = end.settings.output {
        // The time that is waited for a reader is a part of it.
        end.deadline = end.settings.duration.and_then(|duration| Instant::now().checked_add(duration));
    }
    loop {
        let socket = match &end.settings.output {
            Output::Socket(path) => {
                let Some(socket) = connect(&path.clone(), &end)? else { return Ok(()) };
                Some(socket)
            }
            Output::Stdout | Output::File(_) => None,
        };
        let reason = record_tape(socket.as_ref(), &mut end)?;
        // A reader that comes again gets a tape of its own.
        if socket.is_none() || reason != EndReason::PipeClosed || end.command.is_some() || end.stop.wanted() {
            return Ok(());
        }
    }
}

/// Connects to whoever reads the tape, as soon as somebody does. `None` if the recording is to end before.
fn connect(path: &Path, end: &End) -> Result<Option<UnixStream>, Failure> {
    let (mut told, mut refused) = (end.settings.quiet, None);
    while !end.stop.wanted() {
        match UnixStream::connect(path) {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && refused.get_or_insert_with(Instant::now).elapsed() < CLOSED => {}
            Err(error) => return Err(Failure::environment(format!("cannot connect to {}: {error}", path.display()))),
        }
        if !std::mem::replace(&mut told, true) {
            eprintln!("waiting for a reader at {}", path.display());
        }
        let left = end.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            if end.begun {
                return Ok(None);
            }
            let message = "no reader came before the end of --duration: is `redtape live --from unix:PATH` running?";
            return Err(Failure::environment(format!("{}: {message}", end.settings.output)));
        }
        thread::sleep(left.map_or(CONNECT, |left| left.min(CONNECT)));
    }
    Ok(None)
}

/// Records one tape.
fn record_tape(socket: Option<&UnixStream>, end: &mut End) -> Result<EndReason, Failure> {
    let settings = end.settings.clone();
    let reader = socket.map(|socket| socket.as_fd().try_clone_to_owned()).transpose();
    let reader = reader.map_err(|error| Failure::environment(format!("cannot use the socket: {error}")))?;
    end.reader = reader.map(EndOfInput::new);
    let origin = random_origin().map_err(|error| Failure::environment(format!("cannot read /proc: {error}")))?;
    let redacting = settings.redaction.as_ref().map(|redaction| start_redactor(redaction, &settings)).transpose()?;
    // The command is held before anything is opened, so that one that cannot be started leaves no tape behind.
    end.command = if settings.command.is_empty() { None } else { Some(HeldCommand::start(&settings.command)?) };
    let mut source = open_probes(&settings, origin)?;
    let mut sink = match TapeSink::create(&settings, origin, source.arrival_hook(), socket, &end.stop, redacting) {
        Ok(sink) => sink,
        Err(error) if is_gone(&error) && settings.redaction.is_some() => {
            // It has told why, and no reader is the reason.
            let message = "the process that redacts has ended before the recording began";
            return Err(Failure::environment(format!("{}: {message}", settings.output)));
        }
        // It went while the programs were loaded.
        Err(error) if is_gone(&error) => return Ok(EndReason::PipeClosed),
        Err(error) => return Err(Failure::environment(format!("cannot write {}: {error}", settings.output))),
    };
    end.begun = true;

    let recorded = record_until(&settings, origin, &mut *source, &mut sink, end);
    if let Some(command) = &end.command {
        command.terminate();
    }
    let reason = recorded.as_ref().map_or(EndReason::Failed, |(reason, _)| *reason);
    let finished = sink.finish(reason);
    if let (Some(_), Err(error)) = (&settings.redaction, &finished)
        && socket.is_none_or(|_| !is_gone(error))
    {
        // Whatever ended the recording, this is why.
        return Err(Failure::environment(format!("{}: {error}", settings.output)));
    }
    let (_, totals) = recorded?;
    if reason != EndReason::PipeClosed {
        finished.map_err(|error| tape_failure(&settings, &error))?;
    }
    if !settings.quiet {
        summarize(&settings, &Totals { bytes: sink.bytes(), ..totals }, end.command.as_ref(), reason);
    }
    Ok(reason)
}

/// Starts the process that takes secrets out. Before the command is, whose end is that of all children.
fn start_redactor(redaction: &Redaction, settings: &Settings) -> Result<(Redacting, File), Failure> {
    let pipe = !matches!(settings.output, Output::File(_));
    Redacting::start(&redaction.policy, redaction.key.clone(), settings.rotation, pipe)
        .map_err(|error| Failure::environment(format!("the process that redacts cannot be started: {error}")))
}

fn record_until(
    settings: &Settings,
    origin: Origin,
    source: &mut dyn RecordSource,
    sink: &mut dyn EventSink,
    end: &mut End,
) -> Result<(EndReason, Totals), Failure> {
    let discovery = settings.discovery(end.command.as_ref().map(HeldCommand::tgid))?;
    for warning in settings.warnings.iter().filter(|_| !settings.quiet) {
        eprintln!("redtape-capture: warning: {warning}");
    }
    let processes = ProcessTable::new(ProcFs::new(), discovery, origin);
    let mut recording = Recording::new(origin, source, sink, processes, settings.poll_interval);
    let mut progress = Progress::new(settings.quiet);
    let result = begin(&mut recording, settings, end).and_then(|()| recording.run(end, &mut progress));
    progress.clear();
    if let Some(error) = recording.tls_refused() {
        eprintln!(
            "redtape-capture: warning: not all plaintext of TLS is recorded, see `redtape-capture doctor`: {error}"
        );
    }
    for name in recording.io_uring_users().filter(|_| !settings.quiet) {
        eprintln!("redtape-capture: warning: {name} uses io_uring: what it reads and writes by it is not recorded");
    }
    for name in recording.opaque_tls_users().filter(|_| settings.tls && !settings.quiet) {
        eprintln!(
            "redtape-capture: warning: {name} uses TLS of a library that is not seen into: its requests are not on the tape"
        );
    }
    match result {
        Ok(reason) => Ok((reason, recording.totals())),
        // A reader that has seen enough is no error.
        Err(RecordingError::Sink(error)) if is_gone(&error) => Ok((EndReason::PipeClosed, recording.totals())),
        Err(RecordingError::Sink(error)) => Err(tape_failure(settings, &error)),
        Err(RecordingError::Source(error)) => Err(Failure::environment(format!("recording failed: {error}"))),
    }
}

/// Whether the reader has closed its end.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// From the first look at the processes to the moment when the command runs.
fn begin(recording: &mut Recording<'_>, settings: &Settings, end: &End) -> Result<(), RecordingError> {
    for Unreadable { tgid, error } in recording.start()? {
        let what = "connections that are already open in the network namespace of process";
        eprintln!("redtape-capture: warning: {what} {} are not followed: {error}", tgid.0);
    }
    let failed = |what: &'static str| {
        move |error: io::Error| RecordingError::Source(io::Error::new(error.kind(), format!("cannot {what}: {error}")))
    };
    let again = matches!(settings.output, Output::Socket(_));
    let functions = if settings.tls || again { ProbeFunctions::Yes } else { ProbeFunctions::No };
    drop_unneeded(write_anywhere(&settings.output), functions).map_err(failed("give up capabilities"))?;
    if let Some(command) = &end.command {
        command.release().map_err(failed("let the command run"))?;
    }
    if !settings.quiet {
        let processes = recording.totals().processes;
        let processes = Count(processes as u64, "process");
        eprintln!("recording to {}: {processes} so far; Ctrl-C ends it", settings.output);
    }
    Ok(())
}

/// What ends a recording.
struct End {
    stop: Stop,
    /// When everything ends, at a socket: there `--duration` is of all tapes, and of the time between them.
    deadline: Option<Instant>,
    /// Whether there has been a tape.
    begun: bool,
    /// The other direction of the socket: its end is the reader's wish.
    reader: Option<EndOfInput>,
    watch: Option<ConfigWatch>,
    args: RecordArgs,
    settings: Settings,
    command: Option<HeldCommand>,
}

impl End {
    /// Whether `--duration` is over, of a recording that has lasted for so long.
    fn is_due(&self, elapsed: Duration) -> bool {
        match self.deadline {
            Some(deadline) => Instant::now() >= deadline,
            None => self.settings.duration.is_some_and(|duration| elapsed >= duration),
        }
    }
}

impl Until for End {
    fn ended(&mut self, elapsed: Duration, processes: &ProcessTable) -> Option<EndReason> {
        if self.stop.wanted() {
            Some(EndReason::Signal)
        } else if self.reader.as_ref().is_some_and(EndOfInput::has_come) {
            Some(EndReason::PipeClosed)
        } else if self.is_due(elapsed) {
            Some(EndReason::Duration)
        } else if let Some(command) = &mut self.command {
            command.has_ended().unwrap_or(true).then_some(EndReason::CommandEnded)
        } else {
            (self.settings.only_pids() && processes.followed().next().is_none()).then_some(EndReason::TargetsEnded)
        }
    }

    fn reloaded(&mut self) -> Option<Reloaded> {
        let name = self.watch.as_mut()?.changed()?.display().to_string();
        let command = self.command.as_ref().map(HeldCommand::tgid);
        let reloaded =
            self.settings.reload(&self.args).and_then(|warnings| Ok((warnings, self.settings.discovery(command)?)));
        match reloaded {
            Err(failure) => {
                eprintln!("redtape-capture: warning: {failure}; the recorder goes by the configuration before");
                None
            }
            Ok((warnings, discovery)) => {
                let text = &self.settings.config_text;
                if !self.watch.as_mut()?.take(text) {
                    return None;
                }
                if !self.settings.quiet {
                    warnings.iter().for_each(|warning| eprintln!("redtape-capture: warning: {warning}"));
                    eprintln!("redtape-capture: {name}: the recorder chooses processes anew by it");
                }
                Some(Reloaded { discovery, facts: text.to_facts() })
            }
        }
    }
}

fn check_privileges() -> Result<Privileges, Failure> {
    let failed = |error| Failure::environment(format!("cannot tell this process's capabilities: {error}"));
    let privileges = Privileges::current().map_err(failed)?;
    let missing: Vec<_> =
        privileges.needs().filter(|(need, held)| need.required && !held).map(|(need, _)| need.name).collect();
    if missing.is_empty() {
        return match PidNamespace::current() {
            PidNamespace::Initial | PidNamespace::Own { .. } => Ok(privileges),
            PidNamespace::ForeignProc => Err(Failure::environment(
                "/proc shows another pid namespace's processes, whose ids mean nothing in this one: mount a /proc of its own \
                 (unshare --mount-proc), or run the recorder in that namespace (docker run --pid=host, hostPID: true)",
            )),
        };
    }
    let missing = missing.join(" and ");
    Err(Failure::environment(format!(
        "no privilege to record: {missing} missing; run as root, or see `redtape-capture doctor`"
    )))
}

/// Renaming the finished tape takes a right to the directory, which root has only by capability if it is not its own.
fn write_anywhere(output: &Output) -> WriteAnywhere {
    let Output::File(path) = output else { return WriteAnywhere::No };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = rustix::process::geteuid().as_raw();
    match fs::metadata(folder) {
        Ok(facts) if facts.uid() == own || facts.permissions().mode() & 0o002 != 0 => WriteAnywhere::No,
        _ => WriteAnywhere::Yes,
    }
}

fn tape_failure(settings: &Settings, error: &io::Error) -> Failure {
    let name = &settings.output;
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space, or rotate with --ring",
        _ => "",
    };
    let kept = match name {
        Output::Stdout | Output::Socket(_) => String::new(),
        Output::File(path) => format!("; what was written before is readable in {}", part_of(path).display()),
    };
    Failure::environment(format!("cannot write {name}: {error}{kept}{advice}"))
}

fn summarize(settings: &Settings, totals: &Totals, command: Option<&HeldCommand>, reason: EndReason) {
    if let Some(outcome) = command.and_then(HeldCommand::outcome) {
        eprintln!("{outcome}");
    }
    let Totals { events, bytes, lost, connections, .. } = totals;
    let name = &settings.output;
    let size = show_size(*bytes);
    let (events, connections) = (Count(*events, "event"), Count(*connections, "connection"));
    let gone = if reason == EndReason::PipeClosed { "; the reader has gone" } else { "" };
    eprintln!("{name}: {events} of {connections}, {size}, {lost} lost{gone}");
}
