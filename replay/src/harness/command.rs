//! The command: finds specs, runs them, tells what came of them.

use std::io::Write;

use redtape_core::Count;
use serde::Serialize;

use super::args::Test;
use super::bless::{Blessed, is_ci};
use super::junit::junit;
use super::report::{Ran, Tally, write_json, write_ran};
use super::schema::schema;
use super::spec::Loaded;
use super::suite::{Suite, accept, run_all};
use super::unused::unused;
use crate::cmd::unwritable;
use crate::destination::Destination;
use crate::failure::{Failure, Kind, Result};
use crate::stdout::Output;

/// Runs `redtape test`.
pub(crate) fn run(args: &Test, out: &mut Output) -> Result {
    if args.schema {
        return out.write_all(schema().as_bytes()).map_err(unwritable);
    }
    if args.bless && !args.bless_in_ci && is_ci(std::env::var("CI").ok().as_deref()) {
        let message = "--bless is refused where the variable `CI` is set: what is found there is not to be accepted unseen; \
                       --bless-in-ci forces it";
        return Err(Failure::message(Kind::Usage, message));
    }
    if args.strict && args.filter.is_some() {
        let message = "--strict looks for files that no spec uses, and --filter leaves specs out that may use them: \
                       give one of the two";
        return Err(Failure::message(Kind::Usage, message));
    }
    let mut suite = Suite::read(&args.paths, args.filter.as_ref())?;
    if args.list {
        return list(args, &suite.specs, out);
    }
    if args.bless {
        tell(&accept(suite, args.jobs)?);
        suite = Suite::read(&args.paths, args.filter.as_ref())?;
    }
    // A report of the run before is nobody's to keep.
    let report = args.junit.as_deref().map(|path| Destination::create(path, true, &[])).transpose()?;
    let mut all: Vec<Ran> = Vec::new();
    run_all(suite.specs, args.jobs, |ran| {
        if !args.json {
            write_ran(out, &ran, args.quiet).and_then(|()| out.flush()).map_err(unwritable)?;
        }
        all.push(ran);
        Ok(())
    })?;
    let unused = if args.strict {
        unused(&args.paths, &all.iter().map(|ran| &ran.spec).collect::<Vec<_>>())?
    } else {
        Vec::new()
    };
    if let Some(report) = report {
        let failed = report.failed();
        let text = junit(&all).map_err(|error| failed(std::io::Error::other(error)))?;
        report.write_whole(text.as_bytes())?;
    }
    let tally = Tally::of(&all);
    if args.json {
        write_json(out, &all, &unused).map_err(unwritable)?;
    } else {
        for file in &unused {
            writeln!(out, "UNUSED {file}: no spec uses it").map_err(unwritable)?;
        }
        writeln!(out, "{tally}").map_err(unwritable)?;
    }
    verdict(&all, tally, &unused)
}

/// Says what was accepted.
fn tell(blessed: &Blessed) {
    for (path, values) in &blessed.specs {
        eprintln!("redtape: {}: {} accepted", path.display(), Count(*values as u64, "value"));
    }
    for path in &blessed.files {
        eprintln!("redtape: {}: written", path.display());
    }
}

/// The failure that all of it comes to, if it does.
fn verdict(all: &[Ran], tally: Tally, unused: &[String]) -> Result {
    // What could not be run says why, with its own exit code.
    let worst = all.iter().filter_map(|ran| ran.outcome.as_ref().err()).map(Failure::kind).min();
    if let Some(kind) = worst {
        return Err(Failure::message(kind, "not all specs could be run"));
    }
    if tally.failed > 0 {
        return Err(Failure::message(Kind::Check, format!("not as expected: {}", Count(tally.failed as u64, "spec"))));
    }
    if !unused.is_empty() {
        let count = Count(unused.len() as u64, "file");
        return Err(Failure::message(Kind::Check, format!("--strict: used by no spec: {count}")));
    }
    Ok(())
}

/// A spec, as `--list --json` has it.
#[derive(Serialize)]
struct Listed<'a> {
    path: String,
    name: &'a str,
    tapes: Vec<String>,
    runs: usize,
}

fn list(args: &Test, specs: &[Loaded], out: &mut Output) -> Result {
    let listed: Vec<_> = specs
        .iter()
        .map(|spec| Listed {
            path: spec.path.display().to_string(),
            name: spec.title(),
            tapes: spec.tapes.iter().map(|tape| tape.display().to_string()).collect(),
            runs: spec.mutations.len() + 1,
        })
        .collect();
    if args.json {
        serde_json::to_writer(&mut *out, &serde_json::json!({ "specs": listed }))
            .map_err(|error| unwritable(error.into()))?;
        return writeln!(out).map_err(unwritable);
    }
    for Listed { path, name, .. } in listed {
        let name = if name.is_empty() { String::new() } else { format!(": {name}") };
        writeln!(out, "{path}{name}").map_err(unwritable)?;
    }
    Ok(())
}
