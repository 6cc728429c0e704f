//! A request of remote write, and what its answer means.

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use super::target::Target;
use crate::export::advice::Trust;
use crate::export::send::{BoxError, Http, Refusal, Tls, Way};

/// Where certificates are named.
const TRUST: Trust = Trust { issuer: "SSL_CERT_FILE=FILE in the environment", own: None };

/// A receiver of remote write.
#[derive(Debug)]
pub(super) struct RemoteWriteWay(Http);

impl RemoteWriteWay {
    /// Connects when the first request is sent.
    ///
    /// # Errors
    ///
    /// What the system trusts cannot be used.
    pub(super) fn new(target: &Target) -> Result<Self, BoxError> {
        let mut headers = target.headers.clone();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert("X-Prometheus-Remote-Write-Version", HeaderValue::from_static("0.1.0"));
        Ok(Self(Http::new(target.url.as_str(), headers, target.timeout, &Tls::default(), TRUST)?))
    }
}

#[async_trait]
impl Way for RemoteWriteWay {
    async fn send(&self, message: Bytes) -> Result<Bytes, Refusal> {
        let body = snap::raw::Encoder::new().compress_vec(&message);
        let answer = self.0.post(body.map_err(|error| Refusal::lasting(error.to_string()))?.into()).await?;
        let status = answer.status;
        if status.is_success() {
            return Ok(Bytes::new());
        }
        let transient = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(answer.refusal(transient, &String::from_utf8_lossy(&answer.body)))
    }
}
