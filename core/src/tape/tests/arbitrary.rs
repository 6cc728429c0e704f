//! Arbitrary streams of events, and how tests write and read them.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::event::{Body, BodyBuf, Data, DataFlags, Direction, EventBuf, Loss, LossCause, Shutdown, Source, Stamp};
use crate::facts::{ConnInfo, Endpoint, ProcessInfo, Role, TlsLibrary};
use crate::ids::{ConnKey, Origin, ProcKey, Tgid, Tid};
use crate::ranges::{Ranges, RangesBuf};
use crate::tape::{CloseReason, EventSource, Meta, ReadReport, Reader, TapeSource, Writer, WriterOptions};
use crate::time::{ClockAnchor, MonoNanos, WallNanos};
use crate::tls::TieRule;

pub(crate) const ORIGIN: Origin = Origin([0x11; 16]);

/// What a test writes: events, dictionary entries among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) events: Vec<EventBuf>,
}

/// A tape of the script.
pub(crate) fn write(script: &Script, options: &WriterOptions) -> Vec<u8> {
    let meta = Meta { origin: ORIGIN, ..Meta::default() };
    let mut writer = Writer::new(Vec::new(), &meta, *options).unwrap();
    for event in &script.events {
        writer.push(&event.as_event()).unwrap();
    }
    writer.finish(CloseReason::Done).unwrap().1
}

/// All events of a tape.
pub(crate) fn read(bytes: &[u8]) -> (Vec<EventBuf>, ReadReport) {
    let mut source = TapeSource::new(Reader::open(bytes).unwrap());
    let mut events = Vec::new();
    while let Some(event) = source.next_event().unwrap() {
        events.push(event.into());
    }
    assert_eq!(source.malformed(), 0);
    (events, *source.reader().report())
}

/// The events without dictionary entries.
pub(crate) fn events(events: &[EventBuf]) -> Vec<EventBuf> {
    let entry = |event: &&EventBuf| matches!(event.body, BodyBuf::Connection(_) | BodyBuf::Process(_));
    events.iter().filter(|event| !entry(event)).cloned().collect()
}

fn conn_key() -> impl Strategy<Value = ConnKey> {
    (0..6u64).prop_map(|id| ConnKey::new(ORIGIN, id))
}

fn proc_key() -> impl Strategy<Value = ProcKey> {
    prop_oneof![Just(ProcKey::default()), (1..4u64).prop_map(|id| ProcKey::new(ORIGIN, id))]
}

fn mono() -> impl Strategy<Value = MonoNanos> {
    prop_oneof![0..5_000_000_000u64, any::<u64>()].prop_map(MonoNanos::new)
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<u32>(), any::<u16>(), any::<u32>(), mono(), mono()).prop_map(|(tid, flags, loop_turn, entry, exit)| Stamp {
        tid: Tid(tid),
        flags: DataFlags(flags),
        loop_turn,
        entry,
        exit,
    })
}

fn data() -> impl Strategy<Value = BodyBuf> {
    let payload = (vec(any::<u8>(), 0..400), vec((1..50u32, vec(any::<u8>(), 1..20)), 0..3), 0..1000u64);
    let call = (conn_key(), proc_key(), stamp(), any::<bool>(), 0..20u8, any::<u64>());
    (call, payload, option::of(mono())).prop_map(
        |((conn, process, stamp, out, source, pos), (prefix, pieces, more), arrived)| {
            let mut end = u32::try_from(prefix.len()).unwrap();
            let mut ranges = RangesBuf::prefix(prefix);
            for (gap, bytes) in pieces {
                ranges.push(end + gap, &bytes);
                end += gap + u32::try_from(bytes.len()).unwrap();
            }
            let direction = if out { Direction::Out } else { Direction::In };
            let source = Source::from_number(source);
            let len = u64::from(end) + more;
            BodyBuf::Data(
                Data { conn, process, stamp, direction, source, pos, len, arrived, ranges: Ranges::EMPTY },
                ranges,
            )
        },
    )
}

fn connection() -> impl Strategy<Value = BodyBuf> {
    let addresses = option::of((any::<SocketAddr>(), any::<SocketAddr>()));
    let ids = (0..6u64, proc_key(), 0..3u8, addresses, any::<u32>());
    let stream = (
        any::<Option<u32>>(),
        any::<Option<u32>>(),
        option::of(mono()),
        any::<bool>(),
        any::<(u64, u64)>(),
        option::of(0..4u8),
        vec(any::<u8>(), 0..3),
    );
    (ids, stream).prop_map(
        |((id, process, role, addresses, netns), (isn_local, isn_remote, established, old, first, tls, ext))| {
            BodyBuf::Connection(Box::new(ConnInfo {
                key: ConnKey::new(ORIGIN, id),
                origin: ORIGIN,
                id,
                process,
                role: [Role::Unknown, Role::Client, Role::Server][usize::from(role)],
                endpoint: addresses.map(|(local, remote)| Endpoint { local, remote }),
                netns,
                isn_local,
                isn_remote,
                established,
                preexisting: old,
                first_in: first.0,
                first_out: first.1,
                tls: tls.map(TlsLibrary::from_number),
                ext: ext.as_slice().into(),
            }))
        },
    )
}

