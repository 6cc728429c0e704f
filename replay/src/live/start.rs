//! `live`: starts everything in the order that privileges ask for, and puts together how it ended.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use redtape_core::config::{Config, ConfigText, LogLevel, TracePrinter};
use redtape_core::{Count, WallNanos};

use super::args::{FromWhere, Live};
use super::child::Recorder;
use super::keep::Keep;
use super::session::{Over, Session, State, Tells, check};
use super::tapes::{Awaited, Incoming, Peer, Source, ToEngine};
use super::watch::Watch;
use crate::cmd::{exports, write_metrics};
use crate::export::{
    Batching, Duty, ExportCounters, Exports, MetricForm, OtlpMetrics, OtlpSpans, Receiver, RemoteWrite, Replayed,
    Sampling, Signal, Target, Tee, configured,
};
use crate::failure::{Failure, Kind, Result, all};
use crate::interrupt::{Ending, Interrupt};
use crate::kube::{PodWatch, Wanted};
use crate::printer::Printer;
use crate::serve::{Endpoint, Listening, Serve, Server};
use crate::sink::Now;
use crate::stdout::Output;

/// Blocks that wait for the engine, of 256 KiB mostly. When it does not keep up, the pipe fills, then the recorder's ring, and
/// then records are lost and counted.
const BLOCKS_AHEAD: usize = 16;

/// Runs the engine on what is being recorded.
pub(crate) fn run(args: &Live, out: &mut Output) -> Result {
    let environment =
        |what: &str, error: &std::io::Error| Failure::message(Kind::Environment, format!("{what}: {error}"));
    let interrupt = Interrupt::on_signals().map_err(|error| environment("cannot watch for signals", &error))?;
    let own = Own::read(args)?;
    // Before a recorder is started, which would be for nothing where these are wrong.
    let receivers = configured(&own.config)?;
    let target = Target::configured(&own.config.redtape.remote_write)?;
    // No thread before privileges are gone: each would keep its own.
    let user = user(args)?;
    let (source, mut recorder) = open(args)?;
    let listening = Listening::at(&serve(&own.config))?;
    prepare_folder(args, user.as_ref())?;
    drop_privileges(user)?;
    let keep = Keep::new(&args.keep)?;

    let counters = Arc::<ExportCounters>::default();
    let server = listening.map(|listening| listening.serve(&counters)).transpose()?;
    let ending = Ending::default();
    let mut exports = exporters(&own.config, (receivers, target), &counters, &ending, args.quiet)?;
    exports.extend(server.as_ref().map(Server::exporter));
    let awaited = source.awaited();
    if let Some(server) = &server {
        server.health().wait(awaited.missing.clone(), awaited.due);
    }
    announce(args, &own.config, &awaited);

    let (to_engine, incoming) = sync_channel::<Incoming>(BLOCKS_AHEAD);
    let peer = Peer::default();
    let _pods = watch_pods(&own.config, &to_engine)?;
    let to_engine = ToEngine::new(to_engine, &counters);
    let (reader_interrupt, reader_peer) = (interrupt.clone(), peer.clone());
    thread::Builder::new()
        .name("tape".into())
        .spawn(move || source.read(&to_engine, &reader_interrupt, &reader_peer))
        .map_err(|error| environment("cannot start a thread", &error))?;

    let session = Session {
        config: own.text,
        watch: own.watch,
        ignore_traceparent: args.ignore_traceparent,
        keep,
        quiet: args.quiet,
        health: server.as_ref().map(Server::health),
        counters: Arc::clone(&counters),
        awaited,
        shutdown: own.config.shutdown_timeout.0,
        ending: ending.clone(),
        state: State::default(),
    };
    let mut printer = Printer::new(out, args.spans, &own.config);
    if args.metrics.is_some() {
        printer = printer.silent();
    }
    let mut tee = Tee::new(&mut printer, &mut exports);
    let mut recording = Recording { recorder: recorder.as_mut(), peer };
    let over = session.run(&incoming, &interrupt, &mut recording, &mut tee)?;
    ending.within(own.config.shutdown_timeout.0);
    // Whoever reads tapes waits no longer for the engine.
    drop(incoming);
    if let Some(server) = server.as_ref().filter(|_| !interrupt.asked()) {
        server.health().fail("nothing is recorded any more");
    }
    let printed = tee.finish().and_then(|()| printer.finish());
    let finished = finish(args, exports, &over, out);
    let left = ending.left().unwrap_or_default();
    all([printed, how_it_ended(recorder, &over, &interrupt, left), finished])
}

