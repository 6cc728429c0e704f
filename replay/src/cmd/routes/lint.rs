//! `routes lint`: the patterns of a configuration, held against traffic.

use std::io::Write;

use redtape_core::{Count, RouteLint, Span};
use serde_json::json;

use super::RoutesLint as Args;
use crate::cmd::replay::with_evidence;
use crate::cmd::unwritable;
use crate::failure::{Failure, Kind, Result};
use crate::input::Tape;
use crate::pace::Pace;
use crate::settings::{config, unusable};
use crate::sink::OutputSink;
use crate::stdout::Output;

pub(super) fn run(args: &Args, out: &mut Output) -> Result {
    let tapes = Tape::open_all(&args.input.tapes)?;
    let config = config(&args.settings, tapes.first().map(|tape| tape.reader.meta()), false)?;
    let mut held = Held(config.route_lint().map_err(unusable)?);
    if held.0.patterns() == 0 {
        let message = "the configuration has no route patterns to lint; `redtape routes learn` proposes some";
        return Err(Failure::message(Kind::Usage, message));
    }
    with_evidence(tapes, &config, &args.settings, false, Pace::default(), &mut held)?
        .check(args.input.strict, false)?;
    let lint = held.0;
    let findings = lint.findings();
    let (requests, unmatched) = lint.requests();
    if args.json {
        let object = json!({
            "patterns": lint.patterns(), "requests": requests, "unmatched": unmatched, "findings": findings,
        });
        writeln!(out, "{object}").map_err(unwritable)?;
    } else {
        findings.iter().try_for_each(|finding| writeln!(out, "{finding}")).map_err(unwritable)?;
        let (patterns, requests) = (Count(lint.patterns() as u64, "pattern"), Count(requests, "request"));
        writeln!(out, "{patterns} held against {requests}; {unmatched} of them fit none").map_err(unwritable)?;
    }
    match findings.len() as u64 {
        0 => Ok(()),
        found => Err(Failure::message(Kind::Check, Count(found, "finding"))),
    }
}

/// Holds what is asked against the patterns.
struct Held(RouteLint);

impl OutputSink for Held {
    fn span(&mut self, span: &Span) -> Result {
        if span.has_path() {
            self.0.observe(&span.service.name, span.kind, span.http.path());
        }
        Ok(())
    }
}
