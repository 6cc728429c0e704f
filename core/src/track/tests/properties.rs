//! What holds for every conversation, and for every nonsense.

use proptest::prelude::*;

use super::script::{MS, Script, run};
use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Loss, LossCause, Shutdown, Source, Stamp};
use crate::exchange::{Finding, Outcome, What};
use crate::facts::Role;
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::limits::Limits;
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;
use crate::track::Shard;

/// Exchange number N asks for `/N` and is answered with status 210 + N, so that a wrong pairing shows.
#[derive(Clone, Debug)]
struct Turn {
    request: Form,
    response: Form,
    /// The request is sent with the one before, not after its response.
    pipelined: bool,
}

/// The form of a message.
#[derive(Clone, Debug)]
enum Form {
    NoBody,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Form {
    /// The bytes of the message; each piece is one call.
    fn pieces(&self, start: &str) -> Vec<Vec<u8>> {
        match self {
            Self::NoBody => vec![format!("{start}\r\nContent-Length: 0\r\n\r\n").into_bytes()],
            Self::Length(body) => {
                vec![format!("{start}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body.clone()]
            }
            Self::Chunked(chunks) => {
                let mut pieces = vec![format!("{start}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes()];
                for chunk in chunks {
                    pieces.push([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
                }
                pieces.push(b"0\r\n\r\n".to_vec());
                pieces
            }
        }
    }
}

/// Bodies, of which some look like requests if `lookalikes`.
fn body(lookalikes: bool) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 1..60),
        u32::from(lookalikes) => Just(b"GET /phantom HTTP/1.1\r\nContent-Length: 0\r\n\r\n".to_vec()),
        u32::from(lookalikes) => Just(b"0\r\n\r\nGET /phantom HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

fn form(lookalikes: bool) -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::NoBody),
        body(lookalikes).prop_map(Form::Length),
        prop::collection::vec(body(lookalikes), 1..4).prop_map(Form::Chunked),
    ]
}

fn turns(pipelined: bool, lookalikes: bool) -> impl Strategy<Value = Vec<Turn>> {
    let turn = (form(lookalikes), form(lookalikes), any::<bool>()).prop_map(move |(request, response, with)| Turn {
        request,
        response,
        pipelined: with && pipelined,
    });
    prop::collection::vec(turn, 1..8)
}

/// The calls of a conversation.
fn calls(turns: &[Turn]) -> Vec<(&'static str, Vec<u8>)> {
    let (mut calls, mut owed) = (Vec::new(), Vec::new());
    for (number, turn) in turns.iter().enumerate() {
        if !turn.pipelined {
            calls.append(&mut owed);
        }
        let request = turn.request.pieces(&format!("POST /{number} HTTP/1.1"));
        let response = turn.response.pieces(&format!("HTTP/1.1 {} OK", 210 + number));
        calls.extend(request.into_iter().map(|bytes| (">", bytes)));
        owed.extend(response.into_iter().map(|bytes| ("<", bytes)));
    }
    calls.append(&mut owed);
    calls
}

fn script(calls: &[(&str, Vec<u8>)]) -> Script {
    let mut script = Script::new(Role::Server, false, 1);
    calls.iter().for_each(|(way, bytes)| script.bytes(way, bytes));
    script.close();
    script
}

/// Number, status, body sizes and outcome of each exchange.
type Summary = (String, Option<u16>, Option<u64>, Option<u64>, Outcome);

fn exchanges(findings: &[Finding]) -> Vec<Summary> {
    let ended = findings.iter().filter_map(|finding| match &finding.what {
        What::Ended(exchange) => Some(exchange),
        _ => None,
    });
    ended
        .map(|exchange| {
            let response = exchange.response.as_ref();
            (
                exchange.request.head.target().to_owned(),
                response.map(|response| response.status),
                exchange.request.message.body_len,
                response.and_then(|response| response.message.body_len),
                exchange.outcome,
            )
        })
        .collect()
}

fn expected(turns: &[Turn]) -> Vec<Summary> {
    let len = |form: &Form| {
        Some(match form {
            Form::NoBody => 0,
            Form::Length(body) => body.len() as u64,
            Form::Chunked(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        })
    };
    let numbered = turns.iter().zip(0u16..);
    numbered
        .map(|(turn, number)| {
            (format!("/{number}"), Some(210 + number), len(&turn.request), len(&turn.response), Outcome::Complete)
        })
        .collect()
}

/// Cuts calls at the places that `cuts` says.
fn rechunk(calls: &[(&'static str, Vec<u8>)], cuts: &[usize]) -> Vec<(&'static str, Vec<u8>)> {
    let mut cuts = cuts.iter().copied().cycle();
    let mut pieces = Vec::new();
    for (way, bytes) in calls {
        let mut rest = &bytes[..];
        while let Some(cut) = cuts.next().filter(|&cut| cut < rest.len()) {
            let (piece, after) = rest.split_at(cut);
            pieces.push((*way, piece.to_vec()));
            rest = after;
        }
        pieces.push((*way, rest.to_vec()));
    }
    pieces
}

/// Swaps neighbours of one direction and doubles events, as `choices` says.
fn shuffle(events: &mut Vec<EventBuf>, choices: &[u8]) {
    let direction = |event: &EventBuf| match &event.body {
        BodyBuf::Data(data, _) => Some(data.direction),
        _ => None,
    };
    let mut choices = choices.iter().copied().cycle();
    let mut at = 1;
    while at + 1 < events.len() {
        let choice = choices.next().unwrap_or(0);
        if choice % 3 == 0 && direction(&events[at]).is_some() && direction(&events[at]) == direction(&events[at + 1]) {
            let time = events[at].time;
            events[at].time = events[at + 1].time;
            events[at + 1].time = time;
            events.swap(at, at + 1);
            at += 1;
        } else if choice % 5 == 0 && direction(&events[at]).is_some() {
            let copy = events[at].clone();
            events.insert(at + 1, copy);
            at += 1;
        }
        at += 1;
    }
}

/// The exchanges of a conversation without the lost calls, that are not in it.
fn wrong_pairs(turns: &[Turn], lost: &[prop::sample::Index]) -> Vec<Summary> {
    let mut script = script(&calls(turns));
    for index in lost {
        let at = 1 + index.index(script.events.len() - 1);
        // The recorder tells that records are missing, not which.
        if matches!(script.events[at].body, BodyBuf::Data(..)) {
            let at = &mut script.events[at];
            let loss = Loss { cause: LossCause::RingFull, count: 1, from: at.time, to: at.time, origin: None };
            *at = EventBuf::new(at.time, BodyBuf::Plain(Body::Loss(loss)));
        }
    }
    let mut found = exchanges(&run(&script.events, &Limits::default()));
    found.retain(|(target, status, ..)| {
        let number = target.strip_prefix('/').and_then(|number| number.parse::<u16>().ok());
        !number.is_some_and(|number| status.is_none_or(|status| status == 210 + number))
    });
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn chunking_order_and_copies_change_no_exchange(
        turns in turns(true, true),
        cuts in prop::collection::vec(1usize..40, 1..12),
        choices in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let calls = rechunk(&calls(&turns), &cuts);
        let mut script = script(&calls);
        prop_assert_eq!(exchanges(&run(&script.events, &Limits::default())), expected(&turns));
        shuffle(&mut script.events, &choices);
        prop_assert_eq!(exchanges(&run(&script.events, &Limits::default())), expected(&turns));
    }

    #[test]
    fn lost_calls_make_no_wrong_pairs(
        turns in turns(false, false),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        prop_assert_eq!(wrong_pairs(&turns, &lost), vec![]);
    }

    /// From three losses on the bytes no longer tell: a call in the middle of a body whose bytes are a whole request, followed
    /// by a response, reads like that exchange where the calls around it are lost.
    #[test]
    fn two_lost_calls_make_no_phantoms_of_bodies(
        turns in turns(false, true),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        prop_assert_eq!(wrong_pairs(&turns, &lost), vec![]);
    }

    /// From two losses on the bytes of a client that pipelines no longer tell: where one takes a request and the other what
    /// shows that the client pipelines, the response to the lost request reads like the next one's.
    #[test]
    fn a_lost_call_makes_no_phantom(turns in turns(true, true), lost in any::<prop::sample::Index>()) {
        prop_assert_eq!(wrong_pairs(&turns, &[lost]), vec![]);
    }

    #[test]
    fn one_lost_call_takes_one_exchange_along(turns in turns(false, true), lost in any::<prop::sample::Index>()) {
        let calls = calls(&turns);
        let mut script = script(&calls);
        let lost = lost.index(calls.len());
        script.events.remove(1 + lost);
        // Which exchange the lost call belonged to.
        let requests = calls[..=lost].iter().filter(|(_, bytes)| bytes.starts_with(b"POST /")).count();
        let found = exchanges(&run(&script.events, &Limits::default()));
        let mut expected = expected(&turns);
        expected.remove(requests - 1);
        let touched = format!("/{}", requests - 1);
        let others: Vec<_> = found.into_iter().filter(|(target, ..)| *target != touched).collect();
        prop_assert_eq!(others, expected);
    }

    #[test]
    fn a_prefix_gives_the_same_complete_exchanges(turns in turns(true, true), cut in any::<prop::sample::Index>()) {
        let script = script(&calls(&turns));
        let cut = 1 + cut.index(script.events.len());
        let found = exchanges(&run(&script.events[..cut.min(script.events.len())], &Limits::default()));
        let complete: Vec<_> = found.iter().filter(|(.., outcome)| *outcome == Outcome::Complete).cloned().collect();
        prop_assert!(expected(&turns).starts_with(&complete), "{:?}", found);
    }

    #[test]
    fn what_was_not_captured_changes_no_exchange(turns in turns(false, true), keep in 60usize..200) {
        // Heads are kept whole; so are the ends of the calls, as the recorder does.
        let mut script = script(&calls(&turns));
        for event in &mut script.events {
            if let BodyBuf::Data(data, ranges) = &mut event.body {
                let bytes = ranges.as_ranges().iter().next().map(|(_, bytes)| bytes.to_vec()).unwrap_or_default();
                let head = bytes.starts_with(b"POST /") || bytes.starts_with(b"HTTP/1.1 ");
                let prefix = if head { bytes.len() } else { (keep % 20).min(bytes.len()) };
                let tail = bytes.len().saturating_sub(8).max(prefix);
                *ranges = RangesBuf::prefix(&bytes[..prefix]);
                ranges.push(u32::try_from(tail).unwrap(), &bytes[tail..]);
                data.len = bytes.len() as u64;
            }
        }
        let names = |found: &[Summary]| -> Vec<_> {
            found.iter().map(|(target, status, ..)| (target.clone(), *status)).collect()
        };
        let (found, expected) = (exchanges(&run(&script.events, &Limits::default())), expected(&turns));
        prop_assert_eq!(names(&found), names(&expected));
        // Where what was captured does not show where the last response ends, it may have been cut, and where it does not show
        // where the request ends either, the response to another may follow.
        let chunked = |form: &Form| matches!(form, Form::Chunked(_));
        for (number, (turn, (.., outcome))) in turns.iter().zip(&found).enumerate() {
            let unknown = chunked(&turn.response) && (chunked(&turn.request) || number + 1 == turns.len());
            let right = *outcome == Outcome::Complete || unknown && *outcome == Outcome::Incomplete;
            prop_assert!(right, "{:?}", found);
        }
    }

    #[test]
    fn nonsense_does_not_panic_and_stays_within_bounds(steps in prop::collection::vec(nonsense(), 1..200)) {
        let limits = Limits {
            shard_connections: 3, shard_buffered_bytes: 4000, head_bytes: 200, head_lines: 4, pipelined_requests: 3,
            reorder_pieces: 2, arrivals: 2, ..Limits::default()
        };
        let (mut shard, mut out, mut now) = (Shard::new(&limits), Vec::new(), 0);
        for (step, body) in steps {
            now += step * MS;
            let event = EventBuf::new(MonoNanos::new(now), body);
            shard.push(&event.as_event(), event.time, &mut out);
            prop_assert!(shard.cost_bytes() < 12_000, "{}", shard.cost_bytes());
        }
        shard.finish(MonoNanos::new(now), &mut out);
        prop_assert_eq!(shard.held_bytes(), 0);
        // Every request that began ends once, and none ends that did not begin.
        let mut open = std::collections::BTreeSet::new();
        for finding in &out {
            match &finding.what {
                What::Started(started) => prop_assert!(open.insert((finding.conn, started.pos))),
                What::Ended(exchange) => {
                    prop_assert!(open.remove(&(finding.conn, exchange.request.message.pos)));
                    prop_assert!(exchange.end >= exchange.request.message.first.exit);
                }
                _ => {}
            }
        }
        prop_assert!(open.is_empty());
    }
}

/// Any event of one of five connections.
fn nonsense() -> impl Strategy<Value = (u64, BodyBuf)> {
    let conn = (0u64..5).prop_map(|id| ConnKey::new(Origin::default(), id));
    let text = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
            b"GET /partial HTTP/1.1\r\nHost: ",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"0\r\n\r\n",
            b"\r\n",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    let data = (conn.clone(), any::<bool>(), prop_oneof![4 => 0u64..120, 1 => any::<u64>()], text, 0u64..30, 0u16..4);
    let data = data.prop_map(|(conn, out, pos, bytes, more, flags)| {
        let stamp = Stamp { flags: DataFlags(flags & 2), ..Stamp::default() };
        let direction = if out { Direction::Out } else { Direction::In };
        let len = bytes.len() as u64 + more;
        let process = ProcKey::default();
        let data = Data {
            conn,
            process,
            stamp,
            direction,
            source: Source::Read,
            pos,
            len,
            arrived: None,
            ranges: Ranges::EMPTY,
        };
        BodyBuf::Data(data, RangesBuf::prefix(bytes))
    });
    let (process, stamp) = (ProcKey::default(), Stamp::default());
    let body = prop_oneof![
        12 => data,
        3 => (0u64..5, any::<bool>(), 0u8..3).prop_map(|(id, attached, role)| {
            let role = [Role::Unknown, Role::Client, Role::Server][usize::from(role)];
            Script::new(role, attached, id).events.remove(0).body
        }),
        2 => (conn.clone(), any::<u64>()).prop_map(|(conn, end)| BodyBuf::Plain(Body::Arrival { conn, end, fin: false })),
        1 => conn.clone().prop_map(|conn| BodyBuf::Plain(Body::Close { conn })),
        1 => conn.clone().prop_map(move |conn| BodyBuf::Plain(Body::Accept { conn, process, stamp })),
        1 => conn.clone().prop_map(move |conn| {
            BodyBuf::Plain(Body::Shutdown { conn, process, stamp, how: Shutdown::Both })
        }),
        1 => conn.prop_map(|conn| BodyBuf::Plain(Body::SocketError { conn, errno: 104 })),
    ];
    (0u64..30, body)
}
