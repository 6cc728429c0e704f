//! The same traffic through TLS, as a recorder has it that knows each object's carrier.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::transform::slice;
use crate::event::{Body, BodyBuf, Data, Direction, EventBuf, Source};
use crate::facts::{ConnInfo, TlsLibrary};
use crate::ids::ConnKey;
use crate::ranges::RangesBuf;
use crate::time::MonoNanos;
use crate::tls::TieRule;

/// The same traffic through TLS, as a recorder has it that knows each object's carrier: what was a connection is a carrier, and beside
/// it stands the plaintext's connection, whose number is `plaintext_id` of the carrier's.
#[must_use]
pub fn over_tls(events: &[EventBuf]) -> Vec<EventBuf> {
    let (mut encryption, mut out) = (Encryption::default(), Vec::with_capacity(events.len() * 2));
    events.iter().for_each(|event| encryption.push(event.clone(), &mut |event| out.push(event)));
    out
}

/// Makes carriers of connections, and puts the plaintext beside them, event by event.
#[derive(Clone, Debug, Default)]
pub(super) struct Encryption {
    /// Those that may still be read of.
    arrivals: BTreeMap<ConnKey, VecDeque<(u64, MonoNanos)>>,
    plaintexts: BTreeMap<ConnKey, ConnInfo>,
}

impl Encryption {
    /// Takes the next event, and gives those that stand in its place.
    pub(super) fn push(&mut self, event: EventBuf, out: &mut impl FnMut(EventBuf)) {
        let head = EventBuf { body: BodyBuf::Plain(Body::Tick), ..event };
        let beside = |body| EventBuf { body, ..head.clone() };
        match event.body {
            BodyBuf::Connection(info) => {
                let id = plaintext_id(info.id);
                let (key, tls) = (ConnKey::new(info.origin, id), Some(TlsLibrary::OpenSsl));
                let plaintext = ConnInfo { key, id, tls, ..ConnInfo::clone(&info) };
                let tie = Body::TlsTie { conn: key, carrier: info.id, rule: TieRule::SetFd };
                let (carrier, is_known) = (info.key, self.plaintexts.contains_key(&info.key));
                out(beside(BodyBuf::Connection(info)));
                out(beside(BodyBuf::Connection(Box::new(plaintext.clone()))));
                if !is_known {
                    out(beside(BodyBuf::Plain(tie)));
                }
                self.plaintexts.insert(carrier, plaintext);
            }
            BodyBuf::Data(data, payload) => {
                let record = RangesBuf::prefix([23, 3, 3, 0, 0]);
                let carried = if data.len < 5 { RangesBuf::default() } else { record };
                out(beside(BodyBuf::Data(data, carried)));
                let Some(plaintext) = self.plaintexts.get(&data.conn) else { return };
                let arrivals = self.arrivals.entry(data.conn).or_default();
                for (data, range) in records(&data, arrivals) {
                    let data = Data { conn: plaintext.key, ..data };
                    out(beside(BodyBuf::Data(data, slice(payload.as_ranges(), range))));
                }
                while data.direction == Direction::In && arrivals.front().is_some_and(|(end, _)| *end <= data.pos) {
                    arrivals.pop_front();
                }
            }
            BodyBuf::Plain(body) => {
                if let Body::Arrival { conn, end, .. } = body {
                    self.arrivals.entry(conn).or_default().push_back((end, event.time));
                }
                let plaintext = body.conn().and_then(|conn| self.plaintexts.get(&conn)).map(|plaintext| plaintext.key);
                out(beside(BodyBuf::Plain(body)));
                if let Some(body) = plaintext.and_then(|conn| told_of_plaintext(body, conn)) {
                    out(beside(BodyBuf::Plain(body)));
                }
                if let Body::Close { conn } = body {
                    self.arrivals.remove(&conn);
                    self.plaintexts.remove(&conn);
                }
            }
            body @ (BodyBuf::Enrich(_) | BodyBuf::Process(_)) => out(beside(body)),
        }
    }
}

/// A call as the library's calls, and which of its bytes each has: what arrived together is a record, and a read gives no more
/// than one.
fn records(data: &Data<'static>, arrivals: &VecDeque<(u64, MonoNanos)>) -> Vec<(Data<'static>, Range<u64>)> {
    if data.direction == Direction::Out {
        return vec![(Data { source: Source::SslWrite, ..*data }, 0..data.len)];
    }
    let (mut from, end, mut records) = (data.pos, data.pos + data.len, Vec::new());
    loop {
        let arrival = arrivals.iter().find(|(end, _)| *end > from);
        let to = arrival.map_or(end, |&(to, _)| to.min(end));
        let (source, arrived) = (Source::SslRead, arrival.map(|&(_, at)| at));
        let record = Data { source, arrived, pos: from, len: to - from, ..*data };
        records.push((record, from - data.pos..to - data.pos));
        from = to;
        if from >= end {
            return records;
        }
    }
}

/// What happens to a carrier, of the connection that it carries.
fn told_of_plaintext(body: Body<'static>, conn: ConnKey) -> Option<Body<'static>> {
    Some(match body {
        Body::Accept { process, stamp, .. } => Body::Accept { conn, process, stamp },
        Body::Close { .. } => Body::Close { conn },
        Body::SocketError { errno, .. } => Body::SocketError { conn, errno },
        _ => return None,
    })
}

/// The number of the plaintext that the connection with this number carries.
pub const fn plaintext_id(carrier: u64) -> u64 {
    carrier | 1 << 62
}
