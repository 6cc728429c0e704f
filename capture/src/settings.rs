//! What is to be recorded and where to: the command line and the configuration file, checked and put together.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use redtape_core::Tgid;
use redtape_core::config::{Discovery, DiscoveryConfig, GlobPattern, Pattern, PortList, RegexPattern, Targets};
use serde::Deserialize;

use crate::cli::RecordArgs;
use crate::exit::Failure;
use crate::process::ProcFs;

/// What a recording is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the tape goes.
    pub output: Output,
    /// How the tape is cut into files.
    pub rotation: Rotation,
    /// How much of the beginning of each message is kept, in bytes.
    pub payload: u32,
    /// The size of the ring buffer in bytes: a power of two.
    pub ring_size: u32,
    /// How often to look for new processes and ports.
    pub poll_interval: Duration,
    /// The text of the configuration file, for the tape.
    pub config_text: String,
    /// When to end.
    pub duration: Option<Duration>,
    /// The command to run.
    pub command: Vec<OsString>,
    /// Neither progress nor summary.
    pub quiet: bool,
    config: DiscoveryConfig,
    targets: Targets,
}

/// Where a tape goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output: a pipe, or redirected to a file.
    Stdout,
    /// A file, or the first of a rotation.
    File(PathBuf),
}

/// How a tape is cut into files. Without any value it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The size in bytes at which a new file begins.
    pub size: Option<u64>,
    /// The age at which a new file begins.
    pub age: Option<Duration>,
    /// How many files are kept; all if not given.
    pub ring: Option<u32>,
}

/// How often Beyla looks for new processes.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// The ring buffer's least and largest size.
const RING_SIZES: std::ops::RangeInclusive<u64> = (64 << 10)..=(1 << 31);

/// The keys of a configuration that choose processes. All others are for the replay.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RecorderConfig {
    open_port: Option<PortList>,
    executable_name: Option<RegexPattern>,
    auto_target_exe: Option<GlobPattern>,
    service_name: Option<String>,
    service_namespace: Option<String>,
    discovery: DiscoveryConfig,
}

impl Settings {
    /// Checks all that can be checked before anything is touched.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(args: &RecordArgs) -> Result<Self, Failure> {
        let (config, config_text) = match &args.config {
            Some(path) => read_config(path)?,
            None => (RecorderConfig::default(), String::new()),
        };
        let poll_interval = match &config.discovery.poll_interval {
            None => POLL_INTERVAL,
            Some(text) => humantime::parse_duration(text).map_err(|error| {
                Failure::usage(format!("discovery.poll_interval: \"{text}\": {error}; write it as in 5s"))
            })?,
        };
        let settings = Self {
            output: output(args)?,
            rotation: rotation(args)?,
            payload: u32::try_from(args.payload).map_err(|_| Failure::usage("--payload is too large"))?,
            ring_size: ring_size(args.ring_size)?,
            poll_interval: poll_interval.max(Duration::from_millis(100)),
            config_text,
            duration: args.duration,
            command: args.command.clone(),
            quiet: args.quiet,
            targets: Targets {
                target_pids: args.pids.clone(),
                open_port: args.port.clone().or(config.open_port),
                executable: executable(args.exe.clone(), config.executable_name, config.auto_target_exe),
                service_name: config.service_name,
                service_namespace: config.service_namespace,
            },
            config: config.discovery,
        };
        let chosen = settings.discovery(None)?;
        if chosen.is_empty() && settings.command.is_empty() {
            return Err(Failure::usage(
                "nothing to record: choose processes by --port, --exe, --pid, --config, or give a command after --",
            ));
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

    /// Whether processes are chosen by id and by nothing else, so that nothing is left to record when they have ended.
    pub fn only_pids(&self) -> bool {
        let Targets { open_port, executable, .. } = &self.targets;
        let entries = self.config.services.len() + self.config.instrument.len();
        open_port.is_none() && executable.is_none() && entries == 0
    }
}

/// The command line wins over the file; both keys of the file may not be mixed, so the newer one wins.
fn executable(args: Option<RegexPattern>, regex: Option<RegexPattern>, glob: Option<GlobPattern>) -> Option<Pattern> {
    args.map(Pattern::from).or(glob.map(Pattern::from)).or(regex.map(Pattern::from))
}

fn read_config(path: &Path) -> Result<(RecorderConfig, String), Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let config = serde_saphyr::from_str(&text).map_err(|error| {
        let place = error.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
        let reason = error.without_snippet().to_string();
        let reason = reason.lines().next().unwrap_or_default();
        let reason = reason.rsplit_once(" at line ").map_or(reason, |(reason, _)| reason);
        Failure::usage(format!("{shown}{place}: {reason}"))
    })?;
    Ok((config, text))
}

fn output(args: &RecordArgs) -> Result<Output, Failure> {
    let path = match &args.output {
        Some(path) if path.as_os_str() == "-" => {
            if io::stdout().is_terminal() {
                return Err(Failure::usage("a tape is not for a terminal: pipe it to a program, or give -o FILE"));
            }
            return Ok(Output::Stdout);
        }
        Some(path) => path.clone(),
        None => {
            let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
            PathBuf::from(format!("redtape-{}.tape", now.replace(':', "-")))
        }
    };
    if !args.force {
        if path.exists() {
            let shown = path.display();
            return Err(Failure::usage(format!("{shown} exists: choose another name, or overwrite it by --force")));
        }
        let part = part_of(&path);
        if part.exists() {
            let shown = part.display();
            return Err(Failure::usage(format!(
                "{shown} is left from a recording that was not closed: keep it by `redtape repair`, or overwrite it by --force"
            )));
        }
    }
    Ok(Output::File(path))
}

/// The name of a tape while it is written.
fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn rotation(args: &RecordArgs) -> Result<Rotation, Failure> {
    let rotation = Rotation { size: args.rotate_size, age: args.rotate_age, ring: args.ring };
    let rotates = rotation.size.is_some() || rotation.age.is_some();
    if rotation.ring.is_some() && !rotates {
        return Err(Failure::usage("--ring keeps files of a rotation: give --rotate-size or --rotate-age too"));
    }
    if rotates && args.output.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage(
            "a pipe cannot be rotated: give -o FILE, or leave --rotate-size and --rotate-age out",
        ));
    }
    if rotation.size.is_some_and(|size| size < 1 << 20) {
        return Err(Failure::usage("--rotate-size is at least 1M"));
    }
    Ok(rotation)
}

fn ring_size(bytes: u64) -> Result<u32, Failure> {
    if !RING_SIZES.contains(&bytes) {
        return Err(Failure::usage("--ring-size is from 64K to 2G"));
    }
    Ok(u32::try_from(bytes.next_power_of_two()).unwrap_or(1 << 31))
}
