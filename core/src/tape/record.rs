//! Records: how one event stands in a block, and how it is read back without a copy.

use bincode::Decode;

use super::codec::{decode_head, encode, put_varint, take_bytes, take_size, take_u16, take_varint, unzigzag, zigzag};
use super::dictionary::Dictionary;
use super::format::MAX_RECORD;
use super::v1::{self, kind};
use crate::event::{Body, Data, DataFlags, Direction, Event, Ext, Loss, LossCause, Shutdown, Source, Stamp};
use crate::ids::{ConnKey, ProcKey, Tid};
use crate::ranges::Ranges;
use crate::time::{ClockAnchor, MonoNanos, WallNanos};
use crate::tls::TieRule;

/// The indices that a record refers to its block's dictionary by. Those that its kind does not have are 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refs {
    /// Counted from 0.
    pub(super) conn: u32,
    /// Counted from 1; 0 is an unknown process.
    pub(super) process: u32,
    /// Counted from 0.
    pub(super) origin: u32,
}

/// The number of the event's kind; `None` for dictionary entries, which are no records.
pub(super) const fn number(body: &Body<'_>) -> Option<u8> {
    Some(match body {
        Body::Accept { .. } => kind::ACCEPT,
        Body::Arrival { .. } => kind::ARRIVAL,
        Body::Clock { .. } => kind::CLOCK,
        Body::Close { .. } => kind::CLOSE,
        Body::Connect { .. } => kind::CONNECT,
        Body::Data(data) if data.source.is_tls() || data.arrived.is_some() => kind::TLS_DATA,
        Body::Data(_) => kind::DATA,
        Body::Exec { .. } => kind::EXEC,
        Body::Exit { .. } => kind::EXIT,
        Body::FdClose { .. } => kind::FD_CLOSE,
        Body::Loss(_) => kind::LOSS,
        Body::Shutdown { .. } => kind::SHUTDOWN,
        Body::SocketError { .. } => kind::SOCKET_ERROR,
        Body::Tick => kind::TICK,
        Body::TlsTie { .. } => kind::TLS_TIE,
        Body::Connection(_) | Body::Enrich(_) | Body::Process(_) => return None,
    })
}

/// The process that the event names, if its kind does.
pub(super) const fn process(body: &Body<'_>) -> Option<ProcKey> {
    match body {
        Body::Accept { process, .. }
        | Body::Connect { process, .. }
        | Body::Exec { process }
        | Body::Exit { process }
        | Body::FdClose { process, .. }
        | Body::Shutdown { process, .. } => Some(*process),
        Body::Data(data) => Some(data.process),
        _ => None,
    }
}

/// The payload that follows the head and the extensions.
pub(super) const fn payload<'a>(body: &Body<'a>) -> (&'a [u8], &'a [u8], &'a [u8]) {
    match body {
        Body::Data(data) => data.ranges.parts(),
        _ => (&[], &[], &[]),
    }
}

/// Appends the kind byte, the time and the head of `event`: its record without indices, extensions and payload.
pub(super) fn put_kind(event: &Event<'_>, number: u8, out: &mut Vec<u8>) {
    let ext = if event.ext.0.is_empty() { 0 } else { kind::HAS_EXT };
    let late = if event.late { kind::LATE } else { 0 };
    out.push(number | ext | late);
}

/// Appends all of the record but its length and its payload. Returns where in `out` what [`put_head`] appends begins.
pub(super) fn put_record(event: &Event<'_>, number: u8, previous: u64, refs: Refs, out: &mut Vec<u8>) -> usize {
    put_kind(event, number, out);
    put_varint(zigzag(event.time.nanos().wrapping_sub(previous).cast_signed()), out);
    put_varint(u64::from(event.cpu), out);
    put_varint(event.seq, out);
    if kind::of_connection(number) {
        put_varint(u64::from(refs.conn), out);
    }
    if kind::of_process(number) {
        put_varint(u64::from(refs.process), out);
    }
    if number == kind::CLOCK {
        put_varint(u64::from(refs.origin), out);
    }
    let head = out.len();
    put_head(event, out);
    head
}