/// Has the cluster tell of pods, if there is one.
fn watch_pods(config: &Config, to_engine: &SyncSender<Incoming>) -> Result<Option<PodWatch>> {
    let annotations = config.discovery().map(|discovery| discovery.pod_annotations()).unwrap_or_default();
    let to_engine = to_engine.clone();
    let deliver = move |facts| to_engine.send(Incoming::Enrich(facts)).is_ok();
    PodWatch::start(Wanted::new(&config.attributes.kubernetes, annotations), deliver)
}

/// The configuration of this program's own.
struct Own {
    config: Config,
    /// What the engine goes by; `None` where there is neither a file nor a variable, so that the tape's counts.
    text: Option<ConfigText>,
    watch: Option<Watch>,
}

impl Own {
    fn read(args: &Live) -> Result<Self> {
        let env: BTreeMap<String, String> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let usage = |message: String| Failure::message(Kind::Usage, message);
        let name = args.config.as_ref().map_or_else(String::new, |path| path.display().to_string());
        let yaml = match &args.config {
            None => String::new(),
            Some(path) => {
                fs::read_to_string(path).map_err(|error| usage(format!("{name}: cannot be read: {error}")))?
            }
        };
        let (text, config, warnings) = check(&yaml, &env, &name).map_err(usage)?;
        let quiet = args.quiet || config.log_level == LogLevel::Error;
        warnings.iter().filter(|_| !quiet).for_each(|warning| eprintln!("redtape: warning: {warning}"));
        let watch = args.config.as_ref().map(|path| Watch::new(path, env)).transpose();
        let watch = watch.map_err(|error| usage(format!("cannot watch for SIGHUP: {error}")))?;
        let own = args.config.is_some() || !text.env.is_empty() || (args.from.is_none() && args.follow.is_none());
        Ok(Self { config, text: own.then_some(text), watch })
    }
}

/// Opens what tapes come from, as long as that may take privileges.
fn open(args: &Live) -> Result<(Source, Option<Recorder>)> {
    if (args.from.is_some() || args.follow.is_some()) && args.recorder.is_used() {
        let message =
            "no recorder is started with --from or --follow, so --port, --exe, --pid and the like say nothing";
        return Err(Failure::message(Kind::Usage, message));
    }
    Ok(match (&args.from, &args.follow) {
        (Some(FromWhere::Stdin), _) => (Source::Stdin, None),
        (Some(FromWhere::Pipe(path)), _) => (Source::pipe(path)?, None),
        (Some(FromWhere::Socket(path)), _) => (Source::listen(path.clone())?, None),
        (None, Some(path)) => (Source::follow(path.clone())?, None),
        (None, None) => {
            let (recorder, pipe) = Recorder::start(args)?;
            (Source::Child(pipe), Some(recorder))
        }
    })
}

/// Says where everything goes, and what is waited for.
fn announce(args: &Live, config: &Config, awaited: &Awaited) {
    let Live { keep, spans, metrics, quiet, .. } = args;
    let prints = match (metrics, spans) {
        (Some(_), _) => Some("metrics to standard output, at the end"),
        (None, Some(_)) => Some("spans to standard output"),
        (None, None) => None,
    };
    let mut config = config.clone();
    if prints.is_some() {
        // The command line goes over the configuration.
        (config.trace_printer, config.print_traces) = (TracePrinter::Disabled, false);
    }
    let mut goes = exports(&config);
    goes.extend(prints.map(Into::into));
    goes.extend(keep.folder.as_ref().map(|folder| format!("tapes to {}", folder.display())));
    if *quiet {
        return;
    }
    match goes.as_slice() {
        [] => eprintln!(
            "redtape: warning: nothing is exported: give otel_traces_export, otel_metrics_export, prometheus_export or \
             trace_printer in a configuration, or --spans, --metrics or --keep"
        ),
        goes => eprintln!("redtape: live: {}", goes.join("; ")),
    }
    if let Some(what) = &awaited.what {
        eprintln!("redtape: live: waiting for {what}; Ctrl-C ends it");
    }
}

