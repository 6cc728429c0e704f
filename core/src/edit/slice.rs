//! A part of a tape that decodes by itself: some connections, some time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Write};

use crate::event::{Body, Data, Direction, Event, Ext, Loss};
use crate::facts::{ConnInfo, ProcessInfo};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::limits::{EDIT_KNOWN, EDIT_LOSSES};
use crate::tape::{CloseReason, Meta, Outside, Totals, Writer, WriterOptions};
use crate::time::{ClockAnchor, MonoNanos};

/// What a slice has of a tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Events from this moment on.
    pub from: MonoNanos,
    /// Events up to this moment.
    pub to: MonoNanos,
    /// Of these connections, and those that carry them; `None` for all.
    pub conns: Option<BTreeSet<ConnKey>>,
}

impl Selection {
    /// Everything.
    pub const ALL: Self = Self { from: MonoNanos::ZERO, to: MonoNanos::MAX, conns: None };
}

/// Writes a slice.
///
/// What a reader has to know of the time before comes first: the clock, the processes, what was learned from outside, and the connections that are
/// open. Those begin in their middle, at the positions that their streams have come to. What the slice has of a connection after that is what
/// the whole has.
pub struct Slicer<W: Write> {
    selection: Selection,
    writer: Writer<W>,
    begun: bool,
    before: Before,
    /// Connections that are cut at the beginning: where their streams begin.
    cut: BTreeMap<ConnKey, (u64, u64)>,
}

/// What is known of the time before the slice.
#[derive(Debug, Default)]
struct Before {
    open: BTreeMap<ConnKey, Box<ConnInfo>>,
    processes: BTreeMap<ProcKey, Box<ProcessInfo>>,
    /// The first reading of the clocks of each recording: times of day go by it.
    clocks: BTreeMap<Origin, ClockAnchor>,
    outside: Outside,
    /// The latest losses, which may concern the time of the slice.
    losses: VecDeque<Loss>,
}

impl<W: Write> Slicer<W> {
    /// Begins a slice of the tape with this META; `what` says in words what of it.
    ///
    /// # Errors
    /// What the output reports.
    pub fn new(meta: &Meta, what: &str, selection: Selection, out: W, options: WriterOptions) -> io::Result<Self> {
        let writer = Writer::new(out, &meta.of_part(what), options)?;
        let (begun, before) = (selection.from == MonoNanos::ZERO, Before::default());
        Ok(Self { selection, writer, begun, before, cut: BTreeMap::new() })
    }

    /// Takes the next event of the tape.
    ///
    /// # Errors
    /// What the output reports.
    pub fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        let Selection { from, to, .. } = self.selection;
        if !self.begun && event.time >= from {
            self.begin(event.time.max(from))?;
        }
        if !self.begun {
            self.before.learn(event);
            return Ok(());
        }
        let in_time = event.body.is_entry() || (from <= event.time && event.time <= to);
        if !in_time || event.body.conn().is_some_and(|conn| !self.wants(conn)) {
            return Ok(());
        }
        match event.body {
            Body::Connection(info) if self.cut.contains_key(&info.key) => {
                let info = self.as_cut(info);
                self.writer.push(&Event { body: Body::Connection(&info), ..*event })
            }
            Body::Enrich(_) if event.time > to => Ok(()),
            _ => self.writer.push(event),
        }
    }

    /// Whether nothing that is still to come belongs to the slice, but for events that are late.
    pub fn is_past(&self, time: MonoNanos) -> bool {
        time > self.selection.to
    }

    fn wants(&self, conn: ConnKey) -> bool {
        self.selection.conns.as_ref().is_none_or(|conns| conns.contains(&conn))
    }

    /// An entry of a connection that is cut.
    fn as_cut(&self, info: &ConnInfo) -> ConnInfo {
        let (first_in, first_out) = self.cut.get(&info.key).copied().unwrap_or((info.first_in, info.first_out));
        ConnInfo { preexisting: true, first_in, first_out, ..info.clone() }
    }

    /// The slice begins: says what is known of the time before.
    fn begin(&mut self, time: MonoNanos) -> io::Result<()> {
        self.begun = true;
        let before = std::mem::take(&mut self.before);
        for (&origin, &anchor) in &before.clocks {
            self.writer.push(&retold(time, Body::Clock { origin, anchor }))?;
        }
        for info in before.processes.values() {
            self.writer.push(&retold(time, Body::Process(info)))?;
        }
        for (&key, info) in before.open.iter().filter(|(key, _)| self.wants(**key)).collect::<Vec<_>>() {
            self.cut.insert(key, (info.first_in, info.first_out));
            let info = self.as_cut(info);
            self.writer.push(&retold(time, Body::Connection(&info)))?;
        }
        self.writer.snapshot(time, [])?;
        for facts in before.outside.facts() {
            self.writer.enrich(time, facts)?;
        }
        let concerning = before.losses.iter().filter(|loss| loss.to >= self.selection.from);
        concerning.into_iter().try_for_each(|loss| self.writer.push(&retold(time, Body::Loss(*loss))))
    }

    /// Completes the slice.
    ///
    /// # Errors
    /// What the output reports.
    pub fn finish(mut self) -> io::Result<(Totals, W)> {
        if !self.begun {
            self.begin(self.selection.from)?;
        }
        self.writer.finish(CloseReason::Done)
    }
}

/// What is known, said at `time`.
const fn retold(time: MonoNanos, body: Body<'_>) -> Event<'_> {
    Event { time, cpu: 0, seq: 0, late: false, body, ext: Ext(&[]) }
}

impl Before {
    fn learn(&mut self, event: &Event<'_>) {
        match event.body {
            Body::Clock { origin, anchor } => {
                self.clocks.entry(origin).or_insert(anchor);
            }
            Body::Close { conn } => {
                self.open.remove(&conn);
            }
            Body::Connection(info) if self.open.len() < EDIT_KNOWN || self.open.contains_key(&info.key) => {
                let known = self.open.entry(info.key).or_insert_with(|| Box::new(info.clone()));
                // How far its streams have come is known from its calls.
                let (first_in, first_out) = (known.first_in, known.first_out);
                **known = ConnInfo { first_in, first_out, ..info.clone() };
            }
            Body::Data(data) => self.move_on(&data),
            Body::Enrich(facts) => self.outside.learn(facts),
            Body::Exit { process } => {
                self.processes.remove(&process);
            }
            Body::Loss(loss) => {
                self.losses.push_back(loss);
                if self.losses.len() > EDIT_LOSSES {
                    self.losses.pop_front();
                }
            }
            Body::Process(info) if self.processes.len() < EDIT_KNOWN || self.processes.contains_key(&info.key) => {
                self.processes.insert(info.key, Box::new(info.clone()));
            }
            _ => {}
        }
    }

    fn move_on(&mut self, data: &Data<'_>) {
        if let Some(info) = self.open.get_mut(&data.conn) {
            let first = match data.direction {
                Direction::In => &mut info.first_in,
                Direction::Out => &mut info.first_out,
            };
            *first = (*first).max(data.pos.saturating_add(data.len));
        }
    }
}
