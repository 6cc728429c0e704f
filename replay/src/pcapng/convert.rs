//! Events of a tape to packets.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;

use redtape_core::tape::{CloseReason, Meta, Writer, WriterOptions};
use redtape_core::{Body, ClockMap, ConnInfo, ConnKey, Data, Direction, Event, Origin, ProcKey, Ranges, Shutdown};
use rustc_hash::FxHashMap;

use super::decode_as::Protocols;
use super::file::File;
use super::frame::{Frame, MAX_PAYLOAD, flag};
use super::local::Place;
use super::talk::{Talk, canonical, index};
use crate::import::TapeBytes;

/// Bytes of packets that wait for their piece of the tape.
const PIECE_BYTES: usize = 1 << 20;

/// Events of one piece of the tape.
const PIECE_EVENTS: u64 = 4 << 10;

/// Connections and processes that are known; beyond, all are forgotten, as every block of a tape tells of them anew.
const KNOWN: usize = 64 << 10;

/// As many bytes in a row, of which none was captured, become packets; more are left out, as if they had been lost.
const MAX_UNCAPTURED: u64 = 1 << 20;

/// What an export wrote.
#[derive(Debug, Default)]
pub(super) struct Exported {
    pub(super) packets: u64,
    pub(super) connections: u64,
    /// Connections of which only TLS records were recorded.
    pub(super) encrypted: u64,
    /// What servers speak, by port.
    pub(super) protocols: Protocols,
    lost: u64,
}

/// Converts events.
pub(super) struct Converter<W: Write> {
    file: File<W>,
    tape: Writer<TapeBytes>,
    tape_bytes: TapeBytes,
    /// The names of hosts.
    hosts: Vec<(Origin, String)>,
    clocks: FxHashMap<Origin, ClockMap>,
    talks: FxHashMap<ConnKey, (Talk, Origin)>,
    /// The end of each connection that is shown, by both addresses in order.
    shown: FxHashMap<[SocketAddr; 2], ConnKey>,
    processes: FxHashMap<ProcKey, String>,
    events: u64,
    exported: Exported,
    time: u64,
}

impl<W: Write> Converter<W> {
    pub(super) fn new(file: File<W>, meta: &Meta) -> io::Result<Self> {
        let tape_bytes = TapeBytes::default();
        // Compressed, and cut where packets are.
        let options = WriterOptions { block_nanos: u64::MAX, ..WriterOptions::FILE };
        Ok(Self {
            file,
            tape: Writer::new(tape_bytes.clone(), meta, options)?,
            tape_bytes,
            hosts: meta.hosts().map(|(origin, host)| (origin, host.to_owned())).collect(),
            clocks: FxHashMap::default(),
            talks: FxHashMap::default(),
            shown: FxHashMap::default(),
            processes: FxHashMap::default(),
            events: 0,
            exported: Exported::default(),
            time: 0,
        })
    }

    /// Takes an event.
    pub(super) fn push(&mut self, event: &Event<'_>) -> io::Result<()> {
        let body = match event.body {
            Body::Data(data) if !self.is_records(&data) => Body::Data(Data { ranges: Ranges::EMPTY, ..data }),
            body => body,
        };
        self.tape.push(&Event { body, ..*event })?;
        match event.body {
            Body::Clock { origin, anchor } => self.clocks.entry(origin).or_default().add(&anchor),
            Body::Process(process) => {
                if self.processes.len() >= KNOWN {
                    self.processes.clear();
                }
                let mut text = format!("pid={} comm={}", process.tgid.0, process.comm);
                if !process.exe.is_empty() {
                    let _ = write!(text, " exe={}", process.exe);
                }
                self.processes.insert(process.key, text);
            }
            Body::Connection(info) => self.connection(info)?,
            Body::Loss(loss) => self.exported.lost = self.exported.lost.saturating_add(loss.count),
            body => {
                if let Some(conn) = body.conn() {
                    self.told(conn, event)?;
                }
            }
        }
        if !event.body.is_entry() {
            self.events += 1;
            if self.events.is_multiple_of(PIECE_EVENTS) || self.file.waiting_bytes() > PIECE_BYTES {
                self.piece()?;
            }
        }
        Ok(())
    }

    /// Ends the export. Gives the output back, and says what it has.
    pub(super) fn finish(mut self, whole: bool, remark: impl FnOnce(&Exported) -> String) -> io::Result<(Exported, W)> {
        self.piece()?;
        if whole {
            self.tape.finish(CloseReason::Done)?;
            let mut bytes = Vec::new();
            self.tape_bytes.take(&mut bytes);
            self.file.tape(&bytes)?;
        }
        let remark = remark(&self.exported);
        let out = self.file.finish(self.time, self.exported.lost, &remark)?;
        Ok((self.exported, out))
    }

