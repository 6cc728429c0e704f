//! Rewrites recordings in known ways: what must not change the result, and what may change it only so far.
//!
//! All of them take and return the events of a whole recording, in tape order.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::{Body, BodyBuf, Data, Direction, EventBuf, Loss, LossCause, Stamp};
use crate::facts::ConnInfo;
use crate::ids::ConnKey;
use crate::ranges::{Ranges, RangesBuf};
use crate::time::{ClockAnchor, MonoNanos, WallNanos};

use super::rng::Rng;
pub use super::tls::{over_tls, plaintext_id};

/// Bytes of one stream that were on the tape and are no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// The recorded end.
    pub conn: ConnKey,
    /// The stream.
    pub direction: Direction,
    /// The positions.
    pub bytes: Range<u64>,
}

/// Splits calls at random bytes into several calls with the same stamp.
#[must_use]
pub fn rechunk(events: &[EventBuf], seed: u64) -> Vec<EventBuf> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(events.len() * 2);
    for event in events {
        let BodyBuf::Data(data, payload) = &event.body else {
            out.push(event.clone());
            continue;
        };
        let len = usize::try_from(data.len).unwrap_or(usize::MAX);
        let (mut from, cuts) = (0, if len == 0 { vec![0] } else { rng.cuts(len, 4) });
        for cut in cuts {
            let (start, end) = (from as u64, cut as u64);
            let part = Data { pos: data.pos + start, len: end - start, ..*data };
            out.push(EventBuf { body: BodyBuf::Data(part, slice(payload.as_ranges(), start..end)), ..event.clone() });
            from = cut;
        }
    }
    out
}

/// What was captured of the bytes at `range`, counted from the first of them.
pub(super) fn slice(ranges: Ranges<'_>, range: Range<u64>) -> RangesBuf {
    let mut out = RangesBuf::default();
    for (offset, piece) in ranges.iter() {
        let from = offset.max(range.start);
        let to = (offset + piece.len() as u64).min(range.end);
        if from < to {
            let bytes = &piece[(from - offset) as usize..(to - offset) as usize];
            out.push(u32::try_from(from - range.start).unwrap_or(u32::MAX), bytes);
        }
    }
    out
}

/// Merges the events of the connections in another order. Each connection keeps its own order, and none of its events
/// moves over an event that is `window_nanos` or more away. Events of no connection stay in front of what follows them.
#[must_use]
pub fn interleave(events: &[EventBuf], window_nanos: u64, seed: u64) -> Vec<EventBuf> {
    let mut delays: BTreeMap<ConnKey, Rng> = BTreeMap::new();
    let mut last: BTreeMap<Option<ConnKey>, MonoNanos> = BTreeMap::new();
    let mut keyed: Vec<(MonoNanos, &EventBuf)> = Vec::with_capacity(events.len());
    for event in events {
        let conn = event.as_event().body.conn();
        let delay = conn.map_or(0, |conn| {
            delays.entry(conn).or_insert_with(|| Rng::stream(seed, conn.get())).below(window_nanos.max(1))
        });
        let last = last.entry(conn).or_insert(MonoNanos::ZERO);
        *last = event.time.plus(delay).max(*last);
        keyed.push((*last, event));
    }
    keyed.sort_by_key(|&(key, _)| key);
    mark_late(keyed.into_iter().map(|(_, event)| event.clone()))
}

/// Shuffles events, also those of one connection, but none over an event that is `window_nanos` or more away.
/// Dictionary entries stay in front of what they speak of.
#[must_use]
pub fn shuffle(events: &[EventBuf], window_nanos: u64, seed: u64) -> Vec<EventBuf> {
    let mut rng = Rng::new(seed);
    let key = |event: &EventBuf, rng: &mut Rng| match event.body {
        BodyBuf::Connection(_) | BodyBuf::Enrich(_) | BodyBuf::Process(_) => event.time,
        BodyBuf::Data(..) | BodyBuf::Plain(_) => event.time.plus(rng.below(window_nanos.max(1))),
    };
    let mut keyed: Vec<_> = events.iter().map(|event| (key(event, &mut rng), event)).collect();
    keyed.sort_by_key(|&(key, _)| key);
    mark_late(keyed.into_iter().map(|(_, event)| event.clone()))
}

