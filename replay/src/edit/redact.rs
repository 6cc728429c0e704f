//! `redact`: a tape without secrets; and whether a tape has any left.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use redtape_core::edit::{Change, Key, RedactError, RedactPolicy, Redactor, Remains};
use redtape_core::{BodyBuf, Direction, EventBuf};

use crate::destination::Destination;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, complaints, read_failure};
use crate::stdout::Output;

/// `redact`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["output", "check", "show_policy", "schema"]))]
pub struct Redact {
    /// The tape; `-` is standard input
    #[arg(value_name = "TAPE", required_unless_present_any = ["show_policy", "schema"])]
    pub tape: Option<PathBuf>,
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
    /// Write nothing; say whether redaction would change anything: exit code 1 and the first place if so
    #[arg(long)]
    pub check: bool,
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
    let Some(path) = &args.tape else { return Ok(()) };
    let redactor = redactor(args, &policy)?;
    let tape = Tape::open(path)?;
    match &args.output {
        Some(output) => write(args, redactor, tape, path, output),
        None => check(args, redactor, tape),
    }
}

/// The policy of a file, or the default.
fn policy(path: Option<&Path>) -> Result<RedactPolicy> {
    let Some(path) = path else { return Ok(RedactPolicy::default()) };
    let name = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
    RedactPolicy::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))
}

fn redactor(args: &Redact, policy: &RedactPolicy) -> Result<Redactor> {
    let key = args.key.as_deref().map(|path| {
        let name = path.display();
        let bytes = fs::read(path)
            .map_err(|error| Failure::message(Kind::Usage, format!("{name}: cannot be read: {error}")))?;
        Key::new(&bytes).map_err(|error| Failure::message(Kind::Usage, format!("{name}: {error}")))
    });
    Redactor::new(policy, key.transpose()?).map_err(|error| {
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

fn check(args: &Redact, redactor: Redactor, mut tape: Tape) -> Result {
    let remains = redactor.check_tape(&mut tape.reader).map_err(|error| read_failure(&tape.name, &error))?;
    let Some(remains) = remains else {
        if !args.quiet {
            eprintln!("{}: clean", tape.name);
        }
        return Ok(());
    };
    let place = match remains {
        Remains::Unread(found) => format!("not all of it was looked at: {}", complaints(&found).join("; ")),
        Remains::Meta(what) => format!("META: {what}"),
        Remains::Note => "a note, which is free text".to_owned(),
        Remains::Event { event, change, since } => describe(&event, change, since),
    };
    Err(Failure::message(Kind::Check, format!("{}: not clean: {place}", tape.name)))
}

/// Where something is left, so that `redtape events` shows it.
fn describe(event: &EventBuf, change: Change, since: u64) -> String {
    let (seconds, nanos) = (since / 1_000_000_000, since % 1_000_000_000);
    let place = format!("at +{seconds}.{nanos:09}s, {}#{} in `redtape events`", event.cpu, event.seq);
    match (&event.body, change.pos) {
        (BodyBuf::Data(data, _), Some(pos)) => {
            let direction = if data.direction == Direction::In { "received" } else { "sent" };
            let conn = data.conn.get() >> 32;
            format!("{}, position {pos} of what connection c{conn:08x} {direction} ({place})", change.rule.name())
        }
        (BodyBuf::Process(info), _) => format!("{}: process {} ({})", change.rule.name(), info.tgid.0, info.comm),
        _ => format!("{} ({place})", change.rule.name()),
    }
}
