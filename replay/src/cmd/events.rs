//! `events`: a tape, event by event.

use std::io::{self, Write};

use redtape_core::edit::Known;
use redtape_core::tape::Block;
use redtape_core::tls::TieRule;
use redtape_core::{
    Body, ClockAnchor, ConnInfo, ConnKey, Data, DataFlags, Direction, Event, MonoNanos, ProcKey, ProcessInfo, Role,
    Stamp,
};

use super::event_bytes::write_hex;
use super::event_json::write_json;
use super::unwritable;
use crate::cli::Events;
use crate::edit::warn_of_forgotten;
use crate::failure::{Failure, Kind, Result};
use crate::input::{Tape, read_failure};
use crate::moment::Moment;
use crate::stdout::Output;
use crate::write::nanos;

pub(super) fn run(args: &Events, out: &mut Output) -> Result {
    for mut tape in Tape::open_all(&args.input.tapes)? {
        let opening = opening(&mut tape)?;
        let window = Window::of(args, &tape, &opening)?;
        let mut known = Known::default();
        opening.iter().try_for_each(|block| write_block(out, block, &window, args, &mut known))?;
        if opening.last().is_some_and(|block| window.from > block.last_time()) {
            tape.seek(window.from)?;
        }
        let mut block = Block::default();
        while !out.closed() && tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
            write_block(out, &block, &window, args, &mut known)?;
        }
        warn_of_forgotten(known.forgotten());
        Tape::check(&tape.name, tape.reader.report(), args.input.strict, false)?;
    }
    Ok(())
}

/// So many blocks at most stand before the first reading of the clocks.
const OPENING_BLOCKS: usize = 4;

/// The first blocks of a tape, up to the first reading of the clocks.
fn opening(tape: &mut Tape) -> Result<Vec<Block>> {
    let mut opening: Vec<Block> = Vec::new();
    while opening.len() < OPENING_BLOCKS && opening.iter().all(|block| anchor(block).is_none()) {
        let mut block = Block::default();
        if !tape.reader.read_block(&mut block).map_err(|error| read_failure(&tape.name, &error))? {
            break;
        }
        opening.push(block);
    }
    Ok(opening)
}

fn anchor(block: &Block) -> Option<ClockAnchor> {
    block.events().find_map(|event| match event.body {
        Body::Clock { anchor, .. } => Some(anchor),
        _ => None,
    })
}

fn write_block(out: &mut Output, block: &Block, window: &Window, args: &Events, known: &mut Known) -> Result {
    for event in block.events() {
        known.learn(&event);
        let subject = known.subject(&event);
        let in_time = window.from <= event.time && event.time <= window.to;
        let of_conn = || args.conn.is_empty() || args.conn.iter().any(|wanted| subject.is_of(wanted));
        let holds = || args.filter.as_ref().is_none_or(|(_, expr)| expr.holds(&subject));
        if in_time && of_conn() && holds() {
            let written = if args.json {
                write_json(out, &event, &subject, window.start, args.payload)
            } else {
                write_event(out, &event, window.start, args.payload).and_then(|()| match event.body {
                    Body::Data(data) if args.hex => write_hex(out, &data),
                    _ => Ok(()),
                })
            };
            written.map_err(unwritable)?;
        }
        known.forget(&event);
    }
    Ok(())
}

/// Which events are wanted.
struct Window {
    /// The time of the first event of the tape.
    start: MonoNanos,
    from: MonoNanos,
    to: MonoNanos,
}

impl Window {
    /// The window on a tape that begins with these blocks.
    fn of(args: &Events, tape: &Tape, opening: &[Block]) -> Result<Self> {
        let start = opening.iter().find_map(|block| block.events().next()).map_or(MonoNanos::ZERO, |event| event.time);
        let anchor = opening.iter().find_map(anchor);
        let on_tape = |moment: Option<Moment>, unset| {
            let Some(moment) = moment else { return Ok(unset) };
            moment.on(start, anchor).ok_or_else(|| {
                let message =
                    format!("{}: does not begin with the time of day; give an offset such as +1.5s", tape.name);
                Failure::message(Kind::Usage, message)
            })
        };
        Ok(Self { start, from: on_tape(args.from, MonoNanos::ZERO)?, to: on_tape(args.to, MonoNanos::MAX)? })
    }
}

