//! Makes the tapes: sound ones, by the writer.

use redtape_core::tape::{CloseReason, Meta, RotatingWriter, Rotation, Writer, WriterOptions};
use redtape_core::tls::TieRule;
use redtape_core::{
    Body, BodyBuf, ClockAnchor, ConnInfo, ConnKey, Data, DataFlags, Direction, Endpoint, EntryExt, EventBuf, Loss,
    LossCause, MonoNanos, Origin, ProcKey, ProcessInfo, Ranges, RangesBuf, Role, Shutdown, Source, Stamp, Tgid, Tid,
    TlsLibrary, WallNanos,
};

use super::raw::{Block, HEADER, PREAMBLE, blocks, with};
use super::{damage, future};

const ORIGIN: Origin = Origin(*b"fixture's origin");

/// All tapes with their names.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let (whole, compressed, set) = (whole(WriterOptions::PIPE), whole(WriterOptions::FILE), set());
    let mut tapes = damage::all(&whole, &compressed);
    tapes.extend(future::all(&whole));
    tapes.extend([
        ("compressed.tape", compressed),
        ("every-number.tape", every_number()),
        ("merged.tape", merged()),
        ("set-0.tape", set[0].clone()),
        ("set-2.tape", set[2].clone()),
        ("whole.tape", whole),
    ]);
    tapes
}

/// Tapes whose checksums are right and whose contents are not: records of no known kind, times that the header does not
/// have, a block that must be understood and is not while a request is under way.
pub(crate) fn misleading() -> Vec<(String, Vec<u8>)> {
    let whole = whole(WriterOptions::PIPE);
    let mut tapes = Vec::new();
    let mut at = PREAMBLE;
    for block in blocks(&whole) {
        let critical = Block { flags: 1, ..Block::new(100, b"from the future") };
        tapes.push((format!("a critical block at {at}"), with(&whole, at, &critical.bytes())));
        let end = at + HEADER + block.content.len();
        let mut instead =
            |what: String, block: &Block| tapes.push((what, [&whole[..at], &block.bytes(), &whole[end..]].concat()));
        for which in 0..2 {
            let mut late = block.clone();
            late.times[which] ^= 1 << 36;
            instead(format!("time {which} of the block at {at}"), &late);
        }
        for byte in (0..block.content.len()).step_by(53) {
            let mut altered = block.clone();
            altered.content[byte] ^= 0x10;
            instead(format!("byte {byte} of the block at {at}"), &altered);
        }
        at = end;
    }
    tapes.push(("a time in the far future".to_owned(), in_the_future()));
    tapes
}

/// After its first exchange a time in the far future, and everything else of long ago.
fn in_the_future() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &meta(), WriterOptions::PIPE).unwrap();
    for n in 0..600 {
        let mut write = |event: EventBuf| writer.push(&event.as_event()).unwrap();
        write(event(n, connection(n, false)));
        for body in exchange(n) {
            let time = if n == 1 { MonoNanos::new(1 << 63) } else { MonoNanos::new(1_000_000_000 + n) };
            write(EventBuf { time, ..event(n, body) });
        }
    }
    writer.finish(CloseReason::Done).unwrap().1
}

fn exchange(conn: u64) -> [BodyBuf; 3] {
    let conn = ConnKey::new(ORIGIN, conn);
    let request = RangesBuf::prefix(*b"GET /cart HTTP/1.1\r\n\r\n");
    let response = RangesBuf::prefix(*b"HTTP/1.1 204 No Content\r\n\r\n");
    [
        data(conn, Direction::In, 22, request, Stamp::default()),
        data(conn, Direction::Out, 27, response, Stamp::default()),
        BodyBuf::Plain(Body::Close { conn }),
    ]
}

