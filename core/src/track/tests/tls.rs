//! The plaintext of TLS connections.

use crate::diagnostic::DiagnosticKind;
use crate::event::{Body, BodyBuf, Data, Direction, EventBuf, Source, Stamp};
use crate::exchange::{Exchange, What};
use crate::facts::{ConnInfo, Role, TlsLibrary};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::limits::Limits;
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;
use crate::tls::TieRule;
use crate::track::Shard;

const ORIGIN: Origin = Origin([1; 16]);

/// What becomes of a request in TLS, that was read at 50 and whose record had arrived at 7, behind `before`. The carrier was
/// established at 2.
fn run(before: Body<'static>) -> (Exchange, Vec<DiagnosticKind>) {
    let (process, at, conn) = (ProcKey::default(), MonoNanos::new, ConnKey::new(ORIGIN, 1));
    let info = ConnInfo {
        process,
        role: Role::Server,
        established: Some(at(2)),
        tls: Some(TlsLibrary::OpenSsl),
        ..ConnInfo::unknown(ORIGIN, 1)
    };
    let bytes = b"GET / HTTP/1.1\r\n\r\n";
    let stamp = Stamp { entry: at(40), exit: at(50), ..Stamp::default() };
    let (direction, source, len) = (Direction::In, Source::SslRead, bytes.len() as u64);
    let data =
        Data { conn, process, stamp, direction, source, pos: 0, len, arrived: Some(at(7)), ranges: Ranges::EMPTY };
    let (mut shard, mut out) = (Shard::new(&Limits::default()), Vec::new());
    for body in [
        BodyBuf::Connection(Box::new(info)),
        BodyBuf::Plain(before),
        BodyBuf::Data(data, RangesBuf::prefix(*bytes)),
        BodyBuf::Plain(Body::Close { conn }),
    ] {
        shard.push(&EventBuf::new(at(50), body).as_event(), at(50), &mut out);
    }
    let (mut ended, mut troubles) = (None, Vec::new());
    for finding in out {
        match finding.what {
            What::Ended(exchange) => ended = Some(*exchange),
            What::Diagnostic(kind, _) => troubles.push(kind),
            _ => {}
        }
    }
    (ended.unwrap(), troubles)
}

#[test]
fn plaintext_of_tls_has_the_arrivals_of_its_ciphertext_and_the_accept_of_its_carrier() {
    let (conn, process) = (ConnKey::new(ORIGIN, 1), ProcKey::default());
    let stamp = Stamp { entry: MonoNanos::new(3), exit: MonoNanos::new(6), ..Stamp::default() };
    let (exchange, troubles) = run(Body::Accept { conn, process, stamp });
    assert_eq!(exchange.request.message.arrival, Some(MonoNanos::new(7)));
    assert_eq!((exchange.accept_wait_nanos, troubles), (Some(4), vec![]));
}

#[test]
fn contradictory_evidence_of_the_carrier_is_counted() {
    let conn = ConnKey::new(ORIGIN, 1);
    let (_, troubles) = run(Body::TlsTie { conn, carrier: 0, rule: TieRule::Contradicted });
    assert_eq!(troubles, [DiagnosticKind::ContradictedTie]);
    let (_, troubles) = run(Body::TlsTie { conn, carrier: 7, rule: TieRule::Records });
    assert_eq!(troubles, []);
}
