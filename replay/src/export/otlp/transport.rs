//! One request to a receiver: by HTTP or gRPC, in TLS or not. What it answers decides whether to try again.

use std::error::Error;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::message;
use super::settings::{Receiver, Signal, Tls, Wire};
use super::verify::AnyCertificate;
use crate::export::advice::{Trust, chain, is_about_tls, told};
use crate::failure::{Failure, Kind, Result};
use crate::url::without_credentials;

/// What is asked of an answer's body: it says what was rejected, in a few words.
const ANSWER_MAX: usize = 4 << 20;

/// Where certificates are named.
const TRUST: Trust = Trust {
    issuer: "--otlp-certificate FILE (OTEL_EXPORTER_OTLP_CERTIFICATE)",
    own: Some("--otlp-client-certificate FILE (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)"),
};

/// The only statuses that may be tried again (OTLP, "Failures").
const TRANSIENT: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// Why a request did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In words, for people.
    pub(super) reason: String,
    /// Whether another try may do, and how long the receiver wants to be left alone until then.
    pub(super) again: Option<Option<Duration>>,
}

/// Sends requests to a receiver.
#[derive(Debug)]
pub(super) struct Transport {
    signal: Signal,
    wire: Wire,
    headers: HeaderMap,
    timeout: Duration,
    gzip: bool,
    channel: Way,
}

#[derive(Debug)]
enum Way {
    Http { client: reqwest::Client, url: String, json: bool },
    Grpc { endpoint: Box<Endpoint>, channel: Mutex<Channel> },
}

impl Transport {
    /// Connects when the first request is sent. Has to be called within a runtime.
    ///
    /// # Errors
    ///
    /// The certificates cannot be used.
    pub(super) fn new(receiver: &Receiver) -> Result<Self> {
        let Receiver { signal, url, wire, headers, timeout, gzip, tls, .. } = receiver;
        // Of both ways; another one may have been set by then, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let channel = match wire {
            Wire::Grpc => grpc(url, tls).map(|endpoint| {
                let channel = Mutex::new(endpoint.connect_lazy());
                Way::Grpc { endpoint: Box::new(endpoint), channel }
            }),
            Wire::Protobuf | Wire::Json => {
                http(url, tls).map(|client| Way::Http { client, url: url.clone(), json: *wire == Wire::Json })
            }
        };
        let unusable = |error: Box<dyn Error + Send + Sync>| {
            Failure::message(Kind::Usage, format!("{}: {}", without_credentials(url), chain(&*error)))
        };
        let channel = channel.map_err(unusable)?;
        let (signal, wire, headers) = (*signal, *wire, headers.clone());
        Ok(Self { signal, wire, headers, timeout: *timeout, gzip: *gzip, channel })
    }

    /// Sends a request, and gives the answer, both in protobuf.
    pub(super) async fn send(&self, request: Bytes) -> std::result::Result<Bytes, Refusal> {
        let answer = async {
            match &self.channel {
                Way::Http { client, url, json } => self.post(client, url, *json, request).await,
                Way::Grpc { channel, .. } => {
                    let channel = lock(channel).clone();
                    self.call(channel, request).await
                }
            }
        };
        let answer = tokio::time::timeout(self.timeout, answer).await.unwrap_or_else(|_| {
            // What is at its other end may be gone without a word, and would be waited for each time. (Over HTTP/1.1 a
            // connection with a request that was given up is not used again.)
            if let Way::Grpc { endpoint, channel } = &self.channel {
                *lock(channel) = endpoint.connect_lazy();
            }
            let reason = format!("no answer within {:?}", self.timeout);
            Err(Refusal { reason, again: Some(None) })
        });
        answer.map_err(|refusal| match other_protocol(self.wire, &refusal.reason) {
            Some(advice) => Refusal { reason: format!("{}: {advice}", refusal.reason), ..refusal },
            None => refusal,
        })
    }

    async fn post(
        &self,
        client: &reqwest::Client,
        url: &str,
        json: bool,
        body: Bytes,
    ) -> std::result::Result<Bytes, Refusal> {
        let kind = if json { "application/json" } else { "application/x-protobuf" };
        let mut body = if json { message::request_json(self.signal, &body)?.into() } else { body };
        let mut request = client.post(url).header(CONTENT_TYPE, kind);
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
            body = gzipped(&body).map_err(|error| lasting(&error))?;
        }
        let unreached = |error: reqwest::Error| {
            let again = (!is_about_tls(&error) && !error.is_builder()).then_some(None);
            Refusal { reason: told(&error.without_url(), TRUST), again }
        };
        let mut response = request.headers(self.headers.clone()).body(body).send().await.map_err(unreached)?;
        let status = response.status();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreached)? {
            if answer.len() + chunk.len() > ANSWER_MAX {
                return Err(Refusal { reason: "its answer is too long".into(), again: None });
            }
            answer.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return if json { Ok(message::answer_from_json(self.signal, &answer)?.into()) } else { Ok(answer.into()) };
        }
        let reason = format!("it answered {status}{}", said(&answer, json));
        Err(Refusal { reason, again: TRANSIENT.contains(&status).then_some(wait) })
    }

    async fn call(&self, channel: Channel, body: Bytes) -> std::result::Result<Bytes, Refusal> {
        let method = PathAndQuery::from_static(match self.signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        });
        let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(ANSWER_MAX);
        client = client.accept_compressed(CompressionEncoding::Gzip);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let unready = |error: tonic::transport::Error| Refusal {
            reason: told(&error, TRUST),
            again: (!is_about_tls(&error)).then_some(None),
        };
        client.ready().await.map_err(unready)?;
        let mut request = tonic::Request::new(body);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let answer = client.unary(request, method, Raw).await;
        answer.map(tonic::Response::into_inner).map_err(|status| refusal(&status))
    }
}

