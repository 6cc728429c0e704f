//! `redact`: a tape without secrets; and whether a tape has any left.

use std::cmp::Reverse;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use redtape_core::edit::{Key, Left, RedactError, RedactPolicy, Redactor, Remains, Spot};
use redtape_core::{BodyBuf, ConnKey, Count, Direction, EventBuf};
use serde::Serialize;

use crate::destination::Destination;
use crate::failure::{Failure, Kind, Result, all};
use crate::input::{Tape, complaints, one_standard_input, read_failure};
use crate::stdout::Output;

/// `redact`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["output", "check", "show_policy", "schema"]))]
pub struct Redact {
    /// The tape, with `--check` any number of them; `-` is standard input
    #[arg(value_name = "TAPE", required_unless_present_any = ["show_policy", "schema"])]
    pub tapes: Vec<PathBuf>,
    /// Where to write the redacted tape; `-` is standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
    /// What is masked, in YAML; what it does not say is as `--show-policy` has it
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The key of `values: hash`: a file with at least 16 random bytes. It is stored nowhere
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Write nothing; say what redaction would change, of each kind how much and the first place: exit code 1 if anything
    #[arg(long)]
    pub check: bool,
    /// Print what is left as JSON, an object on a line for each tape
    #[arg(long, requires = "check")]
    pub json: bool,
    /// Print the policy with all that it does not say, and end
    #[arg(long)]
    pub show_policy: bool,
    /// Print the JSON Schema of policies, and end
    #[arg(long)]
    pub schema: bool,
    /// Fail with exit code 3 if the tape is truncated or damaged, instead of warning
    #[arg(long)]
    pub strict: bool,
    /// No warnings and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

pub(crate) fn run(args: &Redact, out: &mut Output) -> Result {
    if args.schema {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(RedactPolicy)).unwrap_or_default();
        return writeln!(out, "{schema}").map_err(crate::cmd::unwritable);
    }
    let policy = policy(args.policy.as_deref())?;
    if args.show_policy {
        return write!(out, "{}", policy.to_yaml()).map_err(crate::cmd::unwritable);
    }
    let key = args.key.as_deref().map(key).transpose()?;
    let Some(output) = &args.output else { return check(args, &policy, key.as_ref(), out) };
    let [path] = &args.tapes[..] else {
        let message = "several tapes are redacted one by one; `redtape merge` makes one of them";
        return Err(Failure::message(Kind::Usage, message));
    };
    write(args, redactor(args, &policy, key.as_ref())?, Tape::open(path)?, path, output)
}

/// The policy of a file, or the default.
fn policy(path: Option<&Path>) -> Result<RedactPolicy> {
    let Some(path) = path else { return Ok(RedactPolicy::default()) };
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    RedactPolicy::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))
}

fn key(path: &Path) -> Result<Key> {
    let name = path.display();
    let bytes =
        fs::read(path).map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    Key::new(&bytes).map_err(|error| Failure::message(Kind::Usage, format!("{name}: {error}")))
}

fn redactor(args: &Redact, policy: &RedactPolicy, key: Option<&Key>) -> Result<Redactor> {
    Redactor::new(policy, key.cloned()).map_err(|error| {
        let name = args.policy.as_ref().map_or_else(|| "--policy".into(), |path| path.display().to_string());
        Failure::message(Kind::Usage, format!("{name}: {error}"))
    })
}

fn write(args: &Redact, redactor: Redactor, tape: Tape, path: &Path, output: &Path) -> Result {
    let new = Destination::create(output, args.force, &[path.to_owned()])?;
    let (options, failed) = (new.tape_options(), new.failed());
    let (done, new) = redactor.redact_tape(tape.reader, new, options).map_err(|error| match error {
        RedactError::Read(error) => read_failure(&tape.name, &error),
        error @ RedactError::Lost { .. } => Failure::message(Kind::Environment, format!("{}: {error}", tape.name)),
        RedactError::Write(error) => failed(error),
    })?;
    Tape::check(&tape.name, &done.found, args.strict, args.quiet)?;
    new.finish()?;
    if !args.quiet {
        eprintln!("{}: masked {}", tape.name, done.counts);
    }
    Ok(())
}

