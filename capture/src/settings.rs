//! What is to be recorded and where to: the command line and the configuration file, checked and put together.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redtape_abi::limits::HEAD_BYTES_MAX;
use redtape_core::Tgid;
use redtape_core::config::{
    Config, ConfigText, Discovery, DiscoveryConfig, LogLevel, Pattern, Period, Size, Targets, Warning,
};
use redtape_core::edit::{Key, RedactPolicy, Redactor};
use redtape_core::tape::Rotation;

use crate::cli::{RecordArgs, TlsMode};
use crate::command::find_program;
use crate::exit::Failure;
use crate::names::{files_of_set, numbered, part_of};
use crate::process::ProcFs;

/// What a recording is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the tape goes.
    pub output: Output,
    /// Overwrite the output, all files of it.
    pub force: bool,
    /// When to go on in a new file.
    pub rotation: Rotation,
    /// How many files of a rotation are kept; all if not given.
    pub ring: Option<u32>,
    /// How much of the beginning of each message is kept, in bytes.
    pub payload: u32,
    /// The size of the ring buffer in bytes: a power of two.
    pub ring_size: u32,
    /// How secrets are taken out before anything is written, if they are.
    pub redaction: Option<Redaction>,
    /// Record the plaintext of TLS libraries.
    pub tls: bool,
    /// How often to look for new processes and ports.
    pub poll_interval: Duration,
    /// The configuration file, if there is one.
    pub config_path: Option<PathBuf>,
    /// What it says, and the variables that stand for keys of it: for the tape.
    pub config_text: ConfigText,
    /// When to end.
    pub duration: Option<Duration>,
    /// The command to run.
    pub command: Vec<OsString>,
    /// Processes may be chosen by the ports that they listen on.
    pub by_ports: bool,
    /// Neither progress nor summary.
    pub quiet: bool,
    /// What the configuration says without effect, one sentence each.
    pub warnings: Vec<String>,
    config: DiscoveryConfig,
    targets: Targets,
}

/// How secrets are taken out of a tape.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// By what.
    pub policy: RedactPolicy,
    /// The key of its hashes.
    pub key: Option<Vec<u8>>,
}

/// Where a tape goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output: a pipe, or redirected to a file.
    Stdout,
    /// A socket that the reader listens at.
    Socket(PathBuf),
    /// A file, or the first of a rotation.
    File(PathBuf),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How often Beyla looks for new processes.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// What stands before the path of a socket.
const SOCKET: &str = "unix:";

/// The ring buffer's least and largest size.
const RING_SIZES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 31);

impl Settings {
    /// Checks all that can be checked before anything is touched.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(args: &RecordArgs) -> Result<Self, Failure> {
        let (config, config_text, warnings) = read_config(args.config.as_deref())?;
        let poll_interval = config.discovery.poll_interval.map_or(POLL_INTERVAL, |interval| interval.0);
        let targets = targets(args, &config);
        let mut settings = Self {
            output: output(args)?,
            force: args.force,
            rotation: rotation(args)?,
            ring: args.ring,
            payload: payload(args.payload.0)?,
            ring_size: ring_size(args.ring_size.0)?,
            redaction: redaction(args)?,
            tls: args.tls == TlsMode::Auto,
            poll_interval: poll_interval.max(Duration::from_millis(100)),
            config_path: args.config.clone(),
            config_text,
            duration: args.duration,
            command: args.command.clone(),
            by_ports: false,
            quiet: args.quiet || config.log_level == LogLevel::Error,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            targets,
            config: config.discovery,
        };
        let chosen = settings.discovery(None)?;
        // A configuration may come to name ports.
        settings.by_ports = chosen.by_ports() || args.config.is_some();
        if chosen.is_empty() && settings.command.is_empty() {
            return Err(Failure::usage(
                "nothing to record: choose processes by --port, --exe, --pid, --config, or give a command after --",
            ));
        }
        if let Some(program) = args.command.first().filter(|program| find_program(Path::new(program)).is_none()) {
            let name = program.display();
            return Err(Failure::usage(format!("cannot run {name}: no such program; check its path or PATH")));
        }
        for pid in &args.pids {
            if ProcFs::new().start_key(Tgid(*pid)).is_none() {
                return Err(Failure::usage(format!("there is no process {pid}: check --pid")));
            }
        }
        Ok(settings)
    }

    /// The rules, with the command's process as one more target.
    ///
    /// # Errors
    /// An entry of the configuration selects nothing.
    pub fn discovery(&self, command: Option<Tgid>) -> Result<Discovery, Failure> {
        let mut targets = self.targets.clone();
        targets.target_pids.extend(command.map(|tgid| tgid.0));
        Discovery::new(&self.config, &targets).map_err(Failure::usage)
    }

    /// Takes the configuration up anew, as far as it chooses processes. On an error nothing has changed.
    ///
    /// # Errors
    /// It cannot be read, cannot be used, or chooses nothing any more.
    pub fn reload(&mut self, args: &RecordArgs) -> Result<Vec<String>, Failure> {
        let (config, config_text, warnings) = read_config(args.config.as_deref())?;
        let changed = Self {
            targets: targets(args, &config),
            config: config.discovery,
            config_text,
            warnings: warnings.iter().map(ToString::to_string).collect(),
            ..self.clone()
        };
        let name = self.config_path.as_deref().unwrap_or(Path::new("")).display();
        let chosen = changed.discovery(None).map_err(|failure| Failure::usage(format!("{name}: {failure}")))?;
        if chosen.is_empty() && self.command.is_empty() {
            return Err(Failure::usage(format!("{name}: it chooses no process any more")));
        }
        *self = changed;
        Ok(self.warnings.clone())
    }

    /// Whether processes are chosen by id and by nothing else, so that nothing is left to record when they have ended.
    pub fn only_pids(&self) -> bool {
        let Targets { open_port, executable, system_wide, .. } = &self.targets;
        let entries = self.config.services.len() + self.config.instrument.len();
        open_port.is_none() && executable.is_none() && !system_wide && entries == 0
    }
}