    /// Whether a call is of a connection that carries TLS records, as its first one tells. Those become no packets, so their payload stays
    /// on the tape.
    fn is_records(&mut self, data: &Data<'_>) -> bool {
        let Some((talk, _)) = self.talks.get_mut(&data.conn) else { return false };
        let (prefix, ..) = data.ranges.parts();
        if !talk.has_data && matches!(prefix, [20..=24, 3, 0..=4, ..]) {
            self.exported.encrypted += u64::from(!talk.is_records);
            talk.is_records = true;
        }
        talk.is_records
    }

    /// Writes what waits.
    fn piece(&mut self) -> io::Result<()> {
        self.tape.flush()?;
        let mut bytes = Vec::new();
        self.tape_bytes.take(&mut bytes);
        self.file.tape(&bytes)
    }

    fn connection(&mut self, info: &ConnInfo) -> io::Result<()> {
        if self.talks.contains_key(&info.key) {
            return Ok(());
        }
        if self.talks.len() >= KNOWN {
            self.talks.clear();
            self.shown.clear();
        }
        let host = self.hosts.iter().find(|(origin, _)| *origin == info.origin).map_or("", |(_, host)| host);
        let source = if info.tls.is_some() { "tls" } else { "tcp" };
        let name = if host.is_empty() { source.to_owned() } else { format!("{host} {source}") };
        let interface = self.file.interface(&name)?;
        let mut talk = Talk::new(info, interface);
        // The plaintext of a TLS connection has the addresses of the connection that carries it, of which nothing is shown.
        if info.endpoint.is_some() {
            let shown = *self.shown.entry(addresses(&talk)).or_insert(info.key);
            let other = self.talks.get(&shown).map(|(other, _)| *other);
            let mirrored = |other: Talk| canonical(other.local) == canonical(talk.remote);
            talk.is_other_end = shown != info.key && other.is_some_and(mirrored);
            if !talk.is_other_end {
                self.shown.insert(addresses(&talk), info.key);
            }
        }
        self.talks.insert(info.key, (talk, info.origin));
        Ok(())
    }

    /// An event of a connection.
    fn told(&mut self, conn: ConnKey, event: &Event<'_>) -> io::Result<()> {
        let Some((mut talk, origin)) = self.talks.get(&conn).copied() else { return Ok(()) };
        let wall = self.clocks.get(&origin).copied().unwrap_or_default().wall(event.time);
        let time = wall.unix_nanos();
        self.time = self.time.max(time);
        match &event.body {
            Body::Data(data) => self.data(&mut talk, time, data),
            Body::Accept { process, .. } => self.begin(&mut talk, time, "accept", *process),
            Body::Connect { process, errno: 0 | 115, .. } => {
                self.begin(&mut talk, time, "connect", *process);
            }
            Body::Shutdown { how: Shutdown::Write | Shutdown::Both, process, .. } => {
                let comment = self.comment("shutdown", *process, None);
                self.end(&mut talk, time, Direction::Out, comment);
            }
            Body::SocketError { errno, .. } if talk.begun => {
                self.bare(&talk, time, Direction::In, flag::RST | flag::ACK, format!("socket error: errno {errno}"));
                talk.ended = [true; 2];
            }
            Body::Close { .. } if talk.begun => {
                self.end(&mut talk, time, Direction::Out, "close".into());
                self.end(&mut talk, time, Direction::In, "synthetic".into());
            }
            _ => {}
        }
        if let Body::Close { .. } = event.body {
            self.talks.remove(&conn);
            if self.shown.get(&addresses(&talk)) == Some(&conn) {
                self.shown.remove(&addresses(&talk));
            }
        } else {
            self.talks.insert(conn, (talk, origin));
        }
        Ok(())
    }

    /// The handshake, at first sight.
    fn begin(&mut self, talk: &mut Talk, time: u64, call: &str, process: ProcKey) {
        if std::mem::replace(&mut talk.begun, true) || talk.is_records {
            return;
        }
        self.exported.connections += u64::from(!talk.is_other_end);
        // Who is the client does not matter to it.
        let first = if call == "accept" || call == "read" { Direction::In } else { Direction::Out };
        let comment = format!("synthetic; {}", self.comment(call, process, None));
        let before = |talk: &Talk, direction| talk.seq(direction, talk.next(direction)).wrapping_sub(1);
        for (direction, flags, ack) in
            [(first, flag::SYN, false), (first.reverse(), flag::SYN | flag::ACK, true), (first, flag::ACK, true)]
        {
            let (from, to) = talk.ends(direction);
            let syn = flags & flag::SYN != 0;
            let seq = before(talk, direction).wrapping_add(u32::from(!syn));
            let ack = if ack { before(talk, direction.reverse()).wrapping_add(1) } else { 0 };
            let frame = Frame { from, to, seq, ack, flags, payload: &[], len: 0, is_hidden: talk.is_other_end };
            let comment = if flags == flag::SYN { comment.clone() } else { "synthetic".into() };
            self.packet(talk.interface, time, &frame, comment, None);
        }
    }