/// What the configuration wants served.
fn serve(config: &Config) -> Serve {
    let (metrics, internal) = (&config.prometheus_export, &config.internal_metrics.prometheus);
    let endpoint = |port: u16, path: &str| (port != 0).then(|| Endpoint::new(port, path));
    Serve {
        metrics: endpoint(metrics.port, &metrics.path),
        internal: endpoint(internal.port, &internal.path),
        ttl_nanos: Some(metrics.ttl.nanos()).filter(|&ttl| ttl > 0),
        native: config.native_histograms(),
        replayed: Replayed::default(),
        live: true,
    }
}

/// What the configuration wants sent.
fn exporters(
    config: &Config,
    (receivers, target): (Vec<Receiver>, Option<Target>),
    counters: &Arc<ExportCounters>,
    ending: &Ending,
    quiet: bool,
) -> Result<Exports> {
    let mut exports = Exports::default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = WallNanos::new(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let form = MetricForm::of(config)?;
    // What is left at the end has one more try; a second signal ends that, too.
    let (counters, ending) = (Arc::clone(counters), ending.clone());
    let duty = Duty { counters, interrupt: Interrupt::default(), ending, live: true, quiet };
    if let Some(target) = target {
        let ttl_nanos = Some(config.prometheus_export.ttl.nanos()).filter(|&ttl| ttl > 0);
        let step = config.redtape.remote_write.interval.0;
        let sampling = Sampling { step, ttl_nanos, native: config.native_histograms(), replayed: Replayed::default() };
        exports.add(RemoteWrite::new(target, sampling, duty.clone())?);
    }
    for receiver in &receivers {
        let (as_recorded, duty) = (Replayed::default(), duty.clone());
        match receiver.signal {
            Signal::Traces => exports.add(OtlpSpans::new(receiver, Batching::of(config), as_recorded, duty)?),
            Signal::Metrics => exports.add(OtlpMetrics::new(receiver, (now, &host), form, as_recorded, duty)?),
        }
    }
    Ok(exports)
}

#[cfg(target_os = "linux")]
type User = super::privileges::User;
/// Elsewhere there is no recorder, and nothing that takes privileges.
#[cfg(not(target_os = "linux"))]
type User = std::convert::Infallible;

#[cfg(target_os = "linux")]
fn user(args: &Live) -> Result<Option<User>> {
    User::to_become(&args.user).map_err(|message| Failure::message(Kind::Usage, message))
}

#[cfg(not(target_os = "linux"))]
fn user(_: &Live) -> Result<Option<User>> {
    Ok(None)
}

/// Makes the folder of the tapes that are kept, if it is not there yet, for the user who will write there.
#[cfg(target_os = "linux")]
fn prepare_folder(args: &Live, user: Option<&User>) -> Result {
    let (Some(folder), Some(user)) = (&args.keep.folder, user) else { return Ok(()) };
    if folder.exists() {
        return Ok(());
    }
    // A link of that name has no slash behind it.
    let path: PathBuf = folder.components().collect();
    let made = fs::create_dir(&path).and_then(|()| give(&path, *user));
    made.map_err(|error| {
        Failure::message(Kind::Environment, format!("--keep {}: cannot be made: {error}", folder.display()))
    })
}

/// Makes a folder that of `user`. It is opened first: what has taken its name since it was made may lead elsewhere.
#[cfg(target_os = "linux")]
fn give(folder: &Path, User { uid, gid }: User) -> std::io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    std::os::unix::fs::fchown(open(folder, flags, Mode::empty())?, Some(uid), Some(gid))
}

#[cfg(not(target_os = "linux"))]
fn prepare_folder(_: &Live, _: Option<&User>) -> Result {
    Ok(())
}