/// Looks at each tape on its own, also behind one that is not clean or cannot be read.
fn check(args: &Redact, policy: &RedactPolicy, key: Option<&Key>, out: &mut Output) -> Result {
    one_standard_input(&args.tapes)?;
    let mut results = Vec::new();
    for path in &args.tapes {
        let redactor = redactor(args, policy, key)?;
        results.push(match remains(redactor, path) {
            Ok((name, remains)) => {
                print(args, out, &name, &remains).map_err(crate::cmd::unwritable)?;
                let unclean = || Failure::message(Kind::Check, format!("{name}: not clean"));
                if remains.is_clean() { Ok(()) } else { Err(unclean()) }
            }
            Err(failure) => Err(failure),
        });
    }
    // That not all could be read is worse than that something is left.
    results.sort_by_key(|result| Reverse(result.as_ref().err().map(Failure::kind)));
    all(results)
}

/// What is left on a tape, and its name.
fn remains(redactor: Redactor, path: &Path) -> Result<(String, Remains)> {
    let mut tape = Tape::open(path)?;
    let remains = redactor.check_tape(&mut tape.reader).map_err(|error| read_failure(&tape.name, &error))?;
    Ok((tape.name, remains))
}

fn print(args: &Redact, out: &mut Output, name: &str, remains: &Remains) -> io::Result<()> {
    if args.json {
        serde_json::to_writer(&mut *out, &Found::new(name, remains))?;
        return writeln!(out);
    }
    if remains.is_clean() && !args.quiet {
        eprintln!("{name}: clean");
    }
    for what in &remains.meta {
        writeln!(out, "{name}: META: {what}")?;
    }
    if remains.notes > 0 {
        writeln!(out, "{name}: {}, which is free text", Count(remains.notes, "note"))?;
    }
    for left in &remains.kinds {
        writeln!(out, "{name}: {left}, the first {}", place(left))?;
    }
    if let Some(unread) = &remains.unread {
        writeln!(out, "{name}: not all of it was looked at: {}", complaints(unread).join("; "))?;
    }
    Ok(())
}

/// Where something is left, so that `redtape events` shows it.
fn place(left: &Left) -> String {
    let Left { event, since, .. } = left;
    let (seconds, nanos) = (since / 1_000_000_000, since % 1_000_000_000);
    let at = format!("(at +{seconds}.{nanos:09}s, {}#{} in `redtape events`)", event.cpu, event.seq);
    match (&left.first.spot, &event.body) {
        (Spot::Byte(pos), BodyBuf::Data(data, _)) => {
            format!("at position {pos} of what connection {} {} {at}", conn(data.conn), direction(data.direction))
        }
        (Spot::Byte(pos), _) => format!("at position {pos} {at}"),
        (Spot::Fact(fact), _) => format!("{} (at +{seconds}.{nanos:09}s)", of_process(fact, event)),
    }
}

fn of_process(fact: &str, event: &EventBuf) -> String {
    match &event.body {
        BodyBuf::Process(info) => format!("{fact} of process {} ({})", info.tgid.0, info.comm),
        _ => fact.to_owned(),
    }
}

fn conn(key: ConnKey) -> String {
    format!("c{:08x}", key.get() >> 32)
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "received",
        Direction::Out => "sent",
    }
}

/// The keys of `redact --check --json`, a line a tape. They are part of the contract with scripts.
#[derive(Serialize)]
struct Found<'a> {
    tape: &'a str,
    clean: bool,
    meta: &'a [String],
    notes: u64,
    left: Vec<FoundKind>,
    unread: Vec<String>,
}

/// What is left of one kind, and where its first is.
#[derive(Serialize)]
struct FoundKind {
    kind: &'static str,
    count: u64,
    offset_ns: u64,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fact: Option<String>,
}

impl<'a> Found<'a> {
    fn new(tape: &'a str, remains: &'a Remains) -> Self {
        Self {
            tape,
            clean: remains.is_clean(),
            meta: &remains.meta,
            notes: remains.notes,
            left: remains.kinds.iter().map(FoundKind::new).collect(),
            unread: remains.unread.as_ref().map(complaints).unwrap_or_default(),
        }
    }
}

impl FoundKind {
    fn new(left: &Left) -> Self {
        let data = if let BodyBuf::Data(data, _) = &left.event.body { Some(data) } else { None };
        let (position, fact) = match &left.first.spot {
            Spot::Byte(pos) => (Some(*pos), None),
            Spot::Fact(fact) => (None, Some(of_process(fact, &left.event))),
        };
        Self {
            kind: left.first.rule.name(),
            count: left.count,
            offset_ns: left.since,
            event: format!("{}#{}", left.event.cpu, left.event.seq),
            conn: data.map(|data| conn(data.conn)),
            direction: data.map(|data| direction(data.direction)),
            position,
            fact,
        }
    }
}
