//! `slice`: a part of a tape.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use redtape_core::edit::{Census, CutCounts, Selection, Slicer};
use redtape_core::tape::Align;
use redtape_core::{Body, ClockMap, ConnKey, Count, Event, MonoNanos};

use super::output::OutputArgs;
use super::source::{Source, warn_of_forgotten};
use crate::cli::{Evidence, Input, Settings};
use crate::conn_name::conn_name;
use crate::failure::{Failure, Kind, Result};
use crate::moment::Moment;
use crate::settings;
use crate::write::{nanos, utc};

/// `slice`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("part").required(true).multiple(true)
    .args(["from", "to", "conn", "service", "trace", "first_requests"]))]
pub struct Slice {
    /// The tapes
    #[command(flatten)]
    pub input: Input,
    /// Where the new one goes
    #[command(flatten)]
    pub output: OutputArgs,
    /// From this moment on: RFC 3339, or an offset from the first event such as `+1.5s`
    #[arg(long, value_name = "TIME")]
    pub from: Option<Moment>,
    /// Up to this moment, in the same forms
    #[arg(long, value_name = "TIME")]
    pub to: Option<Moment>,
    /// This connection, as `events` shows it (`c1a2b3c4d`), or its number; may be given several times
    #[arg(long, value_name = "CONN", value_parser = conn_name)]
    pub conn: Vec<String>,
    /// The connections that carry requests of this service; may be given several times
    #[arg(long, value_name = "NAME")]
    pub service: Vec<String>,
    /// The connections that carry requests of this trace; may be given several times
    #[arg(long, value_name = "ID")]
    pub trace: Vec<String>,
    /// The first N requests, each as it was recorded at one end: their connections, each up to the end of the last of these
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub first_requests: Option<u32>,
    /// Configuration in Beyla's YAML, by which services are named; without it, the one on the tape is used
    #[arg(long, value_name = "FILE", env = "BEYLA_CONFIG_PATH")]
    pub config: Option<PathBuf>,
    /// No warnings and no summary
    #[arg(long, short)]
    pub quiet: bool,
}

pub(crate) fn run(args: &Slice) -> Result {
    for trace in &args.trace {
        if trace.len() != 32 || !trace.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Failure::message(
                Kind::Usage,
                format!("--trace {trace}: a trace id has 32 hexadecimal digits"),
            ));
        }
    }
    let chosen = choose(args)?;
    let mut source = Source::open(&args.input.tapes, Align::Clock, args.quiet)?;
    let (from, to) = source.moments(args.from, args.to)?;
    if from > to {
        return Err(Failure::message(Kind::Usage, "--from is after --to"));
    }
    let (conns, requests) = chosen.map_or((None, 0), |Chosen { conns, requests }| (Some(conns), requests));
    let to = conns.as_ref().and_then(|conns| conns.values().max().copied()).map_or(to, |end| end.min(to));
    let count = conns.as_ref().map(BTreeMap::len);
    let selection = Selection { from, to, conns };
    let new = args.output.create(&args.input.tapes)?;
    let options = new.tape_options();
    let (name, failed) = (new.name().to_owned(), new.failed());
    let what = format!("slice {selection:?}");
    let mut slicer = Slicer::new(&source.meta, &what, selection, new, options).map_err(&failed)?;
    let mut extent = Extent::default();
    while let Some(event) = source.next()? {
        // Of what has nothing in it yet, it is to be told how far the tape goes.
        if slicer.is_past(event.time) && !event.late && event.time < MonoNanos::MAX && !slicer.is_empty() {
            break;
        }
        extent.add(&event);
        slicer.push(&event).map_err(&failed)?;
    }
    let (cut, is_empty) = (slicer.counts(), slicer.is_empty());
    let (totals, new) = slicer.finish().map_err(&failed)?;
    source.check(args.input.strict, args.quiet)?;
    new.finish()?;
    if !args.quiet {
        let mut of = count.map_or_else(String::new, |count| format!(" of {}", Count(count as u64, "connection")));
        if args.first_requests.is_some() {
            of.push_str(&format!(", with {}", Count(requests, "request")));
        }
        eprintln!("{name}: {}{of}{}", Count(totals.events, "event"), said(cut));
        if is_empty {
            let what = if count.is_some() { "of what is chosen, nothing" } else { "nothing on the tape" };
            eprintln!("redtape: warning: {name}: {what} is in that time; the tape goes {extent}");
        }
        warn_of_forgotten(cut.forgotten);
    }
    Ok(())
}

