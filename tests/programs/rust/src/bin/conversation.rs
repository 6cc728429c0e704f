//! The conversation of tests/programs/README.md by axum (hyper's server) and hyper-util's client, on tokio; TLS by rustls.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use axum::serve::Listener;
use http_body_util::BodyExt;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", "http" | "h2c"] => serve(listen().await?).await,
        ["serve", "https"] => serve(TlsListener { listener: listen().await?, acceptor: acceptor()? }).await,
        ["call", "http", target] => {
            call(Client::builder(TokioExecutor::new()).http2_only(false).build_http(), target).await
        }
        ["call", "h2c", target] => {
            call(Client::builder(TokioExecutor::new()).http2_only(true).build_http(), target).await
        }
        ["call", "https", target] => {
            let connector = HttpsConnectorBuilder::new().with_tls_config(trusting()?).https_only().enable_http1();
            call(Client::builder(TokioExecutor::new()).build(connector.build()), target).await
        }
        _ => Err("usage: conversation serve http|h2c|https | conversation call http|h2c|https URL".into()),
    }
}

fn pem(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("TLS_FOLDER").ok_or("TLS_FOLDER is not set")?;
    Ok(PathBuf::from(folder).join(name).with_extension("pem"))
}

fn acceptor() -> Result<TlsAcceptor> {
    let (certificate, key) = (CertificateDer::from_pem_file(pem("cert")?)?, PrivateKeyDer::from_pem_file(pem("key")?)?);
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config).into())
}

fn trusting() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pem("cert")?)?)?;
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Accepts connections and their handshakes, one after the other.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            match self.acceptor.accept(stream).await {
                Ok(stream) => return (stream, peer),
                Err(error) => eprintln!("{peer}: {error}"),
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}

/// The server knows by a connection's first bytes which version it speaks.
async fn serve(listener: impl Listener<Addr = SocketAddr>) -> Result<()> {
    let chunks = || async {
        Body::from_stream(tokio_stream::iter(["one ", "two"].map(|part| Ok::<_, Infallible>(Bytes::from(part)))))
    };
    let router = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/chunks", get(chunks))
        .fallback(|| async { (StatusCode::NOT_FOUND, "missing") });
    Ok(axum::serve(listener, router).await?)
}

async fn call<C: Connect + Clone + Send + Sync + 'static>(client: Client<C, Body>, target: &str) -> Result<()> {
    let mut workers = JoinSet::new();
    for _ in 0..4 {
        workers.spawn(talk(client.clone(), target.to_owned()));
    }
    workers.join_all().await.into_iter().collect()
}

async fn talk<C: Connect + Clone + Send + Sync + 'static>(client: Client<C, Body>, target: String) -> Result<()> {
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