    /// A call that moved bytes: a segment for each piece that was captured, with the bytes behind it that were not.
    fn data(&mut self, talk: &mut Talk, time: u64, data: &Data<'_>) {
        let direction = data.direction;
        if data.len == 0 {
            let comment = self.comment("end of the stream", data.process, None);
            return self.end(talk, time, direction, comment);
        }
        let (_, prefix) = data.ranges.iter().next().filter(|(offset, _)| *offset == 0).unwrap_or_default();
        let first = !std::mem::replace(&mut talk.has_data, true);
        self.begin(talk, time, if direction == Direction::In { "read" } else { "write" }, data.process);
        if talk.is_records {
            return;
        }
        if first {
            let server = if direction == Direction::In { talk.local } else { talk.remote };
            self.exported.protocols.add(server.port(), prefix);
            talk.is_http2 = prefix.starts_with(b"PRI * HTTP/2");
        }
        let comment = self.comment(data.source.name(), data.process, Some(data));
        let mut pieces = data.ranges.iter().peekable();
        let mut at = 0;
        if pieces.peek().is_none_or(|(offset, _)| *offset > 0) {
            let until = pieces.peek().map_or(data.len, |(offset, _)| *offset);
            self.segments(talk, time, data, (at, until), &[], &comment);
            at = until;
        }
        while let Some((offset, bytes)) = pieces.next() {
            let until = pieces.peek().map_or(data.len, |(offset, _)| *offset);
            self.segments(talk, time, data, (offset.max(at), until), bytes, &comment);
            at = until;
        }
        talk.reach(direction, data.pos.saturating_add(data.len));
    }

    /// Segments of the bytes between two offsets of a call, of which the first ones are `bytes`.
    fn segments(
        &mut self,
        talk: &Talk,
        time: u64,
        data: &Data<'_>,
        (mut at, until): (u64, u64),
        mut bytes: &[u8],
        comment: &str,
    ) {
        let (from, to) = talk.ends(data.direction);
        while at < until {
            let left = until - at;
            if bytes.is_empty() && left > MAX_UNCAPTURED {
                return;
            }
            let captured = bytes.len() as u64;
            let most = if talk.is_http2 && captured > 0 { captured.min(left) } else { left };
            let len = most.min(u64::from(MAX_PAYLOAD));
            let (payload, rest) = bytes.split_at(bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX)));
            let frame = Frame {
                from,
                to,
                seq: talk.seq(data.direction, data.pos.saturating_add(at)),
                ack: talk.ack(data.direction),
                flags: flag::PSH | flag::ACK,
                payload,
                len: u32::try_from(len).unwrap_or(MAX_PAYLOAD),
                is_hidden: talk.is_other_end,
            };
            let place = u32::try_from(at).ok().map(|offset| Place { event: self.events, offset });
            self.packet(talk.interface, time, &frame, comment.to_owned(), place);
            bytes = rest;
            at += len;
        }
    }

    /// A direction ends.
    fn end(&mut self, talk: &mut Talk, time: u64, direction: Direction, comment: String) {
        let Some(ended) = talk.ended.get(index(direction)).copied() else { return };
        if ended || !talk.begun {
            return;
        }
        self.bare(talk, time, direction, flag::FIN | flag::ACK, comment);
        if let Some(ended) = talk.ended.get_mut(index(direction)) {
            *ended = true;
        }
    }

    /// A segment without payload.
    fn bare(&mut self, talk: &Talk, time: u64, direction: Direction, flags: u8, comment: String) {
        if talk.is_records {
            return;
        }
        let (from, to) = talk.ends(direction);
        let (seq, ack) = (talk.seq(direction, talk.next(direction)), talk.ack(direction));
        let frame = Frame { from, to, seq, ack, flags, payload: &[], len: 0, is_hidden: talk.is_other_end };
        self.packet(talk.interface, time, &frame, comment, None);
    }

    fn packet(&mut self, interface: u32, time: u64, frame: &Frame<'_>, comment: String, place: Option<Place>) {
        self.exported.packets += 1;
        self.file.packet(interface, time, frame, comment, place);
    }

    /// What to say of a packet.
    fn comment(&self, call: &str, process: ProcKey, data: Option<&Data<'_>>) -> String {
        let process = self.processes.get(&process).map_or("", String::as_str);
        match data {
            Some(data) if data.stamp.tid.0 != 0 => {
                let waited = data.stamp.exit.since(data.stamp.entry);
                format!("{call} tid={} {process} took={waited}ns", data.stamp.tid.0)
            }
            _ => format!("{call} {process}").trim_end().to_owned(),
        }
    }
}

/// Both addresses of a connection, the same for both ends.
fn addresses(talk: &Talk) -> [SocketAddr; 2] {
    let mut addresses = [canonical(talk.local), canonical(talk.remote)];
    addresses.sort_unstable();
    addresses
}
