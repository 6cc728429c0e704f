//! The command: tapes through the engine, and what came out onto a page.

use std::path::Path;

use redtape_core::config::Config;

use super::args::Report;
use super::data::{Data, TapeFacts};
use super::page::page;
use super::sink::Collect;
use crate::cmd::with_evidence;
use crate::destination::{Destination, is_stdout};
use crate::diff::{Gather, Side, compare, of_instances};
use crate::failure::{Failure, Kind, Result};
use crate::input::Tape;
use crate::pace::Pace;
use crate::settings::config;

pub(crate) fn run(args: &Report) -> Result {
    let stdin = Path::new("-");
    if args.compare.as_deref() == Some(stdin) && args.input.tapes.iter().any(|tape| tape == stdin) {
        return Err(Failure::message(Kind::Usage, "`-` is both tapes, but there is one standard input"));
    }
    let tapes = Tape::open_all(&args.input.tapes)?;
    let inputs: Vec<_> = args.input.tapes.iter().chain(&args.compare).cloned().collect();
    let output = Destination::create(&args.output, args.force, &inputs)?;
    let facts = tapes.iter().map(|tape| TapeFacts::new(&tape.name, tape.reader.meta())).collect();
    let config = config(&args.settings, tapes.first().map(|tape| tape.reader.meta()), args.quiet)?;
    let before = args.compare.as_deref().map(|tape| before(tape, &config, args)).transpose()?;
    let gather = before.is_some().then(Gather::default);
    let mut collected = Collect { gather, ..Collect::default() };
    let ran = with_evidence(tapes, &config, &args.settings, args.quiet, Pace::default(), &mut collected)?;
    ran.check(args.input.strict, args.quiet)?;
    let changes = before.zip(collected.gather.take()).map(|(before, gather)| {
        let names: Vec<_> = args.input.tapes.iter().map(|tape| tape.display().to_string()).collect();
        compare(&before, &gather.finish(names.join(", "), &ran, &of_instances()), args.tolerance, &[])
    });
    let data = Data::new(facts, &ran, collected, changes);
    let page = page(&data).map_err(|error| Failure::new(Kind::Environment, error))?;
    output.write_whole(page.as_bytes())?;
    if !args.quiet && !is_stdout(&args.output) {
        eprintln!("{}: {}", args.output.display(), data.said());
    }
    Ok(())
}

/// The tape to compare with, under the same configuration.
fn before(path: &Path, config: &Config, args: &Report) -> Result<Side> {
    let mut gather = Gather::default();
    let tapes = vec![Tape::open(path)?];
    let ran = with_evidence(tapes, config, &args.settings, args.quiet, Pace::default(), &mut gather)?;
    ran.check(args.input.strict, args.quiet)?;
    Ok(gather.finish(path.display().to_string(), &ran, &of_instances()))
}
