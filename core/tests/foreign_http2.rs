//! What another implementation of HTTP/2 sends, read by this one: the client and server of the `h2` crate talk through memory,
//! and the client's end of that is the recording.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use redtape_core::{
    Body, BodyBuf, ConnInfo, Data, Direction, EventBuf, Exchange, Limits, MonoNanos, Origin, Outcome, Ranges,
    RangesBuf, Role, Shard, Source, Stamp, What,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

type Calls = Arc<Mutex<Vec<(Direction, Vec<u8>)>>>;

/// One end of a connection that writes down what is read and written.
struct Tap {
    stream: DuplexStream,
    calls: Calls,
}

impl AsyncRead for Tap {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let bytes = buf.filled()[before..].to_vec();
        self.calls.lock().unwrap().push((Direction::In, bytes));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.calls.lock().unwrap().push((Direction::Out, bytes[..written].to_vec()));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const REQUESTS: u32 = 60;

/// Answers each request by the number in its path, as [`expected`] says.
async fn serve(stream: DuplexStream) {
    let mut connection = h2::server::Builder::new().header_table_size(512).handshake::<_, Bytes>(stream).await.unwrap();
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted.unwrap();
        tokio::task::spawn_local(async move {
            let number: u32 = request.uri().path()[1..].parse().unwrap();
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data.unwrap().len()).unwrap();
            }
            if number % 7 == 3 {
                return respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
            let (status, size, grpc) = expected(number);
            let head = Response::builder().status(status).header("server", "other").header("x-number", number);
            let mut send = respond.send_response(head.body(()).unwrap(), size == 0 && grpc.is_none()).unwrap();
            if size > 0 {
                send.send_data(Bytes::from(vec![b'x'; size]), grpc.is_none()).unwrap();
            }
            if let Some(grpc) = grpc {
                let trailers =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), grpc.to_string().parse().unwrap())]);
                send.send_trailers(trailers).unwrap();
            }
        });
    }
}

/// Status, body size and status of gRPC.
fn expected(number: u32) -> (u16, usize, Option<u16>) {
    let status = [200, 204, 404, 503, 418][number as usize % 5];
    match number % 4 {
        _ if number % 7 == 3 => (0, 0, None),
        1 => (200, number as usize * 500, Some(u16::try_from(number % 17).unwrap())),
        _ => (status, if status == 204 { 0 } else { number as usize * 700 }, None),
    }
}

fn upload(number: u32) -> usize {
    if number % 4 == 1 { 20_000 } else { 0 }
}

/// The calls on the client's socket.
fn converse() -> Vec<(Direction, Vec<u8>)> {
    let calls = Calls::default();
    let (client, server) = tokio::io::duplex(7_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tap = Tap { stream: client, calls: calls.clone() };
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        tokio::task::spawn_local(serve(server));
        let (mut send, connection) = h2::client::handshake(tap).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let mut tasks = Vec::new();
        for number in 0..REQUESTS {
            send = send.ready().await.unwrap();
            let mut head = Request::builder()
                .method(if upload(number) > 0 { "POST" } else { "GET" })
                .uri(format!("http://other.test/{number}"))
                .header("user-agent", "other/1.0")
                .header("cookie", "c".repeat(number as usize * 3));
            if number % 4 == 1 {
                head = head.header("content-type", "application/grpc+proto");
            }
            let (response, mut body) = send.send_request(head.body(()).unwrap(), upload(number) == 0).unwrap();
            if upload(number) > 0 {
                body.send_data(Bytes::from(vec![b'u'; upload(number)]), true).unwrap();
            }
            tasks.push(tokio::task::spawn_local(async move {
                let Ok(response) = response.await else { return };
                let mut body = response.into_body();
                while let Some(Ok(data)) = body.data().await {
                    body.flow_control().release_capacity(data.len()).unwrap();
                }
                let _ = body.trailers().await;
            }));
        }
        drop(send);
        for task in tasks {
            task.await.unwrap();
        }
        connection.await.unwrap().unwrap();
    });
    std::mem::take(&mut *calls.lock().unwrap())
}