#[cfg(target_os = "linux")]
fn drop_privileges(user: Option<User>) -> Result {
    super::privileges::drop_all(user).map_err(|error| {
        let message = format!("privileges cannot be given up, without which nothing is parsed: {error}");
        Failure::message(Kind::Environment, message)
    })
}

#[cfg(not(target_os = "linux"))]
fn drop_privileges(_: Option<User>) -> Result {
    Ok(())
}

/// Who records.
struct Recording<'a> {
    recorder: Option<&'a mut Recorder>,
    peer: Peer,
}

impl Tells for Recording<'_> {
    fn end(&mut self) -> bool {
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
            return true;
        }
        self.peer.end()
    }
}

/// Whether it ended as it should: the tapes are over, and whoever was asked to end has done so in the time that is left.
fn how_it_ended(recorder: Option<Recorder>, over: &Over, interrupt: &Interrupt, left: Duration) -> Result {
    let environment = |message: String| Err(Failure::message(Kind::Environment, message));
    if let Some(mut recorder) = recorder {
        let status = recorder.wait(left);
        return match status {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) if status.code() == Some(2) => {
                Err(Failure::message(Kind::Usage, "the recorder did not begin, see above"))
            }
            Ok(Some(status)) => environment(format!("the recorder ended with {status}")),
            Ok(None) => environment("the recorder has not ended in the time that shutdown_timeout allows".into()),
            Err(error) => environment(format!("the recorder cannot be waited for: {error}")),
        };
    }
    // What ended the run is all that counts: recorders at a socket come and go.
    let Some(read) = over.read.as_ref().filter(|_| !interrupt.asked()) else { return Ok(()) };
    let truncated = over.ran.iter().flat_map(|ran| &ran.reports).find(|(_, report)| report.truncated);
    match (read, truncated) {
        (Err(failure), _) => Err(failure.again()),
        (_, Some((name, _))) => environment(format!("{name}: ended without being closed: its recorder has died")),
        _ => Ok(()),
    }
}

/// Delivers what is left, and prints what is printed at the end.
fn finish(args: &Live, exports: Exports, over: &Over, out: &mut Output) -> Result {
    let Some(ran) = &over.ran else { return Ok(()) };
    let now = Now { wall: ran.end, metrics: &ran.metrics, totals: &ran.totals };
    let exported = exports.finish(now, &Arc::new(ran.metrics.snapshot()), args.quiet);
    let printed = args.metrics.map_or(Ok(()), |format| {
        write_metrics(out, ran, format)?;
        out.flush().map_err(|error| Failure::new(Kind::Environment, error))
    });
    if !args.quiet {
        let totals = &ran.totals;
        let lost: u64 = totals.lost.iter().filter(|(cause, _)| !cause.is_in_bytes()).map(|(_, count)| count).sum();
        eprintln!(
            "redtape: live: {}, {}: {}, {} incomplete; {} lost",
            Count(totals.events, "event"),
            Count(totals.spans, "span"),
            Count(totals.errors, "error"),
            totals.incomplete,
            Count(lost, "record")
        );
    }
    all([printed, exported])
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use redtape_core::tape::ReadReport;
    use redtape_core::{Engine, EngineOptions};

    use super::*;
    use crate::run::Ran;

    #[test]
    fn a_folder_is_given_and_a_link_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        let own = User { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() };
        give(folder.path(), own).unwrap();
        assert!(give(&link, own).is_err());
    }

    #[test]
    fn only_what_ends_the_run_counts() {
        let engine = Engine::new(EngineOptions::default());
        let torn = ReadReport { truncated: true, ..ReadReport::default() };
        let ran = || Ran {
            metrics: engine.metrics().clone(),
            totals: engine.totals().clone(),
            end: WallNanos::new(0),
            reports: vec![("unix:tape.sock".into(), torn)],
            gaps: Vec::new(),
            unread: None,
        };
        let ended = |read| how_it_ended(None, &Over { ran: Some(ran()), read }, &Interrupt::default(), Duration::ZERO);
        assert!(ended(Some(Ok(()))).is_err(), "the tape is over, and was not closed");
        assert!(ended(None).is_ok(), "standard output is closed, and a recorder had died before");
    }
}
