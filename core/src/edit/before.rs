//! The time before a slice: what is known of it when the slice begins, and how the slice says so.

use std::collections::{BTreeMap, VecDeque};

use super::table::Table;
use crate::engine::{Part, Stage1, Watermark};
use crate::event::{Body, BodyBuf, Data, Direction, Event, EventBuf, Loss, Source, Stamp};
use crate::exchange::Finding;
use crate::facts::{ConnInfo, ProcessInfo};
use crate::http2::{Begin, Prefix, Unfinished};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::limits::{EDIT_LOSSES, Limits};
use crate::ranges::{Ranges, RangesBuf};
use crate::tape::Outside;
use crate::time::{ClockAnchor, MonoNanos};
use crate::track::Conn;

/// What is known of the time before a slice.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) open: Table<ConnKey, Box<Open>>,
    pub(super) processes: Table<ProcKey, Box<ProcessInfo>>,
    /// The first reading of the clocks of each recording: times of day go by it.
    pub(super) clocks: BTreeMap<Origin, ClockAnchor>,
    pub(super) outside: Outside,
    /// The latest losses, which may concern the time of the slice.
    pub(super) losses: VecDeque<Loss>,
    /// Follows what connections carry, as the engine does.
    pub(super) stage1: Stage1,
    watermark: Watermark,
    /// What it finds is not asked for.
    findings: Vec<Finding>,
}

/// A connection that is open.
#[derive(Clone, Debug)]
pub(super) struct Open {
    /// Its streams begin where they have come to.
    info: ConnInfo,
    /// Who accepted it, and when.
    accept: Option<(ProcKey, Stamp)>,
}

/// A connection that is open when the slice begins.
///
/// Who reads it from its middle on has to know what of HTTP/2 refers to bytes before: the dynamic tables of both directions, and the frames
/// that they are in the middle of. So that stands in front, in the place of bytes that were there before, in HTTP/2's own words. What has arrived and
/// was not read is told again, with its time.
#[derive(Debug)]
pub(super) struct Cut {
    /// Its streams begin where that does.
    pub(super) info: ConnInfo,
    pub(super) http2: bool,
    /// What is received, and what is sent, before its streams go on at these positions.
    prefixes: [(Direction, u64, Option<Prefix>); 2],
    arrivals: Vec<(u64, MonoNanos)>,
    /// The accept that the first request is still to wait for.
    accept: Option<(ProcKey, Stamp)>,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            open: Table::default(),
            processes: Table::default(),
            clocks: BTreeMap::new(),
            outside: Outside::default(),
            losses: VecDeque::new(),
            stage1: Stage1::new(Part::WHOLE, &Limits::default()),
            watermark: Watermark::default(),
            findings: Vec::new(),
        }
    }
}

impl Before {
    pub(super) fn learn(&mut self, event: &Event<'_>) {
        let now = self.watermark.admit(event.time);
        self.stage1.push(event, now, &mut self.findings);
        self.findings.clear();
        match event.body {
            Body::Clock { origin, anchor } => {
                self.clocks.entry(origin).or_insert(anchor);
            }
            Body::Close { conn } => self.open.remove(conn),
            Body::Accept { conn, process, stamp } => {
                if let Some(open) = self.open.touch(conn) {
                    open.accept = Some((process, stamp));
                }
            }
            Body::Connection(info) => match self.open.touch(info.key) {
                // How far its streams have come is known from its calls.
                Some(open) => {
                    let known = &mut open.info;
                    let (first_in, first_out) = (known.first_in, known.first_out);
                    *known = ConnInfo { first_in, first_out, ..info.clone() };
                }
                None => self.open.insert(info.key, Box::new(Open { info: info.clone(), accept: None })),
            },
            Body::Data(data) => self.move_on(&data),
            Body::Enrich(facts) => self.outside.learn(facts),
            Body::Exit { process } => self.processes.remove(process),
            Body::Loss(loss) => {
                self.losses.push_back(loss);
                if self.losses.len() > EDIT_LOSSES {
                    self.losses.pop_front();
                }
            }
            Body::Process(info) => self.processes.insert(info.key, Box::new(info.clone())),
            _ => {}
        }
    }