/// When something happens on a tape.
#[derive(Default)]
struct Extent {
    times: Option<(MonoNanos, MonoNanos)>,
    clock: Option<ClockMap>,
}

impl Extent {
    fn add(&mut self, event: &Event<'_>) {
        if let Body::Clock { anchor, .. } = event.body {
            self.clock.get_or_insert_default().add(&anchor);
        }
        if !event.body.is_entry() {
            let (first, last) = self.times.get_or_insert((event.time, event.time));
            (*first, *last) = ((*first).min(event.time), (*last).max(event.time));
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, last)) = self.times else { return f.write_str("nowhere: it is empty") };
        let offset = nanos(last.since(first));
        match &self.clock {
            Some(clock) => {
                let [first, last] = [first, last].map(|time| utc(clock.wall(time).unix_nanos()));
                write!(f, "from {first} to {last}, which is +{offset}")
            }
            None => write!(f, "from +0s to +{offset}"),
        }
    }
}

/// What a slice has cut, in words.
fn said(cut: CutCounts) -> String {
    let CutCounts { connections, http2, http2_in_part, .. } = cut;
    if connections == 0 {
        return String::new();
    }
    let mut said = format!("; {} from before", Count(connections, "connection"));
    if http2 > 0 {
        said.push_str(&format!(", {http2} in HTTP/2"));
    }
    if http2_in_part > 0 {
        said.push_str(&format!(
            " ({http2_in_part} without all of their header tables: some later fields are not known)"
        ));
    }
    said
}

/// What a first reading of the tapes has chosen.
struct Chosen {
    /// The connections, and the end of the last of the first requests on each if these are asked for.
    conns: BTreeMap<ConnKey, MonoNanos>,
    /// How many of the first requests are on these.
    requests: u64,
}

/// The connections that are asked for, if any are: of each way to ask, all have to agree.
fn choose(args: &Slice) -> Result<Option<Chosen>> {
    let by_span = !args.service.is_empty() || !args.trace.is_empty() || args.first_requests.is_some();
    if args.conn.is_empty() && !by_span {
        return Ok(None);
    }
    if args.input.tapes.iter().any(|path| path == Path::new("-")) {
        let message = "standard input cannot be read twice, which choosing connections takes; write it to a file first";
        return Err(Failure::message(Kind::Usage, message));
    }
    let mut source = Source::open(&args.input.tapes, Align::Clock, true)?;
    let census = if by_span { Some(census(args, &source)?) } else { None };
    let survey = Survey::take(args, &mut source, census)?;
    survey.chosen(args).map(Some)
}

fn census(args: &Slice, source: &Source) -> Result<Census> {
    let settings =
        Settings { config: args.config.clone(), jobs: 1, ignore_traceparent: false, evidence: Evidence::Online };
    let config = settings::config(&settings, source.metas.first(), args.quiet)?;
    let mut census = Census::new(settings::options(&config, &settings)?);
    source.metas.iter().for_each(|meta| census.meta(meta));
    Ok(census)
}

/// What was found in the first reading.
#[derive(Default)]
struct Survey {
    conns: BTreeSet<ConnKey>,
    services: BTreeSet<ConnKey>,
    traces: BTreeSet<ConnKey>,
    /// When requests began, on which connections, and when they ended: the first of them.
    first: BTreeMap<(MonoNanos, ConnKey, u64), MonoNanos>,
    carriers: BTreeMap<ConnKey, ConnKey>,
    names: BTreeSet<String>,
}

