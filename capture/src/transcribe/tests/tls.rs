//! Records of TLS libraries.

use redtape_abi::{Arrival, Captured, Data, Record, Socket, TlsClue, call, kind, limits, tie};
use redtape_core::tls::TieRule;
use redtape_core::{Body, ConnInfo, ConnKey, EventBuf, MonoNanos, Role, Source, Tgid, TlsLibrary};

use super::{MS, ORIGIN, START, Script};

/// The key of the TLS object; its carrier is 1.
const OBJECT: u64 = 1 << 62 | 5;

impl Script {
    /// Bytes 0 to 120 arrive at the carrier and are read: a TLS record.
    fn ciphertext(&mut self, arrived: u64, read: u64) {
        let header = self.header(kind::ARRIVAL, arrived);
        self.push(&Record::Arrival(Arrival { header, cookie: 1, end: 120, fin: 0 }));
        let header = self.header(kind::DATA, read);
        let call = Data {
            header,
            cookie: 1,
            entry: header.time,
            pos: 0,
            len: 120,
            tgid: 9,
            tid: 9,
            fd: 3,
            prefix_len: 5,
            source: call::READ,
            ..Data::default()
        };
        self.push(&Record::Data(call, Captured { prefix: &[23, 3, 3, 0, 115], ..Captured::default() }));
    }

    fn plaintext(&mut self, ms: u64, rule: u8, carrier: u64) {
        let header = self.header(kind::TLS_DATA, ms);
        let call = Data {
            header,
            cookie: OBJECT,
            carrier,
            entry: header.time,
            len: 98,
            tgid: 9,
            tid: 9,
            prefix_len: 4,
            source: 14,
            library: 1,
            rule,
            ..Data::default()
        };
        self.push(&Record::TlsData(call, Captured { prefix: b"GET ", ..Captured::default() }));
    }

    /// Records were read from a socket, or written to it, together with plaintext.
    fn clue(&mut self, ms: u64, carrier: u64, out: bool) {
        let header = self.header(kind::TLS_CLUE, ms);
        let clue = TlsClue {
            header,
            object: OBJECT,
            carrier,
            plain: 98,
            record: 115,
            moved: 120,
            tgid: 9,
            out: u8::from(out),
            library: 1,
            content: 23,
            joined: 0,
            reserved: 0,
        };
        self.push(&Record::TlsClue(clue));
    }
}

fn key() -> ConnKey {
    ConnKey::new(ORIGIN, OBJECT)
}

/// The entries of the TLS connection, in order.
fn entries(events: &[EventBuf]) -> Vec<ConnInfo> {
    let entry = |event: &EventBuf| match event.as_event().body {
        Body::Connection(info) if info.key == key() => Some(info.clone()),
        _ => None,
    };
    events.iter().filter_map(entry).collect()
}

/// When the TLS connection was accepted.
fn accept(event: &EventBuf) -> Option<MonoNanos> {
    match event.as_event().body {
        Body::Accept { conn, stamp, .. } if conn == key() => Some(stamp.exit),
        _ => None,
    }
}

fn count(events: &[EventBuf], wanted: Body<'_>) -> usize {
    events.iter().filter(|event| event.as_event().body == wanted).count()
}

#[test]
fn plaintext_has_the_facts_of_its_carrier_and_ends_with_it() {
    for by_clue in [false, true] {
        let mut script = Script::new();
        script.conn(1, 9, 0);
        script.accept(5);
        script.ciphertext(10, 30);
        if by_clue {
            script.clue(31, 1, false);
            script.clue(31, 1, true);
            script.plaintext(31, tie::NONE, 0);
        } else {
            script.plaintext(31, tie::CALL, 1);
        }
        script.closed(40);
        let header = script.header(kind::TLS_CLOSED, 41);
        script.push(&Record::TlsClosed(Socket { header, cookie: OBJECT, errno: 0, reserved: 0 }));
        let events = script.finish();
        let [info] = &entries(&events)[..] else { panic!("one entry") };
        assert_eq!((info.tls, info.role, info.isn_local), (Some(TlsLibrary::OpenSsl), Role::Server, None));
        assert_eq!(info.endpoint.map(|endpoint| endpoint.remote.port()), Some(81));
        let data = events.iter().find_map(|event| match event.as_event().body {
            Body::Data(data) if data.conn == key() => Some((data.source, data.arrived)),
            _ => None,
        });
        assert_eq!(data, Some((Source::SslRead, Some(MonoNanos::new(START + 10 * MS)))));
        let rule = if by_clue { TieRule::Records } else { TieRule::Call };
        assert_eq!(count(&events, Body::TlsTie { conn: key(), carrier: 1, rule }), 1);
        assert_eq!(count(&events, Body::Close { conn: key() }), 1);
        let accepts: Vec<_> = events.iter().filter_map(accept).collect();
        assert_eq!(accepts, [MonoNanos::new(START + 5 * MS)]);
    }
}

#[test]
fn without_evidence_and_against_it_there_is_no_address() {
    let mut script = Script::new();
    script.conn(1, 9, 0);
    script.plaintext(10, tie::NONE, 0);
    let [info] = &entries(&script.finish())[..] else { panic!("one entry") };
    assert_eq!((info.endpoint, info.role, info.netns), (None, Role::Unknown, 0));

    let mut script = Script::new();
    script.conn(1, 9, 0);
    script.conn(2, 9, 0);
    script.clue(10, 1, false);
    script.clue(10, 1, true);
    script.plaintext(11, tie::NONE, 0);
    assert!(entries(&script.advance(200))[0].endpoint.is_some());
    script.clue(210, 2, false);
    script.plaintext(211, tie::NONE, 0);
    let events = script.finish();
    let [info] = &entries(&events)[..] else { panic!("one more entry") };
    assert_eq!(info.endpoint, None);
    assert_eq!(count(&events, Body::TlsTie { conn: key(), carrier: 0, rule: TieRule::Contradicted }), 1);
    assert_eq!(script.transcriber.counts().contradicted_ties, 1);
}

#[test]
fn a_process_whose_plaintext_is_not_seen_is_told() {
    let mut script = Script::new();
    for ms in [10, 20, 30, 40] {
        script.ciphertext(ms, ms);
    }
    let later = MonoNanos::new(START + 5000 * MS);
    assert_eq!(script.transcriber.opaque_tls(later), [Tgid(9)]);
    assert!(!script.transcriber.leaves_opaque_tls(Tgid(9)));

    let mut script = Script::new();
    for ms in [10, 20, 30, 40] {
        script.ciphertext(ms, ms);
        script.plaintext(ms, tie::CALL, 1);
    }
    assert_eq!(script.transcriber.opaque_tls(later), []);
}

/// Ends are lost when the ring is full, which is just when there are many connections.
#[test]
fn connections_whose_ends_were_lost_are_forgotten_in_every_place() {
    let mut script = Script::new();
    let many = 3 * u64::from(limits::SOCKETS_MAX);
    for cookie in 0..many {
        let header = script.header(kind::ARRIVAL, 10 + cookie / 1000);
        script.push(&Record::Arrival(Arrival { header, cookie, end: 120, fin: 0 }));
        script.advance(10 + cookie / 1000);
    }
    assert!(script.transcriber.carriers() <= 2 * limits::SOCKETS_MAX as usize);
}