impl From<message::Error> for Refusal {
    fn from(error: message::Error) -> Self {
        Self { reason: chain(&*error), again: None }
    }
}

fn lasting(error: &(dyn Error + 'static)) -> Refusal {
    Refusal { reason: chain(error), again: None }
}

fn http(url: &str, tls: &Tls) -> std::result::Result<reqwest::Client, Box<dyn Error + Send + Sync>> {
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("redtape/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(tls.skip_verify);
    // A proxy reaches what is not on this machine.
    let host = reqwest::Url::parse(url)?.host_str().unwrap_or_default().to_owned();
    if matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") {
        client = client.no_proxy();
    }
    if let Some(roots) = &tls.roots {
        client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(roots)?);
    }
    if let Some((certificate, key)) = &tls.identity {
        client = client.identity(reqwest::Identity::from_pem(&[key.as_slice(), b"\n", certificate].concat())?);
    }
    Ok(client.build()?)
}

fn lock(channel: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

fn grpc(url: &str, tls: &Tls) -> std::result::Result<Endpoint, Box<dyn Error + Send + Sync>> {
    let mut endpoint =
        Endpoint::from_shared(url.to_owned())?.user_agent(concat!("redtape/", env!("CARGO_PKG_VERSION")))?;
    if url.starts_with("https:") {
        let mut config = ClientTlsConfig::new();
        if let Some((certificate, key)) = &tls.identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        endpoint = match &tls.roots {
            _ if tls.skip_verify => endpoint.tls_config_with_verifier(config, Arc::new(AnyCertificate::default()))?,
            Some(roots) => endpoint.tls_config(config.ca_certificate(Certificate::from_pem(roots)))?,
            None => endpoint.tls_config(config.with_native_roots())?,
        };
    }
    Ok(endpoint)
}

/// What a status of gRPC says of another try (OTLP, "Failures").
fn refusal(status: &Status) -> Refusal {
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let again = match status.code() {
        // Only where the receiver says that it will recover.
        Code::ResourceExhausted => wait.map(Some),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Some(wait.filter(|wait| !wait.is_zero())),
        _ => None,
    };
    // A connection that fails has no status of the receiver's.
    match status.source() {
        Some(source) => Refusal {
            reason: told(source, TRUST),
            again: if is_about_tls(status) { None } else { again.or(Some(None)) },
        },
        None if status.message().is_empty() => Refusal { reason: format!("it answered {:?}", status.code()), again },
        None => Refusal { reason: format!("it answered {:?}: {}", status.code(), short(status.message())), again },
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(in crate::export) fn retry_after(text: &str) -> Option<Duration> {
    let date = || httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok();
    text.trim().parse().ok().map(Duration::from_secs).or_else(date)
}

/// What to do where an error says that the receiver speaks the other protocol, which answers with what is none in this one.
fn other_protocol(wire: Wire, reason: &str) -> Option<&'static str> {
    const GRPC: [&str; 3] = ["frame with invalid size", "http2 error", "mapped from HTTP status code"];
    const HTTP: [&str; 3] =
        ["invalid HTTP version parsed", "received unexpected message from connection", "415 Unsupported Media Type"];
    match wire {
        Wire::Grpc => GRPC
            .iter()
            .any(|sign| reason.contains(sign))
            .then_some("is it OTLP over HTTP? --otlp-protocol http/protobuf (OTEL_EXPORTER_OTLP_PROTOCOL)"),
        Wire::Protobuf | Wire::Json => HTTP
            .iter()
            .any(|sign| reason.contains(sign))
            .then_some("is it OTLP over gRPC? --otlp-protocol grpc (OTEL_EXPORTER_OTLP_PROTOCOL)"),
    }
}

/// What a receiver says of an error: a `google.rpc.Status`, or just text.
fn said(answer: &[u8], json: bool) -> String {
    let text = message::status_message(answer, json).unwrap_or_else(|| String::from_utf8_lossy(answer).into_owned());
    let text = short(text.trim());
    if text.is_empty() { text } else { format!(": {text}") }
}

/// As much of a text as fits into a message, without what a terminal would obey.
pub(in crate::export) fn short(text: &str) -> String {
    const LONGEST: usize = 200;
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    text.trim_end().to_owned()
}

fn gzipped(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

/// Messages that are in protobuf already.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let again = |status: Status| refusal(&status).again;
        assert_eq!(again(Status::unavailable("")), Some(None));
        assert_eq!(again(Status::deadline_exceeded("")), Some(None));
        assert_eq!(again(Status::invalid_argument("")), None);
        assert_eq!(again(Status::unauthenticated("")), None);
        assert_eq!(again(Status::unimplemented("")), None);
        assert_eq!(again(Status::resource_exhausted("")), None);
        let delay = Duration::from_secs(3);
        let details = |code| Status::with_error_details(code, "busy", ErrorDetails::with_retry_info(Some(delay)));
        assert_eq!(again(details(Code::ResourceExhausted)), Some(Some(delay)));
        assert_eq!(again(details(Code::Unavailable)), Some(Some(delay)));
        assert_eq!(refusal(&details(Code::Unavailable)).reason, "it answered Unavailable: busy");
    }

    #[test]
    fn waiting_is_told_in_seconds_or_as_a_date() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        assert!(retry_after(&date).is_some_and(|wait| wait > Duration::from_secs(90)));
    }

    #[test]
    fn what_a_receiver_says_is_no_command_for_a_terminal() {
        assert_eq!(said(b"no\x1b[2J such tenant\n", false), ": no [2J such tenant");
        assert_eq!(said(b"", false), "");
        assert!(said(&[b'a'; 1000], false).len() < 300);
    }
}
