//! Computes a scenario once, and hands on what comes of it: to a tape, to files of truth, to the engine.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use redtape_core::config::hint;
use redtape_core::synth::{SCENARIOS, Scenario, Verdict};
use redtape_core::tape::{CloseReason, Writer};
use redtape_core::{Count, Engine, EngineOptions, Output as Found};

use super::args::SynthArgs;
use super::totals::Totals;
use super::truth::write_truth;
use crate::destination::{Destination, is_stdout};
use crate::failure::{Failure, Kind, Result};
use crate::interrupt::Interrupt;
use crate::stdout::Output;

pub(crate) fn run(args: &SynthArgs, out: &mut Output) -> Result {
    if args.list {
        return list(out).map_err(crate::cmd::unwritable);
    }
    if args.schema {
        return schema(out).map_err(crate::cmd::unwritable);
    }
    let Some(path) = &args.scenario else { return Ok(()) };
    let (name, text) = find(path)?;
    let mut scenario = Scenario::from_yaml(&text, &name).map_err(|error| Failure::new(Kind::Usage, error))?;
    if args.print {
        return out.write_all(text.as_bytes()).map_err(crate::cmd::unwritable);
    }
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    if args.requests.is_some() || args.duration.is_some() {
        (scenario.requests, scenario.duration) = (args.requests, args.duration);
    }
    if let Some((key, message)) = scenario.fault() {
        return Err(Failure::message(Kind::Usage, format!("{name}: {key}: {message}")));
    }
    Synthesis::begin(args, path, &scenario)?.run(&name, args)
}

fn list(out: &mut Output) -> io::Result<()> {
    let width = SCENARIOS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, _) in SCENARIOS {
        let description = Scenario::named(name).map(|scenario| scenario.description).unwrap_or_default();
        writeln!(out, "{name:width$}  {description}")?;
    }
    Ok(())
}

fn schema(out: &mut Output) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Scenario::schema())?;
    writeln!(out)
}

/// The name of a scenario for messages, and its text.
fn find(path: &Path) -> Result<(String, String)> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| Failure::message(Kind::Input, format!("{name}: cannot be read: {error}"));
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(unreadable)?;
        return Ok(("standard input".to_owned(), text));
    }
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let before = error.as_bytes().get(..at).unwrap_or_default();
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
                let message = format!("{name}:{line}:{column}: byte {at} is no UTF-8; a scenario is a YAML text");
                Err(Failure::message(Kind::Usage, message))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some((_, text)) = SCENARIOS.iter().find(|(other, _)| *other == name) {
                return Ok((name, (*text).to_owned()));
            }
            let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "{name}: there is no such file, and no included scenario of this name; {}",
                hint(&name, &names)
            );
            Err(Failure::message(Kind::Input, message))
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// What to say where a tape cannot be written.
type Failed = Box<dyn Fn(io::Error) -> Failure>;

/// All that a run writes.
struct Synthesis<'a> {
    scenario: &'a Scenario,
    tape: Option<(Writer<Destination>, Failed)>,
    truth: Option<Destination>,
    totals: Option<(Totals, Destination)>,
    check: Option<(Engine, Verdict)>,
}

impl<'a> Synthesis<'a> {
    fn begin(args: &SynthArgs, path: &Path, scenario: &'a Scenario) -> Result<Self> {
        if args.check && args.output.as_deref().is_some_and(is_stdout) {
            let message = "`--output -` writes the tape to standard output, where `--check` says what it found";
            return Err(Failure::message(Kind::Usage, message));
        }
        let inputs = [path.to_owned()];
        let create = |path: &PathBuf| Destination::create(path, args.force, &inputs);
        let begin = |new: Destination| {
            let (options, failed) = (new.tape_options(), new.failed());
            let writer = Writer::new(new, &scenario.meta(), options).map_err(&failed)?;
            Ok((writer, Box::new(failed) as _))
        };
        let tape = args.output.as_ref().map(create).transpose()?.map(begin).transpose()?;
        let check = args.check.then(|| (Engine::new(EngineOptions::default()), Verdict::default()));
        let truth = args.truth.as_ref().map(create).transpose()?;
        let totals = args.totals.as_ref().map(create).transpose()?.map(|file| (Totals::default(), file));
        Ok(Self { scenario, tape, truth, totals, check })
    }

    fn run(mut self, name: &str, args: &SynthArgs) -> Result {
        let interrupt = Interrupt::on_signals().map_err(|error| Failure::new(Kind::Environment, error))?;
        let mut recording = self.scenario.recording();
        let (mut taken, mut events, mut happened) = (0_u64, 0_u64, 0_u64);
        while let Some(event) = recording.next() {
            taken += 1;
            // As `info` and `replay` count them.
            events += u64::from(!event.as_event().body.is_entry());
            if let Some((tape, failed)) = &mut self.tape {
                tape.push(&event.as_event()).map_err(failed)?;
            }
            if let Some((engine, verdict)) = &mut self.check {
                engine.push(&event.as_event());
                drain(engine, verdict);
            }
            for truth in recording.truth() {
                happened += 1;
                if let Some(file) = &mut self.truth {
                    write_truth(file, &truth).map_err(file.failed())?;
                }
                if let Some((totals, _)) = &mut self.totals {
                    totals.add(&truth);
                }
                if let Some((_, verdict)) = &mut self.check {
                    verdict.truth(truth);
                }
            }
            if taken % 1024 == 0 && interrupt.asked() {
                return Err(Failure::message(Kind::Interrupted, "interrupted; nothing is left of what was written"));
            }
        }
        self.finish()?;
        if !args.quiet {
            let seed = self.scenario.seed;
            eprintln!("{name}, seed {seed}: {}, {}", Count(events, "event"), Count(happened, "recorded exchange"));
        }
        self.judge(args)
    }

    fn finish(&mut self) -> Result {
        if let Some((tape, failed)) = self.tape.take() {
            tape.finish(CloseReason::Done).map_err(failed)?.1.finish()?;
        }
        if let Some((totals, mut file)) = self.totals.take() {
            totals.write(&mut file).map_err(file.failed())?;
            file.finish()?;
        }
        self.truth.take().map_or(Ok(()), Destination::finish)
    }

    /// Says how spans and truth differ.
    fn judge(self, args: &SynthArgs) -> Result {
        let Some((mut engine, mut verdict)) = self.check else { return Ok(()) };
        engine.finish();
        drain(&mut engine, &mut verdict);
        verdict.finish();
        let Verdict { happened, spans, unlinked, wrong, different, untold, missing, uncaptured, .. } = verdict;
        if !args.quiet {
            let mut out = Output::stdout();
            let (happened, spans) = (Count(happened, "recorded exchange"), Count(spans, "span"));
            let line = format!(
                "{happened}, {spans}: {wrong} wrong, {different} different, {untold} not told in full, {missing} missing, \
                 {uncaptured} not captured, {unlinked} without their parent"
            );
            writeln!(out, "{line}").map_err(crate::cmd::unwritable)?;
            out.finish()?;
        }
        // What a tape lacks, nobody can tell.
        let lossless = self.scenario.recorder.loss == 0;
        let failed = wrong > 0 || lossless && (different > 0 || missing > 0);
        if !failed {
            return Ok(());
        }
        for example in &verdict.examples {
            eprintln!("{example}");
        }
        Err(Failure::message(Kind::Check, "the spans are not what has happened"))
    }
}

fn drain(engine: &mut Engine, verdict: &mut Verdict) {
    while let Some(output) = engine.poll_output() {
        if let Found::Span(span) = output {
            verdict.span(*span);
        }
    }
}
