//! The summary that `replay` prints for people.

use std::io::{self, Write};

use redtape_core::metric::{Cardinality, RedRow};
use redtape_core::{Count, DiagnosticKind, SpanKind};

use crate::input::Tape;
use crate::run::Ran;
use crate::write::{Table, nanos, printable, utc};

/// How many of the slowest routes are listed.
const SLOWEST: usize = 5;

/// What is known of the tapes before they are replayed.
pub(super) struct Facts {
    tapes: Vec<String>,
}

impl Facts {
    pub(super) fn of(tapes: &[Tape]) -> Self {
        let describe = |tape: &Tape| {
            let meta = tape.reader.meta();
            let started = Some(meta.started.unix_nanos()).filter(|&nanos| nanos > 0).map(utc);
            let facts = [
                (!meta.host.is_empty()).then(|| format!("host {}", printable(&meta.host))),
                (!meta.kernel.is_empty()).then(|| format!("kernel {}", printable(&meta.kernel))),
                started.map(|started| format!("recorded {started}")),
            ];
            let facts: Vec<_> = facts.into_iter().flatten().collect();
            let facts = match (facts.is_empty(), meta.tool.is_empty()) {
                (false, _) => facts.join(", "),
                (true, false) => format!("by {}", printable(&meta.tool)),
                (true, true) => "nothing said of its origin".into(),
            };
            format!("{}: {facts}", tape.name)
        };
        Self { tapes: tapes.iter().map(describe).collect() }
    }
}

/// What the summary says of a run, without its tapes.
pub(crate) fn summary(ran: &Ran) -> String {
    let (mut text, nothing) = (Vec::new(), Facts { tapes: Vec::new() });
    write_summary(&mut text, &nothing, ran).expect("invariant: writing to memory does not fail");
    String::from_utf8_lossy(&text).into_owned()
}

pub(super) fn write_summary(out: &mut impl Write, facts: &Facts, ran: &Ran) -> io::Result<()> {
    facts.tapes.iter().try_for_each(|tape| writeln!(out, "{tape}"))?;
    let totals = &ran.totals;
    writeln!(
        out,
        "{} over {}, {}: {}, {} incomplete",
        Count(totals.events, "event"),
        nanos(ran.duration_nanos()),
        Count(totals.spans, "span"),
        Count(totals.errors, "error"),
        totals.incomplete
    )?;
    let red = ran.metrics.red();
    writeln!(out)?;
    let header =
        ["service", "kind", "method", "route", "count", "rate/s", "errors", "p50", "p95", "p99", "max", "queue p95"];
    let mut table = Table::new(&header, 4);
    for row in &red.rows {
        table.push(red_row(row, ran.duration_nanos()));
    }
    table.write(out)?;
    for kind in [SpanKind::Server, SpanKind::Client] {
        let slowest = red.slowest(kind, SLOWEST);
        if slowest.len() > 1 {
            writeln!(out, "\nslowest {} routes by p95", kind.as_str())?;
            let mut table = Table::new(&["service", "method", "route", "p95", "max"], 3);
            for row in slowest {
                let [service, _, method, route] = key(row);
                let duration = &row.duration;
                table.push(vec![service, method, route, nanos(duration.quantile(950)), nanos(duration.max())]);
            }
            table.write(out)?;
        }
    }
    write_cardinality(out, ran)?;
    write_trouble(out, ran)
}

fn red_row(row: &RedRow, tape_nanos: u64) -> Vec<String> {
    let rate = row.per_kilosecond(tape_nanos);
    let duration = &row.duration;
    let mut cells: Vec<_> = key(row).into();
    cells.extend([
        row.count.to_string(),
        format!("{}.{:03}", rate / 1000, rate % 1000),
        row.errors.to_string(),
        nanos(duration.quantile(500)),
        nanos(duration.quantile(950)),
        nanos(duration.quantile(990)),
        nanos(duration.max()),
        if row.queue.count() == 0 { "-".into() } else { nanos(row.queue.quantile(950)) },
    ]);
    cells
}

fn key(row: &RedRow) -> [String; 4] {
    let Some(key) = &row.key else { return ["(others)".into(), "-".into(), "-".into(), "-".into()] };
    let service = match &*key.namespace {
        "" => key.service.clone(),
        namespace => format!("{namespace}/{}", key.service),
    };
    let route = if key.route.is_empty() { "-" } else { &key.route };
    [printable(&service), key.kind.as_str().into(), printable(&key.method), printable(route)]
}

fn write_cardinality(out: &mut impl Write, ran: &Ran) -> io::Result<()> {
    let cardinality = Cardinality::new(&ran.metrics.snapshot(), 0, 0);
    writeln!(out, "\n{} series, {} a scrape", cardinality.series, Count(cardinality.samples as u64, "sample"))?;
    let mut table = Table::new(&["metric", "series"], 1);
    for metric in &cardinality.metrics {
        let over = if metric.overflow { " (over the limit)" } else { "" };
        table.push(vec![metric.name.into(), format!("{}{over}", metric.series)]);
    }
    table.write(out)
}

/// What was lost, not seen, and what made no sense; nothing, where all is well.
fn write_trouble(out: &mut impl Write, ran: &Ran) -> io::Result<()> {
    let totals = &ran.totals;
    let unseen = [("TLS", &totals.opaque_tls), ("io_uring", &totals.io_uring)];
    let all_seen = unseen.iter().all(|(_, programs)| programs.is_empty());
    let carriers = totals.diagnostics.get(&DiagnosticKind::Tls).copied().unwrap_or(0);
    let other = || totals.diagnostics.iter().filter(|(kind, _)| **kind != DiagnosticKind::Tls);
    let all_seen = all_seen && carriers <= totals.tls_seen;
    if totals.lost.is_empty() && other().next().is_none() && totals.late == 0 && all_seen {
        return Ok(());
    }
    writeln!(out)?;
    for (what, programs) in unseen.iter().filter(|(_, programs)| !programs.is_empty()) {
        let names: Vec<_> = programs.iter().map(|name| printable(name)).collect();
        writeln!(out, "not seen: {what} of {}", names.join(", "))?;
    }
    if carriers > totals.tls_seen {
        writeln!(out, "TLS: {}, {} of them seen into", Count(carriers, "connection"), totals.tls_seen)?;
    }
    for (cause, count) in &totals.lost {
        let lost = Count(*count, if cause.is_in_bytes() { "byte" } else { "record" });
        writeln!(out, "lost: {lost}, {}", cause.name())?;
    }
    if totals.late > 0 {
        writeln!(out, "late: {}", Count(totals.late, "event"))?;
    }
    other().try_for_each(|(kind, count)| writeln!(out, "{}: {count}", kind.name()))
}
