//! A part of a tape that decodes by itself: some connections, some time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::before::{Before, Cut};
use crate::event::{Body, Event, Ext};
use crate::facts::ConnInfo;
use crate::ids::ConnKey;
use crate::tape::{CloseReason, Meta, Totals, Writer, WriterOptions};
use crate::time::MonoNanos;

/// What a slice has of a tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Events from this moment on.
    pub from: MonoNanos,
    /// Events up to this moment.
    pub to: MonoNanos,
    /// Of these connections, and those that carry them, each up to its moment; `None` for all.
    pub conns: Option<BTreeMap<ConnKey, MonoNanos>>,
}

impl Selection {
    /// Everything.
    pub const ALL: Self = Self { from: MonoNanos::ZERO, to: MonoNanos::MAX, conns: None };

    /// Up to when events of this connection, or of none, are wanted; `None` if not at all.
    fn until(&self, conn: Option<ConnKey>) -> Option<MonoNanos> {
        match (&self.conns, conn) {
            (Some(conns), Some(conn)) => conns.get(&conn).map(|until| self.to.min(*until)),
            _ => Some(self.to),
        }
    }
}

/// Writes a slice.
///
/// What a reader has to know of the time before comes first: the clock, the processes, what was learned from outside, and the connections that are
/// open. Those begin in their middle, at the positions that their streams have come to; in HTTP/2 with the header tables and the frames that they are
/// in the middle of ([`Cut`]). What the slice has of a connection after that is what the whole has.
pub struct Slicer<W: Write> {
    selection: Selection,
    writer: Writer<W>,
    begun: bool,
    is_empty: bool,
    before: Before,
    /// Connections that are cut at the beginning: where their streams begin.
    cut: BTreeMap<ConnKey, CutAt>,
    counts: CutCounts,
}

/// How an entry of a connection that is cut differs from the whole's.
#[derive(Clone, Copy, Debug)]
struct CutAt {
    preexisting: bool,
    first_in: u64,
    first_out: u64,
}

/// What a slice cuts at its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutCounts {
    /// Connections that were open.
    pub connections: u64,
    /// Those in HTTP/2.
    pub http2: u64,
    /// Those of them whose header tables could not be carried over, or not whole: what later requests take from there is not known.
    pub http2_in_part: u64,
    /// Connections and processes of the time before of which nothing was known any more, as there were too many.
    pub forgotten: u64,
}

impl<W: Write> Slicer<W> {
    /// Begins a slice of the tape with this META; `what` says in words what of it.
    ///
    /// # Errors
    /// What the output reports.
    pub fn new(meta: &Meta, what: &str, selection: Selection, out: W, options: WriterOptions) -> io::Result<Self> {
        let writer = Writer::new(out, &meta.of_part(what), options)?;
        let (begun, before) = (selection.from == MonoNanos::ZERO, Before::default());
        Ok(Self {
            selection,
            writer,
            begun,
            is_empty: true,
            before,
            cut: BTreeMap::new(),
            counts: CutCounts::default(),
        })
    }

    /// Takes the next event of the tape.
    ///
    /// # Errors
    /// What the output reports.
    pub fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        let (from, conn) = (self.selection.from, event.body.conn());
        if !self.begun && event.time >= from {
            self.begin(event.time.max(from))?;
        }
        let Some(until) = self.selection.until(conn) else { return Ok(()) };
        if !self.begun {
            self.before.learn(event);
            return Ok(());
        }
        if !event.body.is_entry() {
            if !(from..=until).contains(&event.time) {
                return Ok(());
            }
            self.is_empty &= self.selection.conns.is_some() && conn.is_none();
        }
        match event.body {
            Body::Connection(info) if self.cut.contains_key(&info.key) => {
                let info = self.as_cut(info);
                self.writer.push(&Event { body: Body::Connection(&info), ..*event })
            }
            Body::Enrich(_) if event.time > until => Ok(()),
            _ => self.writer.push(event),
        }
    }

    /// Whether nothing that is still to come belongs to the slice, but for events that are late.
    pub fn is_past(&self, time: MonoNanos) -> bool {
        time > self.selection.to
    }

    /// An entry of a connection that is cut.
    fn as_cut(&self, info: &ConnInfo) -> ConnInfo {
        let Some(&CutAt { preexisting, first_in, first_out }) = self.cut.get(&info.key) else { return info.clone() };
        ConnInfo { preexisting, first_in, first_out, ..info.clone() }
    }

    /// The slice begins: says what is known of the time before.
    fn begin(&mut self, time: MonoNanos) -> io::Result<()> {
        self.begun = true;
        let before = std::mem::take(&mut self.before);
        for (&origin, &anchor) in &before.clocks {
            self.writer.push(&retold(time, Body::Clock { origin, anchor }))?;
        }
        for (_, info) in before.processes.sorted() {
            self.writer.push(&retold(time, Body::Process(info)))?;
        }
        let open: Vec<_> = before.open.sorted().into_iter().map(|(_, open)| Cut::of(open, &before.stage1)).collect();
        for cut in &open {
            let ConnInfo { preexisting, first_in, first_out, .. } = cut.info;
            self.cut.insert(cut.info.key, CutAt { preexisting, first_in, first_out });
            self.writer.push(&retold(time, Body::Connection(&cut.info)))?;
        }
        self.writer.snapshot(time, [])?;
        for facts in before.outside.facts() {
            self.writer.enrich(time, facts)?;
        }
        for loss in before.losses.iter().filter(|loss| loss.to >= self.selection.from) {
            self.writer.push(&retold(time, Body::Loss(*loss)))?;
        }
        for cut in &open {
            cut.events(time).iter().try_for_each(|event| self.writer.push(&event.as_event()))?;
        }
        let http2 = || open.iter().filter(|cut| cut.http2);
        self.counts = CutCounts {
            connections: open.len() as u64,
            http2: http2().count() as u64,
            http2_in_part: http2().filter(|cut| !cut.is_whole()).count() as u64,
            forgotten: before.open.forgotten() + before.processes.forgotten(),
        };
        Ok(())
    }

    /// Whether nothing has happened in its time, or on its connections if these are chosen.
    pub const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// What was cut at the beginning, once the slice has begun.
    pub const fn counts(&self) -> CutCounts {
        self.counts
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