fn process() -> impl Strategy<Value = BodyBuf> {
    let texts = (".{0,8}", ".{0,8}", vec(".{0,8}", 0..3), ".{0,8}", vec((".{0,4}", ".{0,4}"), 0..3));
    let lists = (vec(any::<u16>(), 0..3), vec(any::<u8>(), 0..3));
    let numbers = (1..4u64, any::<[u32; 5]>(), mono(), lists, any::<[bool; 2]>());
    (texts, numbers).prop_map(
        |((comm, exe, cmdline, cgroup, env), (id, numbers, started, (listening, ext), [io_uring, opaque_tls]))| {
            let [tgid, parent, netns, pidns, mntns] = numbers;
            BodyBuf::Process(Box::new(ProcessInfo {
                key: ProcKey::new(ORIGIN, id),
                origin: ORIGIN,
                id,
                tgid: Tgid(tgid),
                parent: Tgid(parent),
                started,
                comm,
                exe,
                cmdline,
                cgroup,
                netns,
                pidns,
                mntns,
                env,
                listening,
                io_uring,
                opaque_tls,
                ext: ext.as_slice().into(),
            }))
        },
    )
}

fn of_connection() -> impl Strategy<Value = Body<'static>> {
    prop_oneof![
        (conn_key(), proc_key(), stamp()).prop_map(|(conn, process, stamp)| Body::Accept { conn, process, stamp }),
        (conn_key(), any::<u64>(), any::<bool>()).prop_map(|(conn, end, fin)| Body::Arrival { conn, end, fin }),
        conn_key().prop_map(|conn| Body::Close { conn }),
        (conn_key(), proc_key(), stamp(), any::<u16>()).prop_map(|(conn, process, stamp, errno)| Body::Connect {
            conn,
            process,
            stamp,
            errno
        }),
        (conn_key(), proc_key(), any::<u32>()).prop_map(|(conn, process, tid)| Body::FdClose {
            conn,
            process,
            tid: Tid(tid)
        }),
        (conn_key(), proc_key(), stamp(), 0..3usize).prop_map(|(conn, process, stamp, how)| Body::Shutdown {
            conn,
            process,
            stamp,
            how: [Shutdown::Read, Shutdown::Write, Shutdown::Both][how],
        }),
        (conn_key(), any::<u16>()).prop_map(|(conn, errno)| Body::SocketError { conn, errno }),
        (conn_key(), any::<u64>(), 0..5u8).prop_map(|(conn, carrier, rule)| Body::TlsTie {
            conn,
            carrier,
            rule: TieRule::from_number(rule),
        }),
    ]
}

fn of_no_connection() -> impl Strategy<Value = Body<'static>> {
    prop_oneof![
        Just(Body::Tick),
        proc_key().prop_map(|process| Body::Exec { process }),
        proc_key().prop_map(|process| Body::Exit { process }),
        (mono(), any::<u64>(), any::<u64>(), any::<u32>()).prop_map(|(mono, boot_nanos, wall, uncertainty_nanos)| {
            let anchor = ClockAnchor { mono, boot_nanos, wall: WallNanos::new(wall), uncertainty_nanos };
            Body::Clock { origin: Origin([0x22; 16]), anchor }
        }),
        (0..7u8, any::<u64>(), mono(), mono()).prop_map(|(cause, count, from, to)| {
            Body::Loss(Loss { cause: LossCause::from_number(cause), count, from, to, origin: None })
        }),
    ]
}

fn event() -> impl Strategy<Value = EventBuf> {
    let body = prop_oneof![
        4 => data(),
        4 => of_connection().prop_map(BodyBuf::Plain),
        2 => of_no_connection().prop_map(BodyBuf::Plain),
        1 => connection(),
        1 => process(),
    ];
    let ext = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 1..20)];
    (mono(), any::<u16>(), any::<u64>(), any::<bool>(), body, ext)
        .prop_map(|(time, cpu, seq, late, body, ext)| EventBuf { time, cpu, seq, late, body, ext })
}

/// Up to `most` events of all kinds, of few connections and processes, some without a dictionary entry.
pub(crate) fn script(most: usize) -> impl Strategy<Value = Script> {
    vec(event(), 0..=most).prop_map(|events| Script { events })
}