fn meta() -> Meta {
    Meta {
        tape: *b"fixture's tape 0",
        origin: ORIGIN,
        set: None,
        tool: "redtape-tests".to_owned(),
        host: "fixture".to_owned(),
        kernel: "6.12.0".to_owned(),
        arch: "x86_64".to_owned(),
        cpus: 2,
        boot_id: "11111111-2222-3333-4444-555555555555".to_owned(),
        command: vec!["redtape-capture".to_owned(), "record".to_owned()],
        config: "discovery: {}\n".to_owned(),
        arrival_hook: "sk_data_ready".to_owned(),
        payload_limits: "heads 8192, bodies 64".to_owned(),
        redaction: String::new(),
        started: WallNanos::new(1_700_000_000_000_000_000),
        extra: vec![("pod".to_owned(), "shop-1".to_owned())],
    }
}

fn connection(id: u64, preexisting: bool) -> BodyBuf {
    BodyBuf::Connection(Box::new(ConnInfo {
        key: ConnKey::new(ORIGIN, id),
        origin: ORIGIN,
        id,
        process: ProcKey::new(ORIGIN, 1),
        role: if preexisting { Role::Unknown } else { Role::Server },
        endpoint: Some(Endpoint {
            local: ([192, 0, 2, 1], 8080).into(),
            remote: ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2], 50_000).into(),
        }),
        netns: 4_026_531_840,
        isn_local: Some(1000),
        isn_remote: Some(2000),
        established: (!preexisting).then_some(MonoNanos::new(1_000_000)),
        preexisting,
        first_in: 0,
        first_out: 0,
        tls: None,
        ext: EntryExt::default(),
    }))
}

fn process() -> BodyBuf {
    BodyBuf::Process(Box::new(ProcessInfo {
        key: ProcKey::new(ORIGIN, 1),
        origin: ORIGIN,
        id: 1,
        tgid: Tgid(4242),
        parent: Tgid(1),
        started: MonoNanos::new(500),
        comm: "shop".to_owned(),
        exe: "/usr/bin/shop".to_owned(),
        cmdline: vec!["shop".to_owned(), "--port=8080".to_owned()],
        cgroup: "/system.slice/shop.service".to_owned(),
        netns: 4_026_531_840,
        pidns: 4_026_531_836,
        mntns: 4_026_531_841,
        env: vec![("OTEL_SERVICE_NAME".to_owned(), "shop".to_owned())],
        listening: vec![8080],
        io_uring: false,
        opaque_tls: false,
        ext: EntryExt::default(),
    }))
}

fn data(conn: ConnKey, direction: Direction, len: u64, ranges: RangesBuf, stamp: Stamp) -> BodyBuf {
    let source = if direction == Direction::In { Source::Read } else { Source::Writev };
    let process = ProcKey::new(ORIGIN, 1);
    BodyBuf::Data(
        Data { conn, process, stamp, direction, source, pos: 0, len, arrived: None, ranges: Ranges::EMPTY },
        ranges,
    )
}

/// The number of the plaintext that connection 7 carries.
const TLS: u64 = 1 << 62 | 1;

fn tls_connection() -> BodyBuf {
    let BodyBuf::Connection(carrier) = connection(7, false) else { unreachable!() };
    let (key, tls) = (ConnKey::new(ORIGIN, TLS), Some(TlsLibrary::OpenSsl));
    BodyBuf::Connection(Box::new(ConnInfo { key, id: TLS, tls, ..*carrier }))
}

fn plaintext(conn: ConnKey, stamp: Stamp) -> BodyBuf {
    let request = RangesBuf::prefix(*b"GET /cart HTTP/1.1\r\n\r\n");
    let BodyBuf::Data(data, request) = data(conn, Direction::In, 22, request, stamp) else { unreachable!() };
    let arrived = Some(MonoNanos::new(1_900_000));
    BodyBuf::Data(Data { source: Source::SslRead, arrived, ..data }, request)
}