impl Survey {
    fn take(args: &Slice, source: &mut Source, mut census: Option<Census>) -> Result<Self> {
        let mut survey = Self::default();
        while let Some(event) = source.next()? {
            if let Body::Connection(info) = event.body {
                let shown = format!("c{:08x}", info.key.get() >> 32);
                if args.conn.iter().any(|wanted| *wanted == shown || *wanted == info.id.to_string()) {
                    survey.conns.insert(info.key);
                }
            }
            if let Some(census) = &mut census {
                census.push(&event);
                survey.count(args, census);
            }
        }
        if let Some(mut census) = census {
            census.finish();
            survey.count(args, &mut census);
            if census.forgotten() > 0 && !args.quiet {
                let forgotten = Count(census.forgotten(), "exchange");
                eprintln!(
                    "redtape: warning: forgotten, as too many were held at once: {forgotten}; what they alone choose is left out"
                );
            }
            survey.carriers.clone_from(census.carriers());
        }
        Ok(survey)
    }

    fn count(&mut self, args: &Slice, census: &mut Census) {
        while let Some((conn, span)) = census.poll() {
            if args.service.iter().any(|service| **service == *span.service.name) {
                self.services.insert(conn);
            }
            if args.trace.iter().any(|trace| trace.eq_ignore_ascii_case(&span.trace_id.to_string())) {
                self.traces.insert(conn);
            }
            if !args.service.is_empty() && self.names.len() < 64 {
                self.names.insert(span.service.name.to_string());
            }
            if let Some(most) = args.first_requests {
                self.first.insert((span.start, conn, u64::from_be_bytes(span.span_id.0)), span.end);
                if self.first.len() > most as usize {
                    self.first.pop_last();
                }
            }
        }
    }

    /// What all ways to ask agree on.
    fn chosen(self, args: &Slice) -> Result<Chosen> {
        let mut ends: BTreeMap<ConnKey, MonoNanos> = BTreeMap::new();
        for ((_, conn, _), end) in &self.first {
            let last = ends.entry(*conn).or_default();
            *last = (*last).max(*end);
        }
        let first: BTreeSet<_> = ends.keys().copied().collect();
        let nothing = |what: String| Failure::message(Kind::Usage, format!("nothing on the tape is {what}"));
        let names = self.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let mut conns: Option<BTreeSet<ConnKey>> = None;
        for (asked, found, what) in [
            (!args.conn.is_empty(), self.conns, format!("connection {}", args.conn.join(", "))),
            (
                !args.service.is_empty(),
                self.services,
                format!("of service {}; there are: {names}", args.service.join(", ")),
            ),
            (!args.trace.is_empty(), self.traces, format!("of trace {}", args.trace.join(", "))),
            (args.first_requests.is_some(), first, "a request".to_owned()),
        ] {
            if !asked {
                continue;
            }
            if found.is_empty() {
                return Err(nothing(what));
            }
            conns = Some(conns.map_or_else(|| found.clone(), |before| before.intersection(&found).copied().collect()));
        }
        let chosen = conns.unwrap_or_default();
        if chosen.is_empty() {
            return Err(nothing("all that is asked for at once".to_owned()));
        }
        let requests = self.first.keys().filter(|(_, conn, _)| chosen.contains(conn)).count() as u64;
        let mut conns = BTreeMap::new();
        for conn in chosen {
            let end = ends.get(&conn).copied().unwrap_or(MonoNanos::MAX);
            conns.insert(conn, end);
            if let Some(carrier) = self.carriers.get(&conn) {
                let until = conns.entry(*carrier).or_default();
                *until = (*until).max(end);
            }
        }
        Ok(Chosen { conns, requests })
    }
}
