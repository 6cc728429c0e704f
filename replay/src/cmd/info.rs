//! `info`: what a tape is.

use std::collections::BTreeSet;
use std::io::{self, Write};

use redtape_core::tape::{Block, ContentHasher, Meta, ReadReport};
use redtape_core::{Body, ClockMap, Count, MonoNanos, Origin};
use serde::Serialize;

use super::unwritable;
use crate::cli::Info;
use crate::failure::Result;
use crate::input::{Tape, read_failure};
use crate::stdout::Output;
use crate::write::{nanos, printable, utc};

pub(super) fn run(args: &Info, out: &mut Output) -> Result {
    for tape in Tape::open_all(&args.input.tapes)? {
        let name = tape.name.clone();
        let (info, meta, report) = read(tape)?;
        Tape::check(&name, &report, args.input.strict, false)?;
        if args.json {
            serde_json::to_writer(&mut *out, &info).map_err(|error| unwritable(error.into()))?;
            writeln!(out).map_err(unwritable)?;
        } else {
            write_text(out, &name, &info, &meta, &report).map_err(unwritable)?;
        }
    }
    Ok(())
}

/// The keys of `info --json`. They are part of the contract with scripts.
#[derive(Serialize)]
struct Facts {
    format: String,
    tape_uuid: String,
    origin_uuid: String,
    events: u64,
    connections: usize,
    processes: usize,
    lost: u64,
    truncated: bool,
    damaged_blocks: u64,
    malformed_events: u64,
    facts_from_outside: u64,
    unknown_events: u64,
    start_time_unix_nano: String,
    duration_ns: u64,
    content_hash: String,
    host: String,
    kernel: String,
    tool: String,
    arrival_hook: String,
    opaque_tls: BTreeSet<String>,
    io_uring: BTreeSet<String>,
}

fn read(mut tape: Tape) -> Result<(Facts, Meta, ReadReport)> {
    let mut block = Block::default();
    let mut hasher = ContentHasher::new();
    let (mut conns, mut processes) = (BTreeSet::new(), BTreeSet::new());
    let (mut opaque_tls, mut io_uring) = (BTreeSet::new(), BTreeSet::new());
    let (mut first, mut last): (Option<MonoNanos>, _) = (None, MonoNanos::ZERO);
    let (mut events, mut enriched, mut lost, mut malformed) = (0, 0, 0, 0);
    let mut clock = ClockMap::default();
    while tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
        hasher.push_block(&block);
        let mut of_block = block.events();
        for event in of_block.by_ref() {
            match event.body {
                // What is in TLS is on the tape twice: as it was sent, and in plaintext.
                Body::Connection(info) if info.tls.is_none() => drop(conns.insert(info.key)),
                Body::Process(info) => {
                    processes.insert(info.key);
                    for (used, programs) in [(info.opaque_tls, &mut opaque_tls), (info.io_uring, &mut io_uring)] {
                        if used {
                            programs.insert(format!("{} ({})", info.comm, info.tgid.0));
                        }
                    }
                }
                Body::Enrich(_) => enriched += 1,
                Body::Loss(loss) if !loss.cause.is_in_bytes() => lost += loss.count,
                Body::Clock { anchor, .. } => clock.add(&anchor),
                _ => {}
            }
            if !event.body.is_entry() {
                events += 1;
                first.get_or_insert(event.time);
                last = last.max(event.time);
            }
        }
        malformed += of_block.malformed();
    }
    let (meta, report) = (tape.reader.meta().clone(), *tape.reader.report());
    let first = first.unwrap_or(last);
    let facts = Facts {
        format: tape.reader.version().to_string(),
        tape_uuid: Origin(meta.tape).to_string(),
        origin_uuid: meta.origin.to_string(),
        events,
        connections: conns.len(),
        processes: processes.len(),
        lost,
        truncated: report.truncated,
        damaged_blocks: report.corrupt_blocks,
        malformed_events: malformed,
        facts_from_outside: enriched,
        unknown_events: report.unknown_records,
        start_time_unix_nano: clock.wall(first).unix_nanos().to_string(),
        duration_ns: last.since(first),
        content_hash: hasher.finish().to_string(),
        host: meta.host.clone(),
        kernel: meta.kernel.clone(),
        tool: meta.tool.clone(),
        arrival_hook: meta.arrival_hook.clone(),
        opaque_tls,
        io_uring,
    };
    Ok((facts, meta, report))
}

/// What of the tape cannot be read; empty if all can.
fn damage(report: &ReadReport) -> String {
    let ReadReport { corrupt_blocks, missing_blocks, skipped_bytes, .. } = *report;
    if corrupt_blocks + missing_blocks + skipped_bytes == 0 {
        return String::new();
    }
    format!("{corrupt_blocks} blocks, {skipped_bytes} bytes skipped; {missing_blocks} blocks missing")
}

/// What of these programs; empty if there are none.
fn of(what: &str, programs: &BTreeSet<String>) -> String {
    let names: Vec<_> = programs.iter().map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!("{what} of {}", names.join(", ")) }
}

fn write_text(out: &mut Output, name: &str, info: &Facts, meta: &Meta, report: &ReadReport) -> io::Result<()> {
    let start = info.start_time_unix_nano.parse().map_or_else(|_| String::new(), utc);
    let lines = [
        ("tape", name.to_owned()),
        ("format", info.format.clone()),
        ("recorded by", recorder(meta)),
        ("command", meta.command.join(" ")),
        ("start", start),
        ("duration", nanos(info.duration_ns)),
        ("events", format!("{} in {}", info.events, Count(report.blocks, "block"))),
        ("connections", info.connections.to_string()),
        ("processes", info.processes.to_string()),
        ("lost", info.lost.to_string()),
        ("not seen", of("TLS", &info.opaque_tls)),
        ("not seen", of("io_uring", &info.io_uring)),
        ("damaged", damage(report)),
        ("from outside", counted(info.facts_from_outside)),
        ("malformed", counted(info.malformed_events)),
        ("of newer version", counted(info.unknown_events)),
        ("arrivals from", if meta.arrival_hook.is_empty() { "none".into() } else { meta.arrival_hook.clone() }),
        ("payload", meta.payload_limits.clone()),
        ("closed", report.totals.map_or("no: the end is missing".into(), |totals| totals.reason.name().into())),
        ("content", info.content_hash.clone()),
        ("uuid", info.tape_uuid.clone()),
        ("origin", info.origin_uuid.clone()),
    ];
    for (key, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "{key:<14} {}", printable(value))?;
    }
    Ok(())
}

/// Who wrote a tape, and where, as far as the tape says: captures of other tools and synthetic tapes say less.
fn recorder(meta: &Meta) -> String {
    let Meta { tool, host, kernel, arch, .. } = meta;
    let mut said = tool.clone();
    if !host.is_empty() {
        said.push_str(&format!(" on {host}"));
    }
    let system = format!("{kernel} {arch}");
    match system.trim() {
        "" => said,
        system => format!("{said} ({system})"),
    }
}

/// A count of what most tapes have none of.
fn counted(count: u64) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}