/// Brings `per_mille` of the calls that move bytes `nanos` too late, as when a CPU's records come after the recorder's
/// reorder window.
#[must_use]
pub fn delay(events: &[EventBuf], per_mille: u32, nanos: u64, seed: u64) -> Vec<EventBuf> {
    let mut rng = Rng::new(seed);
    let mut key = |event: &EventBuf| match event.body {
        BodyBuf::Data(..) if rng.chance(per_mille) => event.time.plus(nanos),
        _ => event.time,
    };
    let mut keyed: Vec<_> = events.iter().map(|event| (key(event), event)).collect();
    keyed.sort_by_key(|&(key, _)| key);
    mark_late(keyed.into_iter().map(|(_, event)| event.clone()))
}

/// Marks the events that come after a later one, as the recorder does.
fn mark_late(events: impl Iterator<Item = EventBuf>) -> Vec<EventBuf> {
    let mut newest = MonoNanos::ZERO;
    events
        .map(|event| {
            let late = event.time < newest;
            newest = newest.max(event.time);
            EventBuf { late, ..event }
        })
        .collect()
}

/// Removes `per_mille` of the calls that move bytes, and writes the losses down, as the recorder does. Returns also which
/// bytes are gone.
#[must_use]
pub fn drop_data(events: &[EventBuf], per_mille: u32, seed: u64) -> (Vec<EventBuf>, Vec<Vanished>) {
    let (mut rng, mut gone) = (Rng::new(seed), Vec::new());
    let kept = lose(events, |event| match &event.body {
        BodyBuf::Data(data, _) if rng.chance(per_mille) => {
            let bytes = data.pos..data.pos + data.len;
            gone.push(Vanished { conn: data.conn, direction: data.direction, bytes });
            true
        }
        _ => false,
    });
    (kept, gone)
}

/// Removes `per_mille` of all events, whatever they are, and writes the losses down.
#[must_use]
pub fn drop_any(events: &[EventBuf], per_mille: u32, seed: u64) -> Vec<EventBuf> {
    let mut rng = Rng::new(seed);
    lose(events, |_| rng.chance(per_mille))
}

/// Puts a [`Loss`] in the place of each event that is `lost`.
fn lose(events: &[EventBuf], mut is_lost: impl FnMut(&EventBuf) -> bool) -> Vec<EventBuf> {
    events.iter().map(|event| if is_lost(event) { lost(event) } else { event.clone() }).collect()
}

/// What the recorder writes in the place of an event that it has lost.
pub(super) fn lost(event: &EventBuf) -> EventBuf {
    let loss = Loss { cause: LossCause::RingFull, count: 1, from: event.time, to: event.time, origin: None };
    EventBuf { cpu: event.cpu, ..EventBuf::new(event.time, BodyBuf::Plain(Body::Loss(loss))) }
}

/// Repeats `per_mille` of the calls that move bytes, and of the arrivals, a few events later.
#[must_use]
pub fn duplicate(events: &[EventBuf], per_mille: u32, seed: u64) -> Vec<EventBuf> {
    let mut rng = Rng::new(seed);
    let mut out: Vec<EventBuf> = Vec::with_capacity(events.len());
    let mut repeats: Vec<(usize, EventBuf)> = Vec::new();
    for event in events {
        repeats.retain_mut(|(wait, repeat)| {
            let due = *wait == 0;
            if due {
                out.push(repeat.clone());
            } else {
                *wait -= 1;
            }
            !due
        });
        out.push(event.clone());
        let repeatable = matches!(event.body, BodyBuf::Data(..) | BodyBuf::Plain(Body::Arrival { .. }));
        if repeatable && rng.chance(per_mille) {
            repeats.push((rng.below(4) as usize, event.clone()));
        }
    }
    out.extend(repeats.into_iter().map(|(_, event)| event));
    mark_late(out.into_iter())
}

/// Cuts what was captured of each call to `prefix` bytes from its front; its true length stays.
#[must_use]
pub fn truncate_payloads(events: &[EventBuf], prefix: u64) -> Vec<EventBuf> {
    map_data(events, |data, payload| (data, slice(payload.as_ranges(), 0..prefix)))
}

/// Overwrites captured bytes at random, `per_mille` of the calls.
#[must_use]
pub fn corrupt(events: &[EventBuf], per_mille: u32, seed: u64) -> Vec<EventBuf> {
    let mut rng = Rng::new(seed);
    map_data(events, |data, payload| {
        if !rng.chance(per_mille) {
            return (data, payload.clone());
        }
        let mut out = RangesBuf::default();
        for (offset, piece) in payload.as_ranges().iter() {
            let mut bytes = piece.to_vec();
            for _ in 0..rng.between(1, 4) {
                let at = rng.below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = *rng.pick(b"\r\n\0 :/0159aGHT\xff");
                }
            }
            out.push(u32::try_from(offset).unwrap_or(u32::MAX), &bytes);
        }
        (data, out)
    })
}