/// Appends the head, and the extensions behind their length, if there are any.
pub(super) fn put_head(event: &Event<'_>, out: &mut Vec<u8>) {
    let time = event.time;
    match event.body {
        Body::Accept { stamp, .. } => encode(&stamp_head(stamp, time), out),
        Body::Arrival { end, fin, .. } => encode(&v1::Arrival { end, fin }, out),
        Body::Clock { anchor, .. } => encode(
            &v1::Clock {
                mono: anchor.mono.nanos(),
                boot_nanos: anchor.boot_nanos,
                wall: anchor.wall.unix_nanos(),
                uncertainty_nanos: anchor.uncertainty_nanos,
            },
            out,
        ),
        Body::Connect { stamp, errno, .. } => encode(&v1::Connect { stamp: stamp_head(stamp, time), errno }, out),
        Body::Data(data) => {
            encode(&data_head(&data, time), out);
            if number(&event.body) == Some(kind::TLS_DATA) {
                let before = |at: MonoNanos| time.nanos().wrapping_sub(at.nanos()).cast_signed();
                encode(&v1::TlsData { arrived_before: data.arrived.map(before) }, out);
            }
        }
        Body::FdClose { tid, .. } => encode(&v1::FdClose { tid: tid.0 }, out),
        Body::Loss(loss) => encode(
            &v1::Loss { cause: loss.cause as u8, count: loss.count, from: loss.from.nanos(), to: loss.to.nanos() },
            out,
        ),
        Body::Shutdown { stamp, how, .. } => {
            let how = match how {
                Shutdown::Read => 0,
                Shutdown::Write => 1,
                Shutdown::Both => 2,
            };
            encode(&v1::Shutdown { stamp: stamp_head(stamp, time), how }, out);
        }
        Body::SocketError { errno, .. } => encode(&v1::SocketError { errno }, out),
        Body::TlsTie { carrier, rule, .. } => encode(&v1::TlsTie { carrier, rule: rule as u8 }, out),
        Body::Close { .. }
        | Body::Connection(_)
        | Body::Exec { .. }
        | Body::Exit { .. }
        | Body::Enrich(_)
        | Body::Process(_)
        | Body::Tick => {}
    }
    if !event.ext.0.is_empty() {
        put_varint(event.ext.0.len() as u64, out);
        out.extend_from_slice(event.ext.0);
    }
}

fn data_head(data: &Data<'_>, time: MonoNanos) -> v1::Data {
    let (prefix, table, _) = data.ranges.parts();
    v1::Data {
        stamp: stamp_head(data.stamp, time),
        direction: match data.direction {
            Direction::In => 0,
            Direction::Out => 1,
        },
        source: data.source as u8,
        pos: data.pos,
        len: data.len,
        prefix: u32::try_from(prefix.len()).unwrap_or(u32::MAX),
        pieces: u32::try_from(table.len() / 8).unwrap_or(u32::MAX),
    }
}

fn stamp_head(stamp: Stamp, time: MonoNanos) -> v1::Stamp {
    let Stamp { tid, flags, loop_turn, entry, exit } = stamp;
    let time = time.nanos();
    v1::Stamp {
        tid: tid.0,
        flags: flags.0,
        loop_turn,
        entry_before: time.wrapping_sub(entry.nanos()).cast_signed(),
        exit_after: exit.nanos().wrapping_sub(time).cast_signed(),
    }
}

/// A record whose place among others is known, and whose head is not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) number: u8,
    has_ext: bool,
    late: bool,
    pub(super) time: u64,
    cpu: u16,
    seq: u64,
    /// For events of connections.
    pub(super) conn: usize,
    rest: &'a [u8],
}