/// The configuration in a file and in the environment.
fn read_config(path: Option<&Path>) -> Result<(Config, ConfigText, Vec<Warning>), Failure> {
    let shown = path.map_or_else(String::new, |path| path.display().to_string());
    let text = path.map(fs::read_to_string).transpose();
    let text = text.map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?.unwrap_or_default();
    let environment = environment();
    let (config, warnings) = Config::load(&text, &shown, &environment).map_err(Failure::usage)?;
    let on_tape = ConfigText::for_tape(&text, &shown, &environment).map_err(Failure::usage)?;
    Ok((config, on_tape, warnings))
}

/// What chooses processes beside `discovery`. The command line wins over the file and the environment.
fn targets(args: &RecordArgs, config: &Config) -> Targets {
    let targets = Targets { target_pids: args.pids.clone(), ..config.targets() };
    Targets {
        open_port: args.port.clone().or(targets.open_port),
        executable: args.exe.clone().map(Pattern::from).or(targets.executable),
        ..targets
    }
}

/// The variables that may stand for keys. What is not text cannot be a value of theirs.
fn environment() -> BTreeMap<String, String> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

fn output(args: &RecordArgs) -> Result<Output, Failure> {
    let path = match &args.output {
        Some(path) if path.as_os_str() == "-" => {
            if io::stdout().is_terminal() {
                return Err(Failure::usage("a tape is not for a terminal: pipe it to a program, or give -o FILE"));
            }
            return Ok(Output::Stdout);
        }
        Some(path) if path.to_str().is_some_and(|path| path.starts_with(SOCKET)) => {
            let socket = path.to_str().and_then(|path| path.strip_prefix(SOCKET)).unwrap_or_default();
            return Ok(Output::Socket(socket.into()));
        }
        Some(path) => path.clone(),
        None => {
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            PathBuf::from(format!("redtape-{}.tape", now.replace(':', "-")))
        }
    };
    if !args.force {
        refuse_to_overwrite(&path, args.rotate_size.is_some() || args.rotate_age.is_some())?;
    }
    Ok(Output::File(path))
}

fn refuse_to_overwrite(path: &Path, rotates: bool) -> Result<(), Failure> {
    // Of a set, any file is in the way: the new set comes to its number, and a ring has no first file.
    let first = || files_of_set(path).ok()?.first().map(|(number, _)| *number);
    let path = if rotates { numbered(path, first().unwrap_or(0)) } else { path.to_owned() };
    let (part, shown) = (part_of(&path), path.display());
    if path.exists() {
        return Err(Failure::usage(format!("{shown} exists: choose another name, or overwrite it by --force")));
    }
    if part.exists() {
        return Err(Failure::usage(format!(
            "{} is left from a recording that was not closed: keep it by `redtape repair`, or overwrite it by --force",
            part.display()
        )));
    }
    Ok(())
}

fn rotation(args: &RecordArgs) -> Result<Rotation, Failure> {
    let nanos = args.rotate_age.map(|age| Period(age).nanos());
    let rotation = Rotation { bytes: args.rotate_size.map(|Size(bytes)| bytes), nanos };
    let rotates = rotation != Rotation::default();
    if args.ring.is_some() && !rotates {
        return Err(Failure::usage("--ring keeps files of a rotation: give --rotate-size or --rotate-age too"));
    }
    let is_file = |path: &Path| path != Path::new("-") && !path.to_str().is_some_and(|path| path.starts_with(SOCKET));
    if rotates && !args.output.as_deref().is_none_or(is_file) {
        return Err(Failure::usage(
            "a pipe cannot be rotated: give -o FILE, or leave --rotate-size and --rotate-age out",
        ));
    }
    if rotation.bytes.is_some_and(|size| size < 1 << 20) {
        return Err(Failure::usage("--rotate-size is at least 1M"));
    }
    Ok(rotation)
}

fn redaction(args: &RecordArgs) -> Result<Option<Redaction>, Failure> {
    let Some(path) = &args.redact else { return Ok(None) };
    let read = |path: &Path| {
        fs::read(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
    };
    let name = path.display().to_string();
    let policy = if path == Path::new("default") {
        RedactPolicy::default()
    } else {
        let text = String::from_utf8(read(path)?).map_err(|_| Failure::usage(format!("{name}: is no text")))?;
        RedactPolicy::from_yaml(&text, &name).map_err(Failure::usage)?
    };
    let key = args.redact_key.as_deref().map(read).transpose()?;
    let tried = key.as_deref().map(Key::new).transpose().and_then(|key| Redactor::new(&policy, key));
    tried.map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    Ok(Some(Redaction { policy, key }))
}

fn payload(bytes: u64) -> Result<u32, Failure> {
    let bytes = u32::try_from(bytes).ok().filter(|bytes| *bytes <= HEAD_BYTES_MAX);
    bytes.ok_or_else(|| Failure::usage("--payload is 8K at most"))
}

fn ring_size(bytes: u64) -> Result<u32, Failure> {
    if !RING_SIZES.contains(&bytes) {
        return Err(Failure::usage("--ring-size is from 64K to 2G"));
    }
    Ok(u32::try_from(bytes.next_power_of_two()).unwrap_or(1 << 31))
}
