//! OTLP over gRPC.

use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::message;
use super::settings::{Receiver, Signal, TRUST};
use super::verify::AnyCertificate;
use crate::export::advice::{is_about_tls, told};
use crate::export::send::{BoxError, Refusal, Tls, Way, short};
use crate::tls;

/// What is asked of an answer: it says what was rejected, in a few words.
const ANSWER_MAX: usize = 4 << 20;

/// What errors say where the receiver speaks the other protocol, which answers with what is none in this one; and what to do.
const OTHER: [&str; 5] = [
    "frame with invalid size",
    "http2 error",
    "mapped from HTTP status code",
    "HTTP/2 was not negotiated",
    "stream closed because of a broken pipe",
];
const ADVICE: &str = "is it OTLP over HTTP? --otlp-protocol http/protobuf (OTEL_EXPORTER_OTLP_PROTOCOL)";

/// A receiver of gRPC.
#[derive(Debug)]
pub(super) struct Grpc {
    signal: Signal,
    metadata: MetadataMap,
    timeout: Duration,
    gzip: bool,
    endpoint: Endpoint,
    channel: Mutex<Channel>,
}

impl Grpc {
    /// Connects when the first request is sent. Has to be called within a runtime.
    ///
    /// # Errors
    ///
    /// The certificates cannot be used.
    pub(super) fn new(receiver: &Receiver) -> Result<Self, BoxError> {
        tls::choose();
        let Receiver { signal, url, headers, timeout, gzip, tls, .. } = receiver;
        let endpoint = endpoint(url, tls)?;
        let channel = Mutex::new(endpoint.connect_lazy());
        let metadata = MetadataMap::from_headers(headers.clone());
        Ok(Self { signal: *signal, metadata, timeout: *timeout, gzip: *gzip, endpoint, channel })
    }

    async fn call(&self, message: Bytes) -> Result<Bytes, Refusal> {
        let method = PathAndQuery::from_static(match self.signal {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        });
        let channel = self.channel().clone();
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
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let answer = client.unary(request, method, Raw).await;
        answer.map(tonic::Response::into_inner).map_err(|status| refusal(&status))
    }

    fn channel(&self) -> MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Way for Grpc {
    async fn send(&self, message: Bytes) -> Result<Bytes, Refusal> {
        let answer = tokio::time::timeout(self.timeout, self.call(message)).await.unwrap_or_else(|_| {
            // What is at its other end may be gone without a word, and would be waited for each time. (Over HTTP/1.1 a
            // connection with a request that was given up is not used again.)
            *self.channel() = self.endpoint.connect_lazy();
            Err(Refusal::late(self.timeout))
        });
        answer.map_err(|refusal| refusal.advised(&OTHER, ADVICE))
    }

    fn rejected(&self, answer: &[u8]) -> (u64, String) {
        message::rejected(self.signal, answer)
    }
}

fn endpoint(url: &str, tls: &Tls) -> Result<Endpoint, BoxError> {
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

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
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
}
