//! The conversation of tests/programs/README.md by axum (hyper's server) and hyper-util's client, on tokio.

use std::convert::Infallible;
use std::error::Error;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", "http" | "h2c"] => serve().await,
        ["call", "http", target] => call(false, target).await,
        ["call", "h2c", target] => call(true, target).await,
        _ => Err("usage: conversation serve http|h2c | conversation call http|h2c URL".into()),
    }
}

/// The server knows by a connection's first bytes which version it speaks.
async fn serve() -> Result<()> {
    let chunks = || async {
        Body::from_stream(tokio_stream::iter(["one ", "two"].map(|part| Ok::<_, Infallible>(Bytes::from(part)))))
    };
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/chunks", get(chunks))
        .fallback(|| async { (StatusCode::NOT_FOUND, "missing") });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn call(http2: bool, target: &str) -> Result<()> {
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        workers.spawn(talk(client.clone(), target.to_owned()));
    }
    workers.join_all().await.into_iter().collect()
}

async fn talk(client: Client<HttpConnector, Body>, target: String) -> Result<()> {
    let body = "x".repeat(20000);
    let steps = [
        (5, "GET", "/hello", "", 200, "hello"),
        (2, "GET", "/missing", "", 404, "missing"),
        (2, "POST", "/echo", &body, 200, &body),
        (1, "GET", "/chunks", "", 200, "one two"),
    ];
    for (times, method, path, sent, status, expected) in steps {
        for _ in 0..times {
            let request = Request::builder().method(method).uri(format!("{target}{path}"));
            let response = client.request(request.body(Body::from(sent.to_owned()))?).await?;
            let got = response.status().as_u16();
            if got != status || response.into_body().collect().await?.to_bytes() != expected {
                return Err(format!("{method} {path}: {got}").into());
            }
        }
    }
    Ok(())
}
