//! What expressions say of events, and what is said of wrong ones.

use super::*;
use crate::event::{Body, BodyBuf, Data, Direction, EventBuf, Source, Stamp};
use crate::facts::{ConnInfo, Endpoint, ProcessInfo, Role};
use crate::ids::{ConnKey, Origin, ProcKey, Tgid, Tid};
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;

const ORIGIN: Origin = Origin([7; 16]);

fn events() -> Vec<EventBuf> {
    let process = ProcessInfo {
        key: ProcKey::new(ORIGIN, 3),
        origin: ORIGIN,
        id: 3,
        tgid: Tgid(42),
        comm: "shopd".into(),
        exe: "/usr/bin/shopd".into(),
        ..ProcessInfo::default()
    };
    let [local, remote] = ["10.0.0.1:8080", "[::1]:40000"].map(|end| end.parse().unwrap());
    let conn = ConnInfo {
        role: Role::Server,
        process: process.key,
        endpoint: Some(Endpoint { local, remote }),
        ..ConnInfo::unknown(ORIGIN, 1)
    };
    let data = Data {
        conn: conn.key,
        process: process.key,
        stamp: Stamp { tid: Tid(43), ..Stamp::default() },
        direction: Direction::In,
        source: Source::Recvmsg,
        pos: 5,
        len: 2048,
        arrived: None,
        ranges: Ranges::EMPTY,
    };
    let time = MonoNanos::new(1_000_000_000);
    vec![
        EventBuf::new(time, BodyBuf::Process(Box::new(process))),
        EventBuf::new(time, BodyBuf::Connection(Box::new(conn))),
        EventBuf::new(time.plus(1_500_000_000), BodyBuf::Data(data, RangesBuf::prefix(*b"GET /cart?id=7 HTTP/1.1"))),
        EventBuf::new(time, BodyBuf::Plain(Body::Close { conn: ConnKey::new(ORIGIN, 1) })),
    ]
}

/// Whether the expression holds of the call.
fn holds(text: &str) -> bool {
    let (expr, mut known) = (Expr::parse(text).unwrap(), Known::default());
    let events = events();
    events.iter().for_each(|event| known.learn(&event.as_event()));
    expr.holds(&known.subject(&events[2].as_event()))
}

#[test]
fn what_holds_of_a_call() {
    let conn = format!("conn == c{:08x}", ConnKey::new(ORIGIN, 1).get() >> 32);
    for text in [
        "kind == data",
        "port == 8080 and remote.port == 40000",
        "not port == 80 and port in (80, 8080)",
        "local == 10.0.0.1 and remote == '::1'",
        "local == 10.0.0.1:8080",
        "service == shopd and comm ~ '^shop' and exe contains bin",
        "pid == 42 and tid == 43",
        "len >= 2K and len < 3K and pos == 5",
        "time == 1.5s and time > 1499ms",
        "direction == in and source != read and role = server",
        "payload contains 'GET /cart' and payload ~ \"id=\\\\d\"",
        "payload !~ POST",
        "not tls and not late and not (preexisting or kind == tick)",
        "kind == tick or port == 8080 and pid == 42",
        "conn == 1",
        &conn,
    ] {
        assert!(holds(text), "{text}");
        assert!(!holds(&format!("not ({text})")), "{text}");
    }
    assert!(!holds("kind == tick or port == 80"));
    assert!(!holds("errno == 0"), "a call has no errno");
}

#[test]
fn what_may_hold_of_a_connection() {
    let events = events();
    let mut known = Known::default();
    events.iter().for_each(|event| known.learn(&event.as_event()));
    let close = events[3].as_event();
    let may = |text: &str| Expr::parse(text).unwrap().may_hold_of_connection(&known.subject(&close));
    assert!(may("port == 8080 and len > 5"));
    assert!(may("kind == data"));
    assert!(may("not kind == data"));
    assert!(!may("port == 80 and len > 5"));
    assert!(!may("not (port == 8080 or len > 5)"));
}

#[test]
fn wrong_expressions_are_told() {
    for (text, expected) in [
        ("prot == 80", "column 1: `prot` is no field; did you mean `port`?"),
        ("port == 80 adn pid == 1", "column 12: `and`, `or` or the end is expected here"),
        ("port == eighty", "column 9: `eighty` is no number; a number such as 8080 or 64K is expected here"),
        ("(port == 80", "column 12: `)` is expected here"),
        ("kind == dta", "column 9: `dta` is no kind; did you mean `data`?"),
        ("comm ~ '['", "column 8: `[` is no regular expression: unclosed character class"),
        ("comm == 'shop", "column 9: this text has no end; close the quote"),
        ("payload == x", "column 9: `==` cannot be asked of `payload`; contains ~ !~"),
        ("tls == true", "column 5: `==` cannot be asked of `tls`; write `tls` or `not tls`"),
        ("", "column 1: a field is expected here, as in `port == 8080`"),
        ("port", "column 5: an operator is expected behind `port`: == != < <= > >= in"),
        ("port in 80", "column 9: `(` is expected here, as in `port in (80, 8080)`"),
        ("port == 80 & pid == 1", "column 12: no word, text or operator begins so"),
        ("time < 5", "column 8: `5` is no number; a time such as 1.5s or 200ms is expected here"),
    ] {
        assert_eq!(Expr::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
    assert!(Expr::parse(&"(".repeat(100_000)).is_err());
    assert!(Expr::parse(&"not ".repeat(100_000)).is_err());
}