/// One event of every kind, some with extensions, late or of an unknown connection.
fn bodies() -> Vec<BodyBuf> {
    let (conn, process) = (ConnKey::new(ORIGIN, 7), ProcKey::new(ORIGIN, 1));
    let [entry, exit] = [1_990_000, 2_000_000].map(MonoNanos::new);
    let stamp = Stamp { tid: Tid(4243), flags: DataFlags::NONBLOCKING, loop_turn: 3, entry, exit };
    let mut response = RangesBuf::prefix(*b"HTTP/1.1 200 OK\r\n");
    response.push(4090, b"0\r\n\r\n");
    let request = RangesBuf::prefix(*b"GET /cart HTTP/1.1\r\n\r\n");
    vec![
        BodyBuf::Plain(Body::Exec { process }),
        BodyBuf::Plain(Body::Connect { conn: ConnKey::new(ORIGIN, 99), process, stamp, errno: 115 }),
        BodyBuf::Plain(Body::Arrival { conn, end: 22, fin: false }),
        BodyBuf::Plain(Body::Accept { conn, process, stamp }),
        data(conn, Direction::In, 22, request, stamp),
        data(conn, Direction::Out, 4095, response, stamp),
        plaintext(ConnKey::new(ORIGIN, TLS), stamp),
        BodyBuf::Plain(Body::TlsTie { conn: ConnKey::new(ORIGIN, TLS), carrier: 7, rule: TieRule::Records }),
        BodyBuf::Plain(Body::SocketError { conn, errno: 104 }),
        BodyBuf::Plain(Body::Shutdown { conn, process, stamp, how: Shutdown::Both }),
        BodyBuf::Plain(Body::FdClose { conn, process, tid: Tid(4243) }),
        BodyBuf::Plain(Body::Close { conn }),
        BodyBuf::Plain(Body::Tick),
        BodyBuf::Plain(Body::Exit { process }),
    ]
}

/// Every number of what has numbers: calls, flags, shutdowns, causes of losses, rules of ties, TLS libraries, close reasons.
fn every_number() -> Vec<u8> {
    let (conn, process) = (ConnKey::new(ORIGIN, 7), ProcKey::new(ORIGIN, 1));
    let mut writer = Writer::new(Vec::new(), &meta(), WriterOptions::PIPE).unwrap();
    let mut n = 0;
    let mut push = |body| {
        n += 1;
        writer.push(&event(n, body).as_event()).unwrap();
    };
    push(self::process());
    push(connection(7, false));
    for number in 0..=19 {
        let stamp = Stamp { flags: DataFlags(1 << (number % 16)), ..Stamp::default() };
        let BodyBuf::Data(data, payload) = data(conn, Direction::In, 3, RangesBuf::prefix(*b"abc"), stamp) else {
            unreachable!()
        };
        push(BodyBuf::Data(Data { source: Source::from_number(number), ..data }, payload));
    }
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        push(BodyBuf::Plain(Body::Shutdown { conn, process, stamp: Stamp::default(), how }));
    }
    push(BodyBuf::Plain(Body::Arrival { conn, end: 22, fin: true }));
    for library in [TlsLibrary::OpenSsl, TlsLibrary::GnuTls, TlsLibrary::GoTls, TlsLibrary::Unknown] {
        let BodyBuf::Connection(info) = tls_connection() else { unreachable!() };
        push(BodyBuf::Connection(Box::new(ConnInfo { tls: Some(library), ..*info })));
        for rule in 0..=4 {
            let (conn, rule) = (ConnKey::new(ORIGIN, TLS), TieRule::from_number(rule));
            push(BodyBuf::Plain(Body::TlsTie { conn, carrier: 7, rule }));
        }
    }
    for (cause, count) in (0..=6).zip(1..) {
        let at = MonoNanos::new(1_000_000_000);
        let cause = LossCause::from_number(cause);
        push(BodyBuf::Plain(Body::Loss(Loss { cause, count, from: at, to: at, origin: None })));
    }
    writer.finish(CloseReason::Error).unwrap().1
}

