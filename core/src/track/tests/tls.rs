//! The plaintext of TLS connections.

use crate::event::{Body, BodyBuf, Data, Direction, EventBuf, Source, Stamp};
use crate::exchange::What;
use crate::facts::{ConnInfo, Role, TlsLibrary};
use crate::ids::{ConnKey, Origin, ProcKey};
use crate::limits::Limits;
use crate::ranges::{Ranges, RangesBuf};
use crate::time::MonoNanos;
use crate::track::Shard;

#[test]
fn plaintext_of_tls_has_the_arrivals_of_its_ciphertext() {
    let (origin, process, at) = (Origin([1; 16]), ProcKey::default(), MonoNanos::new);
    let conn = ConnKey::new(origin, 1);
    let info = ConnInfo {
        key: conn,
        origin,
        id: 1,
        process,
        role: Role::Server,
        endpoint: None,
        netns: 0,
        isn_local: None,
        isn_remote: None,
        established: None,
        preexisting: false,
        first_in: 0,
        first_out: 0,
        tls: Some(TlsLibrary::OpenSsl),
    };
    let bytes = b"GET / HTTP/1.1\r\n\r\n";
    let stamp = Stamp { entry: at(40), exit: at(50), ..Stamp::default() };
    let (direction, source, len) = (Direction::In, Source::SslRead, bytes.len() as u64);
    let data =
        Data { conn, process, stamp, direction, source, pos: 0, len, arrived: Some(at(7)), ranges: Ranges::EMPTY };
    let mut shard = Shard::new(&Limits::default());
    let mut out = Vec::new();
    for body in [
        BodyBuf::Connection(Box::new(info)),
        BodyBuf::Data(data, RangesBuf::prefix(*bytes)),
        BodyBuf::Plain(Body::Close { conn }),
    ] {
        shard.push(&EventBuf::new(at(50), body).as_event(), at(50), &mut out);
    }
    let arrival = out.iter().find_map(|finding| match &finding.what {
        What::Ended(exchange) => Some(exchange.request.message.arrival),
        _ => None,
    });
    assert_eq!(arrival, Some(Some(at(7))));
}