/// The exchanges of calls, by path, from the one with number `from` on.
fn exchanges(calls: &[(Direction, Vec<u8>)], from: usize, chunk: usize) -> BTreeMap<String, Exchange> {
    let preexisting = from > 0;
    let info = ConnInfo { role: Role::Client, preexisting, ..ConnInfo::unknown(Origin::default(), 1) };
    let mut events = vec![EventBuf::new(MonoNanos::ZERO, BodyBuf::Connection(Box::new(info.clone())))];
    let mut next = [0u64; 2];
    for (number, (direction, bytes)) in calls.iter().enumerate() {
        for bytes in bytes.chunks(chunk) {
            let time = MonoNanos::new(1 + events.len() as u64);
            let stamp = Stamp { entry: time, exit: time, ..Stamp::default() };
            let (pos, len) = (next[*direction as usize], bytes.len() as u64);
            next[*direction as usize] += len;
            let (conn, process, source, ranges) = (info.key, info.process, Source::Read, Ranges::EMPTY);
            let data = Data { conn, process, stamp, direction: *direction, source, pos, len, arrived: None, ranges };
            if number >= from {
                events.push(EventBuf::new(time, BodyBuf::Data(data, RangesBuf::prefix(bytes))));
            }
        }
    }
    let end = MonoNanos::new(1 + events.len() as u64);
    events.push(EventBuf::new(end, BodyBuf::Plain(Body::Close { conn: info.key })));
    let (mut shard, mut out) = (Shard::new(&Limits::default()), Vec::new());
    events.iter().for_each(|event| shard.push(&event.as_event(), event.time, &mut out));
    let ended = out.into_iter().filter_map(|finding| match finding.what {
        What::Ended(exchange) => Some((exchange.request.head.target().to_owned(), *exchange)),
        What::Diagnostic(kind, _) if !preexisting => panic!("{kind:?}"),
        _ => None,
    });
    ended.collect()
}

#[track_caller]
fn assert_as_expected(number: u32, exchange: &Exchange) {
    let (status, size, grpc) = expected(number);
    let response = exchange.response.as_ref();
    if status == 0 {
        assert_eq!((exchange.outcome, exchange.reset, response.is_some()), (Outcome::Reset, Some(7), false));
        return;
    }
    let found = response.map(|response| (response.status, response.message.body_len, response.grpc_status));
    assert_eq!(found, Some((status, Some(size as u64), grpc)), "{number}");
    assert_eq!(exchange.request.message.body_len, Some(upload(number) as u64), "{number}");
    assert_eq!(exchange.request.head.is_grpc(), number % 4 == 1, "{number}");
    assert_eq!(exchange.outcome, Outcome::Complete, "{number}");
}

#[test]
fn every_exchange_is_found_however_its_bytes_come() {
    let calls = converse();
    for chunk in [1, 7, 1000, usize::MAX] {
        let found = exchanges(&calls, 0, chunk);
        assert_eq!(found.len(), REQUESTS as usize);
        for number in 0..REQUESTS {
            let exchange = &found[&format!("/{number}")];
            assert_eq!(exchange.request.head.user_agent(), Some("other/1.0"));
            assert_eq!(exchange.request.head.host(), Some("other.test"));
            assert_as_expected(number, exchange);
        }
    }
}

#[test]
fn a_late_start_finds_nothing_that_was_not_there() {
    let calls = converse();
    let mut joined = 0;
    for from in 1..calls.len() {
        for (path, exchange) in exchanges(&calls, from, usize::MAX) {
            joined += 1;
            // What is not known is empty or absent; what is known is right.
            let Some(number) = path.strip_prefix('/') else {
                assert!(path.is_empty() && exchange.request.message.truncated);
                continue;
            };
            let (status, size, grpc) = expected(number.parse().unwrap());
            let response = exchange.response.as_ref();
            assert!(response.is_none_or(|response| response.status == status));
            assert!(response.is_none_or(|response| response.grpc_status.is_none_or(|found| Some(found) == grpc)));
            if exchange.outcome == Outcome::Complete {
                assert_eq!(response.and_then(|response| response.message.body_len), Some(size as u64));
            }
        }
    }
    assert!(joined > 100, "{joined} of {} starts", calls.len());
}
