//! OTLP over HTTP, in protobuf or JSON.

use std::io::{self, Write as _};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::message;
use super::settings::{Receiver, Signal, TRUST, Wire};
use crate::export::send::{BoxError, Http, Refusal, Way};
use crate::failure::chain;

/// The only statuses that may be tried again (OTLP, "Failures").
const TRANSIENT: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// What errors say where the receiver speaks the other protocol, which answers with what is none in this one; and what to do.
const OTHER: [&str; 3] =
    ["invalid HTTP version parsed", "received unexpected message from connection", "415 Unsupported Media Type"];
const ADVICE: &str = "is it OTLP over gRPC? --otlp-protocol grpc (OTEL_EXPORTER_OTLP_PROTOCOL)";

/// A receiver of HTTP.
#[derive(Debug)]
pub(super) struct OverHttp {
    signal: Signal,
    json: bool,
    gzip: bool,
    http: Http,
}

impl OverHttp {
    /// Connects when the first request is sent.
    ///
    /// # Errors
    ///
    /// The certificates cannot be used.
    pub(super) fn new(receiver: &Receiver) -> Result<Self, BoxError> {
        let Receiver { signal, url, wire, headers, timeout, gzip, tls, .. } = receiver;
        let json = *wire == Wire::Json;
        let kind = if json { "application/json" } else { "application/x-protobuf" };
        let mut headers = headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if *gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(Self { signal: *signal, json, gzip: *gzip, http: Http::new(url, headers, *timeout, tls, TRUST)? })
    }

    async fn post(&self, message: Bytes) -> Result<Bytes, Refusal> {
        let mut body = if self.json { message::request_json(self.signal, &message)?.into() } else { message };
        if self.gzip {
            body = gzipped(&body).map_err(|error| Refusal::lasting(error.to_string()))?;
        }
        let answer = self.http.post(body).await?;
        if !answer.status.is_success() {
            let said = message::status_message(&answer.body, self.json);
            let said = said.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned());
            return Err(answer.refusal(TRANSIENT.contains(&answer.status), &said));
        }
        match answer.cut {
            Some(refusal) => Err(refusal),
            None if self.json => Ok(message::answer_from_json(self.signal, &answer.body)?.into()),
            None => Ok(answer.body.into()),
        }
    }
}

#[async_trait]
impl Way for OverHttp {
    async fn send(&self, message: Bytes) -> Result<Bytes, Refusal> {
        self.post(message).await.map_err(|refusal| refusal.advised(&OTHER, ADVICE))
    }

    fn rejected(&self, answer: &[u8]) -> (u64, String) {
        message::rejected(self.signal, answer)
    }
}

impl From<message::Error> for Refusal {
    fn from(error: message::Error) -> Self {
        Self::lasting(chain(&*error))
    }
}

fn gzipped(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}
