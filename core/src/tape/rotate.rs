//! Rotation: a recording in several files, each of which stands alone.

use std::io::{self, Write};

use super::index::{CloseReason, Totals};
use super::meta::{Meta, SetMember};
use super::outside::Outside;
use super::writer::{Writer, WriterOptions};
use crate::event::{Body, Event, Ext};
use crate::ids::Origin;
use crate::time::{ClockAnchor, MonoNanos};

/// When to go on in a new file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// When the file has reached this many bytes.
    pub bytes: Option<u64>,
    /// When the file's first event is this old, in nanoseconds of the tape's clock.
    pub nanos: Option<u64>,
}

/// Writes a rotated set: like a [`Writer`], but into one file after the other.
///
/// Each file has META with the set and its number, the latest reading of the clocks, a SNAPSHOT of the connections that are
/// open, and what was learned from outside. `open` makes the file of a number; it is given the file before, which is closed by then, so that it
/// can rename it, and delete the oldest of a ring.
pub struct RotatingWriter<W: Write, F> {
    meta: Meta,
    options: WriterOptions,
    rotation: Rotation,
    open: F,
    /// `None` after an error.
    writer: Option<Writer<W>>,
    number: u32,
    /// The time of the file's first event.
    began: Option<MonoNanos>,
    clock: Option<(Origin, ClockAnchor)>,
    outside: Outside,
}

impl<W: Write, F: FnMut(u32, Option<(Totals, W)>) -> io::Result<W>> RotatingWriter<W, F> {
    /// Begins a set with the file of number 0. `meta.tape` becomes the set's UUID; the files' own are derived from it.
    ///
    /// # Errors
    /// What `open` and the output report.
    pub fn new(meta: Meta, options: WriterOptions, rotation: Rotation, mut open: F) -> io::Result<Self> {
        let writer = Writer::new(open(0, None)?, &of_file(&meta, 0), options)?;
        Ok(Self {
            meta,
            options,
            rotation,
            open,
            writer: Some(writer),
            number: 0,
            began: None,
            clock: None,
            outside: Outside::default(),
        })
    }

    /// As [`Writer::push`].
    ///
    /// # Errors
    /// What `open` and the output report; as [`Writer::push`].
    pub fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        if let Body::Enrich(facts) = event.body {
            self.outside.learn(facts);
        } else if !event.body.is_entry() {
            let began = *self.began.get_or_insert(event.time);
            let full =
                self.rotation.bytes.is_some_and(|most| self.writer().is_ok_and(|file| file.bytes_written() >= most));
            let old = self.rotation.nanos.is_some_and(|most| event.time.since(began) >= most);
            if full || old {
                self.rotate(event.time)?;
            }
        }
        if let Body::Clock { origin, anchor } = event.body {
            self.clock = Some((origin, anchor));
        }
        self.writer()?.push(event)
    }

    /// The file that is being written: for everything else that a [`Writer`] can do.
    ///
    /// # Errors
    /// An earlier error.
    pub fn writer(&mut self) -> io::Result<&mut Writer<W>> {
        self.writer.as_mut().ok_or_else(|| io::Error::other("an earlier write to the tape failed"))
    }

    /// The number of the file that is being written.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Closes the file and goes on in the next.
    fn rotate(&mut self, time: MonoNanos) -> io::Result<()> {
        let Some(writer) = self.writer.take() else { return self.writer().map(drop) };
        let (totals, out, roster) = writer.close(CloseReason::Rotated)?;
        self.number += 1;
        let out = (self.open)(self.number, Some((totals, out)))?;
        let mut next = Writer::new(out, &of_file(&self.meta, self.number), self.options)?;
        next.inherit(roster);
        if let Some((origin, anchor)) = self.clock {
            let body = Body::Clock { origin, anchor };
            next.push(&Event { time, cpu: 0, seq: 0, late: false, body, ext: Ext::default() })?;
        }
        next.snapshot(time, [])?;
        self.outside.facts().try_for_each(|facts| next.enrich(time, facts))?;
        self.began = Some(time);
        self.writer = Some(next);
        Ok(())
    }

    /// Closes the last file.
    ///
    /// # Errors
    /// What the output reports.
    pub fn finish(mut self, reason: CloseReason) -> io::Result<(Totals, W)> {
        self.writer()?;
        match self.writer {
            Some(writer) => writer.finish(reason),
            None => Err(io::ErrorKind::Other.into()),
        }
    }
}

/// META of the file of this number.
fn of_file(meta: &Meta, number: u32) -> Meta {
    let mut seed = [0; 20];
    seed[..16].copy_from_slice(&meta.tape);
    seed[16..].copy_from_slice(&number.to_le_bytes());
    let tape = twox_hash::XxHash3_128::oneshot(&seed).to_le_bytes();
    Meta { tape, set: Some(SetMember { set: meta.tape, number }), ..meta.clone() }
}