fn map_data(
    events: &[EventBuf],
    mut map: impl FnMut(Data<'static>, &RangesBuf) -> (Data<'static>, RangesBuf),
) -> Vec<EventBuf> {
    let one = |event: &EventBuf| match &event.body {
        BodyBuf::Data(data, payload) => {
            let (data, payload) = map(*data, payload);
            EventBuf { body: BodyBuf::Data(data, payload), ..event.clone() }
        }
        _ => event.clone(),
    };
    events.iter().map(one).collect()
}

/// The recording as if it had begun at event `n`: what a recorder finds at its start, connections that are open among
/// it, stands in front.
#[must_use]
pub fn start_at(events: &[EventBuf], n: usize) -> Vec<EventBuf> {
    let (before, after) = events.split_at(n.min(events.len()));
    let Some(start) = after.first().map(|event| event.time) else { return Vec::new() };
    let mut facts: Vec<EventBuf> = Vec::new();
    let mut open: BTreeMap<ConnKey, ConnInfo> = BTreeMap::new();
    for event in before {
        match &event.body {
            BodyBuf::Connection(info) => {
                let known = open.entry(info.key).or_insert_with(|| ConnInfo::clone(info));
                let (first_in, first_out) = (known.first_in, known.first_out);
                *known = ConnInfo { preexisting: true, first_in, first_out, ..ConnInfo::clone(info) };
            }
            BodyBuf::Data(data, _) => {
                if let Some(info) = open.get_mut(&data.conn) {
                    let first = match data.direction {
                        Direction::In => &mut info.first_in,
                        Direction::Out => &mut info.first_out,
                    };
                    *first = (*first).max(data.pos + data.len);
                }
            }
            BodyBuf::Enrich(_) | BodyBuf::Process(_) | BodyBuf::Plain(Body::Clock { .. }) => facts.push(event.clone()),
            BodyBuf::Plain(Body::Close { conn }) => {
                open.remove(conn);
            }
            BodyBuf::Plain(_) => {}
        }
    }
    let facts = facts.into_iter().map(|event| EventBuf { time: start, ..event });
    let open = open.into_values().map(|info| EventBuf::new(start, BodyBuf::Connection(Box::new(info))));
    facts.chain(open).chain(after.iter().cloned()).collect()
}

/// The same, `nanos` later on every clock.
#[must_use]
pub fn shift_time(events: &[EventBuf], nanos: u64) -> Vec<EventBuf> {
    events.iter().map(|event| later(event, nanos)).collect()
}

/// One event, `nanos` later on every clock.
pub(super) fn later(event: &EventBuf, nanos: u64) -> EventBuf {
    let stamp = |stamp: Stamp| Stamp { entry: stamp.entry.plus(nanos), exit: stamp.exit.plus(nanos), ..stamp };
    let body = match &event.body {
        BodyBuf::Connection(info) => {
            let established = info.established.map(|time| time.plus(nanos));
            BodyBuf::Connection(Box::new(ConnInfo { established, ..ConnInfo::clone(info) }))
        }
        BodyBuf::Data(data, payload) => {
            let arrived = data.arrived.map(|time| time.plus(nanos));
            BodyBuf::Data(Data { stamp: stamp(data.stamp), arrived, ..*data }, payload.clone())
        }
        BodyBuf::Enrich(facts) => BodyBuf::Enrich(facts.clone()),
        BodyBuf::Process(info) => BodyBuf::Process(info.clone()),
        BodyBuf::Plain(body) => BodyBuf::Plain(match *body {
            Body::Accept { conn, process, stamp: at } => Body::Accept { conn, process, stamp: stamp(at) },
            Body::Connect { conn, process, stamp: at, errno } => {
                Body::Connect { conn, process, stamp: stamp(at), errno }
            }
            Body::Shutdown { conn, process, stamp: at, how } => Body::Shutdown { conn, process, stamp: stamp(at), how },
            Body::Clock { origin, anchor } => {
                let anchor = ClockAnchor {
                    mono: anchor.mono.plus(nanos),
                    boot_nanos: anchor.boot_nanos.saturating_add(nanos),
                    wall: WallNanos::new(anchor.wall.unix_nanos().saturating_add(nanos)),
                    ..anchor
                };
                Body::Clock { origin, anchor }
            }
            Body::Loss(loss) => Body::Loss(Loss { from: loss.from.plus(nanos), to: loss.to.plus(nanos), ..loss }),
            other => other,
        }),
    };
    EventBuf { time: event.time.plus(nanos), body, ..event.clone() }
}