    fn move_on(&mut self, data: &Data<'_>) {
        self.processes.touch(data.process);
        if let Some(Open { info, .. }) = self.open.touch(data.conn).map(|open| &mut **open) {
            let first = match data.direction {
                Direction::In => &mut info.first_in,
                Direction::Out => &mut info.first_out,
            };
            *first = (*first).max(data.pos.saturating_add(data.len));
        }
    }
}

impl Cut {
    pub(super) fn of(open: &Open, stage1: &Stage1) -> Self {
        let Open { info, accept } = open;
        let conn = stage1.conn(info.key);
        let (received, sent) = (info.first_in, info.first_out);
        let [one, other] = conn.map_or([None, None], |conn| conn.prefixes(received, sent));
        let prefixes = [(Direction::In, received, one), (Direction::Out, sent, other)];
        let first = |(_, next, prefix): &(_, u64, Option<Prefix>)| {
            prefix.as_ref().map_or(*next, |prefix| prefix.begins_at(*next) - prefix.frames.len() as u64)
        };
        let [first_in, first_out] = [first(&prefixes[0]), first(&prefixes[1])];
        let anew = prefixes.iter().any(|(_, _, prefix)| prefix.as_ref().is_some_and(|prefix| prefix.anew));
        let idle = anew || conn.is_some_and(|conn| conn.is_idle(received, sent));
        Self {
            info: ConnInfo { preexisting: info.preexisting || !idle, first_in, first_out, ..info.clone() },
            http2: conn.is_some_and(Conn::is_http2),
            prefixes,
            arrivals: conn.map_or_else(Vec::new, |conn| conn.arrivals().collect()),
            accept: accept.filter(|_| conn.is_some_and(Conn::awaits_first)),
        }
    }

    /// Whether all that later requests may refer to is carried over.
    pub(super) fn is_whole(&self) -> bool {
        self.prefixes.iter().all(|(_, _, prefix)| prefix.as_ref().is_some_and(|prefix| prefix.whole))
    }

    /// The events that tell of the time before.
    pub(super) fn events(&self, time: MonoNanos) -> Vec<EventBuf> {
        let conn = self.info.key;
        let plain = |body| EventBuf::new(time, BodyBuf::Plain(body));
        let accept = self.accept.map(|(process, stamp)| plain(Body::Accept { conn, process, stamp }));
        let arrived = |&(end, at): &(u64, MonoNanos)| {
            let arrival = plain(Body::Arrival { conn, end, fin: false });
            EventBuf { time: at, late: at < time, ..arrival }
        };
        let prefixes = self.prefixes.iter().filter_map(|(direction, next, prefix)| {
            let prefix = prefix.as_ref()?;
            Some(self.calls(time, *direction, prefix.begins_at(*next), prefix))
        });
        accept.into_iter().chain(self.arrivals.iter().map(arrived)).chain(prefixes.flatten()).collect()
    }

    /// A prefix whose frames end at position `at`, as calls.
    fn calls(&self, time: MonoNanos, direction: Direction, at: u64, prefix: &Prefix) -> impl Iterator<Item = EventBuf> {
        let len = prefix.frames.len() as u64;
        let data = Data {
            conn: self.info.key,
            process: self.info.process,
            stamp: Stamp { entry: time, exit: time, ..Stamp::default() },
            direction,
            source: Source::Unknown,
            pos: at - len,
            len,
            arrived: None,
            ranges: Ranges::EMPTY,
        };
        let call = move |data, bytes: &[u8]| EventBuf::new(time, BodyBuf::Data(data, RangesBuf::prefix(bytes)));
        let frame = prefix.frame.as_ref().map(|Unfinished { begin, bytes, len }| {
            let Begin { pos, stamp, process, arrival: arrived } = *begin;
            call(Data { process, stamp, arrived, pos, len: *len, ..data }, bytes)
        });
        let frames = (len > 0).then(|| call(data, &prefix.frames));
        frames.into_iter().chain(frame)
    }
}