/// Takes the next record's bytes from the front of `bytes`.
#[inline]
pub(super) fn take_record<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_size(bytes)?;
    if len > MAX_RECORD {
        return None;
    }
    take_bytes(bytes, len)
}

impl<'a> RawRecord<'a> {
    /// Reads the fixed part of a record; `previous` is the time of the record before.
    #[inline]
    pub(super) fn parse(mut bytes: &'a [u8], previous: u64) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        bytes = rest;
        let number = first & kind::NUMBER;
        let time = previous.wrapping_add_signed(unzigzag(take_varint(&mut bytes)?));
        let cpu = take_u16(&mut bytes)?;
        let seq = take_varint(&mut bytes)?;
        let conn = if kind::of_connection(number) { take_size(&mut bytes)? } else { 0 };
        let (has_ext, late) = (first & kind::HAS_EXT != 0, first & kind::LATE != 0);
        Some(Self { number, has_ext, late, time, cpu, seq, conn, rest: bytes })
    }

    /// Reads the rest. Also returns the index of the process it names, 0 if none.
    ///
    /// `Err` is a record that does not hold what its kind says; `Ok(None)` is one of a kind that is not known.
    #[inline]
    pub(super) fn decode(&self, dictionary: &'a Dictionary) -> Result<Option<(Event<'a>, usize)>, Malformed> {
        if matches!(self.number, kind::DATA | kind::TLS_DATA) {
            return self.decode_data(dictionary).map(Some).ok_or(Malformed);
        }
        self.decode_other(dictionary).ok_or(Malformed)
    }

    #[inline]
    fn decode_data(&self, dictionary: &'a Dictionary) -> Option<(Event<'a>, usize)> {
        let mut bytes = self.rest;
        let conn = dictionary.conn_key(self.conn)?;
        let index = take_size(&mut bytes)?;
        let process = dictionary.process_key(index)?;
        let head = v1::Data::take(&mut bytes)?;
        let arrived = if self.number == kind::TLS_DATA { self.take_arrived(&mut bytes)? } else { None };
        let ext = self.take_ext(&mut bytes)?;
        let direction = match head.direction {
            0 => Direction::In,
            1 => Direction::Out,
            _ => return None,
        };
        let (pos, len, stamp) = (head.pos, head.len, self.stamp(&head.stamp));
        let ranges = take_ranges(bytes, &head)?;
        let source = Source::from_number(head.source);
        let data = Data { conn, process, stamp, direction, source, pos, len, arrived, ranges };
        Some((self.event(Body::Data(data), ext), index))
    }

    fn decode_other(&self, dictionary: &'a Dictionary) -> Option<Option<(Event<'a>, usize)>> {
        let mut bytes = self.rest;
        let conn = if kind::of_connection(self.number) { dictionary.conn_key(self.conn)? } else { ConnKey::default() };
        let index = if kind::of_process(self.number) { take_size(&mut bytes)? } else { 0 };
        let process = dictionary.process_key(index)?;
        let Some(body) = self.take_body(&mut bytes, dictionary, conn, process)? else { return Some(None) };
        let ext = self.take_ext(&mut bytes)?;
        bytes.is_empty().then(|| Some((self.event(body, ext), index)))
    }

    fn take_arrived(&self, bytes: &mut &'a [u8]) -> Option<Option<MonoNanos>> {
        let v1::TlsData { arrived_before } = take_head(bytes)?;
        Some(arrived_before.map(|before| MonoNanos::new(self.time.wrapping_sub(before.cast_unsigned()))))
    }

