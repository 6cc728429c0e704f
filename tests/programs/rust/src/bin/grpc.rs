//! The gRPC conversation of tests/programs/README.md by tonic. Messages are bytes, so that nothing has to be generated.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{StreamExt, iter, pending};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use axum::http::uri::PathAndQuery;
use axum::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Service, service_fn};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;
type Message = Vec<u8>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", _] => serve().await,
        ["call", "grpc", target] => call(target, true, true).await,
        ["call", "grpc-unary", target] => call(target, true, false).await,
        ["call", "grpc-streams", target] => call(target, false, true).await,
        _ => Err("usage: grpc serve PROTOCOL | grpc call grpc|grpc-unary|grpc-streams URL".into()),
    }
}

/// A message is its bytes.
#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Message;
    type Decode = Message;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, item: Message, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Message;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Message>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).into()))
    }
}

/// The service, without generated code.
#[derive(Clone)]
struct Talk;

impl NamedService for Talk {
    const NAME: &'static str = "redtape.Talk";
}

impl Service<HttpRequest<Body>> for Talk {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        Box::pin(async move { Ok(answer(request).await) })
    }
}

async fn answer(request: HttpRequest<Body>) -> HttpResponse<Body> {
    let mut grpc = tonic::server::Grpc::new(Bytes);
    match request.uri().path().rsplit('/').next().unwrap_or_default() {
        "Unary" => {
            grpc.unary(service_fn(|request: Request<Message>| async { Ok(reply(request.into_inner())) }), request).await
        }
        "Gather" => grpc.client_streaming(service_fn(gather), request).await,
        "Spread" => {
            let spread = |request: Request<Message>| async { Ok(reply(iter(vec![Ok(request.into_inner()); 3]))) };
            grpc.server_streaming(service_fn(spread), request).await
        }
        "Both" => {
            let both = |request: Request<Streaming<Message>>| async { Ok(reply(request.into_inner())) };
            grpc.streaming(service_fn(both), request).await
        }
        "Wait" => grpc.unary(service_fn(wait), request).await,
        "Hold" => {
            let hold =
                |request: Request<Message>| async { Ok(reply(iter([Ok(request.into_inner())]).chain(pending()))) };
            grpc.server_streaming(service_fn(hold), request).await
        }
        _ => {
            let fail = |_: Request<Message>| async { Err::<Response<Message>, _>(Status::not_found("no such thing")) };
            grpc.unary(service_fn(fail), request).await
        }
    }
}

fn reply<T>(message: T) -> Response<T> {
    Response::new(message)
}

async fn gather(request: Request<Streaming<Message>>) -> Result<Response<Message>, Status> {
    let parts: Vec<Message> = request.into_inner().collect::<Result<_, Status>>().await?;
    Ok(reply(parts.concat()))
}

/// Longer than any caller does.
async fn wait(request: Request<Message>) -> Result<Response<Message>, Status> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    Ok(reply(request.into_inner()))
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(Server::builder().add_service(Talk).serve_with_incoming(TcpListenerStream::new(listener)).await?)
}

async fn call(target: &str, by_unary: bool, by_streams: bool) -> Result<()> {
    let mut workers = JoinSet::new();
    for _ in 0..2 {
        let channel = Endpoint::from_shared(target.to_owned())?.connect().await?;
        let mut grpc = tonic::client::Grpc::new(channel);
        workers.spawn(async move {
            if by_unary {
                unary_calls(&mut grpc).await?;
            }
            if by_streams {
                stream_calls(&mut grpc).await?;
            }
            Ok(())
        });
    }
    workers.join_all().await.into_iter().collect()
}

async fn unary_calls(grpc: &mut tonic::client::Grpc<Channel>) -> Result<()> {
    let message = vec![b'x'; 5000];
    for _ in 0..5 {
        expect(unary(grpc, "Unary", &message, None).await? == message, "Unary")?;
    }
    for _ in 0..2 {
        expect(code(unary(grpc, "Fail", &message, None).await) == Code::NotFound, "Fail")?;
    }
    let expired = code(unary(grpc, "Wait", &message, Some(Duration::from_millis(200))).await);
    // A server that holds the caller's deadline too may be the first to give up.
    expect(matches!(expired, Code::DeadlineExceeded | Code::Cancelled), "Wait")?;
    // The connection is open until the server has heard of it.
    expect(unary(grpc, "Unary", &message, None).await? == message, "Unary")
}

async fn stream_calls(grpc: &mut tonic::client::Grpc<Channel>) -> Result<()> {
    let message = vec![b'x'; 5000];
    let thrice = || vec![message.clone(); 3];
    grpc.ready().await?;
    let gathered = grpc.client_streaming(Request::new(iter(thrice())), path("Gather"), Bytes).await?;
    expect(gathered.into_inner() == message.repeat(3), "Gather")?;
    grpc.ready().await?;
    let spread = grpc.server_streaming(Request::new(message.clone()), path("Spread"), Bytes).await?;
    expect(spread.into_inner().collect::<Result<Vec<_>, _>>().await? == thrice(), "Spread")?;
    grpc.ready().await?;
    let both = grpc.streaming(Request::new(iter(thrice())), path("Both"), Bytes).await?;
    expect(both.into_inner().collect::<Result<Vec<_>, _>>().await? == thrice(), "Both")?;
    grpc.ready().await?;
    let held = grpc.server_streaming(Request::new(message.clone()), path("Hold"), Bytes).await?;
    let mut held: Streaming<Message> = held.into_inner();
    expect(held.next().await.transpose()?.is_some(), "Hold")?;
    // This resets the stream. The call after it keeps the connection open until the server has heard of it.
    drop(held);
    expect(unary(grpc, "Unary", &message, None).await? == message, "Unary")
}

async fn unary(
    grpc: &mut tonic::client::Grpc<Channel>,
    method: &str,
    message: &Message,
    timeout: Option<Duration>,
) -> Result<Message, Status> {
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let mut request = Request::new(message.clone());
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    Ok(grpc.unary(request, path(method), Bytes).await?.into_inner())
}

fn path(method: &str) -> PathAndQuery {
    PathAndQuery::try_from(format!("/redtape.Talk/{method}")).expect("invariant: a method's name is a path's part")
}

fn code(result: Result<Message, Status>) -> Code {
    result.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn expect(holds: bool, method: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(format!("{method}: not the expected answer").into()) }
}