/// One line: seconds since the first event, CPU and number, what happened.
pub(crate) fn write_event(out: &mut impl Write, event: &Event<'_>, start: MonoNanos, payload: bool) -> io::Result<()> {
    let since = event.time.since(start);
    write!(out, "{:>6}.{:09} {}#{} ", since / 1_000_000_000, since % 1_000_000_000, event.cpu, event.seq)?;
    if event.late {
        write!(out, "late ")?;
    }
    match event.body {
        Body::Accept { conn, process, stamp } => {
            write!(out, "accept {}{}", Conn(conn), Call(process, stamp))?;
        }
        Body::Arrival { conn, end, fin } => {
            write!(out, "arrival {} end={end}{}", Conn(conn), if fin { " fin" } else { "" })?;
        }
        Body::Clock { anchor, .. } => {
            write!(out, "clock wall={} boot={}", anchor.wall.unix_nanos(), anchor.boot_nanos)?;
        }
        Body::Close { conn } => write!(out, "close {}", Conn(conn))?,
        Body::Connect { conn, process, stamp, errno } => {
            write!(out, "connect {}{} errno={errno}", Conn(conn), Call(process, stamp))?;
        }
        Body::Connection(info) => write_connection(out, info)?,
        Body::Data(data) => write_data(out, &data, payload)?,
        Body::Enrich(facts) => write_facts(out, facts)?,
        Body::Exec { process } => write!(out, "exec {}", Proc(process))?,
        Body::Exit { process } => write!(out, "exit {}", Proc(process))?,
        Body::FdClose { conn, process, tid } => {
            write!(out, "fd-close {} {} tid={}", Conn(conn), Proc(process), tid.0)?;
        }
        Body::Loss(loss) => {
            let within = match loss.to {
                MonoNanos::MAX => "from here to the end".to_owned(),
                to => format!("within {}", nanos(to.since(loss.from))),
            };
            let unit = if loss.cause.is_in_bytes() { "bytes" } else { "records" };
            write!(out, "loss {} {} {unit} {within}", loss.cause.name(), loss.count)?;
        }
        Body::Process(info) => write_process(out, info)?,
        Body::Shutdown { conn, process, stamp, how } => {
            write!(out, "shutdown {}{} {how:?}", Conn(conn), Call(process, stamp))?;
        }
        Body::SocketError { conn, errno } => write!(out, "socket-error {} errno={errno}", Conn(conn))?,
        Body::Tick => write!(out, "tick")?,
        Body::TlsTie { conn, rule: TieRule::Contradicted, .. } => {
            write!(out, "tls-tie {} none: evidence is contradictory", Conn(conn))?;
        }
        Body::TlsTie { conn, carrier, rule } => {
            write!(out, "tls-tie {} carrier={carrier} by {}", Conn(conn), rule.name())?;
        }
    }
    writeln!(out)
}

fn write_facts(out: &mut impl Write, facts: &[(String, String)]) -> io::Result<()> {
    write!(out, "enrich")?;
    facts.iter().try_for_each(|(key, value)| write!(out, " {}={value:?}", key.escape_debug()))
}

fn write_data(out: &mut impl Write, data: &Data<'_>, payload: bool) -> io::Result<()> {
    let (arrow, name) = match data.direction {
        Direction::In => ("<", data.source.name()),
        Direction::Out => (">", data.source.name()),
    };
    let call = Call(data.process, data.stamp);
    write!(out, "{arrow} {name} {}{call} pos={} len={}", Conn(data.conn), data.pos, data.len)?;
    if let Some(arrived) = data.arrived {
        write!(out, " arrived={} before", nanos(data.stamp.exit.since(arrived)))?;
    }
    for (offset, bytes) in data.ranges.iter() {
        write!(out, " [{offset}+{}]", bytes.len())?;
        if payload {
            write!(out, " \"{}\"", bytes.escape_ascii())?;
        }
    }
    Ok(())
}

fn write_connection(out: &mut impl Write, info: &ConnInfo) -> io::Result<()> {
    let role = match info.role {
        Role::Client => "client",
        Role::Server => "server",
        Role::Unknown => "unknown",
    };
    write!(out, "connection {} {role} {} netns={}", Conn(info.key), Proc(info.process), info.netns)?;
    if let Some(endpoint) = info.endpoint {
        write!(out, " {} - {}", endpoint.local, endpoint.remote)?;
    }
    for (name, isn) in [("isn-local", info.isn_local), ("isn-remote", info.isn_remote)] {
        if let Some(isn) = isn {
            write!(out, " {name}={isn}")?;
        }
    }
    if let Some(library) = info.tls {
        write!(out, " tls={}", library.name())?;
    }
    if info.preexisting {
        write!(out, " preexisting in={} out={}", info.first_in, info.first_out)?;
    }
    Ok(())
}

fn write_process(out: &mut impl Write, info: &ProcessInfo) -> io::Result<()> {
    write!(out, "process {} pid={} comm={:?} exe={:?}", Proc(info.key), info.tgid.0, info.comm, info.exe)?;
    if !info.listening.is_empty() {
        write!(out, " listening={:?}", info.listening)?;
    }
    if info.io_uring {
        write!(out, " io_uring")?;
    }
    if info.opaque_tls {
        write!(out, " opaque_tls")?;
    }
    Ok(())
}

/// A connection's key, short enough to look for.
struct Conn(ConnKey);

impl std::fmt::Display for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{:08x}", self.0.get() >> 32)
    }
}

struct Proc(ProcKey);

impl std::fmt::Display for Proc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p{:08x}", self.0.get() >> 32)
    }
}

/// Who called, and for how long.
struct Call(ProcKey, Stamp);

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(process, stamp) = self;
        write!(f, " {} tid={} took={}", Proc(*process), stamp.tid.0, nanos(stamp.exit.since(stamp.entry)))?;
        for (flag, name) in [
            (DataFlags::NONBLOCKING, "nonblocking"),
            (DataFlags::PEEK, "peek"),
            (DataFlags::FAULT, "fault"),
            (DataFlags::POS_GUESSED, "pos-guessed"),
        ] {
            if stamp.flags.contains(flag) {
                write!(f, " {name}")?;
            }
        }
        if stamp.loop_turn > 0 {
            write!(f, " turn={}", stamp.loop_turn)?;
        }
        Ok(())
    }
}
