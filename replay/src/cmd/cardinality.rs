//! `cardinality`: what the metrics of a tape would cost.

use std::io::Write;

use redtape_core::metric::Cardinality;

use super::replay::with_evidence;
use super::unwritable;
use crate::cli;
use crate::failure::Result;
use crate::input::Tape;
use crate::pace::Pace;
use crate::settings::config;
use crate::sink::NoSpans;
use crate::stdout::Output;

/// In how many steps growth is shown.
const PARTS: usize = 10;

pub(super) fn run(args: &cli::Cardinality, out: &mut Output) -> Result {
    let tapes = Tape::open_all(&args.input.tapes)?;
    let config = config(&args.settings, tapes.first().map(|tape| tape.reader.meta()), false)?;
    let ran = with_evidence(tapes, &config, &args.settings, false, Pace::default(), &mut NoSpans)?;
    ran.check(args.input.strict, false)?;
    let cardinality = Cardinality::new(&ran.metrics.snapshot(), PARTS, args.top);
    if args.json {
        serde_json::to_writer(&mut *out, &cardinality).map_err(|error| unwritable(error.into()))?;
        return writeln!(out).map_err(unwritable);
    }
    write!(out, "{cardinality}").map_err(unwritable)
}