/// Two recordings in one tape: META names none.
fn merged() -> Vec<u8> {
    let meta = Meta { origin: Origin::default(), ..meta() };
    let mut writer = Writer::new(Vec::new(), &meta, WriterOptions::PIPE).unwrap();
    for (n, origin) in [ORIGIN, Origin(*b"another's origin")].into_iter().enumerate() {
        let BodyBuf::Connection(info) = connection(7, false) else { unreachable!() };
        let (key, process) = (ConnKey::new(origin, 7), ProcKey::default());
        let facts = BodyBuf::Connection(Box::new(ConnInfo { key, origin, process, ..*info }));
        let BodyBuf::Plain(Body::Clock { anchor, .. }) = clock(0).body else { unreachable!() };
        for body in [BodyBuf::Plain(Body::Clock { origin, anchor }), facts, BodyBuf::Plain(Body::Close { conn: key })] {
            writer.push(&event(n as u64, body).as_event()).unwrap();
        }
    }
    writer.finish(CloseReason::Repaired).unwrap().1
}

fn event(n: u64, body: BodyBuf) -> EventBuf {
    EventBuf { cpu: 1, seq: n, ..EventBuf::new(MonoNanos::new(1_000_000_000 + n * 1000), body) }
}

fn clock(n: u64) -> EventBuf {
    let mono = MonoNanos::new(1_000_000_000 + n * 1000);
    let wall = WallNanos::new(1_700_000_000_000_000_000 + n * 1000);
    let anchor = ClockAnchor { mono, boot_nanos: mono.nanos() + 5, wall, uncertainty_nanos: 80 };
    event(n, BodyBuf::Plain(Body::Clock { origin: ORIGIN, anchor }))
}

/// A tape with every kind of block and of event.
fn whole(options: WriterOptions) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &meta(), options).unwrap();
    let mut push = |event: EventBuf| writer.push(&event.as_event()).unwrap();
    push(clock(0));
    push(event(0, process()));
    push(event(0, connection(5, true)));
    writer.snapshot(MonoNanos::new(1_000_000_000), []).unwrap();
    let mut push = |event: EventBuf| writer.push(&event.as_event()).unwrap();
    push(event(0, connection(7, false)));
    push(event(0, tls_connection()));
    for (n, body) in (1..).zip(bodies()) {
        let late = n == 3;
        let ext = if n == 5 { vec![1, 0, 2, 0, 0xaa, 0xbb] } else { Vec::new() };
        push(EventBuf { late, ext, ..event(n, body) });
    }
    let [from, to] = [1_000_010_000, 1_000_015_000].map(MonoNanos::new);
    push(event(20, BodyBuf::Plain(Body::Loss(Loss { cause: LossCause::RingFull, count: 12, from, to, origin: None }))));
    writer.enrich(to, &[("k8s.pod.name".to_owned(), "shop-1".to_owned())]).unwrap();
    writer.note(to, "the disk was changed").unwrap();
    writer.push(&clock(30).as_event()).unwrap();
    writer.finish(CloseReason::Done).unwrap().1
}

/// Three files of a rotated set.
fn set() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let rotation = Rotation { bytes: None, nanos: Some(6000) };
    let open = |_: u32, closed: Option<(_, Vec<u8>)>| {
        files.extend(closed.map(|(_, file)| file));
        Ok(Vec::new())
    };
    let mut writer = RotatingWriter::new(meta(), WriterOptions::PIPE, rotation, open).unwrap();
    writer.push(&clock(0).as_event()).unwrap();
    writer.push(&event(0, process()).as_event()).unwrap();
    writer.push(&event(0, connection(7, false)).as_event()).unwrap();
    for (n, body) in (1..).zip(bodies()) {
        writer.push(&event(n, body).as_event()).unwrap();
    }
    let (_, last) = writer.finish(CloseReason::Interrupted).unwrap();
    files.push(last);
    files
}