    #[inline]
    fn event(&self, body: Body<'a>, ext: Ext<'a>) -> Event<'a> {
        Event { time: MonoNanos::new(self.time), cpu: self.cpu, seq: self.seq, late: self.late, body, ext }
    }

    #[inline]
    fn take_ext(&self, bytes: &mut &'a [u8]) -> Option<Ext<'a>> {
        if !self.has_ext {
            return Some(Ext::default());
        }
        let len = take_size(bytes)?;
        take_bytes(bytes, len).map(Ext)
    }

    /// Takes the head. `None` is malformed, `Some(None)` is of a kind that is not known.
    fn take_body(
        &self,
        bytes: &mut &'a [u8],
        dictionary: &Dictionary,
        conn: ConnKey,
        process: ProcKey,
    ) -> Option<Option<Body<'a>>> {
        Some(Some(match self.number {
            kind::ACCEPT => Body::Accept { conn, process, stamp: self.stamp(&take_head(bytes)?) },
            kind::ARRIVAL => {
                let v1::Arrival { end, fin } = take_head(bytes)?;
                Body::Arrival { conn, end, fin }
            }
            kind::CLOCK => {
                let origin = dictionary.origin(take_size(bytes)?)?;
                let v1::Clock { mono, boot_nanos, wall, uncertainty_nanos } = take_head(bytes)?;
                let (mono, wall) = (dictionary.shifted(mono), WallNanos::new(wall));
                Body::Clock { origin, anchor: ClockAnchor { mono, boot_nanos, wall, uncertainty_nanos } }
            }
            kind::CLOSE => Body::Close { conn },
            kind::CONNECT => {
                let v1::Connect { stamp, errno } = take_head(bytes)?;
                Body::Connect { conn, process, stamp: self.stamp(&stamp), errno }
            }
            kind::EXEC => Body::Exec { process },
            kind::EXIT => Body::Exit { process },
            kind::FD_CLOSE => {
                let v1::FdClose { tid } = take_head(bytes)?;
                Body::FdClose { conn, process, tid: Tid(tid) }
            }
            kind::LOSS => {
                let v1::Loss { cause, count, from, to } = take_head(bytes)?;
                let (from, to) = (dictionary.shifted(from), dictionary.shifted(to));
                Body::Loss(Loss { cause: LossCause::from_number(cause), count, from, to, origin: None })
            }
            kind::SHUTDOWN => {
                let v1::Shutdown { stamp, how } = take_head(bytes)?;
                let how = match how {
                    0 => Shutdown::Read,
                    1 => Shutdown::Write,
                    2 => Shutdown::Both,
                    _ => return None,
                };
                Body::Shutdown { conn, process, stamp: self.stamp(&stamp), how }
            }
            kind::SOCKET_ERROR => {
                let v1::SocketError { errno } = take_head(bytes)?;
                Body::SocketError { conn, errno }
            }
            kind::TICK => Body::Tick,
            kind::TLS_TIE => {
                let v1::TlsTie { carrier, rule } = take_head(bytes)?;
                Body::TlsTie { conn, carrier, rule: TieRule::from_number(rule) }
            }
            _ => return Some(None),
        }))
    }

    #[inline]
    fn stamp(&self, head: &v1::Stamp) -> Stamp {
        Stamp {
            tid: Tid(head.tid),
            flags: DataFlags(head.flags),
            loop_turn: head.loop_turn,
            entry: MonoNanos::new(self.time.wrapping_sub(head.entry_before.cast_unsigned())),
            exit: MonoNanos::new(self.time.wrapping_add_signed(head.exit_after)),
        }
    }
}

/// Takes a head from the front of `bytes`.
#[inline]
fn take_head<T: Decode<()>>(bytes: &mut &[u8]) -> Option<T> {
    let (head, rest) = decode_head(bytes)?;
    *bytes = rest;
    Some(head)
}

/// The payload, which is all that is left of the record.
#[inline]
fn take_ranges<'a>(mut bytes: &'a [u8], head: &v1::Data) -> Option<Ranges<'a>> {
    let prefix = take_bytes(&mut bytes, usize::try_from(head.prefix).ok()?)?;
    let table = take_bytes(&mut bytes, usize::try_from(head.pieces).ok()?.checked_mul(8)?)?;
    Ranges::from_parts(prefix, table, bytes, head.len)
}

/// A record does not hold what its kind says, although its block's checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;
